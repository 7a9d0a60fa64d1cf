// Put a model on cameras.
import { path, post } from "../../api.js";
import { Button } from "../../components/button.js";
import { Dialog } from "../../components/dialog.js";
import { Checkbox, Radios, Select, Slider, Switch } from "../../components/field.js";
import { ErrorNote, Note } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { models } from "../../store.js";
import { html, useState } from "../../view.js";

/** {family, cameras, start: {digest, how}, onClose} */
export function DeployDialog({ family, cameras, start, onClose }) {
  const { deployment } = family;
  const ready = family.versions.filter(({ state }) => state === "ready");
  const inForce = deployment?.installed.digest;
  const [digest, setDigest] = useState(start.digest ?? inForce ?? ready[0]?.digest);
  const [chosen, setChosen] = useState(new Set(family.cameras.length ? family.cameras : cameras.length === 1 ? [cameras[0].id] : []));
  const [how, setHow] = useState(start.how ?? "shadow");
  const [own, setOwn] = useState(false);
  const [threshold, setThreshold] = useState(0.5);
  const [error, setError] = useState(null);
  const other = deployment && digest !== inForce;

  async function deploy(event) {
    event.preventDefault();
    try {
      const { reason } = await post(path`models/${family.model}/deploy`, {
        digest,
        cameras: [...chosen],
        how: other ? how : "at-once",
        ...(own ? { threshold } : {}),
      });
      toast(reason || t("Done."), { tone: "ok" });
      await models.load();
      onClose();
    } catch (reason) {
      setError(reason);
    }
  }

  const toggle = (id, on) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    setChosen(next);
  };

  return html`<${Dialog}
    title=${t("Deploy {model}", { model: family.name })}
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//>
      <${Button} kind="primary" icon="rocket" type="submit" form="deploy" disabled=${chosen.size === 0 || !digest} why=${t("Choose a camera first.")}>${other && how === "shadow" ? t("Begin the trial") : t("Deploy")}<//>`}
  >
    <form id="deploy" class="stack" onSubmit=${deploy}>
      ${
        ready.length > 1 &&
        html`<${Select} label=${t("Version")} value=${digest} onInput=${setDigest} options=${ready.map((one) => ({ value: one.digest, label: `${one.version || one.digest.slice(0, 12)}${one.digest === inForce ? ` (${t("in force")})` : ""}` }))} />`
      }
      ${
        cameras.length === 0
          ? html`<${Note} title=${t("There is no camera yet.")} action=${html`<${Button} size="s" href=${to("input")}>${t("Add a camera")}<//>`} />`
          : html`<fieldset class="field">
              <legend class="field__label">${t("Cameras")}</legend>
              ${cameras.map((one) => html`<${Checkbox} key=${one.id} label=${one.name} checked=${chosen.has(one.id)} onInput=${(on) => toggle(one.id, on)} />`)}
            </fieldset>`
      }
      ${
        other &&
        html`<${Radios}
        label=${t("How it takes over")}
        value=${how}
        onInput=${setHow}
        options=${[
          { value: "shadow", label: t("Tried beside the one in force first"), help: t("You see on live frames where they differ, then decide (or the box does, by its rules).") },
          { value: "at-once", label: t("At once"), help: t("No frame is lost; it is rolled back by itself if it fails.") },
        ]}
      />`
      }
      <${Switch} label=${t("Own threshold")} checked=${own} onInput=${setOwn} help=${t("Otherwise as the project says.")} />
      ${own && html`<${Slider} label=${t("Lowest confidence of a detection")} value=${threshold} onInput=${setThreshold} />`}
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}
