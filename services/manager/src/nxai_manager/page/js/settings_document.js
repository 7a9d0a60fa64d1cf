// settings.json as an object, with what is left out filled in by the schema's own defaults.
import { patch, path } from "./api.js";
import { cameras, resource, settings } from "./store.js";
import { signal } from "./view.js";

export const schema = resource("settings/schema");

/** The document in the file, or null where it is no JSON; passwords are dots. */
export function documentOf(told) {
  try {
    return JSON.parse(told.text);
  } catch {
    return null;
  }
}

/** `value` with the defaults of a part of the schema: filled(schema, "EventOptions", {enabled: false}). */
export function filled(whole, part, value = {}) {
  const made = { ...value };
  for (const [name, shape] of Object.entries(whole.$defs[part]?.properties ?? {})) {
    const inner = shape.$ref?.split("/").pop();
    if (inner && whole.$defs[inner]?.properties) {
      made[name] = filled(whole, inner, value[name] ?? shape.default ?? {});
    } else if (!(name in made) && "default" in shape) {
      made[name] = shape.default;
    }
  }
  return made;
}

/** Bounds of a number: {min, max} as the schema says. */
export function bounds(whole, part, name) {
  const shape = whole.$defs[part].properties[name];
  return { min: shape.minimum ?? shape.exclusiveMinimum, max: shape.maximum };
}

/**
 * Saves parts of the settings as they are changed: `save({logger: {keep_days: 7}})`, `saveCamera("front", {...})`.
 * `error` is an ApiError whose problems say where, `busy` is true meanwhile.
 */
export function saver() {
  const error = signal(null);
  const busy = signal(false);
  async function during(work) {
    busy.value = true;
    try {
      const told = await work();
      error.value = null;
      await Promise.all([settings.load(), cameras.data.peek() && cameras.load()]);
      return told;
    } catch (reason) {
      error.value = reason;
      throw reason;
    } finally {
      busy.value = false;
    }
  }
  return {
    error,
    busy,
    save: (changes) => during(() => patch("settings", { changes })),
    saveCamera: (id, changes) => during(() => patch(path`cameras/${id}`, changes)),
  };
}

