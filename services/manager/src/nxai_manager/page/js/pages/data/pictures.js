// The kept pictures that are looked at: gallery and review show the same list, so that "next" is what lies beside.
import { get, path, post } from "../../api.js";
import { boxNow } from "../../format.js";
import { t } from "../../i18n.js";
import { resource } from "../../store.js";
import { batch, signal } from "../../view.js";
import { PRESETS } from "./span.js";

export const PAGE = 60;
const AT_ONCE = 1000; // names in one request

export const counts = resource("samples/counts");
export const project = resource("project");

/** {key, wanted, samples, total (that fit; null: not known yet), stamp (the filter's own time)} */
export const pictures = signal({ key: "", wanted: {}, samples: [], total: null });
export const picturesError = signal(null);
export const picturesLoading = signal(false);
/** Names of chosen pictures. */
export const chosen = signal(new Set());
/** Decisions that can be taken back, the last at the end: [{id, before: [samples as they were]}] */
export const decided = signal([]);
const MOST_DECIDED = 200;

/** What GET samples is asked, as the address says. */
export function wantedOf({ state, camera, label, strategy, range, since, until, order }) {
  const preset = PRESETS.find(({ id }) => id === range);
  return {
    state,
    camera,
    label,
    strategy,
    since: since || (preset && new Date(boxNow() - preset.seconds * 1000).toISOString()),
    until,
    by_value: order === "value" ? true : undefined,
  };
}

export const keyOf = ({ state, camera, label, strategy, range, since, until, order }) =>
  JSON.stringify([state, camera, label, strategy, range, since, until, order].map((one) => one || ""));

/** Those of the list that still fit its state, after what was decided meanwhile. */
export const fitting = ({ wanted, samples }) => samples.filter(({ state }) => !wanted.state || state === wanted.state);

/** Which picture was reviewed last: who comes back to the gallery goes on there. */
export const reviewed = { id: "" };

let asking = 0;

/** Show the list of an address; what is there stays when it is the same. */
export async function showPictures(query, { anew = false } = {}) {
  const key = keyOf(query);
  if (!anew && pictures.peek().key === key && pictures.peek().total !== null) return;
  const mine = ++asking;
  const wanted = wantedOf(query);
  batch(() => {
    if (pictures.peek().key !== key) {
      pictures.value = { key, wanted, samples: [], total: null };
      chosen.value = new Set();
    }
    picturesLoading.value = true;
  });
  await take(mine, async () => {
    const { samples, total } = await get("samples", { ...wanted, limit: PAGE });
    return { key, wanted, samples, total };
  });
}

/** Show the next pictures of the list, too. */
export async function morePictures() {
  const now = pictures.peek();
  if (now.total === null || picturesLoading.peek()) return;
  const mine = ++asking;
  picturesLoading.value = true;
  await take(mine, async () => {
    // What was decided meanwhile fits the state no more: the list on the box has moved up.
    const offset = fitting(now).length;
    const { samples, total } = await get("samples", { ...now.wanted, limit: PAGE, offset });
    const known = new Set(now.samples.map(({ id }) => id));
    const fresh = samples.filter(({ id }) => !known.has(id));
    return { ...pictures.peek(), samples: [...pictures.peek().samples, ...fresh], total };
  });
}

async function take(mine, work) {
  try {
    const made = await work();
    if (mine !== asking) return;
    batch(() => {
      pictures.value = made;
      picturesError.value = null;
    });
  } catch (error) {
    if (mine === asking) picturesError.value = error;
  } finally {
    if (mine === asking) picturesLoading.value = false;
  }
}

/** Whether the box has newer pictures than the list begins with. */
export async function hasNewer() {
  const { key, wanted, samples, total } = pictures.peek();
  if (total === null || picturesLoading.peek() || wanted.by_value) return false;
  const { samples: newest } = await get("samples", { ...wanted, limit: 1 });
  if (pictures.peek().key !== key || newest.length === 0) return false;
  return newest[0].captured_at_us > Math.max(0, ...samples.map((one) => one.captured_at_us));
}

/** One picture, whether the list has it or not. */
export async function pictureOf(id) {
  const known = pictures.peek().samples.find((one) => one.id === id);
  if (known && !known.left_out) return known;
  return (await get(path`samples/${id}`)).sample;
}

/**
 * Approve, discard or put back: `decision` "approved"|"discarded"|"new", boxes (in pixels, of one picture),
 * confirm (what the model found is right). Returns {changed, reason}.
 */
export async function decide(samples, decision, { boxes, confirm = false } = {}) {
  const ids = samples.map(({ id }) => id);
  let changed = 0;
  let reason = "";
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const told = await post("samples/review", {
      samples: ids.slice(at, at + AT_ONCE),
      decision,
      ...(boxes ? { boxes } : {}),
      confirm_predictions: confirm,
    });
    changed += told.changed;
    reason ||= told.reason;
  }
  if (changed === ids.length) {
    const made = (sample) => ({
      ...sample,
      state: decision,
      state_reason: "",
      boxes: decision !== "approved" ? null : boxes ? boxes.map((box) => ({ ...box, confidence: null })) : confirm ? sample.predictions : null,
    });
    change(new Map(samples.map((sample) => [sample.id, made(sample)])));
  } else {
    await reload();
  }
  counts.load();
  return { changed, reason };
}

/** Pictures as they were before a decision: it can be taken back. */
export function remember(before) {
  decided.value = [...decided.peek(), { id: before[0].id, before }].slice(-MOST_DECIDED);
}

/** Take the last decision back; returns what it was about, or null. */
export async function takeBack() {
  const last = decided.peek().at(-1);
  if (!last) return null;
  decided.value = decided.peek().slice(0, -1); // first: what cannot be taken back must not stand in the way of others
  const groups = new Map();
  for (const sample of last.before) {
    // What was refused at Edge Impulse can only be approved again.
    const state = ["new", "approved", "discarded"].includes(sample.state) ? sample.state : "approved";
    const key = sample.boxes ? sample.id : state;
    if (!groups.has(key)) groups.set(key, { state, samples: [], boxes: sample.boxes && state === "approved" ? sample.boxes : undefined });
    groups.get(key).samples.push(sample);
  }
  for (const { state, samples, boxes } of groups.values()) {
    await decide(samples, state, { boxes: boxes?.map(({ label, x, y, width, height }) => ({ label, x, y, width, height })) });
  }
  return last;
}

function change(samples) {
  const now = pictures.peek();
  const before = fitting(now).length;
  const next = { ...now, samples: now.samples.map((one) => samples.get(one.id) ?? one) };
  batch(() => {
    pictures.value = { ...next, total: now.total === null ? null : now.total + fitting(next).length - before };
    const left = new Set([...chosen.peek()].filter((id) => !samples.has(id)));
    if (left.size !== chosen.peek().size) chosen.value = left;
  });
}

/** Ask anew for the pictures that are shown. */
async function reload() {
  const { key, wanted, samples } = pictures.peek();
  const mine = ++asking;
  await take(mine, async () => {
    const all = [];
    let total = 0;
    do {
      const page = await get("samples", { ...wanted, limit: 200, offset: all.length });
      total = page.total;
      if (page.samples.length === 0) break;
      all.push(...page.samples);
    } while (all.length < Math.min(samples.length, total));
    return { key, wanted, samples: all, total };
  });
}

/** Where the picture lies; `width`: scaled down to it. */
export const pictureAddress = (id, width) => `api/v1/samples/${encodeURIComponent(id)}/picture${width ? `?width=${width}` : ""}`;

/** The whole picture as a box: how a class is told. */
export const wholeOf = ({ width, height }, label) => ({ label, x: 0, y: 0, width, height });

export const whyNoReview = (may) => (may ? null : t("Viewers cannot approve or discard pictures."));
