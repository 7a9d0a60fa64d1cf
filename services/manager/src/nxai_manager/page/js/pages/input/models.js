// Models that look at a camera, and what they see of its picture.
import { get, path } from "../../api.js";
import { Button } from "../../components/button.js";
import { Checkbox, Select, Slider, Switch } from "../../components/field.js";
import { Card, EmptyState, ErrorNote, Skeleton } from "../../components/panels.js";
import { score } from "../../format.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { can, models } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";
import { resizeWord } from "../model/words.js";
import { corners } from "./areas.js";
import { assign, ownThreshold, setThreshold } from "./assign.js";
import { change, useDraft } from "./change.js";
import { hasPicture } from "./facts.js";
import { Behind, SaveBar } from "./save_bar.js";
import { Still } from "./still.js";

export function Models({ camera, may }) {
  const [error, setError] = useState(null);
  const [under, setUnder] = useState(new Map()); // model -> what it shall be, until the box says so
  const told = models.data.value;
  const known = told?.models.filter(({ shadow_of: shadow, model }) => !shadow && model) ?? [];
  const choose = async (model, on) => {
    setUnder((now) => new Map(now).set(model, on));
    try {
      await assign(model, camera.id, on);
      setError(null);
    } catch (reason) {
      setError(reason);
    } finally {
      setUnder((now) => new Map([...now].filter(([one]) => one !== model)));
    }
  };
  return html`<div class="stack">
    <${Card} title=${t("Models that look at it")} icon="brain-circuit">
      <${ErrorNote} error=${error} class="input__problem" />
      ${
        !told
          ? html`<${Skeleton} lines=${2} />`
          : known.length === 0
            ? html`<${EmptyState} icon="brain-circuit" title=${t("No model yet")} action=${can("configure") && html`<${Button} href=${to("model")}>${t("Add a model")}<//>`} />`
            : html`<ul class="input__models">
                ${known.map((one) => {
                  const on = under.get(one.model) ?? camera.models.includes(one.model);
                  return html`<li key=${one.model}>
                    <${Checkbox} label=${one.name} checked=${on} disabled=${!may} onInput=${(checked) => choose(one.model, checked)} help=${one.source === "settings" ? t("From settings.json") : t("Imported")} />
                    ${on && one.source === "settings" && camera.models.includes(one.model) && html`<${Threshold} camera=${camera} model=${one} may=${may} onError=${setError} />`}
                  </li>`;
                })}
              </ul>`
      }
      ${known.length > 0 && html`<${CameraThreshold} camera=${camera} may=${may} onError=${setError} />`}
    <//>
    ${camera.models.length > 0 && html`<${Seen} camera=${camera} may=${may} />`}
  </div>`;
}

function Threshold({ camera, model, may, onError }) {
  const own = ownThreshold(camera, model.model);
  const usual = model.manifest?.threshold;
  const [typed, setTyped] = useState(own ?? usual ?? 0.5);
  useEffect(() => {
    if (own !== null) setTyped(own);
  }, [own]);
  const set = (value) => setThreshold(camera, model.model, value).then(() => onError(null), onError);
  return html`<div class="input__threshold">
    <${Switch} label=${t("Own threshold on this camera")} checked=${own !== null} disabled=${!may} onInput=${(on) => set(on ? typed : null)} help=${own === null && usual !== undefined ? t("As the model says: {n}", { n: score(usual) }) : null} />
    ${own !== null && html`<${Slider} label=${t("Lowest confidence")} value=${typed} disabled=${!may} onInput=${setTyped} onCommit=${set} />`}
  </div>`;
}

/** Of the camera as a whole: for models that say nothing of their own here, and for imported ones. */
function CameraThreshold({ camera, may, onError }) {
  const own = camera.settings.threshold ?? null;
  const [typed, setTyped] = useState(own ?? 0.5);
  useEffect(() => {
    if (own !== null) setTyped(own);
  }, [own]);
  const set = (threshold) => change(camera.id, () => ({ threshold })).then(() => onError(null), onError);
  return html`<div class="input__threshold input__threshold--camera">
    <${Switch} label=${t("One threshold for this camera")} checked=${own !== null} disabled=${!may} onInput=${(on) => set(on ? typed : null)} help=${t("For imported models, and for those above without a threshold of their own. Home Assistant can move it, too.")} />
    ${own !== null && html`<${Slider} label=${t("Lowest confidence on this camera")} value=${typed} disabled=${!may} onInput=${setTyped} onCommit=${set} />`}
  </div>`;
}

const modeOf = ({ resize_mode: mode = null }) => ({ mode });
const modeSettings = ({ mode }) => (mode ? { resize_mode: mode } : {});
const MODES = ["squash", "fit-short", "fit-long"];

/** The picture as the model gets it, made by the very resizer of its frames. */
function Seen({ camera, may }) {
  const offered = camera.models.map((id) => models.data.value?.models.find(({ model }) => model === id)).filter((one) => one?.manifest);
  const [chosen, setChosen] = useState("");
  const desk = useDraft(camera, modeOf, modeSettings);
  const { mode } = desk.draft;
  const [picture, setPicture] = useState({ url: "", error: null });
  const [again, setAgain] = useState(0);
  const model = offered.find((one) => one.model === chosen) ?? offered[0];
  const { region = null, masks = [] } = camera.settings;
  const there = hasPicture(camera);
  const version = `${again} ${JSON.stringify([region, masks])}`;
  useEffect(() => {
    if (!model || !there) return undefined;
    let made = "";
    let gone = false;
    get(path`cameras/${camera.id}/as-model`, { model: model.model, resize_mode: mode }).then(
      (blob) => {
        if (gone) return;
        made = URL.createObjectURL(blob);
        setPicture({ url: made, error: null });
      },
      (error) => !gone && setPicture((now) => ({ ...now, error })),
    );
    return () => {
      gone = true;
      if (made) setTimeout(() => URL.revokeObjectURL(made), 1000); // it is shown until the next one is there
    };
  }, [camera.id, model?.model, mode, there, version]);
  if (!model) return null;
  const { width, height } = model.manifest;
  return html`<${Card}
    title=${t("What the model sees")}
    icon="scan"
    lead=${t("{width} × {height} pixels, as the frames that it gets.", { width, height })}
    actions=${there && html`<${Button} size="s" icon="refresh-cw" onClick=${() => setAgain(again + 1)}>${t("New picture")}<//>`}
    foot=${html`<${SaveBar} ...${desk} may=${may} />`}
  >
    <div class="stack">
      <${Behind} ...${desk} />
      <div class="input__fields">
        ${offered.length > 1 && html`<${Select} label=${t("Model")} value=${model.model} onInput=${setChosen} options=${offered.map((one) => ({ value: one.model, label: one.name }))} />`}
        <${Select}
          label=${t("Resize mode")}
          value=${mode}
          disabled=${!may}
          onInput=${(next) => desk.setDraft({ mode: next })}
          options=${[{ value: null, label: t("As the model was trained: {mode}", { mode: resizeWord(model.manifest.resize_mode) }) }, ...MODES.map((one) => ({ value: one, label: resizeWord(one) }))]}
          help=${t("Change it only when the model was trained otherwise.")}
        />
      </div>
      <${ErrorNote} error=${desk.error} />
      ${there && html`<${ErrorNote} error=${picture.error} onRetry=${() => setAgain(again + 1)} />`}
      <div class="seen">
        <figure>
          <div class="input__frame">
            <${Still} camera=${camera} width=${640} every=${0} version=${version}>
              ${region && html`<svg class="seen__region" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true"><polygon class="area area--roi" points=${corners(region).map((point) => point.join()).join(" ")} /></svg>`}
            <//>
          </div>
          <figcaption class="small soft">${region ? t("The camera, and the region that models see") : t("The camera")}</figcaption>
        </figure>
        ${
          there &&
          html`<figure>
            ${picture.url ? html`<img class="seen__model" src=${picture.url} width=${width} height=${height} alt=${t("What {model} sees", { model: model.name })} />` : !picture.error && html`<${Skeleton} height="16rem" />`}
            <figcaption class="small soft">${t("The model")}</figcaption>
          </figure>`
        }
      </div>
    </div>
  <//>`;
}
