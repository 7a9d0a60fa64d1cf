// Where a camera's pictures come from: fields by type, and a try before anything is saved.
import { post } from "../../api.js";
import { Button } from "../../components/button.js";
import { Field, Select } from "../../components/field.js";
import { ErrorNote, Facts, Note } from "../../components/panels.js";
import { number } from "../../format.js";
import { t } from "../../i18n.js";
import { html, useState } from "../../view.js";
import { SchemaForm } from "../settings/schema_form.js";
import { TYPE_NAMES, typeWord } from "./facts.js";

const PARTS = {
  rtsp: "RtspSource",
  mjpeg: "MjpegSource",
  still: "StillSource",
  v4l2: "V4l2Source",
  file: "FileSource",
  folder: "FolderSource",
  push: "PushSource",
  demo: "DemoSource",
};
const WITH_LOGIN = new Set(["rtsp", "mjpeg", "still"]);
const EXAMPLES = {
  rtsp: () => t("Such as rtsp://192.168.1.20:554/stream1. The second, smaller stream of a camera is mostly enough."),
  mjpeg: () => t("Such as http://192.168.1.20/video.mjpg."),
  still: () => t("Such as http://192.168.1.20/snapshot.jpg; it is fetched again and again."),
  v4l2: () => t("A name below /dev/v4l/by-id/ survives replugging. Press Find to see what is there."),
  file: () => t("A path on the box; in containers one that is mounted into capture."),
  folder: () => t("JPEG and PNG files, in the order of their names."),
  push: () => t("Another program publishes JPEG or PNG on the camera's topic `picture`."),
  demo: () => t("Parts riding on a belt, drawn by the box itself."),
};

/** {whole, draft: {source, username, password}, onInput(draft), disabled, errors(where), prefix} */
export function SourceForm({ whole, draft, onInput, disabled, errors, onPick }) {
  const { source, username = "", password = "" } = draft;
  const setSource = (next) => onInput({ ...draft, source: next });
  return html`<div class="stack">
    <${Select}
      label=${t("Kind")}
      value=${source.type}
      disabled=${disabled}
      options=${TYPE_NAMES.map((type) => ({ value: type, label: typeWord(type) }))}
      onInput=${(type) => setSource({ type })}
      help=${EXAMPLES[source.type]?.()}
    />
    ${(source.type === "rtsp" || source.type === "v4l2") && html`<${Finder} kind=${source.type} disabled=${disabled} draft=${draft} onPick=${(found) => (onPick ?? onInput)({ ...draft, ...found })} />`}
    <${SchemaForm}
      key=${source.type}
      whole=${whole}
      part=${PARTS[source.type]}
      skip=${["type"]}
      value=${source}
      path=${["source"]}
      disabled=${disabled}
      errors=${(where) => errors(where)}
      live
      onChange=${([, name], value) => {
        const next = { ...source, [name]: value };
        if (value === undefined) delete next[name];
        setSource(next);
      }}
    />
    ${
      WITH_LOGIN.has(source.type) &&
      html`<div class="output__fields">
        <${Field} label=${t("User")} optional value=${username} disabled=${disabled} autocomplete="off" onInput=${(text) => onInput({ ...draft, username: text })} error=${errors("username")} />
        <${Field} type="password" label=${t("Password")} optional value=${password} disabled=${disabled} autocomplete="new-password" onInput=${(text) => onInput({ ...draft, password: text })} error=${errors("password")} help=${t("Any characters. It goes to a file that capture alone reads.")} />
      </div>`
    }
  </div>`;
}

/** Cameras on the network and on USB. */
function Finder({ kind, draft, onPick, disabled }) {
  const [found, setFound] = useState(null);
  const [streams, setStreams] = useState(null);
  const [error, setError] = useState(null);
  async function find() {
    setError(null);
    setStreams(null);
    try {
      setFound(await post("cameras/find", { seconds: 4 }, { timeout: 40 }));
    } catch (reason) {
      setError(reason);
    }
  }
  async function ask(one) {
    setError(null);
    try {
      const { streams: told } = await post("cameras/streams", { address: one.address, username: draft.username ?? "", password: draft.password ?? "" }, { timeout: 40 });
      setStreams({ of: one, list: told });
    } catch (reason) {
      setError(reason);
    }
  }
  const listed = kind === "v4l2" ? (found?.usb ?? []) : (found?.network ?? []);
  return html`<div class="finder">
    <div class="row">
      <${Button} size="s" icon="search" disabled=${disabled} onClick=${find}>${kind === "v4l2" ? t("Find USB cameras") : t("Find cameras on the network")}<//>
      ${kind === "rtsp" && html`<span class="small soft">${t("Takes four seconds. Cameras must speak ONVIF.")}</span>`}
    </div>
    <${ErrorNote} error=${error} />
    ${found?.problems?.map((text) => html`<${Note} tone="warn" key=${text}><p>${text}</p><//>`)}
    ${found && listed.length === 0 && html`<p class="small soft">${t("None was found.")}</p>`}
    ${
      listed.length > 0 &&
      html`<ul class="finder__list">
        ${listed.map((one) =>
          kind === "v4l2"
            ? html`<li key=${one.device}><span class="grow"><span class="strong">${one.name || one.device}</span><br /><code class="small">${one.device}</code></span>
                <${Button} size="s" onClick=${() => onPick({ source: { type: "v4l2", device: one.device } })}>${t("Take")}<//></li>`
            : html`<li key=${one.address}><span class="grow"><span class="strong">${one.name || one.hardware || one.host}</span><br /><span class="small soft">${[one.host, one.hardware, one.location].filter(Boolean).join(" · ")}</span></span>
                <${Button} size="s" onClick=${() => ask(one)}>${t("Its streams")}<//></li>`,
        )}
      </ul>`
    }
    ${
      streams &&
      html`<div>
        <p class="small">${t("Streams of {camera}; type its user and password first if it refuses.", { camera: streams.of.name || streams.of.host })}</p>
        <ul class="finder__list">
          ${streams.list.map(
            (one) => html`<li key=${one.url}><span class="grow"><span class="strong">${one.name}</span> <span class="small soft">${[one.width && `${one.width} × ${one.height}`, one.encoding, one.fps && `${number(one.fps)} fps`].filter(Boolean).join(" · ")}</span><br /><code class="small">${one.url}</code></span>
            <${Button} size="s" onClick=${() => onPick({ source: { ...draft.source, type: "rtsp", url: one.url } })}>${t("Take")}<//></li>`,
          )}
        </ul>
      </div>`
    }
  </div>`;
}

/** Try a source, and show its first picture. {draft, camera (id of the one being edited), masks, disabled} */
export function Probe({ draft, camera, masks = [], disabled, onDone }) {
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  async function probe() {
    setTold(null);
    setError(null);
    try {
      const body = { source: draft.source, username: draft.username ?? "", password: draft.password ?? "", masks };
      if (camera) body.camera = camera;
      const answer = await post("cameras/probe", body, { timeout: 60 });
      setTold(answer);
      onDone?.(true);
    } catch (reason) {
      setError(reason);
      onDone?.(false);
    }
  }
  return html`<div class="probe">
    <${Button} icon="plug" disabled=${disabled || draft.source.type === "push"} why=${draft.source.type === "push" ? t("Nothing can be fetched: another program sends the pictures.") : undefined} onClick=${probe}>${t("Test the connection")}<//>
    <${ErrorNote} error=${error} title=${error ? t("It does not work yet.") : null} />
    ${
      told &&
      html`<div class="probe__found">
        <img src=${told.picture} alt=${t("First picture of the camera")} />
        <div>
          <p class="strong probe__ok">${t("It works.")}</p>
          <${Facts}
            items=${[
              [t("Picture"), `${told.width} × ${told.height}`],
              told.codec && [t("Codec"), told.codec],
              told.fps && [t("Rate"), `${number(told.fps)} fps`],
              told.transport && [t("Transport"), told.transport.toUpperCase()],
              [t("Took"), `${number(told.seconds)} s`],
            ]}
          />
        </div>
      </div>`
    }
  </div>`;
}

