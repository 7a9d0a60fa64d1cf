// Changes of a camera's settings: made to those that are in force, never over somebody else's.
import { ApiError, patch, path } from "../../api.js";
import { showError, toast } from "../../components/toast.js";
import { useUnsaved } from "../../components/unsaved.js";
import { t } from "../../i18n.js";
import { cameras } from "../../store.js";
import { useEffect, useRef, useState } from "../../view.js";

const settingsOf = (id) => cameras.data.peek()?.cameras.find((one) => one.id === id)?.settings;

/**
 * Change a camera: make(settings) -> merge patch. When somebody else was faster it is made once more, to what is there
 * now; returning null gives up, and throws why.
 */
export async function change(id, make) {
  for (let refusal = null; ; ) {
    const wanted = make(settingsOf(id) ?? {});
    if (wanted === null) throw refusal ?? new ApiError({ status: 409, detail: t("Somebody else has changed it meanwhile.") });
    try {
      const told = await patch(path`cameras/${id}`, wanted, { query: { revision: cameras.data.peek().revision } });
      await cameras.load();
      return told;
    } catch (error) {
      if (error.status !== 409 || refusal) throw error;
      refusal = error;
      await cameras.load();
    }
  }
}

/** For a control that acts at once. */
export const changeNow = (id, make) => change(id, make).then(tellSaved, showError);

export const tellSaved = (told) =>
  told.held_up
    ? toast(t("Saved. {reason}", { reason: told.held_up }), { tone: "warn" })
    : toast(t("Saved, and in force."), { tone: "ok" });

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The merge patch (RFC 7396) that makes `to` of `from`: null takes a key away. */
export function difference(from, to) {
  const made = {};
  for (const [key, value] of Object.entries(to)) {
    const before = from[key];
    if (JSON.stringify(before) === JSON.stringify(value)) continue;
    made[key] = isObject(before) && isObject(value) ? difference(before, value) : value;
  }
  for (const key of Object.keys(from)) if (!(key in to)) made[key] = null;
  return made;
}

/**
 * Draft of a part of a camera. `read(settings)` gives what is edited, `write(draft)` the settings it stands for
 * (itself, when left out). What somebody else saves meanwhile comes in while nothing is changed here; else `behind`
 * says so, and nothing is saved until undo() (theirs is taken) or keepMine().
 */
export function useDraft(camera, read, write = (draft) => draft) {
  const text = JSON.stringify(read(camera.settings));
  const [base, setBase] = useState(text);
  const [draft, setDraft] = useState(() => JSON.parse(text));
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const saved = useRef(null); // what was sent, until it comes back as settings
  const mine = JSON.stringify(draft);
  const dirty = mine !== base && mine !== saved.current;
  const behind = dirty && !busy && text !== base && saved.current === null;
  const take = () => {
    setBase(text);
    setDraft(JSON.parse(text));
    setError(null);
  };
  useEffect(() => {
    if (busy || (text === base && saved.current === null)) return;
    if (!dirty || mine === text || mine === saved.current) take();
    else if (saved.current !== null) setBase(text); // something was typed while it was saved
    saved.current = null;
  }, [text, busy]);
  useUnsaved(dirty && !busy);

  async function save() {
    setBusy(true);
    try {
      const told = await change(camera.id, (now) =>
        JSON.stringify(read(now)) === base ? difference(write(JSON.parse(base)), write(draft)) : null,
      );
      saved.current = mine;
      setError(null);
      tellSaved(told);
    } catch (reason) {
      setError(reason);
      if (reason.problems?.length) requestAnimationFrame(focusWrong);
    } finally {
      setBusy(false);
    }
  }

  const keepMine = () => {
    setBase(text);
    setError(null);
  };
  const errors = (where) => error?.for?.(where) ?? [];
  return { draft, setDraft, dirty, behind, error, errors, save, undo: take, keepMine };
}

/** Where a form was refused, one goes on typing. */
export const focusWrong = () => document.querySelector('[aria-invalid="true"]')?.focus();

/** What is wrong and has no field to stand at: an error for ErrorNote, or null. `fields`: names that have one. */
export function elsewhere(error, fields) {
  if (!error?.problems?.length) return error;
  const rest = error.problems.filter(({ where = "" }) => !fields.includes(where.split(".").at(-1)));
  if (rest.length === error.problems.length) return error;
  return rest.length ? { message: t("Not saved."), problems: rest } : null;
}
