// What holds content: cards, states, lists, notes.
import { ApiError } from "../api.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { cls, html, useEffect, useId, useRef, useState } from "../view.js";
import { Button, IconButton } from "./button.js";
import { Icon } from "./icon.js";
import { toast } from "./toast.js";

/** {title, lead, icon, actions, level (2), tight, href, children, foot, class} */
export function Card({ title, lead, icon, actions, level = 2, tight, foot, children, class: more, ...attributes }) {
  const id = useId();
  const Title = `h${level}`;
  return html`<section class=${cls("card", tight && "card--tight", more)} aria-labelledby=${title ? id : null} ...${attributes}>
    ${
      title &&
      html`<header class="card__head">
      ${icon && html`<${Icon} name=${icon} class="card__icon" />`}
      <div class="grow">
        <${Title} class="card__title" id=${id}>${title}<//>
        ${lead && html`<p class="soft small">${lead}</p>`}
      </div>
      ${actions && html`<div class="row card__actions">${actions}</div>`}
    </header>`
    }
    <div class="card__body">${children}</div>
    ${foot && html`<footer class="card__foot">${foot}</footer>`}
  </section>`;
}

/** {tone: "ok"|"warn"|"bad"|"info"|"idle", icon, children, title} */
export const Badge = ({ tone = "idle", icon, children, class: more, ...attributes }) =>
  html`<span class=${cls("badge", `badge--${tone}`, more)} ...${attributes}>
    ${icon && html`<${Icon} name=${icon} />`}<span>${children}</span>
  </span>`;

const STATES = {
  running: ["ok", () => t("Running")],
  ready: ["ok", () => t("Ready")],
  done: ["ok", () => t("Done")],
  connected: ["ok", () => t("Connected")],
  starting: ["info", () => t("Starting")],
  connecting: ["info", () => t("Connecting")],
  loading: ["info", () => t("Loading")],
  shadow: ["info", () => t("On trial")],
  probation: ["info", () => t("On probation")],
  waiting: ["warn", () => t("Waiting")],
  degraded: ["warn", () => t("With problems")],
  stale: ["warn", () => t("Stale")],
  failed: ["bad", () => t("Failed")],
  offline: ["bad", () => t("Offline")],
  stopped: ["idle", () => t("Stopped")],
  paused: ["idle", () => t("Paused")],
  disabled: ["idle", () => t("Switched off")],
  ended: ["idle", () => t("Ended")],
};

/** Tone and words of a state that a service told. */
export function stateWords(state) {
  const [tone, words] = STATES[state] ?? ["idle", () => state];
  return { tone, text: words() };
}

/**
 * State with its reason: {state (of a camera, service, model, job; its words and colour follow),
 * tone, label (instead), reason, detail}
 */
export function StateChip({ state, tone, label, reason, class: more }) {
  const words = stateWords(state);
  return html`<span class=${cls("state", `state--${tone ?? words.tone}`, more)}>
    <span class="state__word"><span class="state__dot" aria-hidden="true"></span>${label ?? words.text}</span>
    ${reason && html`<span class="state__reason">${reason}</span>`}
  </span>`;
}

/** Nothing there yet: {icon, title, children (text), action} */
export const EmptyState = ({ icon = "square-dashed", title, children, action, class: more }) =>
  html`<div class=${cls("empty", more)}>
    <span class="empty__icon"><${Icon} name=${icon} /></span>
    <h3>${title}</h3>
    ${children && html`<div class="soft">${children}</div>`}
    ${action && html`<div class="row empty__action">${action}</div>`}
  </div>`;

/** Grey shapes while something loads: {lines} or {kind: "cards", count} or {height}. */
export const Skeleton = ({ lines = 3, kind = "lines", count = 3, height, class: more }) =>
  html`<div class=${cls("skeleton", `skeleton--${kind}`, more)} role="status" aria-label=${t("Loading")}>
    ${
      height
        ? html`<span style=${{ height }}></span>`
        : Array.from({ length: kind === "cards" ? count : lines }, (_, index) => html`<span key=${index}></span>`)
    }
  </div>`;

/** Why something failed: {error (ApiError, Error or text), title, onRetry} */
export function ErrorNote({ error, title, onRetry, class: more }) {
  if (!error) return null;
  const text = format.sentence(error instanceof ApiError ? error.detail : (error?.message ?? String(error)));
  return html`<${Note} tone="bad" title=${title ?? text} class=${more}>
    ${title && html`<p>${text}</p>`}
    ${
      error.problems?.length > 0 &&
      html`<ul class="bullets">
      ${error.problems.map(
        ({ where, reason, line }) =>
          html`<li>${line ? html`<span class="number">${t("Line {n}", { n: line })}: </span>` : ""}${where && html`<code>${where}</code> `}${reason}</li>`,
      )}
    </ul>`
    }
    ${onRetry && html`<div class="row"><${Button} size="s" icon="rotate-ccw" onClick=${onRetry}>${t("Try again")}<//></div>`}
  <//>`;
}

const NOTE_ICONS = { info: "info", ok: "circle-check", warn: "triangle-alert", bad: "circle-alert" };

/** A remark with colour and icon: {tone: "info"|"ok"|"warn"|"bad", title, children, action} */
export const Note = ({ tone = "info", title, children, action, class: more }) =>
  html`<div class=${cls("note", `note--${tone}`, more)} role=${tone === "bad" ? "alert" : "note"}>
    <${Icon} name=${NOTE_ICONS[tone]} />
    <div class="note__body">
      ${title && html`<p class="strong">${title}</p>`}
      ${children}
    </div>
    ${action}
  </div>`;

/**
 * A resource of store.js on the page: {of: resource, skeleton, empty: (data) => element or null,
 * children: (data) => element}. Old data stay while an error is told above them.
 */
export function Loaded({ of, skeleton, children }) {
  useEffect(() => {
    of.want();
  }, [of]);
  const data = of.data.value;
  const error = of.error.value;
  return html`
    ${error && html`<${ErrorNote} error=${error} onRetry=${() => of.load()} />`}
    ${data !== null ? children(data) : !error && (skeleton ?? html`<${Skeleton} />`)}
  `;
}

/** {value 0..1 or null (not known), label, text, tone} */
export const ProgressBar = ({ value, label, text, tone = "accent", class: more }) =>
  html`<div class=${cls("progress", `progress--${tone}`, value === null && "progress--unknown", more)}>
    ${
      (label || text) &&
      html`<div class="row row--apart small"><span>${label}</span><span class="soft number">${text ?? (value === null ? "" : format.percent(value))}</span></div>`
    }
    <div
      class="progress__track"
      role="progressbar"
      aria-label=${label ?? t("Progress")}
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${value === null ? null : Math.round(value * 100)}
    >
      <span style=${value === null ? {} : { width: `${Math.min(1, value) * 100}%` }}></span>
    </div>
  </div>`;

/** Put a text into the clipboard; also where the browser allows it only on HTTPS. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // Plain HTTP has no clipboard interface: the older way.
  }
  const area = Object.assign(document.createElement("textarea"), { value: text });
  area.className = "unseen";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error(t("This browser does not let a page copy. Select the text and copy it by hand."));
}

/** {text or get: () => text, label (its name; shown with words), words} */
export function CopyButton({ text, get, label = t("Copy"), words, size = "s", class: more }) {
  const [done, setDone] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    await copyText(get ? await get() : text);
    setDone(true);
    toast(t("Copied."), { tone: "ok" });
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setDone(false), 2000);
  };
  const icon = done ? "check" : "copy";
  return words
    ? html`<${Button} size=${size} icon=${icon} onClick=${copy} class=${more}>${words}<//>`
    : html`<${IconButton} size=${size} icon=${icon} label=${label} onClick=${copy} class=${more} />`;
}

/** Code or a topic with its copy button: {children (text), label, block} */
export const Copyable = ({ children, label, block }) =>
  html`<span class=${cls("copyable", block && "copyable--block")}>
    <code tabindex=${block ? 0 : null}>${children}</code>
    <${CopyButton} text=${String(children)} label=${label} />
  </span>`;

/** Name and value pairs: {items: [[name, value], ...] (falsy ones left out), columns} */
export const Facts = ({ items, class: more }) =>
  html`<dl class=${cls("facts", more)}>
    ${items.filter(Boolean).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? "–"}</dd></div>`)}
  </dl>`;

/** One number with its name: {label, value, unit, tone, hint, children (sparkline)} */
export const Figure = ({ label, value, unit, tone, hint, children, class: more }) =>
  html`<div class=${cls("figure", tone && `figure--${tone}`, more)} title=${hint}>
    <span class="figure__label">${label}</span>
    <span class="figure__value number">${value}${unit && html`<span class="figure__unit">${unit}</span>`}</span>
    ${children}
  </div>`;

/** A time that stays true: {at (ISO, ms), kind: "age"|"time"} */
export function When({ at, kind = "age" }) {
  const [, again] = useState(0);
  useEffect(() => {
    if (kind !== "age" || !at) return undefined;
    const every = format.ageSeconds(at) < 120 ? 1000 : 15_000;
    const timer = setInterval(() => again((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [at, kind]);
  if (!at) return html`<span>–</span>`;
  const iso = new Date(at).toISOString();
  return html`<time datetime=${iso} title=${format.fullTime(at)}>${kind === "age" ? format.age(at) : format.time(at)}</time>`;
}

/** {steps: [{title, text, state: "done"|"now"|"open"|"warn", href, children}]} */
export const Stepper = ({ steps, label }) =>
  html`<ol class="stepper" aria-label=${label ?? t("Steps")}>
    ${steps.map(
      (
        { title, text, state, children },
        index,
      ) => html`<li class=${`stepper__step is-${state}`} aria-current=${state === "now" ? "step" : null}>
        <span class="stepper__sign" aria-hidden="true">${state === "done" ? html`<${Icon} name="check" />` : state === "warn" ? "!" : index + 1}</span>
        <div class="stepper__body">
          <h3>${title}<span class="unseen">${state === "done" ? ` (${t("done")})` : ""}</span></h3>
          ${text && html`<p class="soft">${text}</p>`}
          ${children}
        </div>
      </li>`,
    )}
  </ol>`;

/** What keys do: {keys: [[["←", "→"], t("next picture")], ...]} */
export const KeyHints = ({ keys, class: more }) =>
  html`<ul class=${cls("keys", more)} aria-label=${t("Keys")}>
    ${keys.map(([pressed, text]) => html`<li>${[pressed].flat().map((key) => html`<kbd>${key}</kbd>`)} <span>${text}</span></li>`)}
  </ul>`;
