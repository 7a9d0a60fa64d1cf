// A model of the catalogue as a card.
import { Button } from "../../components/button.js";
import { Badge, ProgressBar, StateChip } from "../../components/panels.js";
import { milliseconds, number, percent } from "../../format.js";
import { list } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { to } from "../../router.js";
import { html } from "../../view.js";
import { factsOf } from "./families.js";
import { isOpen } from "./trial.js";
import { badgesOf, taskWord, troubleOf } from "./words.js";

export function ModelCard({ family, cameras }) {
  const facts = factsOf(family);
  const { deployment, status } = family;
  const trouble = troubleOf(family);
  const where = family.cameras.map((id) => cameras.find((one) => one.id === id)?.name ?? id);
  const state = deployment?.phase ?? status?.state ?? "";
  const metric = bestMetric(family.current ?? family.newest);
  const href = to("model", family.model || "damaged");
  return html`<li class="card model-card">
    <div class="model-card__head">
      <div class="grow">
        <h2 class="model-card__title"><a href=${href}>${family.name || t("Damaged records")}</a></h2>
        <p class="small soft">
          ${taskWord(facts.task)}${facts.width > 0 && html` · <span class="number">${facts.width} × ${facts.height}</span>`}
          ${facts.version && html` · ${facts.version}`}
        </p>
      </div>
      ${state && html`<${StateChip} state=${state} />`}
    </div>
    ${trouble && html`<p class="small model-card__trouble">${trouble.text}</p>`}
    <div class="row model-card__badges">
      ${badgesOf(facts).map(({ key, icon, text }) => html`<${Badge} key=${key} icon=${icon}>${text}<//>`)}
      ${metric && html`<${Badge} icon="gauge" title=${t("Measured by Edge Impulse when it was trained")}>${metric}<//>`}
      ${facts.engineMs !== null && html`<${Badge} icon="zap" title=${t("One run on this box")}>${milliseconds(facts.engineMs)}<//>`}
      ${family.source === "settings" && html`<${Badge} icon="file-json" title=${t("Named in settings.json")}>${t("Settings")}<//>`}
    </div>
    ${
      facts.labels.length > 0 &&
      html`<p class="small model-card__labels"><span class="soft">${t("Labels:")}</span> ${facts.labels.slice(0, 8).join(", ")}${facts.labels.length > 8 && html` <span class="soft">${t("and {n} more", { n: facts.labels.length - 8 })}</span>`}</p>`
    }
    ${
      deployment?.phase === "shadow" &&
      html`<${ProgressBar} label=${t("A new version is tried beside it")} value=${deployment.progress} />`
    }
    ${deployment && deployment.phase !== "shadow" && isOpen(deployment) && html`<p class="small"><${Badge} tone="info" icon="git-compare">${t("Trial over: decide")}<//></p>`}
    ${
      deployment?.offered &&
      html`<p class="small model-card__offer"><${Badge} tone="info" icon="download">${t("Update available")}<//> ${deployment.offered}</p>`
    }
    <div class="row row--apart model-card__foot">
      <span class="small soft">${
        where.length ? t("On {cameras}", { cameras: list(where) }) : t("Not on any camera")
      }${family.versions.length > 1 ? ` · ${tn(family.versions.length, "{n} version", "{n} versions")}` : ""}</span>
      <${Button} size="s" href=${href} aria-label=${t("Open {model}", { model: family.name })}>${t("Open")}<//>
    </div>
  </li>`;
}

/** The first figure that says how good a version is, with its name. */
export function bestMetric(version) {
  const metrics = version?.metrics ?? [];
  const [name, value] = metrics.find(([key]) => /f1|accuracy|map/i.test(key)) ?? metrics[0] ?? [];
  if (name === undefined) return "";
  return `${name} ${value <= 1 ? percent(value) : number(value)}`;
}
