// Form controls. Each has {label, help, error (text or list), value, onInput(value), disabled, required}
// and the value itself is what onInput gets, not an event.
import { sentence } from "../format.js";
import { t } from "../i18n.js";
import { cls, html, useId, useLayoutEffect, useRef, useState } from "../view.js";
import { Icon } from "./icon.js";

const problems = (error) => (error ? [error].flat().filter(Boolean) : []);

/**
 * Frame of a control: label above, help and errors below, tied together for a screen reader.
 * {label, hideLabel, help, error, optional, aside, children: (attributes) => control}
 */
export function FieldFrame({ label, hideLabel, help, error, optional, aside, class: more, children, id: given }) {
  const own = useId();
  const id = given ?? own;
  const wrong = problems(error);
  const about = [help && `${id}-help`, wrong.length && `${id}-error`].filter(Boolean).join(" ") || null;
  return html`<div class=${cls("field", wrong.length && "field--wrong", more)}>
    <div class=${cls("field__head", hideLabel && "unseen")}>
      <label class="field__label" for=${id} id=${`${id}-label`}>
        ${label}${optional && html` <span class="field__optional">${t("optional")}</span>`}
      </label>
      ${aside}
    </div>
    ${children({ id, "aria-describedby": about, "aria-invalid": wrong.length ? "true" : null })}
    ${help && html`<p class="field__help" id=${`${id}-help`}>${help}</p>`}
    <div id=${`${id}-error`} aria-live="polite">
      ${wrong.map((text) => html`<p class="field__error"><${Icon} name="circle-alert" />${sentence(text)}</p>`)}
    </div>
  </div>`;
}

/**
 * One line of text, a number, a password ...: {type: "text"|"number"|"password"|"url"|"search"|"date"|
 * "datetime-local"|"textarea"|..., unit, icon, rows, onCommit(value) (left or Enter), ...input attributes}
 * Numbers come as numbers, null when empty.
 */
export function Field({
  label,
  hideLabel,
  help,
  error,
  optional,
  aside,
  type = "text",
  value,
  onInput,
  onCommit,
  unit,
  icon,
  code,
  class: more,
  rows = 4,
  inputRef,
  autofocus,
  id,
  ...attributes
}) {
  const [shown, setShown] = useState(false);
  const own = useRef(null);
  const ref = inputRef ?? own;
  // The attribute alone works once in the life of a document.
  useLayoutEffect(() => {
    if (autofocus) ref.current?.focus();
  }, []);
  const read = (event) => {
    const { value: text } = event.currentTarget;
    if (type !== "number") return text;
    return text === "" ? null : Number(text);
  };
  const shared = {
    ref,
    autofocus,
    value: value ?? "",
    onInput: (event) => onInput?.(read(event)),
    onChange: onCommit && ((event) => onCommit(read(event))),
    ...attributes,
  };
  return html`<${FieldFrame} ...${{ label, hideLabel, help, error, optional, aside, id }} class=${more}>
    ${(tied) =>
      type === "textarea"
        ? html`<textarea class=${cls("input", "input--area", code && "code")} rows=${rows} ...${tied} ...${shared}></textarea>`
        : html`<div class=${cls("input-box", icon && "input-box--icon")}>
            ${icon && html`<${Icon} name=${icon} />`}
            <input
              class=${cls("input", code && "code")}
              type=${type === "password" && shown ? "text" : type}
              inputmode=${type === "number" ? "decimal" : null}
              ...${type === "password" ? { autocapitalize: "off", spellcheck: false } : {}}
              ...${tied}
              ...${shared}
            />
            ${unit && html`<span class="input-box__unit">${unit}</span>`}
            ${
              type === "password" &&
              html`<button
              type="button"
              class="button button--quiet button--icon button--s"
              aria-label=${shown ? t("Hide password") : t("Show password")}
              aria-pressed=${String(shown)}
              onClick=${() => setShown(!shown)}
            >
              <${Icon} name=${shown ? "eye-off" : "eye"} />
            </button>`
            }
          </div>`}
  <//>`;
}

/** {options: [{value, label, disabled}] or [text], placeholder, ...as Field}. Values may be anything; null is one, too. */
export function Select({
  label,
  hideLabel,
  help,
  error,
  optional,
  aside,
  value,
  onInput,
  options,
  placeholder,
  class: more,
  id,
  ...attributes
}) {
  const listed = options.map((one) =>
    typeof one === "object" && one !== null ? one : { value: one, label: String(one) },
  );
  const chosen = listed.findIndex((one) => one.value === value);
  return html`<${FieldFrame} ...${{ label, hideLabel, help, error, optional, aside, id }} class=${more}>
    ${(tied) => html`<div class="select">
      <select
        class="input"
        ...${tied}
        value=${String(chosen)}
        onChange=${(event) => onInput?.(listed[Number(event.currentTarget.value)]?.value)}
        ...${attributes}
      >
        ${chosen === -1 && html`<option value="-1" disabled selected>${placeholder ?? t("Choose")}</option>`}
        ${listed.map(
          (one, index) =>
            html`<option value=${String(index)} disabled=${one.disabled} selected=${index === chosen}>${one.label}</option>`,
        )}
      </select>
      <${Icon} name="chevron-down" />
    </div>`}
  <//>`;
}

/** On or off at once: {label, checked, onInput(checked), help, disabled, hideLabel}. */
export function Switch({ label, hideLabel, help, error, checked, onInput, disabled, class: more }) {
  const id = useId();
  const wrong = problems(error);
  return html`<div class=${cls("field", more)}>
    <label class="switch" for=${id}>
      <input
        id=${id}
        type="checkbox"
        role="switch"
        checked=${Boolean(checked)}
        disabled=${disabled}
        aria-describedby=${help ? `${id}-help` : null}
        onChange=${(event) => onInput?.(event.currentTarget.checked)}
      />
      <span class="switch__track" aria-hidden="true"></span>
      <span class=${hideLabel ? "unseen" : "switch__label"}>${label}</span>
    </label>
    ${help && html`<p class="field__help" id=${`${id}-help`}>${help}</p>`}
    ${wrong.map((text) => html`<p class="field__error" role="alert"><${Icon} name="circle-alert" />${text}</p>`)}
  </div>`;
}

/** {label, checked, indeterminate, onInput(checked), help, disabled}. */
export function Checkbox({
  label,
  hideLabel,
  help,
  checked,
  indeterminate = false,
  onInput,
  disabled,
  class: more,
  ...attributes
}) {
  const id = useId();
  return html`<div class=${cls("field", more)}>
    <label class="check" for=${id}>
      <input
        id=${id}
        type="checkbox"
        checked=${Boolean(checked)}
        indeterminate=${indeterminate}
        disabled=${disabled}
        aria-describedby=${help ? `${id}-help` : null}
        onChange=${(event) => onInput?.(event.currentTarget.checked)}
        ...${attributes}
      />
      <span class=${hideLabel ? "unseen" : ""}>${label}</span>
    </label>
    ${help && html`<p class="field__help" id=${`${id}-help`}>${help}</p>`}
  </div>`;
}

/** A number by slider and by hand: {min, max, step, value, onInput(number), onCommit(number), unit, ...as Field}. */
export function Slider({
  label,
  hideLabel,
  help,
  error,
  value,
  onInput,
  onCommit,
  min = 0,
  max = 1,
  step = 0.01,
  unit,
  disabled,
  class: more,
}) {
  const read = (event) => {
    const number = event.currentTarget.valueAsNumber;
    return Number.isNaN(number) ? null : Math.min(max, Math.max(min, number));
  };
  const shared = {
    min,
    max,
    step,
    disabled,
    value: value ?? "",
    onInput: (event) => read(event) !== null && onInput?.(read(event)),
    onChange: (event) => read(event) !== null && onCommit?.(read(event)),
  };
  const filled = `${(100 * ((value ?? min) - min)) / (max - min)}%`;
  return html`<${FieldFrame} ...${{ label, hideLabel, help, error }} class=${more}>
    ${(tied) => html`<div class="slider">
      <input type="range" class="slider__range" aria-label=${label} style=${{ "--filled": filled }} ...${shared} />
      <div class="input-box slider__number">
        <input class="input number" type="number" inputmode="decimal" ...${tied} ...${shared} />
        ${unit && html`<span class="input-box__unit">${unit}</span>`}
      </div>
    </div>`}
  <//>`;
}

/** One of few: {label, hideLabel, options: [{value, label, icon}], value, onInput(value), help, disabled, full}. */
export function Segmented({ label, hideLabel, help, error, options, value, onInput, disabled, full, class: more }) {
  const name = useId();
  const wrong = problems(error);
  return html`<fieldset class=${cls("field", more)} disabled=${disabled} aria-describedby=${help ? `${name}-help` : null}>
    <legend class=${hideLabel ? "unseen" : "field__label"}>${label}</legend>
    <div class=${cls("segmented", full && "segmented--full")}>
      ${options.map(
        (one) => html`<label class="segmented__one" title=${one.title}>
          <input type="radio" name=${name} checked=${one.value === value} onChange=${() => onInput?.(one.value)} />
          <span>${one.icon && html`<${Icon} name=${one.icon} />`}${one.label}</span>
        </label>`,
      )}
    </div>
    ${help && html`<p class="field__help" id=${`${name}-help`}>${help}</p>`}
    ${wrong.map((text) => html`<p class="field__error" role="alert"><${Icon} name="circle-alert" />${text}</p>`)}
  </fieldset>`;
}

/** One of several with a line each: {label, options: [{value, label, help, disabled}], value, onInput}. */
export function Radios({ label, hideLabel, options, value, onInput, disabled, class: more }) {
  const name = useId();
  return html`<fieldset class=${cls("field", "radios", more)} disabled=${disabled}>
    <legend class=${hideLabel ? "unseen" : "field__label"}>${label}</legend>
    ${options.map(
      (one, index) => html`<label class="radios__one">
        <input
          type="radio"
          name=${name}
          checked=${one.value === value}
          disabled=${one.disabled}
          aria-describedby=${one.help ? `${name}-${index}` : null}
          onChange=${() => onInput?.(one.value)}
        />
        <span>
          <span class="strong">${one.label}</span>
          ${one.help && html`<span class="field__help" id=${`${name}-${index}`}>${one.help}</span>`}
        </span>
      </label>`,
    )}
  </fieldset>`;
}
