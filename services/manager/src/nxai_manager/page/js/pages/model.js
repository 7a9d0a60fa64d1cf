// Model: what can run and where it runs, the Edge Impulse project, files, versions and trials.
import { Button } from "../components/button.js";
import { EmptyState, ErrorNote, Note, Skeleton } from "../components/panels.js";
import { t } from "../i18n.js";
import { deployments, manifests, progress, useListen } from "../live.js";
import { to } from "../router.js";
import { can, cameras, models, resource } from "../store.js";
import { html, useEffect, useState } from "../view.js";
import { AddDialog } from "./model/add.js";
import { ModelCard } from "./model/card.js";
import { Detail } from "./model/detail.js";
import { familiesOf } from "./model/families.js";
import { JobList } from "./model/jobs.js";
import { ProjectCard } from "./model/project.js";

export const project = resource("project");

export default function Model({ path, query }) {
  const [adding, setAdding] = useState(query.add ?? "");
  useListen("status", "models", "deployments", "progress");
  useEffect(() => {
    for (const one of [models, cameras, project]) one.load();
  }, []);
  // The lists follow what the box tells: an import that ended, a model that was deployed.
  const ended = [...progress.value.values()].filter(({ state }) => state === "done" || state === "failed").length;
  const known = `${ended}/${[...manifests.value.keys()].join()}/${[...deployments.value.values()].map(({ model, phase, installed }) => `${model} ${phase} ${installed.digest}`).join()}`;
  useEffect(() => {
    if (models.data.peek() === null) return undefined;
    const timer = setTimeout(() => {
      models.load();
      project.load();
    }, 300);
    return () => clearTimeout(timer);
  }, [known]);

  const told = models.data.value;
  const error = models.error.value;
  if (!told) {
    return html`<div class="page">
      <header class="page__head"><h1>${t("Model")}</h1></header>
      ${error ? html`<${ErrorNote} error=${error} onRetry=${() => models.load()} />` : html`<${Skeleton} kind="cards" count=${3} />`}
    </div>`;
  }
  const families = familiesOf(told, deployments.value);
  const dialog = adding && html`<${AddDialog} kind=${adding} project=${project} onClose=${() => setAdding("")} />`;
  if (path[0]) {
    const family = families.find(({ model }) => model === path[0]);
    return html`<${Detail} family=${family} name=${path[0]} view=${path[1]} cameras=${cameras.data.value?.cameras ?? []} />${dialog}`;
  }
  return html`<div class="page model">
    <header class="page__head">
      <div>
        <h1>${t("Model")}</h1>
        <p class="soft">${t("What looks at your cameras.")}</p>
      </div>
      ${
        can("configure") &&
        html`<div class="row">
          <${Button} icon="file-up" onClick=${() => setAdding("file")}>${t("Add a file")}<//>
          <${Button} kind="primary" icon="link" onClick=${() => setAdding("project")}>${t("Link Edge Impulse")}<//>
        </div>`
      }
    </header>
    <${ErrorNote} error=${error} onRetry=${() => models.load()} />
    ${told.catalogue_trouble && html`<${Note} tone="warn" title=${t("Imported models cannot be listed now.")}><p>${told.catalogue_trouble}</p><//>`}
    <div class="stack">
      <${ProjectCard} project=${project} onLink=${() => setAdding("project")} />
      <${JobList} />
      ${
        families.length === 0
          ? html`<${EmptyState} icon="brain-circuit" title=${t("No model yet")} action=${can("configure") && html`<${Button} kind="primary" icon="link" onClick=${() => setAdding("project")}>${t("Link Edge Impulse")}<//>`}>
              <p>${t("Link your Edge Impulse project, or add a .tflite or .onnx file.")}</p>
            <//>`
          : html`<ul class="model__cards">
              ${families.map((family) => html`<${ModelCard} key=${family.model} family=${family} cameras=${cameras.data.value?.cameras ?? []} />`)}
            </ul>`
      }
    </div>
    ${dialog}
  </div>`;
}

export const openModel = (model, ...rest) => to("model", model, ...rest);
