import { Button } from "../components/button.js";
import { Field } from "../components/field.js";
import { Logo } from "../components/icon.js";
import { ErrorNote, Note } from "../components/panels.js";
import { Toasts } from "../components/toast.js";
import { t } from "../i18n.js";
import { deviceName, logIn, sessionEnded } from "../store.js";
import { html, useRef, useState } from "../view.js";

export default function Login() {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const secret = useRef(null);

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await logIn(username.trim(), password);
    } catch (reason) {
      setError(reason);
      setPassword("");
      secret.current?.focus();
    } finally {
      setBusy(false);
    }
  }

  return html`<main class="door" id="main">
      <form class="door__box stack" onSubmit=${submit}>
        <div class="door__brand"><${Logo} /><span class="truncate">${deviceName.value}</span></div>
        <h1>${t("Log in")}</h1>
        ${sessionEnded.value && !error && html`<${Note} tone="info">${t("Your session has ended. Log in again, and you go on where you were.")}<//>`}
        <${ErrorNote} error=${error} />
        <${Field} label=${t("User")} name="username" value=${username} onInput=${setUsername} autocomplete="username" autocapitalize="off" spellcheck=${false} autofocus required />
        <${Field} label=${t("Password")} type="password" name="password" value=${password} onInput=${setPassword} inputRef=${secret} autocomplete="current-password" required />
        <${Button} kind="primary" type="submit" full busy=${busy}>${t("Log in")}<//>
        <p class="small soft">${t("Forgotten? Whoever can reach the box itself can set a new one: nxai-manager reset-password")}</p>
      </form>
    </main>
    <${Toasts} />`;
}
