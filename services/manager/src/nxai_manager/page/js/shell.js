// What is around every page: header with tabs, connection and health, run and stop, the person's menu.
import { put } from "./api.js";
import { Button, IconButton } from "./components/button.js";
import { confirm, ConfirmDialog, Dialog } from "./components/dialog.js";
import { Field } from "./components/field.js";
import { Icon, Logo } from "./components/icon.js";
import { Menu, Popover } from "./components/menu.js";
import { Facts, StateChip, When } from "./components/panels.js";
import { showError, toast, Toasts } from "./components/toast.js";
import { language, LANGUAGES, setLanguage, t, tn } from "./i18n.js";
import { connection, retry, statuses, useListen } from "./live.js";
import { Outlet, PAGES } from "./outlet.js";
import { route, to } from "./router.js";
import { can, changePassword, deviceName, logOut, run, session } from "./store.js";
import { setTheme, theme } from "./theme.js";
import { computed, html, useEffect, useState } from "./view.js";

const TABS = ["model", "input", "output", "run", "data", "settings"];

export function Shell() {
  useListen("status", "settings", "progress");
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${skip}>${t("Skip to the content")}</a>
    <header class="header">
      <a class="header__brand" href=${to("run")} aria-label=${t("{device}: to the live view", { device: deviceName.value })}>
        <${Logo} />
        <span class="header__names">
          <span class="header__device truncate">${deviceName.value}</span>
          <span class="header__product">nxai-edge</span>
        </span>
      </a>
      <nav class="header__tabs" aria-label=${t("Pages")}>
        <ul>
          ${TABS.map((page) => html`<li><${Tab} page=${page} /></li>`)}
        </ul>
      </nav>
      <div class="header__tools">
        <${Health} />
        <${RunState} />
        <${Person} />
      </div>
    </header>
    <main class="main" id="main" tabindex="-1">
      <${ConnectionBar} />
      <${Outlet} />
    </main>
    <${Toasts} />
    <${ConfirmDialog} />
  </div>`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Tab({ page }) {
  const { title, icon } = PAGES[page];
  return html`<a href=${to(page)} aria-current=${route.value.page === page ? "page" : null}>
    <${Icon} name=${icon} /><span>${title()}</span>
  </a>`;
}

// -- health --------------------------------------------------------------------------------------

const SERVICES = ["capture", "inference", "publisher", "cloud-sync", "manager"];

/** Services with what is wrong with them, worst first; one that was never heard of is offline. */
const health = computed(() => {
  const known = [...statuses.value.values()];
  const silent = SERVICES.filter((role) => !known.some((one) => one.role === role));
  const all = [
    ...known,
    ...silent.map((role) => ({ service: role, role, state: "offline", problems: [], missing: true })),
  ];
  const rank = { offline: 0, stopped: 1, degraded: 2, starting: 3, running: 4 };
  all.sort((a, b) => rank[a.state] - rank[b.state] || a.service.localeCompare(b.service));
  const off = all.filter(({ state }) => state === "offline" || state === "stopped");
  const problems = all.flatMap((one) => one.problems);
  return { all, off, problems };
});

function summary() {
  const { state } = connection.value;
  if (state === "waiting") return { tone: "bad", icon: "wifi-off", text: t("No connection") };
  if (state !== "open" || statuses.value.size === 0) return { tone: "idle", icon: "activity", text: t("Connecting") };
  const { off, problems } = health.value;
  if (off.length === 1)
    return { tone: "bad", icon: "circle-alert", text: t("{service} is down", { service: off[0].service }) };
  if (off.length > 1)
    return { tone: "bad", icon: "circle-alert", text: tn(off.length, "{n} service is down", "{n} services are down") };
  if (problems.length)
    return { tone: "warn", icon: "triangle-alert", text: tn(problems.length, "{n} problem", "{n} problems") };
  return { tone: "ok", icon: "circle-check", text: t("All well") };
}

function Health() {
  const { tone, icon, text } = summary();
  return html`<${Popover}
    label=${t("Health")}
    trigger=${(
      attributes,
    ) => html`<button type="button" class=${`pill pill--${tone}`} aria-label=${t("Health: {text}", { text })} ...${attributes}>
      <${Icon} name=${icon} /><span class="pill__text">${text}</span>
    </button>`}
  >
    <div class="health">
      <h2 class="unseen">${t("Health")}</h2>
      <span class="unseen" role="status">${text}</span>
      <ul class="health__list">
        ${health.value.all.map(
          (one) => html`<li key=${one.service}>
            <div class="row row--apart">
              <span class="strong">${one.service}</span>
              <${StateChip} state=${one.state} />
            </div>
            ${one.missing && html`<p class="small soft">${t("Nothing was heard of it since the page was opened.")}</p>`}
            ${one.problems.map(({ about, reason }) => html`<p class="small"><span class="strong">${about}:</span> ${reason}</p>`)}
          </li>`,
        )}
      </ul>
      <a class="small" href=${to("settings", "health")}>${t("All about health, and logs")}</a>
    </div>
  <//>`;
}

/** Says above the page that what it shows is old. */
function ConnectionBar() {
  const { state, reason, since } = connection.value;
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (state === "open" || state === "off") return undefined;
    const timer = setTimeout(() => setLate(true), state === "waiting" ? 1000 : 3000);
    return () => clearTimeout(timer);
  }, [state === "open" || state === "off"]);
  return html`<div class="connection" role="status">
    ${
      late &&
      html`<div class="connection__bar">
      <${Icon} name="wifi-off" />
      <span class="grow">${reason || t("Connecting to the box ...")} ${t("What is shown may be old.")} <span class="soft number"><${When} at=${since} /></span></span>
      <${Button} size="s" onClick=${retry}>${t("Try now")}<//>
    </div>`
    }
  </div>`;
}

// -- run and stop --------------------------------------------------------------------------------

function RunState() {
  useEffect(() => {
    run.want();
  }, []);
  const now = run.data.value;
  if (now === null) return null;
  const running = now.running;
  async function change() {
    const sure =
      !running ||
      (await confirm({
        title: t("Stop all cameras?"),
        text: t("No camera is looked at and nothing is sent until somebody starts it again."),
        action: t("Stop"),
      }));
    if (!sure) return;
    await put("run", { running: !running });
    await run.load();
    toast(running ? t("Stopped.") : t("Started."));
  }
  return html`<div class="run-state">
    <${StateChip} state=${running ? "running" : "stopped"} />
    <${Button}
    size="s"
    kind=${running ? "plain" : "primary"}
    icon=${running ? "square" : "play"}
    disabled=${!can("operate")}
    why=${t("Viewers cannot start or stop cameras.")}
    aria-label=${running ? t("Running. Stop all cameras") : t("Stopped. Start all cameras")}
    onClick=${change}
  >
    ${running ? t("Stop") : t("Run||to start")}
    <//>
  </div>`;
}

// -- the person's menu ---------------------------------------------------------------------------

function Person() {
  const [changing, setChanging] = useState(false);
  const { user, role, version } = session.value;
  const themes = { auto: [t("As the system"), "sun-moon"], light: [t("Light"), "sun"], dark: [t("Dark"), "moon"] };
  return html`<${Menu}
      label=${t("Menu of {user}", { user })}
      trigger=${(attributes) => html`<${IconButton} icon="circle-user-round" label=${t("Menu of {user}", { user })} ...${attributes} />`}
      items=${[
        { heading: html`<span class="strong">${user}</span> <span class="soft">${roleWords(role)}</span>` },
        { label: t("Change password"), icon: "key-round", onClick: () => setChanging(true) },
        { label: t("API reference"), icon: "book-open", href: to("reference") },
        "-",
        { heading: t("Colours") },
        ...Object.entries(themes).map(([name, [label]]) => ({
          label,
          checked: theme.value === name,
          onClick: () => setTheme(name),
        })),
        "-",
        { heading: t("Language") },
        ...Object.entries(LANGUAGES).map(([tag, label]) => ({
          label,
          checked: language.value === tag,
          onClick: () => setLanguage(tag),
        })),
        "-",
        { label: t("Log out"), icon: "log-out", onClick: () => logOut().catch(showError) },
        version && { heading: html`<span class="faint tiny">nxai-edge ${version}</span>` },
      ]}
    />
    ${changing && html`<${ChangePassword} onClose=${() => setChanging(false)} />`}`;
}

const roleWords = (role) => ({ viewer: t("Viewer"), operator: t("Operator"), admin: t("Administrator") })[role] ?? role;

function ChangePassword({ onClose }) {
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [error, setError] = useState(null);
  async function save(event) {
    event.preventDefault();
    setError(null);
    try {
      await changePassword({ old, new: fresh });
      toast(t("The password was changed. Other sessions of yours have ended."));
      onClose();
    } catch (reason) {
      setError(reason);
    }
  }
  const wrong = error && !error.for("old").length && !error.for("new").length ? error.detail : null;
  return html`<${Dialog}
    title=${t("Change password")}
    size="s"
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="change-password">${t("Change password")}<//>`}
  >
    <form id="change-password" class="stack" onSubmit=${save}>
      <input class="unseen" type="text" name="username" autocomplete="username" value=${session.value.user} tabindex="-1" aria-hidden="true" readonly />
      <${Field} type="password" label=${t("Password now")} value=${old} onInput=${setOld} error=${error?.for("old")} autocomplete="current-password" autofocus required />
      <${Field} type="password" label=${t("New password")} value=${fresh} onInput=${setFresh} error=${error?.for("new") ?? wrong} autocomplete="new-password" required />
      ${wrong && html`<p class="field__error" role="alert"><${Icon} name="circle-alert" />${wrong}</p>`}
    </form>
  <//>`;
}
