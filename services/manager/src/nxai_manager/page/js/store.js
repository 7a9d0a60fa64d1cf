// What several pages share: who is logged in, and the lists of cameras, models and settings.
import { access, ApiError, get, post, put, remove } from "./api.js";
import { settingsNow, start, stop } from "./live.js";
import { batch, computed, effect, signal } from "./view.js";

// -- session -------------------------------------------------------------------------------------

/**
 * {state: "setup"|"login"|"in", user, role, scopes, csrf, device: {id, name, serial}, version};
 * null until it is known.
 */
export const session = signal(null);
/** ApiError why the session is not known. */
export const sessionError = signal(null);
/** True once a session ended by itself: the login page says so. */
export const sessionEnded = signal(false);

/** May this person do that? "read", "operate", "configure", "accounts". */
export const can = (scope) => session.value?.scopes?.includes(scope) ?? false;

export const deviceName = computed(() => session.value?.device?.name || session.value?.device?.id || "nxai-edge");

export async function loadSession() {
  try {
    take(await get("session"));
  } catch (error) {
    sessionError.value = error;
  }
}

let leaving = false;

function take(told) {
  batch(() => {
    const was = session.value;
    access.csrf = told.csrf ?? "";
    sessionError.value = null;
    if (told.state === "in") sessionEnded.value = false;
    else if (was?.state === "in") {
      sessionEnded.value = !leaving;
      forget();
    }
    session.value = told;
  });
}

export async function logIn(username, password) {
  take(await post("session", { username, password }));
}

/** body: {username, password, device_name}; returns what did not work beside the rest. */
export async function setUp(body) {
  const told = await post("setup", body);
  take(told);
  return told.notes ?? [];
}

export async function logOut() {
  leaving = true;
  try {
    await remove("session");
    await loadSession();
  } finally {
    leaving = false;
  }
}

/** {old, new}; other sessions of this user end. */
export async function changePassword(body) {
  take(await put("session/password", body));
}

function forget() {
  for (const one of resources) one.forget();
}

// A question was refused: the session is over, or the page's copy of it is old.
access.onEnd = loadSession;

effect(() => (session.value?.state === "in" ? start() : stop()));

// -- lists ---------------------------------------------------------------------------------------

const resources = [];

/**
 * What a GET answers, kept for all who show it. `data`, `error`, `loading` are signals; load() asks
 * anew (all who ask while a question is under way share the one after it), want() asks only when nothing is there yet.
 */
export function resource(where, query) {
  const data = signal(null);
  const error = signal(null);
  const loading = signal(false);
  let running = null;
  let next = null;

  async function ask() {
    loading.value = true;
    try {
      const answer = await get(where, query);
      batch(() => {
        data.value = answer;
        error.value = null;
      });
    } catch (reason) {
      error.value = reason instanceof ApiError ? reason : new ApiError({ status: 0, detail: String(reason) });
    } finally {
      loading.value = false;
      running = null;
    }
    return data.value;
  }

  const made = {
    data,
    error,
    loading,
    // What runs may be answered with what was: who asks for the newest meanwhile gets another answer.
    load() {
      if (!running) return (running = ask());
      next ??= running.then(() => {
        next = null;
        return (running ??= ask());
      });
      return next;
    },
    want: () => (data.value === null ? (running ?? made.load()) : Promise.resolve(data.value)),
    forget: () => {
      data.value = null;
      error.value = null;
    },
  };
  resources.push(made);
  return made;
}

export const cameras = resource("cameras");
export const models = resource("models");
export const settings = resource("settings");
export const run = resource("run");

// Settings changed, by whomever: what follows from them is asked anew, where it is shown at all.
let revision = null;
effect(() => {
  const now = settingsNow.value?.revision;
  if (!now || now === revision) return;
  const first = revision === null;
  revision = now;
  if (first) return;
  for (const one of [cameras, models, settings, run]) if (one.data.peek() !== null) one.load();
  loadSession(); // the name of the box stands in the settings, too
});
