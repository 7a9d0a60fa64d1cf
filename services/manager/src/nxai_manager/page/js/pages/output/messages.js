// Which messages are sent, and how.
import { Field, Select, Switch } from "../../components/field.js";
import { Card } from "../../components/panels.js";
import { t } from "../../i18n.js";
import { documentOf } from "../../settings_document.js";
import { settings } from "../../store.js";
import { html, useState } from "../../view.js";
import { NumberSetting } from "./number.js";

export function Messages({ whole, document, outputs, desk, may }) {
  const { nx_output: nx, events } = outputs;
  const save = (changes) => desk.save({ outputs: changes });
  const off = !may;
  return html`<${Card} title=${t("Messages")} icon="file-json" id="output-messages" lead=${t("Saved as you change it; it is in force a moment later.")}>
    <div class="output__options">
      <section class="output__option">
        <${Switch} label=${t("Detections")} checked=${outputs.detections} disabled=${off} onInput=${(on) => save({ detections: on })} help=${t("Flat JSON of every processed frame. The live view and most programs read it.")} />
      </section>
      <section class="output__option">
        <${Switch} label=${t("Events")} checked=${events.enabled} disabled=${off} onInput=${(on) => save({ events: { enabled: on } })} help=${t("Something came, is there, went: steadier than counts.")} />
        ${
          events.enabled &&
          html`<div class="output__fields">
            <${NumberSetting} ...${{ whole, part: "EventOptions", name: "start_after" }} label=${t("Begins after")} unit=${t("results")} value=${events.start_after} disabled=${off} onSave=${(n) => save({ events: { start_after: n } })} help=${t("In a row; one alone is often a flicker.")} />
            <${NumberSetting} ...${{ whole, part: "EventOptions", name: "end_after_s" }} label=${t("Ends after")} unit="s" value=${events.end_after_s} disabled=${off} onSave=${(n) => save({ events: { end_after_s: n } })} help=${t("Without the label.")} />
            <${NumberSetting} ...${{ whole, part: "EventOptions", name: "update_every_s" }} label=${t("At most one update in")} unit="s" value=${events.update_every_s} disabled=${off} onSave=${(n) => save({ events: { update_every_s: n } })} />
          </div>`
        }
      </section>
      <section class="output__option">
        <${Switch} label=${t("Nx AI Manager output")} checked=${nx.enabled} disabled=${off} onInput=${(on) => save({ nx_output: { enabled: on } })} help=${t("The output object of the closed manager, field for field, for programs that read it.")} />
        ${
          nx.enabled &&
          html`<div class="output__fields">
            <${Select} label=${t("Form of the tensors")} value=${nx.format} disabled=${off} onInput=${(format) => save({ nx_output: { format } })} options=${["namedObject", "orderedArray"]} />
            <${NumberSetting} ...${{ whole, part: "NxOutputOptions", name: "every_s" }} label=${t("Gather results for")} unit="s" value=${nx.every_s} disabled=${off} onSave=${(n) => save({ nx_output: { every_s: n } })} help=${t("Sent as one array; 0: each by itself.")} />
            <${DeviceId} value=${nx.device_id} disabled=${off} onSave=${(text) => save({ nx_output: { device_id: text } })} />
          </div>`
        }
      </section>
      <section class="output__option">
        <div class="output__fields">
          <${NumberSetting} ...${{ whole, part: "Outputs", name: "state_every_s" }} label=${t("Repeat the camera state every")} unit="s" value=${outputs.state_every_s} disabled=${off} onSave=${(n) => save({ state_every_s: n })} help=${t("Besides each change.")} />
        </div>
      </section>
    </div>
    <${Tensors} document=${document} desk=${desk} may=${may} />
  <//>`;
}

function DeviceId({ value, onSave, ...rest }) {
  const [typed, setTyped] = useState(value);
  return html`<${Field} label=${t("Device id")} optional value=${typed} onInput=${setTyped} onCommit=${(text) => text !== value && onSave(text)} help=${t("`deviceId` in the object; empty: this box's name in topics.")} ...${rest} />`;
}

/** Raw tensors are said per model of settings.json; imported models send theirs when they are small. */
function Tensors({ document, desk, may }) {
  const models = document?.models ?? [];
  if (models.length === 0) return null;
  const change = (id, fields) => {
    // A list is replaced as a whole: take the newest, not the one that was drawn.
    const now = documentOf(settings.data.peek())?.models ?? models;
    return desk.save({ models: now.map((one) => (one.id === id ? { ...one, ...fields } : one)) });
  };
  return html`<div class="output__tensors">
    <h3>${t("Raw tensors")}</h3>
    <p class="small soft">${t("Results may carry the model's raw output, for programs that decode it themselves.")}</p>
    <ul class="output__models">
      ${models.map(
        (one) => html`<li key=${one.id} class="output__model">
          <span class="strong truncate">${one.name || one.id}</span>
          <${Select}
            label=${t("Raw tensors of {model}", { model: one.name || one.id })}
            hideLabel
            disabled=${!may}
            value=${one.tensors ?? "auto"}
            options=${[
              { value: "auto", label: t("When they are small") },
              { value: "always", label: t("Always") },
              { value: "never", label: t("Never") },
            ]}
            onInput=${(tensors) => change(one.id, { tensors })}
          />
          <${Switch} label=${t("Picture with doubtful results")} checked=${one.uncertain_image ?? true} disabled=${!may} onInput=${(on) => change(one.id, { uncertain_image: on })} />
        </li>`,
      )}
    </ul>
  </div>`;
}
