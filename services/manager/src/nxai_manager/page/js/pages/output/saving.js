// Changes of the outputs: made to those that are in force, never over somebody else's.
import { ApiError, patch, post } from "../../api.js";
import { t } from "../../i18n.js";
import { documentOf } from "../../settings_document.js";
import { settings } from "../../store.js";

const now = () => documentOf(settings.data.peek()) ?? {};

/**
 * Change the outputs: make(outputs in force) -> merge patch of them. When somebody else was faster it is made once more,
 * to what is there now. Returns why it is not in force yet, or "".
 */
export async function changeOutputs(make) {
  for (let refusal = null; ; ) {
    try {
      const changes = { outputs: make(now().outputs ?? {}) };
      const told = await patch("settings", { changes, revision: settings.data.peek().revision });
      await settings.load();
      return told.held_up ?? "";
    } catch (error) {
      if (error.status !== 409 || refusal || !(error instanceof ApiError)) throw error;
      refusal = error;
      await settings.load();
    }
  }
}

/** Throw what would be refused of a change, without making it. */
export async function checkOutputs(make) {
  const document = now();
  const outputs = { ...document.outputs };
  for (const [key, value] of Object.entries(make(document.outputs ?? {}))) {
    if (value === null) delete outputs[key];
    else outputs[key] = value;
  }
  const { problems } = await post("settings/check", { text: JSON.stringify({ ...document, outputs }) });
  if (problems.length) throw new ApiError({ status: 422, detail: t("It cannot be saved like this."), problems });
}

/** What is wrong, found here before the box is asked: refusal({"outputs.alarms.a.name": "Give it a name."}). */
export const refusal = (reasons) =>
  new ApiError({ status: 422, detail: t("It cannot be saved like this."), problems: Object.entries(reasons).map(([where, reason]) => ({ where, reason })) });

/**
 * A change of one of a list ("destinations", "alarms", "processors"), for changeOutputs(). `before`: as it was read;
 * null: a new one. `after`: what it shall be; null: gone.
 */
export const oneOf = (what, before, after) => (outputs) => {
  const listed = outputs[what] ?? [];
  if (!before) return { [what]: [...listed, after] };
  const at = listed.findIndex(({ id }) => id === before.id);
  if (JSON.stringify(listed[at]) !== JSON.stringify(before)) {
    throw new Error(t("Somebody else has changed it meanwhile. Close this, and look at what is there now."));
  }
  return { [what]: after ? listed.with(at, after) : listed.toSpliced(at, 1) };
};

/** Set some fields of one of a list, whatever else was changed in it. */
export const fieldsOf = (what, id, fields) => (outputs) => ({ [what]: (outputs[what] ?? []).map((one) => (one.id === id ? { ...one, ...fields } : one)) });

/**
 * A part as it stands in the file: without what is left out as well, but with all that was said `before`. Null and
 * undefined are left out, too.
 */
export function slim(whole, part, value, before = {}) {
  const shapes = whole.$defs[part].properties;
  const order = new Set([...Object.keys(before), "id", "name", "type", ...Object.keys(shapes)]);
  const made = {};
  for (const key of order) {
    if (value[key] === undefined || value[key] === null) continue;
    const usual = "default" in (shapes[key] ?? {}) ? shapes[key].default : shapes[key]?.type === "object" ? {} : undefined;
    const same = JSON.stringify(value[key]) === JSON.stringify(usual);
    if (key === "type" || key in before || !same) made[key] = value[key];
  }
  return made;
}
