// MQTT topics with their last message.
import { get } from "../../api.js";
import { Button } from "../../components/button.js";
import { Segmented, Select } from "../../components/field.js";
import { JsonView } from "../../components/json_view.js";
import { Badge, Card, CopyButton, ErrorNote, Skeleton, When } from "../../components/panels.js";
import { t } from "../../i18n.js";
import { onMessage, useListen } from "../../live.js";
import { html, useEffect, useState } from "../../view.js";

// What each message says, and the kind of the WebSocket that carries it.
const ABOUT = {
  Detections: { kind: "detections", type: "detections", text: () => t("Flat JSON: counts, boxes in 0..1 and pixels; every processed frame") },
  CameraState: { kind: "states", type: "state", text: () => t("Counts, what is present, frames a second; on change, retained") },
  Event: { kind: "events", type: "event", text: () => t("Start, update and end of what was seen, one id") },
  Alarm: { kind: "alarms", type: "alarm", text: () => t("A rule holds, still holds, holds no more, one id") },
  Output: { kind: "output", type: "output", text: () => t("The Nx AI Manager's output array, field for field") },
  Snapshot: { text: () => t("JPEG of the last event, retained") },
};

export function Topics({ cameras }) {
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  const [camera, setCamera] = useState(cameras[0].id);
  const [open, setOpen] = useState("");
  const ids = cameras.map(({ id }) => id).join();
  const load = () => get("topics").then(setTold, setError);
  useEffect(() => {
    load();
  }, [ids]);
  const chosen = cameras.some(({ id }) => id === camera) ? camera : cameras[0].id;
  const listed = told?.topics.filter((one) => one.camera === chosen) ?? [];
  const options = cameras.map(({ id, name }) => ({ value: id, label: name }));

  return html`<${Card} title=${t("MQTT topics")} icon="radio-tower" id="output-topics" lead=${t("Any program that may read the broker gets these: Home Assistant, Node-RED, your own.")}>
    ${
      options.length > 1 &&
      (options.length <= 4
        ? html`<${Segmented} label=${t("Camera")} hideLabel options=${options} value=${chosen} onInput=${setCamera} />`
        : html`<${Select} label=${t("Camera")} options=${options} value=${chosen} onInput=${setCamera} />`)
    }
    <${ErrorNote} error=${error} onRetry=${load} />
    ${!told && !error && html`<${Skeleton} lines=${5} />`}
    <ul class="topics">
      ${listed.map(
        (one) => html`<${Topic} key=${one.topic} ...${one} open=${open === one.topic} onOpen=${() => setOpen(open === one.topic ? "" : one.topic)} />`,
      )}
    </ul>
    ${
      told &&
      html`<p class="small soft output__hint">
        ${t("To read along in a terminal on the box:")}
        <span class="topics__command"><code>${command(told, chosen)}</code><${CopyButton} text=${command(told, chosen)} label=${t("Copy the command")} /></span>
      </p>`
    }
  <//>`;
}

const command = ({ device, port }, camera) => `mosquitto_sub -p ${port} -u viewer -P "…" -v -t 'nxai/v1/${device}/cameras/${camera}/#'`;

function Topic({ topic, message, camera, retained, qos, open, onOpen }) {
  const about = ABOUT[message];
  return html`<li class="topics__one">
    <div class="topics__head">
      <div class="topics__name">
        <code class="topics__topic">${topic}</code>
        <span class="small soft">${about?.text() ?? message}</span>
      </div>
      <div class="row">
        ${retained && html`<${Badge}>${t("retained")}<//>`}
        <${Badge}>QoS ${qos}<//>
        <${CopyButton} text=${topic} label=${t("Copy topic {topic}", { topic })} />
        ${
          about?.kind &&
          html`<${Button} size="s" pressed=${open} aria-expanded=${String(open)} onClick=${onOpen}>${open ? t("Hide") : t("Last message")}<//>`
        }
      </div>
    </div>
    ${open && html`<${Last} ...${about} camera=${camera} />`}
  </li>`;
}

/** The newest message, for as long as somebody looks; at most two a second, so that it can be read. */
function Last({ kind, type, camera }) {
  const [seen, setSeen] = useState(null);
  useListen(kind);
  useEffect(() => {
    let at = 0;
    return onMessage(type, (data) => {
      if (data.camera !== camera || Date.now() - at < 500) return;
      at = Date.now();
      setSeen({ value: type === "output" ? data.output : data, at });
    });
  }, [type, camera]);
  if (!seen) return html`<p class="small soft topics__wait">${t("Waiting for the next message …")}</p>`;
  return html`<div class="topics__last">
    <p class="small soft">${t("Received")} <${When} at=${seen.at} /></p>
    <${JsonView} value=${seen.value} label=${t("Last message")} height="18rem" />
  </div>`;
}
