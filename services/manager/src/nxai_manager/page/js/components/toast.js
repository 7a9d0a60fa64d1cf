import { sentence } from "../format.js";
import { t } from "../i18n.js";
import { createPortal, html, signal } from "../view.js";
import { Icon } from "./icon.js";
import { layers } from "./layers.js";

const toasts = signal([]);
let last = 0;

const ICONS = { ok: "circle-check", bad: "circle-alert", warn: "triangle-alert", info: "info" };
const SHOWN_MS = 6000;

/** toast("Saved.", {tone: "ok"|"info"|"warn"|"bad", action: {label, onClick}, stays}). Bad ones stay until closed. */
export function toast(text, { tone = "ok", action, stays = tone === "bad", details = [] } = {}) {
  const id = ++last;
  const same = toasts.value.filter((one) => one.text !== text);
  toasts.value = [...same, { id, text, tone, action, details }].slice(-4);
  if (!stays) setTimeout(() => closeToast(id), SHOWN_MS);
  return id;
}

function closeToast(id) {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

/** Show what went wrong, where no better place for it is. Cancelled questions are no error. */
export function showError(error) {
  if (error?.name === "AbortError") return;
  console.error(error);
  const details = (error?.problems ?? []).map(({ where, reason }) => (where ? `${where}: ${reason}` : reason));
  toast(sentence(error?.detail ?? String(error?.message ?? error)), { tone: "bad", details: details.slice(0, 4) });
}

export function Toasts() {
  const top = layers.value.at(-1);
  return top ? createPortal(html`<${List} />`, top) : html`<${List} />`;
}

function List() {
  return html`<div class="toasts" role="region" aria-label=${t("Notices")}>
    <div aria-live="polite" aria-atomic="false">
      ${toasts.value.map(
        ({
          id,
          text,
          tone,
          action,
          details,
        }) => html`<div key=${id} class=${`toast toast--${tone}`} role=${tone === "bad" ? "alert" : null}>
          <${Icon} name=${ICONS[tone]} />
          <div class="grow">
            <p>${text}</p>
            ${details.length > 0 && html`<ul class="small soft">${details.map((one) => html`<li>${one}</li>`)}</ul>`}
          </div>
          ${
            action &&
            html`<button type="button" class="button button--s" onClick=${() => (action.onClick(), closeToast(id))}>${action.label}</button>`
          }
          <button type="button" class="button button--quiet button--icon button--s" aria-label=${t("Close")} onClick=${() => closeToast(id)}>
            <${Icon} name="x" />
          </button>
        </div>`,
      )}
    </div>
  </div>`;
}
