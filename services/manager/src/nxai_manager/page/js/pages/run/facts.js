// What is known of a camera and its models, put together for the parts of the Run page.
import { boxToken, labelIndex } from "../../colours.js";
import { t } from "../../i18n.js";
import { manifests, statuses } from "../../live.js";
import { to } from "../../router.js";

/** What inference last said of a model (ModelStatus), or undefined. */
export function modelStatus(model) {
  let found;
  for (const { models } of statuses.value.values()) {
    const one = models?.find((each) => each.model === model);
    if (one && (!found || one.state === "ready")) found = one;
  }
  return found;
}

/** All labels of the models that look at a camera, in their order, each with its colour: Map label -> token. */
export function labelsOf(camera) {
  const labels = new Map();
  for (const model of camera.models) {
    const names = manifests.value.get(model)?.labels ?? [];
    for (const label of names) if (!labels.has(label)) labels.set(label, boxToken(labelIndex(label, names)));
  }
  return labels;
}

/** Colour of a label of a model, whether the model is still there or not. */
export const tokenOf = (label, model) => boxToken(labelIndex(label, manifests.value.get(model)?.labels));

/**
 * Why no model looks at this camera, or null: {key, text, href (what to do), action (its words)}.
 * The camera's own troubles (no picture) are told by its tile.
 */
export function whyBlind(camera, boxRuns) {
  if (!camera.enabled) return null;
  if (!camera.models.length)
    return {
      key: "none",
      text: t("No model looks at this camera."),
      href: to("input", camera.id),
      action: t("Choose one"),
    };
  const failed = camera.models.map(modelStatus).find((one) => one?.state === "failed");
  if (failed)
    return {
      key: "failed",
      text: t("Model {model}: {reason}", { model: failed.model, reason: failed.reason || failed.failed }),
      href: to("model"),
      action: t("To the models"),
    };
  if (!boxRuns) return { key: "box" };
  if (!camera.run) return { key: "camera" };
  const loading = camera.models.find((model) => modelStatus(model)?.state === "loading");
  if (loading)
    return {
      key: "loading",
      text: t("Model {model} is being loaded.", { model: manifests.value.get(loading)?.name || loading }),
    };
  return null;
}
