// Begins: who is logged in decides what is shown.
import { ErrorNote } from "./components/panels.js";
import { Logo } from "./components/icon.js";
import { loadTexts, t } from "./i18n.js";
import { loadStyles } from "./outlet.js";
import { useTitle } from "./title.js";
import { go, route, to } from "./router.js";
import { Shell } from "./shell.js";
import { loadSession, session, sessionError } from "./store.js";
import { html, render, useEffect, useState } from "./view.js";
import "./theme.js";

/** Pages that are shown without the shell: nobody is logged in. */
const DOORS = {
  setup: () => import("./pages/setup.js"),
  login: () => import("./pages/login.js"),
};

function App() {
  const now = session.value;
  if (sessionError.value && !now) {
    return html`<main class="door">
      <div class="door__box stack">
        <div class="door__brand"><${Logo} /><span>nxai-edge</span></div>
        <h1 class="unseen">nxai-edge</h1>
        <${ErrorNote} error=${sessionError.value} onRetry=${loadSession} />
      </div>
    </main>`;
  }
  if (!now) return null;
  if (now.state in DOORS) return html`<${Door} key=${now.state} name=${now.state} />`;
  return html`<${Inside} />`;
}

function Inside() {
  useEffect(() => {
    if (!route.value.page) go(to("run"), { replace: true });
  }, [route.value.page]);
  return route.value.page ? html`<${Shell} />` : null;
}

function Door({ name }) {
  const [View, setView] = useState(null);
  const [error, setError] = useState(null);
  useTitle(name === "setup" ? t("Welcome") : t("Log in"));
  useEffect(() => {
    Promise.all([DOORS[name](), loadStyles("setup"), loadTexts("setup")]).then(
      ([module]) => setView(() => module.default),
      setError,
    );
  }, [name]);
  if (error)
    return html`<main class="door"><div class="door__box"><${ErrorNote} error=${error} onRetry=${() => location.reload()} /></div></main>`;
  return View && html`<${View} />`;
}

await Promise.all([loadTexts("shell"), loadSession()]);
render(html`<${App} />`, document.getElementById("app"));
