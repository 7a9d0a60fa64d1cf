// Which models look at a camera: those of the settings stand in the file, imported ones are deployed.
import { patch, path, post } from "../../api.js";
import { cameras, models } from "../../store.js";

const idOf = (use) => (typeof use === "string" ? use : use.id);

/** Let a model look at a camera, or not any more. */
export async function assign(model, camera, on) {
  const about = models.data.peek().models.find((one) => one.model === model);
  if (about.source === "settings") {
    const { settings } = cameras.data.peek().cameras.find(({ id }) => id === camera);
    const now = settings.models ?? [];
    const next = on ? [...now, model] : now.filter((use) => idOf(use) !== model);
    await patch(path`cameras/${camera}`, { models: next });
  } else if (on) {
    await post(path`models/${model}/deploy`, { cameras: [...new Set([...about.cameras, camera])] });
  } else {
    await post(path`models/${model}/undeploy`, { cameras: [camera] });
  }
  await Promise.all([cameras.load(), models.load()]);
}

/** Threshold of a model on a camera, where the camera says one of its own. */
export function ownThreshold(camera, model) {
  const use = (camera.settings.models ?? []).find((one) => idOf(one) === model);
  return typeof use === "object" ? (use.threshold ?? null) : null;
}

export async function setThreshold(camera, model, threshold) {
  const next = (camera.settings.models ?? []).map((use) => {
    if (idOf(use) !== model) return use;
    const full = typeof use === "string" ? { id: use } : { ...use };
    if (threshold === null) delete full.threshold;
    else full.threshold = threshold;
    return Object.keys(full).length === 1 ? full.id : full;
  });
  await patch(path`cameras/${camera.id}`, { models: next });
  await cameras.load();
}
