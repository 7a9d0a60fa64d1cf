// The versions of an imported model.
import { path, post, remove } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Badge, Card, Copyable, EmptyState, StateChip, When } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { bytes, milliseconds } from "../../format.js";
import { t } from "../../i18n.js";
import { go, to } from "../../router.js";
import { can, models } from "../../store.js";
import { html } from "../../view.js";
import { bestMetric } from "./card.js";

const STATES = { ready: "ready", refused: "failed", fetched: "loading" };

export function Versions({ family, onDeploy }) {
  const { versions, deployment } = family;
  if (versions.length === 0) return html`<${EmptyState} icon="layers" title=${t("No version is on this box.")} />`;
  const inForce = deployment?.installed.digest;
  const onTrial = deployment?.phase === "shadow" ? deployment.candidate?.digest : undefined;
  return html`<${Card}
    title=${t("Versions")}
    icon="layers"
    lead=${t("Newest first.")}
    actions=${
      can("operate") && deployment && !onTrial && html`<${Button} size="s" icon="history" onClick=${() => rollBack(family)}>${t("Roll back")}<//>`
    }
  >
    <ul class="versions">
      ${versions.map((version) => {
        const used = version.digest === inForce || version.digest === onTrial;
        const metric = bestMetric(version);
        return html`<li key=${version.digest} class="versions__one">
          <div class="grow">
            <p class="row">
              <span class="strong">${version.version || version.digest.slice(0, 12)}</span>
              ${version.digest === inForce && html`<${Badge} tone="ok" icon="check">${t("In force")}<//>`}
              ${version.digest === onTrial && html`<${Badge} tone="info" icon="git-compare">${t("On trial")}<//>`}
              ${version.state !== "ready" && html`<${StateChip} state=${STATES[version.state] ?? version.state} reason=${version.reason} />`}
            </p>
            <p class="small soft row">
              ${version.imported_at_us > 0 && html`<span>${t("Imported")} <${When} at=${version.imported_at_us / 1000} /></span>`}
              ${version.origin?.artefact && html`<span>${version.origin.artefact}</span>`}
              <span>${bytes(version.size)}</span>
              ${version.engine_ms !== null && html`<span>${milliseconds(version.engine_ms)}</span>`}
              ${metric && html`<span>${metric}</span>`}
              <${Copyable} label=${t("Copy the digest")}>${version.digest.slice(0, 12)}<//>
            </p>
            ${version.warnings?.map((text) => html`<p class="small" key=${text}>${text}</p>`)}
          </div>
          ${
            can("configure") &&
            html`<div class="row">
            ${
              version.state === "ready" &&
              !used &&
              html`<${Button} size="s" icon=${deployment ? "git-compare" : "rocket"} onClick=${() => onDeploy({ digest: version.digest, how: deployment ? "shadow" : "at-once" })}>${deployment ? t("Use this one") : t("Deploy")}<//>`
            }
            <${Button} size="s" kind="quiet" icon="trash-2" aria-label=${t("Delete version {version}", { version: version.version || version.digest.slice(0, 12) })} disabled=${used} why=${t("It is in use.")} onClick=${() => deleteVersion(version, versions.length === 1)} />
          </div>`
          }
        </li>`;
      })}
    </ul>
  <//>`;
}

async function rollBack(family) {
  const yes = await confirm({
    title: t("Roll back {model}?", { model: family.name }),
    text: t("The version before goes in force again, without losing a frame."),
    action: t("Roll back"),
    danger: false,
  });
  if (!yes) return;
  const { reason } = await post(path`models/${family.model}/roll-back`);
  toast(reason || t("Done."), { tone: "ok" });
}

async function deleteVersion(version, last) {
  const yes = await confirm({
    title: t("Delete version {version}?", { version: version.version || version.digest.slice(0, 12) }),
    text: last
      ? t("It is the only one: the model vanishes from the catalogue. What was logged and collected stays.")
      : t("The file is removed from this box; it can be fetched again while the project has it. Going back to it is not possible then."),
    action: t("Delete"),
  });
  if (!yes) return;
  await remove(path`models/versions/${version.digest}`);
  await models.load();
  if (last) go(to("model"));
}
