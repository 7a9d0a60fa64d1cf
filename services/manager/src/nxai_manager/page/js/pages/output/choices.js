// Fields that several editors have: cameras, contents, labels, names with values.
import { Button, IconButton } from "../../components/button.js";
import { Checkbox, Field, Segmented } from "../../components/field.js";
import { Icon } from "../../components/icon.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { cls, html, useId, useState } from "../../view.js";

/** Several check boxes with one name: {label, help, error, children} */
export function Group({ label, hideLabel, help, error, children, class: more }) {
  const id = useId();
  const wrong = error ? [error].flat().filter(Boolean) : [];
  return html`<fieldset class=${cls("field", more)} aria-describedby=${wrong.length ? `${id}-error` : help ? `${id}-help` : null}>
    <legend class=${hideLabel ? "unseen" : "field__label"}>${label}</legend>
    ${children}
    ${help && html`<p class="field__help" id=${`${id}-help`}>${help}</p>`}
    <div id=${`${id}-error`} aria-live="polite">
      ${wrong.map((text) => html`<p class="field__error"><${Icon} name="circle-alert" />${sentence(text)}</p>`)}
    </div>
  </fieldset>`;
}

const toggled = (list, one, on) => (on ? [...list, one] : list.filter((other) => other !== one));

/** {cameras (of GET cameras), value: null (all) or ids, onInput, error, help} */
export function CameraChoice({ cameras, value, onInput, error, help }) {
  const gone = (value ?? []).filter((id) => !cameras.some((one) => one.id === id));
  const listed = [...cameras, ...gone.map((id) => ({ id, name: id }))];
  return html`<div class="stack output-choices__field">
    <${Segmented}
      label=${t("Cameras")}
      help=${help}
      error=${error}
      value=${value === null}
      onInput=${(all) => onInput(all ? null : [])}
      options=${[
        { value: true, label: t("All cameras") },
        { value: false, label: t("Only these") },
      ]}
    />
    ${
      value !== null &&
      html`<div class="output-choices" role="group" aria-label=${t("Only these")}>
        ${listed.map(({ id, name }) => html`<${Checkbox} key=${id} label=${name} checked=${value.includes(id)} onInput=${(on) => onInput(toggled(value, id, on))} />`)}
      </div>`
    }
  </div>`;
}

/** {offered: [text], value: [text] (empty: all), onInput, error} */
export function LabelChoice({ offered, value, onInput, error }) {
  const [typed, setTyped] = useState("");
  const [own, setOwn] = useState(value); // stay in sight when they are no longer chosen
  const listed = [...new Set([...offered, ...own, ...value])];
  const add = () => {
    const label = typed.trim();
    if (!label) return;
    setOwn([...own, label]);
    if (!value.includes(label)) onInput([...value, label]);
    setTyped("");
  };
  const onEnter = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // it would save the whole
    add();
  };
  return html`<${Group} label=${t("Labels")} error=${error} help=${value.length ? t("Counted together.") : t("None chosen: every object counts.")}>
    <div class="output-choices">
      ${listed.map((label) => html`<${Checkbox} key=${label} label=${label} checked=${value.includes(label)} onInput=${(on) => onInput(toggled(value, label, on))} />`)}
    </div>
    <div class="output-choices__add">
      <${Field} label=${t("Another label")} hideLabel placeholder=${t("Another label")} value=${typed} onInput=${setTyped} onKeyDown=${onEnter} maxlength="200" autocapitalize="off" spellcheck=${false} />
      <${Button} icon="plus" disabled=${!typed.trim()} why=${t("Type a label first.")} aria-label=${t("Add the label")} onClick=${add}>${t("Add")}<//>
    </div>
  <//>`;
}

/** What can be sent: name -> words and help. */
export const CONTENTS = {
  detections: { word: () => t("Detections"), help: () => t("Flat JSON of every processed frame") },
  "nx-output": { word: () => t("Nx AI Manager output"), help: () => t("The object of the closed manager") },
  events: { word: () => t("Events"), help: () => t("Something came, is there, went") },
  alarms: { word: () => t("Alarms"), help: () => t("A rule holds, still holds, holds no more") },
  state: { word: () => t("Camera state"), help: () => t("Counts and what is present, on change") },
};

export const contentWord = (name) => CONTENTS[name]?.word() ?? name;

/** {value: [names], onInput, outputs (of the settings), error} */
export function ContentChoice({ value, onInput, outputs, error }) {
  const off = {
    detections: !outputs.detections,
    "nx-output": !outputs.nx_output.enabled,
    events: !outputs.events.enabled,
  };
  return html`<${Group} label=${t("What is sent")} error=${error}>
    <div class="output-choices output-choices--told">
      ${Object.entries(CONTENTS).map(
        ([name, { word, help }]) =>
          html`<${Checkbox} key=${name} label=${word()} checked=${value.includes(name)} onInput=${(on) => onInput(toggled(value, name, on))} help=${off[name] ? t("Switched off under Messages: there is none of it.") : help()} />`,
      )}
    </div>
  <//>`;
}

/** Names with values: {label, help, value: [[name, value], ...], onInput, errors: [text], nameLabel, valueLabel, addLabel} */
export function PairList({ label, help, value, onInput, error, nameLabel, valueLabel, addLabel, most = 30 }) {
  const put = (at, pair) => onInput(value.with(at, pair));
  return html`<${Group} label=${label} help=${help} error=${error}>
    ${
      value.length > 0 &&
      html`<ul class="output-pairs">
        ${value.map(
          ([name, text], at) => html`<li key=${at} class="output-pairs__one">
            <${Field} label=${`${nameLabel} ${at + 1}`} hideLabel placeholder=${nameLabel} value=${name} onInput=${(next) => put(at, [next, text])} code autocapitalize="off" spellcheck=${false} />
            <${Field} label=${`${valueLabel} ${at + 1}`} hideLabel placeholder=${valueLabel} value=${text} onInput=${(next) => put(at, [name, next])} code autocapitalize="off" spellcheck=${false} />
            <${IconButton} icon="trash-2" label=${t("Remove {what}", { what: name || `${nameLabel} ${at + 1}` })} onClick=${() => onInput(value.toSpliced(at, 1))} />
          </li>`,
        )}
      </ul>`
    }
    <div><${Button} size="s" icon="plus" disabled=${value.length >= most} why=${t("No more can be added.")} onClick=${() => onInput([...value, ["", ""]])}>${addLabel}<//></div>
  <//>`;
}
