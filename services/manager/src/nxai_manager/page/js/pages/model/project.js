// The linked Edge Impulse project.
import { post, remove } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Card, ErrorNote, Facts, Note } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { can } from "../../store.js";
import { html } from "../../view.js";
import { startJob } from "./jobs.js";

const ROLES = {
  admin: () => t("may do everything"),
  readonly: () => t("may read: models, but no upload and no training"),
  ingestiononly: () => t("may upload, but not fetch models"),
  wifi: () => t("may upload, but not fetch models"),
};

export function ProjectCard({ project, onLink }) {
  const told = project.data.value;
  const error = project.error.value;
  if (error && !told) return html`<${ErrorNote} error=${error} title=${t("The Edge Impulse project cannot be told now.")} onRetry=${() => project.load()} />`;
  if (!told?.link) return null;
  const { link, impulses, trouble } = told;
  const impulse = impulses.find(({ id }) => id === link.impulse);

  async function retrain() {
    const { reason } = await post("project/retrain", { confirm: false });
    if (!(await confirm({ title: t("Train the project again?"), text: reason, action: t("Train"), danger: false }))) return;
    await post("project/retrain", { confirm: true });
    toast(t("Training has begun. It takes minutes to hours; the new model is announced here."), { tone: "info" });
  }

  async function unlink() {
    const yes = await confirm({
      title: t("Unlink {name}?", { name: link.name }),
      text: t("The API key is deleted from this box. Models and pictures stay; new models are not noticed any more."),
      action: t("Unlink"),
    });
    if (!yes) return;
    await remove("project");
    await project.load();
  }

  return html`<${Card}
    title=${link.name}
    lead=${t("Edge Impulse project {id}", { id: link.project })}
    icon="link"
    actions=${html`
      ${can("operate") && html`<${Button} size="s" icon="refresh-cw" onClick=${() => startJob("project/check-updates")}>${t("Check for updates")}<//>`}
      ${can("configure") && html`<${Button} size="s" kind="primary" icon="download" onClick=${() => startJob("project/pull", {})}>${t("Fetch the newest model")}<//>`}
    `}
  >
    ${trouble && html`<${Note} tone="bad" title=${t("The API key does not do any more.")}><p>${trouble}</p><//>`}
    <${Facts}
      items=${[
        [t("Impulse"), link.impulse_name || (link.impulse ? String(link.impulse) : t("none"))],
        [t("Learn block"), link.learn_block_title || t("none")],
        impulse && [t("Input"), `${impulse.width} × ${impulse.height}`],
        [t("The key"), ROLES[link.role]?.() ?? link.role],
      ]}
    />
    ${impulse?.warnings?.map((text) => html`<${Note} tone="warn" key=${text}><p>${text}</p><//>`)}
    ${
      can("configure") &&
      html`<div class="row">
        <${Button} size="s" icon="key-round" onClick=${onLink}>${t("Another key or project")}<//>
        <${Button} size="s" icon="cpu" onClick=${retrain}>${t("Train again")}<//>
        <${Button} size="s" kind="quiet" icon="unlink" onClick=${unlink}>${t("Unlink")}<//>
      </div>`
    }
  <//>`;
}
