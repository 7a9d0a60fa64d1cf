// An alarm rule, new or changed: what counts, where on the picture, for how long.
import { get, path } from "../../api.js";
import { Button } from "../../components/button.js";
import { Checkbox, Field, Segmented, Select, Slider } from "../../components/field.js";
import { ErrorNote, Note, Skeleton } from "../../components/panels.js";
import { PolygonEditor } from "../../components/polygon_editor.js";
import { t } from "../../i18n.js";
import { free, slug } from "../../naming.js";
import { bounds, filled } from "../../settings_document.js";
import { models } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";
import { sentenceOf } from "./alarm_words.js";
import { CameraChoice, LabelChoice } from "./choices.js";
import { EditorDialog, useEditor } from "./editor.js";
import { changeOutputs, checkOutputs, oneOf, refusal, slim } from "./saving.js";

const FIELDS = ["id", "name", "cameras", "labels", "min_confidence", "area", "compare", "count", "for_s", "clear_after_s", "again_every_s", "picture"];

/** {before: the rule as it stands in the settings, or null; start: what is shown at first; whole, outputs, cameras, onClose} */
export function AlarmEditor({ before, start, whole, outputs, cameras, onClose }) {
  const known = outputs.alarms.map(({ id }) => id);
  const idOf = ({ rule }) => before?.id ?? (start.id || free(slug(rule.name, "alarm"), known));
  const [place, setPlace] = useState(before?.id ?? "");

  async function save(draft) {
    const id = idOf(draft);
    setPlace(id);
    const lacks = {};
    if (draft.cameras?.length === 0) lacks[`outputs.alarms.${id}.cameras`] = t("Choose at least one camera.");
    if (draft.only && !draft.rule.area) lacks[`outputs.alarms.${id}.area`] = t("Draw the area, or choose: everywhere.");
    if (Object.keys(lacks).length) throw refusal(lacks);
    const value = { ...draft.rule, area: draft.only ? draft.rule.area : null, id, name: draft.rule.name.trim(), cameras: draft.cameras ?? [] };
    const change = oneOf("alarms", before, slim(whole, "AlarmRule", value, before ?? {}));
    await checkOutputs(change);
    return changeOutputs(change);
  }

  const first = filled(whole, "AlarmRule", start);
  const desk = useEditor({
    start: { rule: first, cameras: first.cameras.length ? first.cameras : null, only: first.area !== null },
    place: `outputs.alarms.${place}`,
    save,
    onDone: onClose,
  });
  const { draft, set, errors } = desk;
  const { rule } = draft;
  const change = (fields) => set({ rule: { ...rule, ...fields } });
  const watched = cameras.filter(({ id }) => draft.cameras === null || draft.cameras.includes(id));
  const names = new Map(cameras.map(({ id, name }) => [id, name]));
  const amount = (name) => ({
    type: "number",
    step: "any",
    ...bounds(whole, "AlarmRule", name),
    value: rule[name],
    onInput: (n) => change({ [name]: n }),
    error: errors(name),
  });
  return html`<${EditorDialog}
    title=${before ? t("Edit {name}", { name: before.name || before.id }) : t("New alarm rule")}
    desk=${desk}
    fields=${FIELDS}
    size="l"
    onClose=${onClose}
    action=${before ? t("Save") : t("Add")}
  >
    <${Field} label=${t("Name")} optional autofocus value=${rule.name} onInput=${(name) => change({ name })} maxlength="100" placeholder=${t("Jam on the belt")} error=${[...errors("name"), ...errors("id")]} />
    <${Note} title=${t("In words")}><p>${sentenceOf({ ...rule, area: draft.only ? rule.area : null, cameras: draft.cameras ?? [] }, names)}</p><//>
    <div class="output-editor__columns">
      <div class="stack">
        <${CameraChoice} cameras=${cameras} value=${draft.cameras} onInput=${(chosen) => set({ cameras: chosen })} error=${errors("cameras")} help=${t("Each is watched by itself.")} />
        <${LabelChoice} offered=${labelsOf(watched)} value=${rule.labels} onInput=${(labels) => change({ labels })} error=${errors("labels")} />
      </div>
      <div class="stack">
        <${Segmented}
          label=${t("How many")}
          value=${rule.compare}
          onInput=${(compare) => change({ compare })}
          options=${[
            { value: "at-least", label: t("At least") },
            { value: "at-most", label: t("At most") },
          ]}
        />
        <${Field} label=${t("Objects")} ...${amount("count")} step="1" help=${rule.compare === "at-most" ? t("0: when nothing is there (any more).") : null} />
        <${Slider} label=${t("Lowest confidence")} value=${rule.min_confidence} onInput=${(n) => change({ min_confidence: n })} error=${errors("min_confidence")} help=${t("0: whatever the model reports.")} />
        <${Field} label=${t("It must hold for")} unit="s" ...${amount("for_s")} />
      </div>
    </div>
    <${Area} cameras=${watched} only=${draft.only} onOnly=${(only) => set({ only })} value=${rule.area} onInput=${(area) => change({ area })} error=${errors("area")} />
    <details class="output__more">
      <summary>${t("More")}</summary>
      <div class="stack">
        <div class="output__fields">
          <${Field} label=${t("Breaks that do not count")} unit="s" ...${amount("clear_after_s")} help=${t("Shorter ones neither delay an alarm nor end it.")} />
          <${Field} label=${t("Tell again every")} unit="s" ...${amount("again_every_s")} help=${t("While it holds. 0: only at the start and at the end.")} />
        </div>
        <${Checkbox} label=${t("Publish a picture of the frame")} checked=${rule.picture} onInput=${(picture) => change({ picture })} help=${t("On the camera's snapshot topic, when the alarm starts.")} />
      </div>
    </details>
  <//>`;
}

/** Labels of the models that look at these cameras; of all models where none does. */
function labelsOf(cameras) {
  const all = models.data.value?.models ?? [];
  const here = all.filter(({ model }) => cameras.some((one) => one.models.includes(model)));
  return [...new Set((here.length ? here : all).flatMap(({ manifest }) => manifest?.labels ?? []))];
}

/** Where objects count, drawn on the picture of one of the cameras: {cameras, only, onOnly, value: corners or null, onInput, error} */
function Area({ cameras, only, onOnly, value, onInput, error }) {
  const able = cameras.filter(({ enabled, status }) => enabled && status?.last_picture_at);
  const [chosen, setChosen] = useState("");
  const [picture, setPicture] = useState(null);
  const [failed, setFailed] = useState(null);
  const [again, setAgain] = useState(0);
  const camera = able.find(({ id }) => id === chosen) ?? able[0];
  useEffect(() => {
    if (!only || !camera) return undefined;
    let gone = false;
    setPicture(null);
    get(path`cameras/${camera.id}/still`, { width: 1280 }).then(
      (blob) => {
        if (gone) return;
        setPicture(blob);
        setFailed(null);
      },
      (reason) => !gone && setFailed(reason),
    );
    return () => {
      gone = true;
    };
  }, [only, camera?.id, again]);

  return html`<div class="stack output-choices__field">
    <${Segmented}
      label=${t("Where||on the picture")}
      error=${error}
      value=${only}
      onInput=${onOnly}
      options=${[
        { value: false, label: t("Everywhere") },
        { value: true, label: t("Only in an area") },
      ]}
    />
    ${
      only &&
      html`<div class="stack output-editor__area">
        <div class="row">
          ${able.length > 1 && html`<${Select} label=${t("Draw on the picture of")} value=${camera.id} onInput=${setChosen} options=${able.map(({ id, name }) => ({ value: id, label: name }))} />`}
          ${camera && html`<${Button} size="s" icon="refresh-cw" onClick=${() => setAgain(again + 1)}>${t("New picture")}<//>`}
        </div>
        <${ErrorNote} error=${failed} title=${t("There is no picture to draw on.")} onRetry=${() => setAgain(again + 1)} />
        ${!camera && html`<${Note} tone="warn" title=${t("There is no picture to draw on.")}><p>${t("It appears as soon as one of the cameras gives one.")}</p><//>`}
        ${camera && !picture && !failed && html`<${Skeleton} height="16rem" />`}
        ${
          picture &&
          html`<${PolygonEditor}
            picture=${picture}
            alt=${t("Picture of {camera}", { camera: camera.name })}
            kinds=${["count"]}
            most=${1}
            areas=${value ? [{ kind: "count", points: value }] : []}
            onInput=${([area]) => onInput(area?.points ?? null)}
          />`
        }
        <p class="small soft">${t("An object counts where it stands: by the middle of its lower edge. On every camera of the rule the area lies at the same place.")}</p>
      </div>`
    }
  </div>`;
}
