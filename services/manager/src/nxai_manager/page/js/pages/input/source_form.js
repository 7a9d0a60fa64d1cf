// Where a camera's pictures come from: fields by type, and a try before anything is saved.
import { post } from "../../api.js";
import { Button } from "../../components/button.js";
import { Field, Select } from "../../components/field.js";
import { ErrorNote, Facts, Note } from "../../components/panels.js";
import { number, sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { html, useState } from "../../view.js";
import { SchemaForm } from "../settings/schema_form.js";
import { focusWrong } from "./change.js";
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

/** Names of the fields here, as the last step of where a problem is. */
export const FIELDS = ["name", "id", "username", "password", "url", "device", "path", "transport", "certificate", "pace", "interval_ms", "width", "height", "fps", "seed", "loop"];

const ABOUT = {
  push: () => t("Another program publishes JPEG or PNG on the camera's topic `picture`."),
  demo: () => t("Parts riding on a belt, drawn by the box itself."),
};
const HELPS = {
  rtsp: () => ({ url: t("Such as rtsp://192.168.1.20:554/stream1. The second, smaller stream of a camera is mostly enough.") }),
  mjpeg: () => ({ url: t("Such as http://192.168.1.20/video.mjpg.") }),
  still: () => ({ url: t("Such as http://192.168.1.20/snapshot.jpg; it is fetched again and again.") }),
  file: () => ({ path: t("A path on the box; in containers one that is mounted into capture.") }),
  folder: () => ({ path: t("A folder on the box. JPEG and PNG files, in the order of their names.") }),
};
const MISSING = {
  url: () => t("Type the camera's address."),
  device: () => t("Type the name of the device, or find it."),
  path: () => t("Type a path."),
};

/** What has to be typed before a source can be tried or saved: {"url": "Type the camera's address."} */
export function missing(whole, { source }) {
  const { required = [] } = whole.$defs[PARTS[source.type]];
  return Object.fromEntries(required.filter((name) => !source[name]).map((name) => [name, MISSING[name]?.() ?? t("Fill this in.")]));
}

/** User and password of a draft, where its type has them. */
export function loginOf({ source, username, password }) {
  if (!WITH_LOGIN.has(source.type)) return {};
  return { ...(username ? { username } : {}), ...(password ? { password } : {}) };
}

const decode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** "rtsp://joe:secret@host/x" -> {url without them, username, password}; null where there is no login. */
export function withoutLogin(url) {
  const parts = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)@(.*)$/i.exec(url ?? "");
  if (!parts) return null;
  const [, scheme, login, rest] = parts;
  const [, username, password = ""] = /^([^:]*):?(.*)$/s.exec(login);
  return { url: scheme + rest, username: decode(username), password: decode(password) };
}

/** {whole, draft: {source, username, password}, onInput(draft), onPick(draft, name) , disabled, errors(where)} */
export function SourceForm({ whole, draft, onInput, onPick, disabled, errors }) {
  const { source, username = "", password = "" } = draft;
  const [moved, setMoved] = useState(false);
  const setSource = (next) => onInput({ ...draft, source: next });
  const change = ([, name], value) => {
    const next = { ...source, [name]: value };
    if (value === undefined) delete next[name];
    setSource(next);
  };
  // Addresses are pasted as players take them. Moved once the field is left: half an address looks like one, too.
  const tidy = () => {
    const found = WITH_LOGIN.has(source.type) && withoutLogin(source.url);
    if (!found || disabled) return;
    onInput({ ...draft, source: { ...source, url: found.url }, username: found.username, password: found.password });
    setMoved(true);
  };
  return html`<div class="stack" onFocusOut=${tidy}>
    <${Select}
      label=${t("Kind")}
      value=${source.type}
      disabled=${disabled}
      options=${TYPE_NAMES.map((type) => ({ value: type, label: typeWord(type) }))}
      onInput=${(type) => setSource({ type })}
      help=${ABOUT[source.type]?.()}
    />
    ${!disabled && (source.type === "rtsp" || source.type === "v4l2") && html`<${Finder} key=${source.type} kind=${source.type} draft=${draft} onPick=${(found, name) => (onPick ?? onInput)({ ...draft, ...found }, name)} />`}
    <${SchemaForm}
      key=${`form-${source.type}`}
      whole=${whole}
      part=${PARTS[source.type]}
      skip=${["type"]}
      value=${source}
      path=${["source"]}
      disabled=${disabled}
      errors=${errors}
      helps=${HELPS[source.type]?.()}
      live
      onChange=${change}
    />
    ${
      WITH_LOGIN.has(source.type) &&
      html`<div class="input__fields">
        <${Field} label=${t("User")} optional value=${username} disabled=${disabled} autocomplete="off" autocapitalize="off" spellcheck=${false} maxlength="200" onInput=${(text) => onInput({ ...draft, username: text })} error=${errors("username")} />
        <${Field} type="password" label=${t("Password")} optional value=${password} disabled=${disabled} autocomplete="new-password" onFocus=${(event) => event.currentTarget.select()} onInput=${(text) => onInput({ ...draft, password: text })} error=${errors("password")} help=${t("Any characters. It goes to a file that capture alone reads.")} />
      </div>`
    }
    <div role="status">${moved && html`<p class="small soft">${t("User and password were moved out of the address into fields of their own.")}</p>`}</div>
  </div>`;
}

/** Cameras on the network and on USB. */
function Finder({ kind, draft, onPick }) {
  const [found, setFound] = useState(null);
  const [streams, setStreams] = useState(null);
  const [error, setError] = useState(null);
  const attempt = async (work) => {
    setError(null);
    try {
      await work();
    } catch (reason) {
      setError(reason);
    }
  };
  const find = () =>
    attempt(async () => {
      setStreams(null);
      setFound(await post("cameras/find", { seconds: 4 }, { timeout: 40 }));
    });
  const ask = (one) =>
    attempt(async () => {
      const login = { username: draft.username ?? "", password: draft.password ?? "" };
      const { streams: told } = await post("cameras/streams", { address: one.address, ...login }, { timeout: 40 });
      setStreams({ of: one, list: told });
    });
  const usb = kind === "v4l2";
  const listed = (usb ? found?.usb : found?.network) ?? [];
  const problems = found?.problems ?? [];
  return html`<div class="finder">
    <div class="row">
      <${Button} size="s" icon="search" onClick=${find}>${usb ? t("Find USB cameras") : t("Find cameras on the network")}<//>
      ${!usb && html`<span class="small soft">${t("Takes four seconds. Cameras must speak ONVIF.")}</span>`}
    </div>
    <${ErrorNote} error=${error} />
    <div role="status" class="finder__told">
      ${!usb && problems.map((text) => html`<${Note} tone="warn" key=${text}><p>${sentence(text)}</p><//>`)}
      ${found && listed.length === 0 && (usb || problems.length === 0) && html`<p class="small soft">${t("None was found.")}</p>`}
    </div>
    ${
      listed.length > 0 &&
      html`<ul class="finder__list" aria-label=${t("Cameras that were found")}>
        ${listed.map((one) =>
          usb
            ? html`<${Found} key=${one.device} name=${one.name || one.device} code=${one.device} action=${t("Take")} onClick=${() => onPick({ source: { type: "v4l2", device: one.device } }, one.name)} />`
            : html`<${Found} key=${one.address} name=${one.name || one.hardware || one.host} about=${[one.host, one.hardware, one.location]} action=${t("Its streams")} onClick=${() => ask(one)} />`,
        )}
      </ul>`
    }
    ${
      listed.length > 0 && !usb && !streams && html`<p class="small soft">${t("A camera that wants a login tells its streams once user and password are typed below.")}</p>`
    }
    ${
      streams &&
      html`<p class="small strong">${t("Streams of {camera}", { camera: streams.of.name || streams.of.host })}</p>
        <ul class="finder__list" aria-label=${t("Streams of {camera}", { camera: streams.of.name || streams.of.host })}>
          ${streams.list.map(
            (one) => html`<${Found}
              key=${one.url}
              name=${one.name}
              about=${[one.width && `${one.width} × ${one.height}`, one.encoding, one.fps && t("{n} fps", { n: number(one.fps) })]}
              code=${one.url}
              action=${t("Take")}
              onClick=${() => onPick({ source: { ...draft.source, type: "rtsp", url: one.url } }, streams.of.name)}
            />`,
          )}
        </ul>`
    }
  </div>`;
}

const Found = ({ name, about = [], code, action, onClick }) =>
  html`<li>
    <div class="grow">
      <span class="strong">${name}</span>${" "}<span class="small soft">${about.filter(Boolean).join(" · ")}</span>
      ${code && html`<br /><code class="small">${code}</code>`}
    </div>
    <${Button} size="s" aria-label=${`${action}: ${name}`} onClick=${onClick}>${action}<//>
  </li>`;

/**
 * Try a source, and show its first picture: {whole, draft, camera (id of the one that is edited), masks, watchdog,
 * onMissing(reasons by field), onDone(works)}
 */
export function Probe({ whole, draft, camera, masks, watchdog, onMissing, onDone }) {
  const [result, setResult] = useState(null); // {of: text of the draft, told or error}
  const body = { source: draft.source, username: "", password: "", ...loginOf(draft), masks: masks ?? [] };
  if (watchdog) body.watchdog = watchdog;
  if (camera) body.camera = camera;
  const text = JSON.stringify(body);
  const pushed = draft.source.type === "push";
  const lacks = missing(whole, draft);

  async function probe() {
    onMissing?.(lacks);
    if (Object.keys(lacks).length) {
      setResult({ of: text, error: new Error(Object.values(lacks)[0]) });
      requestAnimationFrame(focusWrong);
      return;
    }
    setResult(null);
    try {
      setResult({ of: text, told: await post("cameras/probe", body, { timeout: 60 }) });
      onDone?.(true);
    } catch (error) {
      setResult({ of: text, error });
      onDone?.(false);
    }
  }
  const { told, error } = result?.of === text ? result : {}; // of what is typed now, not of before
  return html`<div class="probe">
    <${Button} icon="plug" disabled=${pushed} why=${t("Nothing can be fetched: another program sends the pictures.")} onClick=${probe}>${t("Test the connection")}<//>
    <${ErrorNote} error=${error} title=${t("It does not work yet.")} />
    <div role="status" class="probe__told">
      ${
        told &&
        html`<div class="probe__found">
          <img src=${told.picture} alt=${t("First picture of the camera")} />
          <div class="stack">
            <p class="strong probe__ok">${t("It works.")}</p>
            <${Facts}
              class="facts--rows"
              items=${[
                [t("Picture"), `${told.width} × ${told.height}`],
                told.codec && [t("Codec"), told.codec],
                told.fps && [t("Rate"), t("{n} fps", { n: number(told.fps) })],
                told.transport && [t("Transport"), told.transport.toUpperCase()],
                [t("Took"), `${number(told.seconds)} s`],
              ]}
            />
          </div>
        </div>`
      }
    </div>
  </div>`;
}
