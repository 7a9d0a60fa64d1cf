// Which page is shown: #/input/front/areas is page "input" with path ["front", "areas"].
import { signal } from "./view.js";

function parse(hash) {
  const [place, search = ""] = hash.replace(/^#?\/?/, "").split("?");
  const parts = place.split("/").filter(Boolean).map(decode);
  return { hash, page: parts[0] ?? "", path: parts.slice(1), query: Object.fromEntries(new URLSearchParams(search)) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** {hash, page, path, query} of what is shown. */
export const route = signal(parse(location.hash));

/** href of a place: to("input", camera, "areas") or to("data", {tab: "charts"}). */
export function to(...parts) {
  const query = typeof parts.at(-1) === "object" ? parts.pop() : null;
  const place = parts.map(encodeURIComponent).join("/");
  const search = query ? new URLSearchParams(query).toString() : "";
  return `#/${place}${search ? `?${search}` : ""}`;
}

/** Go there. `replace`: the back button skips the place that is left. */
export function go(hash, { replace = false } = {}) {
  if (hash === location.hash) return;
  if (replace) {
    history.replaceState(null, "", hash);
    arrive();
  } else {
    location.hash = hash;
  }
}

// Each entry of the browser's history gets a number, under which its scroll position is kept.
const scrolls = new Map();
history.scrollRestoration = "manual";
let entry = mark();
let going = 0;

function mark() {
  if (history.state?.entry === undefined) {
    history.replaceState({ entry: `${Date.now().toString(36)}.${history.length}` }, "");
  }
  return history.state.entry;
}

const growth = new ResizeObserver(() => scrollBack());
const GROWS_MS = 10_000; // what is not there by then is not waited for
let grown;
const BY_HAND = ["wheel", "touchstart", "pointerdown", "keydown"];

function scrollBack() {
  const top = scrolls.get(entry) ?? 0;
  scrollTo({ top, behavior: "instant" });
  if (scrollY >= Math.floor(top)) growth.disconnect();
}

/**
 * Scroll to where this place was left, or to its top. Called once a page is drawn; what comes from the box comes
 * later, and until then the page may be too short for that, unless somebody scrolls meanwhile.
 */
export function restoreScroll() {
  growth.disconnect();
  growth.observe(document.body);
  clearTimeout(grown);
  grown = setTimeout(() => growth.disconnect(), GROWS_MS);
  scrollBack();
}

for (const kind of BY_HAND) addEventListener(kind, () => growth.disconnect(), { passive: true });

// -- unsaved changes ---------------------------------------------------------------------------

const guards = new Set();

/**
 * While there is something unsaved: `guard({page, path, query})` says (or promises) whether that
 * place may be shown. Returns how to end it.
 */
export function guardLeaving(guard) {
  guards.add(guard);
  return () => guards.delete(guard);
}

addEventListener("beforeunload", (event) => {
  if (guards.size) event.preventDefault();
});

async function arrive() {
  const wanted = location.hash;
  const left = route.value.hash;
  if (wanted === left) return;
  const mine = ++going;
  if (guards.size) {
    const state = history.state;
    history.replaceState({ entry }, "", left || "#/");
    for (const guard of [...guards]) if (!(await guard(parse(wanted)))) return;
    if (mine !== going) return;
    if (state?.entry === undefined) history.pushState(null, "", wanted);
    else history.replaceState(state, "", wanted);
  }
  scrolls.set(entry, scrollY);
  entry = mark();
  route.value = parse(wanted);
}

addEventListener("hashchange", arrive);
