// Settings: settings.json as forms and as text, its history, health, logs, accounts.
import { Tabs } from "../components/tabs.js";
import { t } from "../i18n.js";
import { useListen } from "../live.js";
import { to } from "../router.js";
import { can } from "../store.js";
import { html } from "../view.js";
import { Accounts } from "./settings/accounts.js";
import { Editor } from "./settings/editor.js";
import { Health } from "./settings/health.js";
import { History } from "./settings/history.js";
import { Bring } from "./settings/bring.js";
import { Logs } from "./settings/logs.js";

export default function Settings({ path, query }) {
  useListen("status", "settings");
  const views = [
    { id: "editor", label: t("Settings"), icon: "sliders-horizontal", href: to("settings"), show: Editor },
    { id: "history", label: t("History"), icon: "history", href: to("settings", "history"), show: History },
    { id: "bring", label: t("Import and export"), icon: "file-json", href: to("settings", "bring"), show: Bring },
    { id: "health", label: t("Health"), icon: "activity", href: to("settings", "health"), show: Health },
    { id: "logs", label: t("Logs"), icon: "terminal", href: to("settings", "logs"), show: Logs, needs: "configure" },
    { id: "accounts", label: t("Accounts"), icon: "users", href: to("settings", "accounts"), show: Accounts },
  ].filter(({ needs }) => !needs || can(needs));
  const now = views.find(({ id }) => id === path[0]) ?? views[0];
  return html`<div class=${`page settings ${now.id === "editor" ? "page--wide" : ""}`}>
    <header class="page__head"><h1>${t("Settings")}</h1></header>
    <${Tabs} label=${t("Parts of the settings")} tabs=${views} value=${now.id} />
    <div class="settings__view"><${now.show} path=${path.slice(1)} query=${query} /></div>
  </div>`;
}
