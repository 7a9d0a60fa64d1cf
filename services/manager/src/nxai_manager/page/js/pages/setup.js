// The very first look at a box: who may log in, and what the box is called.
import { Button } from "../components/button.js";
import { Field } from "../components/field.js";
import { Logo } from "../components/icon.js";
import { ErrorNote } from "../components/panels.js";
import { toast } from "../components/toast.js";
import { sentence } from "../format.js";
import { t } from "../i18n.js";
import { go, to } from "../router.js";
import { session, setUp } from "../store.js";
import { html, useState } from "../view.js";

const SHORTEST = 10;

export default function Setup() {
  const [name, setName] = useState(session.value.device?.name || "");
  const [username, setUsername] = useState("admin");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [tried, setTried] = useState(false);
  const differs = again && again !== password ? t("The two are not the same.") : null;
  const short = tried && password.length < SHORTEST ? t("At least {n} characters.", { n: SHORTEST }) : null;

  async function submit(event) {
    event.preventDefault();
    setTried(true);
    if (busy || password !== again || password.length < SHORTEST) return;
    setBusy(true);
    setError(null);
    try {
      go(to("start"), { replace: true });
      const notes = await setUp({ username: username.trim(), password, device_name: name.trim() });
      for (const note of notes) toast(sentence(note), { tone: "warn", stays: true });
    } catch (reason) {
      setError(reason);
      setBusy(false);
    }
  }

  const known = error && ["username", "password", "device_name"].some((field) => error.for(field).length);
  return html`<main class="door setup" id="main">
    <div class="setup__box">
      <div class="setup__welcome">
        <div class="door__brand"><${Logo} /><span>nxai-edge</span></div>
        <h1>${t("Your cameras, your models, on your own box")}</h1>
        <ul class="setup__points">
          <li>${t("Nothing leaves this box unless you say so.")}</li>
          <li>${t("A demo camera and a model are set up already: after this you see it run.")}</li>
          <li>${t("Everything can be changed later in Settings.")}</li>
        </ul>
        <${ViewFinder} />
      </div>
      <form class="setup__form stack" onSubmit=${submit} noValidate>
        <h2>${t("Set a password")}</h2>
        <${ErrorNote} error=${known ? null : error} />
        <${Field} label=${t("Name of this box")} help=${t("Where it stands, say: Hall 2, packing.")} value=${name} onInput=${setName} error=${error?.for("device_name")} maxlength="80" optional autofocus />
        <${Field} label=${t("User")} value=${username} onInput=${setUsername} error=${error?.for("username")} autocomplete="username" autocapitalize="off" spellcheck=${false} required />
        <${Field} label=${t("Password")} type="password" value=${password} onInput=${(text) => {
          setPassword(text);
          setError(null);
        }} error=${short ?? error?.for("password")} autocomplete="new-password" required />
        <${Strength} password=${password} username=${username} />
        <${Field} label=${t("Password again")} type="password" value=${again} onInput=${setAgain} error=${differs ?? (tried && !again ? t("Type it once more.") : null)} autocomplete="new-password" required />
        <${Button} kind="primary" type="submit" full busy=${busy} iconEnd="arrow-right">${t("Set up this box")}<//>
        <p class="small soft">${t("Who forgets it needs access to the box itself to set a new one.")}</p>
      </form>
    </div>
  </main>`;
}

/** Rough bits of a password: the kinds of characters, shortened where they repeat. */
function bits(password) {
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^a-zA-Z\d]/].map((kind, index) =>
    kind.test(password) ? [26, 26, 10, 33][index] : 0,
  );
  const pool = kinds.reduce((sum, size) => sum + size, 0);
  let distinct = 0;
  for (let at = 0; at < password.length; at += 1) {
    const step = password.charCodeAt(at) - password.charCodeAt(at - 1);
    if (!(Math.abs(step) <= 1))
      distinct += 1; // neither the same again nor the next of a row
    else distinct += 0.3;
  }
  return pool ? distinct * Math.log2(pool) : 0;
}

function Strength({ password, username }) {
  if (!password)
    return html`<p class="small soft">${t("A few words that do not belong together are easy to keep and hard to guess.")}</p>`;
  const weak = username && password.toLowerCase().includes(username.toLowerCase());
  const level = password.length < SHORTEST ? 0 : weak ? 1 : bits(password) < 50 ? 1 : bits(password) < 70 ? 2 : 3;
  const words = [
    t("Too short: {n} more", { n: SHORTEST - password.length }),
    weak ? t("Weak: the user's name is in it") : t("Weak: make it longer"),
    t("Good"),
    t("Strong"),
  ][level];
  return html`<div class="strength" data-level=${level}>
    <div class="strength__bars" aria-hidden="true">${[1, 2, 3].map((bar) => html`<span class=${bar <= level ? "is-on" : ""}></span>`)}</div>
    <p class="small" role="status">${words}</p>
  </div>`;
}

/** A belt with parts, as the demo's: drawn, so that the first page needs no picture. */
const ViewFinder = () => html`<svg class="setup__picture" viewBox="0 0 320 180" aria-hidden="true">
  <g class="setup__belt">
    <path d="M0 128h320M0 52h320" />
    <path d="M20 52v76M100 52v76M180 52v76M260 52v76" opacity="0.35" />
  </g>
  <g class="setup__parts">
    <path d="M62 76l14 8v16l-14 8-14-8V84z" />
    <circle cx="62" cy="92" r="6" />
    <rect x="122" y="84" width="44" height="12" rx="3" />
    <rect x="112" y="78" width="14" height="24" rx="3" />
    <path d="M232 72l16 9v18l-16 9-16-9V81z" />
    <circle cx="232" cy="90" r="7" />
  </g>
  <g class="setup__boxes">
    <path d="M40 78v-10h10M84 78v-10H74M40 106v10h10M84 106v10H74" />
    <path d="M104 82v-12h12M174 82v-12h-12M104 98v12h12M174 98v12h-12" />
    <path d="M208 76V66h10M256 76V66h-10M208 104v10h10M256 104v10h-10" />
  </g>
</svg>`;
