// An alarm rule as a sentence.
import { list, number, score } from "../../format.js";
import { locale, t } from "../../i18n.js";

const either = (words) => new Intl.ListFormat(locale(), { type: "disjunction" }).format(words);

/** "At least 2 × nut in the area for 3 s on Front door". `names`: Map camera -> name. */
export function sentenceOf({ labels = [], min_confidence: least = 0, area = null, compare = "at-least", count = 1, for_s: seconds = 0, cameras = [] }, names) {
  const what = labels.length ? either(labels) : t("object||of any label");
  const n = number(count, 0);
  const parts = [compare === "at-least" ? t("At least {n} × {what}", { n, what }) : count === 0 ? t("No {what}", { what }) : t("At most {n} × {what}", { n, what })];
  if (least > 0) parts.push(t("of {n} or more", { n: score(least) }));
  if (area) parts.push(t("in the area"));
  if (seconds > 0) parts.push(t("for {n} s", { n: number(seconds) }));
  parts.push(cameras.length ? t("on {cameras}", { cameras: list(cameras.map((id) => names.get(id) ?? id)) }) : t("on any camera"));
  return parts.join(" ");
}
