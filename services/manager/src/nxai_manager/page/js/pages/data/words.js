// Words for what pictures are, why they were kept, and what became of them.
import { list } from "../../format.js";
import { t } from "../../i18n.js";

const STATES = {
  new: ["info", () => t("New")],
  approved: ["ok", () => t("Approved")],
  uploading: ["info", () => t("Being sent")],
  uploaded: ["ok", () => t("Uploaded")],
  failed: ["bad", () => t("Refused")],
  discarded: ["idle", () => t("Discarded")],
};
export const PICTURE_STATES = Object.keys(STATES);

/** {tone, text} of the state of a picture. */
export function pictureState(state) {
  const [tone, words] = STATES[state] ?? ["idle", () => state];
  return { tone, text: words() };
}

const STRATEGIES = {
  uncertain: () => t("Low certainty"),
  "least-confidence": () => t("Least confidence"),
  margin: () => t("Two classes close"),
  entropy: () => t("Classes evenly likely"),
  band: () => t("Near the threshold"),
  flicker: () => t("Comes and goes"),
  interval: () => t("Every so often"),
  random: () => t("At random"),
  "nothing-found": () => t("Nothing found"),
};
export const STRATEGY_NAMES = Object.keys(STRATEGIES);
export const strategyWord = (strategy) => STRATEGIES[strategy]?.() ?? strategy;

/** What the page goes by in a picture: a person's boxes, else the model's. */
export const boxesOf = (sample) => sample.boxes ?? sample.predictions;

/** Its model names the whole picture. */
export const isClassified = (sample) => sample.scores.length > 0;

/** "nut, washer and 2 bolts" of boxes; the likeliest class of a classified picture. */
export function shownWords(sample) {
  if (isClassified(sample)) return sample.boxes?.[0]?.label ?? sample.scores[0][0];
  const counts = new Map();
  for (const { label } of boxesOf(sample)) counts.set(label, (counts.get(label) ?? 0) + 1);
  if (counts.size === 0) return t("nothing");
  return list([...counts].map(([label, n]) => (n > 1 ? `${n} × ${label}` : label)));
}

export const capturedAt = (sample) => sample.captured_at_us / 1000;
