// Which models look at a camera: those of the settings stand in the file, imported ones are deployed.
import { path, post } from "../../api.js";
import { cameras, models } from "../../store.js";
import { change } from "./change.js";

const idOf = (use) => (typeof use === "string" ? use : use.id);

/** Let a model look at a camera, or not any more. */
export async function assign(model, camera, on) {
  const about = models.data.peek().models.find((one) => one.model === model);
  if (about.source === "settings") {
    await change(camera, ({ models: now = [] }) => {
      const others = now.filter((use) => idOf(use) !== model);
      return { models: on ? [...others, model] : others };
    });
  } else if (on) {
    await post(path`models/${model}/deploy`, { cameras: [...new Set([...about.cameras, camera])] });
  } else {
    await post(path`models/${model}/undeploy`, { cameras: [camera] });
  }
  await Promise.all([cameras.load(), models.load()]);
}

/** Threshold of a model on a camera, where the camera says one of its own; else null. */
export function ownThreshold({ settings }, model) {
  const use = (settings.models ?? []).find((one) => idOf(one) === model);
  return typeof use === "object" ? (use.threshold ?? null) : null;
}

/** null: as the model says. */
export const setThreshold = (camera, model, threshold) =>
  change(camera.id, ({ models: now = [] }) => ({
    models: now.map((use) => {
      if (idOf(use) !== model) return use;
      const { threshold: _before, ...rest } = typeof use === "string" ? { id: use } : use;
      if (threshold !== null) return { ...rest, threshold };
      return Object.keys(rest).length === 1 ? rest.id : rest;
    }),
  }));
