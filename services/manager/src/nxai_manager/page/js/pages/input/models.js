// Models that look at a camera, and what they see of its picture.
import { get, patch, path } from "../../api.js";
import { Button } from "../../components/button.js";
import { Checkbox, Select, Slider, Switch } from "../../components/field.js";
import { Card, EmptyState, ErrorNote } from "../../components/panels.js";
import { score } from "../../format.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { cameras, models } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";
import { resizeWord } from "../model/words.js";
import { assign, ownThreshold, setThreshold } from "./assign.js";
import { Still } from "./still.js";

export function Models({ camera, may }) {
  const [error, setError] = useState(null);
  const known = models.data.value?.models.filter(({ shadow_of: shadow, model }) => !shadow && model) ?? [];
  const change = async (model, on) => {
    try {
      await assign(model, camera.id, on);
      setError(null);
    } catch (reason) {
      setError(reason);
    }
  };
  return html`<div class="stack">
    <${Card} title=${t("Models that look at it")} icon="brain-circuit">
      <${ErrorNote} error=${error} />
      ${
        known.length === 0
          ? html`<${EmptyState} icon="brain-circuit" title=${t("No model yet")} action=${html`<${Button} href=${to("model")}>${t("Add a model")}<//>`} />`
          : html`<ul class="input__models">
              ${known.map((one) => {
                const on = camera.models.includes(one.model);
                return html`<li key=${one.model}>
                  <${Checkbox} label=${one.name} checked=${on} disabled=${!may} onInput=${(checked) => change(one.model, checked)} help=${one.source === "imported" ? t("Imported") : t("From settings.json")} />
                  ${on && one.source === "settings" && html`<${Threshold} camera=${camera} model=${one} may=${may} />`}
                </li>`;
              })}
            </ul>`
      }
    <//>
    ${camera.models.length > 0 && html`<${Seen} camera=${camera} may=${may} />`}
  </div>`;
}

function Threshold({ camera, model, may }) {
  const own = ownThreshold(camera, model.model);
  const [typed, setTyped] = useState(own ?? model.manifest?.threshold ?? 0.5);
  useEffect(() => {
    if (own !== null) setTyped(own);
  }, [own]);
  return html`<div class="input__threshold">
    <${Switch} label=${t("Own threshold on this camera")} checked=${own !== null} disabled=${!may} onInput=${(on) => setThreshold(camera, model.model, on ? typed : null)} help=${own === null ? t("As the model says: {n}", { n: score(model.manifest?.threshold) }) : null} />
    ${own !== null && html`<${Slider} label=${t("Lowest confidence")} value=${typed} disabled=${!may} onInput=${setTyped} onCommit=${(n) => setThreshold(camera, model.model, n)} />`}
  </div>`;
}

/** The picture as the model gets it, made by the very resizer of its frames. */
function Seen({ camera, may }) {
  const offered = camera.models.map((id) => models.data.value?.models.find(({ model }) => model === id)).filter((one) => one?.manifest);
  const [chosen, setChosen] = useState(offered[0]?.model ?? "");
  const [mode, setMode] = useState(camera.settings.resize_mode ?? null);
  const [error, setError] = useState(null);
  const [again, setAgain] = useState(0);
  const model = offered.find((one) => one.model === chosen) ?? offered[0];
  const saved = camera.settings.resize_mode ?? null;
  const [url, setUrl] = useState("");
  useEffect(() => {
    if (!model) return undefined;
    let made = "";
    let gone = false;
    get(path`cameras/${camera.id}/as-model`, { model: model.model, resize_mode: mode }).then(
      (blob) => {
        if (gone) return;
        made = URL.createObjectURL(blob);
        setUrl(made);
        setError(null);
      },
      (reason) => !gone && setError(reason),
    );
    return () => {
      gone = true;
      if (made) URL.revokeObjectURL(made);
    };
  }, [camera.id, model?.model, mode, again, JSON.stringify(camera.settings.region ?? null)]);
  if (!model) return null;
  const save = async () => {
    await patch(path`cameras/${camera.id}`, { resize_mode: mode });
    await cameras.load();
  };
  return html`<${Card}
    title=${t("What the model sees")}
    icon="scan"
    lead=${t("{width} × {height} pixels, as the frames that it gets.", { width: model.manifest.width, height: model.manifest.height })}
    actions=${html`<${Button} size="s" icon="refresh-cw" onClick=${() => setAgain(again + 1)}>${t("New picture")}<//>`}
    foot=${html`<div class="row row--end"><${Button} kind="primary" icon="save" disabled=${!may || mode === saved} why=${may ? t("Nothing was changed.") : t("Only an administrator can change this.")} onClick=${save}>${t("Save")}<//></div>`}
  >
    <div class="stack">
      ${offered.length > 1 && html`<${Select} label=${t("Model")} value=${model.model} onInput=${setChosen} options=${offered.map((one) => ({ value: one.model, label: one.name }))} />`}
      <${Select}
        label=${t("Resize mode")}
        value=${mode}
        disabled=${!may}
        onInput=${setMode}
        options=${[{ value: null, label: t("As the model was trained: {mode}", { mode: resizeWord(model.manifest.resize_mode) }) }, ...["squash", "fit-short", "fit-long"].map((one) => ({ value: one, label: resizeWord(one) }))]}
        help=${t("Change it only when the model was trained otherwise.")}
      />
      <${ErrorNote} error=${error} />
      <div class="seen">
        <figure><${Still} camera=${camera.id} name=${camera.name} width=${480} every=${0} version=${String(again)} /><figcaption class="small soft">${t("The camera")}</figcaption></figure>
        <figure>${url && html`<img class="seen__model" src=${url} alt=${t("What {model} sees", { model: model.name })} />`}<figcaption class="small soft">${t("The model")}</figcaption></figure>
      </div>
    </div>
  <//>`;
}

