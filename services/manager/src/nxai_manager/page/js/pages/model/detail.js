// One model: where it runs, its trial, its versions, what is written of it, and a picture to try it on.
import { patch, path, post } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm, Dialog } from "../../components/dialog.js";
import { Field } from "../../components/field.js";
import { Markdown } from "../../components/markdown.js";
import { Badge, Card, Copyable, EmptyState, ErrorNote, Facts, Note, StateChip } from "../../components/panels.js";
import { Tabs } from "../../components/tabs.js";
import { toast } from "../../components/toast.js";
import { bytes, list, milliseconds, number, percent, score } from "../../format.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { can, models } from "../../store.js";
import { html, useState } from "../../view.js";
import { DeployDialog } from "./deploy.js";
import { factsOf } from "./families.js";
import { JobList, startJob } from "./jobs.js";
import { isOpen, Trial } from "./trial.js";
import { TryPicture } from "./try.js";
import { Versions } from "./versions.js";
import { badgesOf, resizeWord, taskWord, troubleOf } from "./words.js";

export function Detail({ family, name, view = "about", cameras }) {
  const [deploying, setDeploying] = useState(null);
  if (!family) {
    return html`<div class="page page--narrow">
      <header class="page__head"><h1>${t("Model")}</h1></header>
      <${EmptyState} icon="brain-circuit" title=${t("There is no model {name}.", { name })} action=${html`<${Button} href=${to("model")}>${t("All models")}<//>`} />
    </div>`;
  }
  const facts = factsOf(family);
  const { deployment, status } = family;
  const trouble = troubleOf(family);
  const where = family.cameras.map((id) => cameras.find((one) => one.id === id)?.name ?? id);
  const imported = family.source === "imported";
  const newer = imported && deployment && family.newest && family.newest.state === "ready" && family.newest.digest !== deployment.installed.digest && !isOpen(deployment);
  const tabs = [
    { id: "about", label: t("About"), href: to("model", family.model) },
    { id: "versions", label: t("Versions"), href: to("model", family.model, "versions"), count: family.versions.length || null },
    { id: "try", label: t("Try a picture"), href: to("model", family.model, "try") },
  ].filter(({ id }) => id !== "versions" || imported);

  return html`<div class="page page--narrow model">
    <header class="page__head">
      <div class="grow">
        <p class="small"><a href=${to("model")}>‹ ${t("All models")}</a></p>
        <h1>${family.name || t("Damaged records")}</h1>
        <p class="soft">
          ${taskWord(facts.task)}${facts.width > 0 && html` · <span class="number">${facts.width} × ${facts.height}</span>`}${facts.version && ` · ${facts.version}`}
        </p>
      </div>
      ${(deployment || status) && html`<${StateChip} state=${deployment?.phase ?? status.state} />`}
    </header>
    <div class="stack">
      ${trouble && html`<${Note} tone=${trouble.tone} title=${t("It cannot run as it should.")}><p>${trouble.text}</p><//>`}
      ${!trouble && deployment?.reason && html`<${Note} title=${t("What happened last")}><p>${deployment.reason}</p><//>`}
      ${
        deployment?.offered &&
        html`<${Note}
          title=${t("The project has a newer model: {version}", { version: deployment.offered })}
          action=${can("configure") && html`<${Button} kind="primary" icon="download" onClick=${() => startJob("project/pull", {})}>${t("Fetch it")}<//>`}
        ><p>${t("It is tested on this box first; what runs goes on.")}</p><//>`
      }
      ${
        newer &&
        html`<${Note}
          title=${t("Version {version} is here and not in use.", { version: family.newest.version })}
          action=${can("configure") && html`<${Button} kind="primary" icon="git-compare" onClick=${() => setDeploying({ digest: family.newest.digest, how: "shadow" })}>${t("Try it beside the one in force")}<//>`}
        ><p>${t("Both look at the same live frames, and you see where they differ.")}</p><//>`
      }
      <${JobList} commands=${["pull", "import"]} />
      ${(deployment?.phase === "shadow" || deployment?.report) && html`<${Trial} family=${family} />`}
      <${Card} title=${t("Where it runs")} icon="cctv">
        ${
          imported
            ? html`<div class="row row--apart">
                <span>${where.length ? list(where) : t("Not on any camera")}</span>
                ${
                  can("configure") &&
                  html`<div class="row">
                  ${deployment && html`<${Button} size="s" icon="undo-2" onClick=${() => takeAway(family)}>${t("Take away")}<//>`}
                  <${Button} size="s" kind=${deployment ? "plain" : "primary"} icon="rocket" disabled=${!family.versions.some(({ state }) => state === "ready")} why=${t("No version has passed its test.")} onClick=${() => setDeploying({})}>${deployment ? t("Other cameras") : t("Deploy")}<//>
                </div>`
                }
              </div>`
            : html`<p>${where.length ? list(where) : t("Not on any camera")}</p>
                <p class="small soft">${t("This model is named in settings.json; assign it to cameras under Input.")}</p>`
        }
      <//>
      <${Tabs} label=${t("About this model")} tabs=${tabs} value=${view} />
      ${
        view === "versions"
          ? html`<${Versions} family=${family} onDeploy=${setDeploying} />`
          : view === "try"
            ? html`<${TryPicture} family=${family} />`
            : html`<${About} family=${family} facts=${facts} />`
      }
    </div>
    ${deploying && html`<${DeployDialog} family=${family} cameras=${cameras} start=${deploying} onClose=${() => setDeploying(null)} />`}
  </div>`;
}

async function takeAway(family) {
  const yes = await confirm({
    title: t("Take {model} away from its cameras?", { model: family.name }),
    text: t("It stops looking at once. Its versions stay in the catalogue, and what was logged stays, too."),
    action: t("Take away"),
  });
  if (!yes) return;
  const { reason } = await post(path`models/${family.model}/undeploy`, {});
  toast(reason || t("Done."), { tone: "ok" });
}

function About({ family, facts }) {
  const version = family.current ?? family.newest;
  const [editing, setEditing] = useState(false);
  const { status } = family;
  return html`<div class="stack">
    <${Card}
      title=${t("What it is")}
      icon="brain-circuit"
      actions=${version && can("configure") && html`<${Button} size="s" icon="pencil" onClick=${() => setEditing(true)}>${t("Edit")}<//>`}
    >
      <div class="stack">
      <div class="row model-card__badges">${badgesOf(facts).map(({ key, icon, text }) => html`<${Badge} key=${key} icon=${icon}>${text}<//>`)}</div>
      <${Facts}
        items=${[
          [t("Labels"), facts.labels.length ? facts.labels.join(", ") : t("not known before the test")],
          facts.width > 0 && [t("Input"), `${facts.width} × ${facts.height} × ${facts.channels}`],
          facts.resizeMode && [t("Resize mode"), resizeWord(facts.resizeMode)],
          facts.threshold !== null && [t("Threshold"), score(facts.threshold)],
          facts.engine && [t("Engine"), facts.engine],
          facts.engineMs !== null && [t("One run"), milliseconds(facts.engineMs)],
          status && [t("Frames looked at"), number(status.processed, 0)],
          status?.errors > 0 && [t("Frames it could not look at"), number(status.errors, 0)],
          version?.size && [t("Size of the file"), bytes(version.size)],
          version?.origin?.project_name && [t("From"), version.origin.project_name],
          [t("Name in topics"), html`<${Copyable}>${family.model}<//>`],
        ]}
      />
      ${
        version?.metrics?.length > 0 &&
        html`<h3>${t("Measured when it was trained")}</h3>
          <${Facts} items=${version.metrics.map(([key, value]) => [key, value <= 1 ? percent(value, 1) : number(value, 2)])} />`
      }
      ${[...(version?.notes ?? []), ...(version?.warnings ?? [])].map((text) => html`<${Note} key=${text} tone="warn"><p>${text}</p><//>`)}
      </div>
    <//>
    ${
      version &&
      html`<${Card} title=${t("Documentation")} icon="book-open">
        ${version.documentation ? html`<${Markdown} text=${version.documentation} />` : html`<p class="soft">${t("Nothing is written yet: what is it for, who trained it, what does it miss?")}</p>`}
      <//>`
    }
    ${editing && html`<${EditDialog} version=${version} onClose=${() => setEditing(false)} />`}
  </div>`;
}

function EditDialog({ version, onClose }) {
  const [title, setTitle] = useState(version.title);
  const [documentation, setDocumentation] = useState(version.documentation);
  const [error, setError] = useState(null);
  async function save(event) {
    event.preventDefault();
    try {
      await patch(path`models/versions/${version.digest}`, { title, documentation });
      await models.load();
      onClose();
    } catch (reason) {
      setError(reason);
    }
  }
  return html`<${Dialog}
    title=${t("Edit")}
    size="l"
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="edit-version">${t("Save")}<//>`}
  >
    <form id="edit-version" class="stack" onSubmit=${save}>
      <${Field} label=${t("Name")} value=${title} onInput=${setTitle} maxlength="200" autofocus error=${error?.for?.("title")} />
      <${Field} type="textarea" rows="10" label=${t("Documentation")} value=${documentation} onInput=${setDocumentation} help=${t("Markdown: # heading, **bold**, - list, [link](https://…)")} error=${error?.for?.("documentation")} />
      ${
        documentation &&
        html`<div><p class="small soft">${t("So it will look:")}</p><${Markdown} text=${documentation} /></div>`
      }
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}
