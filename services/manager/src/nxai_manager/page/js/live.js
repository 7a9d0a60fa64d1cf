// What happens now on the box, over one WebSocket: pictures and detections of watched cameras, and
// the kinds somebody listens to. Components ask with watch() and listen(), each gets its release()
// back; what all want together is sent once. Hidden pages watch nothing.
import { access } from "./api.js";
import { clock } from "./format.js";
import { t } from "./i18n.js";
import { signal, useEffect } from "./view.js";

/** {state: "off"|"connecting"|"open"|"waiting", reason, since (ms), retryAt (ms)} */
export const connection = signal({ state: "off", reason: "", since: Date.now(), retryAt: 0 });

// The newest of each, by name. A Map is never changed: a new one takes its place.
export const statuses = signal(new Map()); // service -> Status
export const states = signal(new Map()); // camera -> CameraState
export const manifests = signal(new Map()); // model -> ModelManifest: what inference offers
export const deployments = signal(new Map()); // model -> Deployment
export const alarms = signal(new Map()); // id -> what was last told of an Alarm, the newest last; MAX_ALARMS
export const processors = signal(new Map()); // processor -> ProcessorManifest: what has introduced itself
export const progress = signal(new Map()); // job -> Progress
export const settingsNow = signal(null); // {revision, problems}
export const events = signal([]); // newest first, MAX_EVENTS
/** Events and steps of jobs that the box left out for this viewer, who was too slow for them. */
export const dropped = signal(0);

const MAX_EVENTS = 500; // an hour of one event every 7 s; the data logger has them all
const MAX_ALARMS = 200; // as many as the manager keeps
const MAX_JOBS = 50;
const PAUSE_AFTER_MS = 2000; // hidden for so long: a quick look at another tab costs no new start

// -- who wants what ------------------------------------------------------------------------------

const watchers = new Set();
const listeners = new Set();

/**
 * Want pictures of cameras: watch({cameras: ["front"], fps: 10, width: 640}) -> release().
 * Several watchers share them: the union of cameras, the highest rate and width.
 */
export function watch(wish) {
  watchers.add(wish);
  schedule();
  return () => {
    watchers.delete(wish);
    schedule();
  };
}

/** Want kinds of messages: listen("events", "states") -> release(). */
export function listen(...kinds) {
  const wish = { kinds };
  listeners.add(wish);
  schedule();
  return () => {
    listeners.delete(wish);
    schedule();
  };
}

/** While the component is shown. */
export function useListen(...kinds) {
  useEffect(() => listen(...kinds), [kinds.join()]);
}

/** While the component is shown; `wish` as watch(). No cameras: nothing. */
export function useWatch(wish) {
  const { cameras = [], fps = 10, width = 640 } = wish;
  useEffect(() => (cameras.length ? watch({ cameras, fps, width }) : undefined), [cameras.join(), fps, width]);
}

const handlers = new Map(); // "detections/front" -> Set

function on(key, handler) {
  if (!handlers.has(key)) handlers.set(key, new Set());
  handlers.get(key).add(handler);
  return () => {
    handlers.get(key)?.delete(handler);
    if (handlers.get(key)?.size === 0) handlers.delete(key);
  };
}

function tell(key, data) {
  for (const handler of handlers.get(key) ?? []) {
    try {
      handler(data);
    } catch (error) {
      console.error(`A reader of ${key} failed`, error);
    }
  }
}

/** Each picture of a camera: handler({camera, blob, stream, sequence, captured_at_us, width, height}). */
export const onPreview = (camera, handler) => on(`preview/${camera}`, handler);
/** Each Detections message of a camera; listen("detections") as well. */
export const onDetections = (camera, handler) => on(`detections/${camera}`, handler);
/** Each message of a kind as it comes: "event", "progress", "rehearsal", "output", "status" ... */
export const onMessage = (kind, handler) => on(`kind/${kind}`, handler);

// -- the connection ------------------------------------------------------------------------------

let socket = null;
let wanted = false;
let tries = 0;
let retryTimer = 0;
let quietTimer = 0;
let hideTimer = 0;
let sendTimer = 0;
let hidden = document.hidden;
let lastWatch = "";
let lastListen = "";

/** Connect, and stay connected until stop(). Called once somebody is logged in. */
export function start() {
  if (wanted) return;
  wanted = true;
  connect();
}

export function stop() {
  wanted = false;
  clearTimeout(retryTimer);
  clearTimeout(quietTimer);
  socket?.close(1000);
  socket = null;
  say("off");
  statuses.value = new Map();
  states.value = new Map();
  manifests.value = new Map();
  deployments.value = new Map();
  alarms.value = new Map();
  processors.value = new Map();
  progress.value = new Map();
  events.value = [];
  settingsNow.value = null;
}

/** Try now instead of waiting. */
export function retry() {
  if (!wanted || connection.value.state !== "waiting") return;
  clearTimeout(retryTimer);
  connect();
}

function say(state, reason = "", retryAt = 0) {
  connection.value = { state, reason, retryAt, since: Date.now() };
}

function connect() {
  const where = new URL("api/v1/live", document.baseURI);
  where.protocol = where.protocol.replace("http", "ws");
  say("connecting");
  let reason = "";
  const mine = new WebSocket(where);
  socket = mine;
  mine.binaryType = "arraybuffer";
  mine.onopen = () => {
    say("open");
    lastWatch = lastListen = "";
    sendWishes();
  };
  mine.onmessage = ({ data }) => {
    alive();
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "hello") tries = 0;
      if (message.type === "bye") reason = message.reason ?? "";
      receive(message);
    } else {
      receivePreview(new Uint8Array(data));
    }
  };
  mine.onclose = (event) => {
    if (socket !== mine) return;
    socket = null;
    clearTimeout(quietTimer);
    if (!wanted) return;
    // 4401: the session ended. A refused handshake (1006) may be that, too: the next question tells.
    if (event.code === 4401) {
      access.onEnd();
      return;
    }
    tries += 1;
    const wait = Math.min(15_000, 500 * 2 ** (tries - 1)) * (0.5 + Math.random());
    say("waiting", reason || event.reason || t("The connection to the box broke."), Date.now() + wait);
    retryTimer = setTimeout(connect, wait);
    if (tries === 2) access.onEnd();
  };
}

// A box that loses power closes nothing. Statuses come every few seconds, so silence tells.
const QUIET_MS = 45_000;

function alive() {
  clearTimeout(quietTimer);
  if ([...listeners].some(({ kinds }) => kinds.includes("status"))) {
    quietTimer = setTimeout(() => socket?.close(4000, t("Nothing was heard from the box for a while.")), QUIET_MS);
  }
}

addEventListener("online", retry);
addEventListener("pagehide", () => socket?.close(1000));
addEventListener("pageshow", (event) => event.persisted && wanted && !socket && connect());
document.addEventListener("visibilitychange", () => {
  clearTimeout(hideTimer);
  if (document.hidden) {
    hideTimer = setTimeout(() => {
      hidden = true;
      schedule();
    }, PAUSE_AFTER_MS);
  } else {
    hidden = false;
    schedule();
    retry();
  }
});

// Several components mount in one go: one message tells what they want together.
function schedule() {
  clearTimeout(sendTimer);
  sendTimer = setTimeout(sendWishes, 20);
}

function sendWishes() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const kinds = new Set([...listeners].flatMap((wish) => wish.kinds));
  if (hidden) kinds.delete("detections");
  const listenText = JSON.stringify({ type: "listen", to: [...kinds].sort() });
  if (listenText !== lastListen) socket.send((lastListen = listenText));

  const wishes = hidden ? [] : [...watchers];
  const cameras = new Set(wishes.flatMap((wish) => wish.cameras));
  const watchText = JSON.stringify({
    type: "watch",
    cameras: [...cameras].sort(),
    fps: Math.min(15, Math.max(1, ...wishes.map((wish) => wish.fps ?? 10))),
    width: Math.min(1920, Math.max(64, ...wishes.map((wish) => Math.round(wish.width ?? 640)))),
  });
  if (watchText !== lastWatch && (cameras.size || lastWatch)) socket.send((lastWatch = watchText));
}

// -- what comes ----------------------------------------------------------------------------------

function put(target, key, value, limit = Infinity) {
  const next = new Map(target.value);
  next.delete(key);
  next.set(key, value);
  while (next.size > limit) next.delete(next.keys().next().value);
  target.value = next;
}

const KEPT = {
  status: [statuses, "service"],
  state: [states, "camera"],
  model: [manifests, "model"],
  deployment: [deployments, "model"],
  processor: [processors, "processor"],
};

function take(target, key) {
  const next = new Map(target.value);
  next.delete(key);
  target.value = next;
}

function receive({ type, data, ...rest }) {
  if (type in KEPT) {
    const [target, key] = KEPT[type];
    if (rest.gone === undefined) put(target, data[key], data);
    else take(target, rest.gone);
  }
  switch (type) {
    case "hello":
      if (rest.now_ms) clock.offset = rest.now_ms - Date.now();
      alarms.value = new Map(); // one may have ended meanwhile; those that are known come again
      break;
    case "detections":
      // It was told at this time of the box, and has come since: the box's clock is at least there. The hello alone
      // would put it behind, by as long as it lay waiting while the page was being built.
      clock.offset = Math.max(clock.offset, data.timestamp_ms + data.latency_ms - Date.now());
      tell(`detections/${data.camera}`, data);
      break;
    case "alarm":
      put(alarms, data.id, data, MAX_ALARMS);
      break;
    case "progress":
      put(progress, data.job, data, MAX_JOBS);
      break;
    case "settings":
      settingsNow.value = data;
      break;
    case "event": {
      const others = events.value.filter(({ id }) => id !== data.id);
      events.value = [data, ...others].slice(0, MAX_EVENTS);
      break;
    }
    case "dropped":
      dropped.value = rest.count;
      break;
    case "refused":
      console.error(`The box refused what live.js asked: ${rest.reason}`);
      break;
    case "bye":
      access.onEnd();
      break;
  }
  tell(`kind/${type}`, data ?? rest);
}

const ascii = new TextDecoder("latin1");
const utf8 = new TextDecoder();

function receivePreview(bytes) {
  const length = bytes[0];
  const camera = ascii.decode(bytes.subarray(1, 1 + length));
  const jpeg = bytes.subarray(1 + length);
  if (!handlers.has(`preview/${camera}`)) return;
  tell(`preview/${camera}`, { camera, blob: new Blob([jpeg], { type: "image/jpeg" }), ...readComment(jpeg) });
}

/** The JSON in the first comment (COM) of a JPEG, or {}: which frame a preview shows. */
function readComment(jpeg) {
  let at = 2; // after the SOI marker
  while (at + 4 <= jpeg.length && jpeg[at] === 0xff) {
    const marker = jpeg[at + 1];
    const size = (jpeg[at + 2] << 8) | jpeg[at + 3];
    if (marker === 0xfe) {
      try {
        return JSON.parse(utf8.decode(jpeg.subarray(at + 4, at + 2 + size)));
      } catch {
        return {};
      }
    }
    if (marker === 0xda) break; // start of the scan: no header follows
    at += 2 + size;
  }
  return {};
}
