// How a processor is used: whose results, how long they wait for it, and what it is told.
import { Field, Switch } from "../../components/field.js";
import { Badge, Facts, Note } from "../../components/panels.js";
import { t } from "../../i18n.js";
import { processors } from "../../live.js";
import { bounds, filled } from "../../settings_document.js";
import { html } from "../../view.js";
import { CameraChoice, Group } from "./choices.js";
import { EditorDialog, useEditor } from "./editor.js";
import { changeOutputs, checkOutputs, oneOf, refusal, slim } from "./saving.js";

const FIELDS = ["id", "cameras", "timeout_ms", "settings"];

/** {before: as it stands in the settings, or null; start: {id, ...}; whole, cameras, onClose} */
export function ProcessorEditor({ before, start, whole, cameras, onClose }) {
  const { id } = start;
  const manifest = processors.value.get(id);
  const name = manifest?.name || id;
  const place = `outputs.processors.${id}`;

  async function save({ cameras: chosen, item, told }) {
    if (chosen?.length === 0) throw refusal({ [`${place}.cameras`]: t("Choose at least one camera.") });
    const value = { ...item, id, cameras: chosen ?? [], settings: told };
    const change = oneOf("processors", before, slim(whole, "ProcessorOptions", value, before ?? {}));
    await checkOutputs(change);
    return changeOutputs(change);
  }

  const first = filled(whole, "ProcessorOptions", start);
  const desk = useEditor({ start: { item: first, cameras: first.cameras.length ? first.cameras : null, told: first.settings ?? {} }, place, save, onDone: onClose });
  const { draft, set, errors } = desk;
  const usual = manifest?.settings ?? {};
  const keys = [...new Set([...Object.keys(usual), ...Object.keys(draft.told)])];
  const tell = (key, value) => {
    const { [key]: _before, ...rest } = draft.told;
    set({ told: value === undefined ? rest : { ...rest, [key]: value } });
  };
  return html`<${EditorDialog}
    title=${before ? t("Edit {name}", { name }) : t("Use {name}", { name })}
    lead=${manifest?.description}
    desk=${desk}
    fields=${FIELDS}
    onClose=${onClose}
    action=${before ? t("Save") : t("Use it")}
  >
    ${
      manifest
        ? html`<${Facts} items=${[[t("Id"), html`<code>${id}</code>`], manifest.version && [t("Version"), manifest.version], manifest.labels?.length > 0 && [t("Labels that it may add"), html`<span class="row">${manifest.labels.map((label) => html`<${Badge} key=${label}>${label}<//>`)}</span>`]]} />`
        : html`<${Note} tone="warn" title=${t("It is not there now.")}><p>${t("What it can be told is known once it introduces itself.")}</p><//>`
    }
    <${CameraChoice} cameras=${cameras} value=${draft.cameras} onInput=${(chosen) => set({ cameras: chosen })} error=${errors("cameras")} />
    <${Field}
      type="number"
      step="any"
      unit="ms"
      label=${t("A result waits at most")}
      ...${bounds(whole, "ProcessorOptions", "timeout_ms")}
      value=${draft.item.timeout_ms}
      onInput=${(n) => set({ item: { ...draft.item, timeout_ms: n } })}
      error=${errors("timeout_ms")}
      help=${t("Late three times in a row, it is left out for a while.")}
    />
    ${
      keys.length > 0 &&
      html`<${Group} label=${t("What it is told")} error=${errors("settings")}>
        <div class="output__fields output-choices--fields">
          ${keys.map((key) => html`<${Setting} key=${key} name=${key} usual=${usual[key]} value=${draft.told[key]} onInput=${(value) => tell(key, value)} />`)}
        </div>
      <//>`
    }
  <//>`;
}

/** One setting, by the kind of its usual value; emptied, it takes that. {name, usual, value (undefined: the usual one), onInput} */
function Setting({ name, usual, value, onInput }) {
  const kind = typeof (usual ?? value ?? "");
  if (kind === "boolean") return html`<${Switch} label=${name} checked=${value ?? usual} onInput=${(on) => onInput(on === usual ? undefined : on)} />`;
  const placeholder = usual === undefined || usual === null ? "" : String(usual);
  if (kind === "number") return html`<${Field} type="number" step="any" label=${name} value=${value} placeholder=${placeholder} onInput=${(n) => onInput(n === null ? undefined : n)} />`;
  return html`<${Field} label=${name} value=${value} placeholder=${placeholder} onInput=${(text) => onInput(text === "" ? undefined : text)} />`;
}
