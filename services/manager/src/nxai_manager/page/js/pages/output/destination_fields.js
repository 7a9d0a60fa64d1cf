// Fields of each kind of destination. All get {whole, part, item, change(fields), errors(field), draft, set(fields)}.
import { Checkbox, Field, Select } from "../../components/field.js";
import { Note } from "../../components/panels.js";
import { t } from "../../i18n.js";
import { bounds } from "../../settings_document.js";
import { html } from "../../view.js";
import { Authority, Certificate, CODE, Text } from "./broker_fields.js";
import { PairList } from "./choices.js";

const Amount = ({ name, whole, part, item, change, errors, draft, set, cameras, ...rest }) =>
  html`<${Field} type="number" step="any" ...${bounds(whole, part, name)} value=${item[name]} onInput=${(n) => change({ [name]: n })} error=${errors(name)} ...${rest} />`;

const Tick = ({ name, item, change, label, help, disabled }) => html`<${Checkbox} label=${label} help=${help} disabled=${disabled} checked=${item[name]} onInput=${(on) => change({ [name]: on })} />`;

/** The address, and what belongs to it. */
export function ToWhom({ type, ...shared }) {
  switch (type) {
    case "http":
      return html`<${Text} ...${shared} name="url" label=${t("Address (URL)")} required inputmode="url" ...${CODE} placeholder="https://shop.example/hook" help=${t("May hold {camera} where each result is sent by itself.", { camera: "{{ camera }}" })} />`;
    case "mqtt":
      return html`<${Text} ...${shared} name="url" label=${t("Address (URL)")} required inputmode="url" ...${CODE} placeholder="mqtts://broker.example:8883" help=${t("mqtt:// or mqtts:// (encrypted).")} />`;
    case "influxdb":
      return html`<${Text} ...${shared} name="url" label=${t("Address (URL)")} required inputmode="url" ...${CODE} placeholder="http://influx.example:8086" />
        <div class="output__fields">
          <${Text} ...${shared} name="bucket" label=${t("Bucket")} required ...${CODE} help=${t("For InfluxDB 1.8: database/policy.")} />
          <${Text} ...${shared} name="org" label=${t("Organisation")} optional ...${CODE} />
        </div>`;
    case "file":
      return html`<${Text} ...${shared} name="path" label=${t("File")} required ...${CODE} placeholder="results.jsonl" help=${t("Below the publisher's folder of files; line1/results.jsonl makes a folder.")} />`;
    default:
      return html`<${Text} ...${shared} name="path" label=${t("Socket")} required ...${CODE} placeholder="/sockets/output.sock" help=${t("The other program makes it, and listens. It gets 4 bytes of length (little-endian), then JSON.")} />`;
  }
}

const WithObjects = (shared) => html`<${Tick} ...${shared} name="only_with_objects" label=${t("Only frames that show something")} help=${t("Of detections and Nx output.")} />`;

function Gathering(shared) {
  const { item, change, errors } = shared;
  const several = item.gather === "batch" || item.gather === "interval";
  return html`<div class="output__fields">
    <${Select}
      label=${t("Gather")}
      value=${item.gather}
      onInput=${(gather) => change({ gather })}
      error=${errors("gather")}
      options=${[
        { value: "each", label: t("Each result by itself") },
        { value: "batch", label: t("What waits, as a list") },
        { value: "loop", label: t("One of each camera, as a list") },
        { value: "interval", label: t("Those of some seconds, as a list") },
      ]}
    />
    ${several && html`<${Amount} ...${shared} name="batch_size" step="1" label=${t("At most in a list")} />`}
    ${item.gather !== "each" && html`<${Amount} ...${shared} name="interval_s" unit="s" label=${item.gather === "interval" ? t("Of so many seconds") : t("Sent after at most")} />`}
  </div>`;
}

const TimeOut = (shared) => html`<${Amount} ...${shared} name="timeout_s" unit="s" label=${t("Wait for an answer")} />`;

function HttpMore(shared) {
  const { draft, set, item, change, errors } = shared;
  return html`
    <div class="output__fields">
      <${Select} label=${t("Method")} value=${item.method} onInput=${(method) => change({ method })} options=${["POST", "PUT"]} />
      <${Text} ...${shared} name="content_type" label=${t("Content type")} ...${CODE} />
    </div>
    <${PairList}
      label=${t("Headers")}
      nameLabel=${t("Header")}
      valueLabel=${t("Value")}
      addLabel=${t("Add a header")}
      value=${draft.headers}
      onInput=${(headers) => set({ headers })}
      error=${errors("headers")}
      help=${t("Values are templates, too. A secret is written {secret}: a field for it appears below.", { secret: "{{ secret.NAME }}" })}
    />
    <${Field}
      type="textarea"
      label=${t("Body")}
      optional
      code
      rows="5"
      spellcheck=${false}
      maxlength="20000"
      value=${item.body}
      onInput=${(body) => change({ body })}
      error=${errors("body")}
      placeholder=${'{"text": "{{ camera }}: {{ count }}"}'}
      help=${t("Empty: the JSON as it is on MQTT.")}
    />
    <${Variables} />
    <${Gathering} ...${shared} />
    <${WithObjects} ...${shared} />
    <${Tick} ...${shared} name="picture" disabled=${!item.what.includes("alarms")} label=${t("Alarms carry the picture")} help=${t("As JPEG (base64) in picture.")} />
    <div class="output__fields"><${TimeOut} ...${shared} /><${Certificate} ...${shared} /></div>`;
}

/** What a template can say. */
const Variables = () => html`<${Note} title=${t("In a template")}>
  <ul class="bullets small">
    <li><code>${"{{ camera }}"}</code>, <code>${"{{ model }}"}</code>, <code>${"{{ timestamp }}"}</code>, <code>${"{{ counts.nut }}"}</code>: ${t("every field of the message, as on its topic")}</li>
    <li><code>${"{{ content }}"}</code>, <code>${"{{ id }}"}</code>, <code>${"{{ device }}"}</code>: ${t("its kind, what every copy of it is called, this box")}</li>
    <li><code>${"{{ message | tojson }}"}</code>: ${t("the whole of it")}</li>
    <li><code>${"{% for message in messages %}"}</code>: ${t("those of a list, where several are gathered")}</li>
    <li><code>${"{{ secret.NAME }}"}</code>: ${t("a secret; it is never shown again")}</li>
  </ul>
<//>`;

const MqttMore = (shared) => html`
  <div class="output__fields">
    <${Text} ...${shared} name="root" label=${t("Topics begin with")} ...${CODE} help=${t("In place of nxai/v1.")} />
    <${Select} label="QoS" value=${shared.item.qos} onInput=${(qos) => shared.change({ qos })} options=${[
      { value: 0, label: t("0: sent once, may be lost") },
      { value: 1, label: t("1: until the broker confirms it") },
    ]} />
  </div>
  <div class="output__fields"><${Certificate} ...${shared} /><${Authority} ...${shared} /></div>
  <${WithObjects} ...${shared} />`;

const InfluxMore = (shared) => html`
  <div class="output__fields">
    <${Amount} ...${shared} name="interval_s" unit="s" label=${t("A request at most every")} help=${t("Unless a batch is full.")} />
    <${Amount} ...${shared} name="batch_size" step="1" label=${t("Results in a request")} />
    <${TimeOut} ...${shared} />
    <${Certificate} ...${shared} />
  </div>
  <${WithObjects} ...${shared} />`;

const FileMore = (shared) => html`
  <div class="output__fields">
    <${Amount} ...${shared} name="rotate_mb" unit="MB" label=${t("Full at")} help=${t("It is then put aside with a number.")} />
    <${Amount} ...${shared} name="keep_files" step="1" label=${t("Full files kept")} help=${t("The oldest goes.")} />
  </div>
  <${Tick} ...${shared} name="compress" label=${t("Pack full files (gzip)")} />
  <${WithObjects} ...${shared} />`;

const SocketMore = (shared) => html`
  <${Gathering} ...${shared} />
  <${WithObjects} ...${shared} />
  <div class="output__fields"><${TimeOut} ...${shared} /></div>`;

/** The rest, by kind. */
export const MORE = { http: HttpMore, mqtt: MqttMore, influxdb: InfluxMore, file: FileMore, socket: SocketMore };
