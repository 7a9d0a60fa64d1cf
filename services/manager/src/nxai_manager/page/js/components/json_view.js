import { t } from "../i18n.js";
import { cls, html, useState } from "../view.js";
import { CopyButton } from "./panels.js";

const LONG_LIST = 12; // numbers in a row: a tensor is shown in one line, not in a thousand
const SHOWN = 100;

/**
 * JSON to read, fold and copy: {value, text (the letters themselves, when they matter), open (levels unfolded, 2),
 * label, height}
 */
export function JsonView({ value, text, open = 2, label = t("JSON"), height, class: more }) {
  const letters = text ?? JSON.stringify(value, null, 2);
  let read = value;
  let broken = false;
  if (read === undefined) {
    try {
      read = JSON.parse(text);
    } catch {
      broken = true;
    }
  }
  return html`<div class=${cls("json", more)} style=${height ? { "--json-height": height } : null}>
    <div class="json__tools"><${CopyButton} text=${letters} label=${t("Copy {what}", { what: label })} /></div>
    <div class=${cls("json__text", broken && "json__text--wrap")} tabindex="0" role="region" aria-label=${label}>
      ${broken ? letters : html`<${Node} value=${read} level=${0} open=${open} last=${true} />`}
    </div>
  </div>`;
}

function Node({ name, value, level, open, last }) {
  const [all, setAll] = useState(false);
  const key = name !== undefined && html`<span class="json__key">${JSON.stringify(name)}</span>${": "}`;
  const comma = last ? "" : ",";
  if (value === null || typeof value !== "object") {
    return html`<div class="json__row">${key}${scalar(value)}${comma}</div>`;
  }
  const list = Array.isArray(value);
  const entries = list ? value : Object.entries(value);
  const [left, right] = list ? "[]" : "{}";
  if (entries.length === 0) return html`<div class="json__row">${key}${left}${right}${comma}</div>`;
  if (
    list &&
    value.every((one) => one === null || typeof one !== "object") &&
    (value.length > LONG_LIST || value.every((one) => typeof one === "number"))
  ) {
    const shown = all ? value : value.slice(0, SHOWN);
    return html`<div class="json__row json__text--wrap">
      ${key}${left}${shown.map((one, index) => html`${scalar(one)}${index < value.length - 1 ? ", " : ""}`)}${
        shown.length < value.length &&
        html`<button type="button" class="button button--quiet button--s" onClick=${() => setAll(true)}>${t("{n} more", { n: value.length - shown.length })}</button>`
      }${right}${comma}
    </div>`;
  }
  return html`<details open=${level < open}>
    <summary>${key}${left} <span class="json__soft">${entries.length}</span></summary>
    <div class="json__inner">
      ${entries.map((entry, index) =>
        list
          ? html`<${Node} value=${entry} level=${level + 1} open=${open} last=${index === entries.length - 1} />`
          : html`<${Node} name=${entry[0]} value=${entry[1]} level=${level + 1} open=${open} last=${index === entries.length - 1} />`,
      )}
    </div>
    <div class="json__row">${right}${comma}</div>
  </details>`;
}

function scalar(value) {
  if (typeof value === "string")
    return html`<span class="json__text-value">${JSON.stringify(value.length > 2000 ? `${value.slice(0, 2000)}…` : value)}</span>`;
  if (typeof value === "number") return html`<span class="json__number">${String(value)}</span>`;
  return html`<span class="json__word">${String(value)}</span>`;
}
