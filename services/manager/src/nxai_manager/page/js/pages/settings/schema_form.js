// A form made of a part of the schema: what is said in the file, and the default where nothing is.
import { Field, Select, Switch } from "../../components/field.js";
import { t } from "../../i18n.js";
import { html, useEffect, useState } from "../../view.js";

const WORDS = {
  enabled: () => t("On"),
  keep_days: () => t("Keep for days"),
  keep_mb: () => t("Keep at most (MB)"),
  keep_pictures: () => t("Keep at most (pictures)"),
  mb_per_day: () => t("At most a day (MB)"),
  poll_s: () => t("Look every (s)"),
  min_agreement: () => t("Least agreement"),
  max_slowdown: () => t("Most slowdown"),
  min_share_of_frames: () => t("Least share of frames"),
  url: () => t("Address (URL)"),
  fps: () => t("Pictures a second"),
  interval_ms: () => t("Every (ms)"),
  inference_limit_ms: () => t("At least between two looks (ms)"),
  on_change: () => t("Look only when the picture changes"),
  credit_window: () => t("Frames on their way at most"),
};

/** `update_every_s` as words: "Update every (s)". */
export function labelOf(name) {
  if (name in WORDS) return WORDS[name]();
  const unit = /_(s|ms|mb)$/.exec(name)?.[1];
  const words = name.replace(/_(s|ms|mb)$/, "").replaceAll("_", " ");
  return `${words[0].toUpperCase()}${words.slice(1)}${unit ? ` (${unit === "mb" ? "MB" : unit})` : ""}`;
}

function resolve(whole, shape) {
  // "number or null": null is what is left out.
  const [one, ...more] = (shape.anyOf ?? []).filter(({ type }) => type !== "null");
  if (one && more.length === 0) return resolve(whole, { ...shape, anyOf: undefined, ...one });
  return shape.$ref ? { ...whole.$defs[shape.$ref.split("/").pop()], ...shape } : shape;
}

/**
 * {whole (schema), part (its name), value, path (of the part in the file), onChange(path, value), disabled,
 * errors: (path text) => reasons, skip: [names], live (each letter is taken over, not the whole when it is left)}
 */
export function SchemaForm({ whole, part, value = {}, path, onChange, disabled, errors, skip = [], live = false }) {
  const shape = whole.$defs[part];
  return html`<div class="schema-form">
    ${Object.entries(shape.properties)
      .filter(([name]) => !skip.includes(name))
      .map(([name, one]) => html`<${Property} key=${name} ...${{ whole, name, shape: one, value: value?.[name], path: [...path, name], onChange, disabled, errors, live, required: shape.required?.includes(name) }} />`)}
  </div>`;
}

function Property({ whole, name, shape: given, value, path, onChange, disabled, errors, live, required }) {
  const shape = resolve(whole, given);
  const where = path.join(".");
  const fallback = given.default;
  const shared = { label: labelOf(name), help: given.description ?? "", error: errors(where), disabled };
  const set = (next) => onChange(path, next);
  if (shape.properties) {
    return html`<fieldset class="schema-form__group">
      <legend class="field__label">${labelOf(name)}</legend>
      ${shape.description && html`<p class="field__help">${shape.description}</p>`}
      <${SchemaForm} ...${{ whole, part: given.$ref.split("/").pop(), value: value ?? {}, path, onChange, disabled, errors, live }} />
    </fieldset>`;
  }
  if (shape.type === "boolean") return html`<${Switch} ...${shared} checked=${value ?? fallback} onInput=${set} />`;
  if (shape.enum) return html`<${Select} ...${shared} value=${value ?? fallback} options=${shape.enum} onInput=${set} />`;
  if (shape.type === "number" || shape.type === "integer") {
    const limits = { min: shape.minimum ?? shape.exclusiveMinimum, max: shape.maximum, step: shape.type === "integer" ? 1 : "any" };
    return html`<${Typed} ...${shared} type="number" ...${limits} value=${value} placeholder=${fallback === undefined ? "" : String(fallback)} onCommit=${(n) => set(n === null ? undefined : n)} />`;
  }
  if (shape.type === "string") {
    return html`<${Typed} ...${shared} live=${live} required=${required} value=${value} placeholder=${fallback ?? ""} maxlength=${shape.maxLength} onCommit=${(text) => set(text === "" ? undefined : text)} />`;
  }
  return null; // lists and unions are edited as text
}

/** Typed in peace, taken over when it is left. */
function Typed({ value, onCommit, live, ...rest }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const onInput = (next) => {
    setTyped(next);
    if (live) onCommit(next);
  };
  return html`<${Field} value=${typed} onInput=${onInput} onCommit=${(next) => next !== value && onCommit(next)} ...${rest} />`;
}
