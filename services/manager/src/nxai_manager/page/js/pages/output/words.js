// What leaves the box, as a sentence that a person can check.
import { Note } from "../../components/panels.js";
import { number, score } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { html } from "../../view.js";
import { STRATEGIES } from "./strategies.js";

export function Words({ draft, usual, document, count }) {
  const { collect, threshold } = draft;
  const upload = document?.edge_impulse?.upload ?? {};
  const lines = [limit(collect, count), reasons(collect, threshold ?? usual), t("Privacy masks are burned in before a picture is kept.")];
  lines.push(leaves(collect, upload));
  return html`<${Note} title=${t("In words")} class="output__words">
    <ul class="bullets">${lines.map((line) => html`<li>${line}</li>`)}</ul>
  <//>`;
}

function limit({ quotas, min_gap_s: gap }, count) {
  const most = [
    [quotas.per_day, (n) => t("at most {n} a day", { n: number(n, 0) })],
    [quotas.per_hour, (n) => t("at most {n} an hour", { n: number(n, 0) })],
    [quotas.per_minute, (n) => t("at most {n} a minute", { n: number(n, 0) })],
  ].find(([n]) => n > 0);
  const each = count > 1 ? tn(count, "of each of {n} camera", "of each of {n} cameras") : t("of this camera");
  const pause = gap > 0 ? t(", {n} s apart", { n: number(gap) }) : "";
  return `${t("Kept:")} ${most ? most[1](most[0]) : t("as many as come")} ${each}${pause}.`;
}

function reasons({ strategies }, threshold) {
  if (strategies.length === 0) return t("No reason is chosen, so nothing is kept.");
  const words = strategies.map(({ strategy }) =>
    strategy === "uncertain"
      ? t("any block or detection is below {n}", { n: score(threshold) })
      : (STRATEGIES.find(({ name }) => name === strategy)?.label() ?? strategy),
  );
  return t("Only when: {reasons}.", { reasons: words.join(t(", or ")) });
}

function leaves({ upload: may }, { mode = "manual", window = "", mb_per_day: mb = 500, predictions = true }) {
  if (may === "never") return t("They never leave this box.");
  const when = {
    manual: t("They leave this box only when somebody presses Upload."),
    approved: t("Those that a person approved are sent to Edge Impulse by themselves."),
    automatic: t("They are sent to Edge Impulse by themselves, without anybody's look."),
  }[mode];
  const limits = mode === "manual" ? [] : [window && t("between {window}", { window }), mb > 0 && t("at most {n} MB a day", { n: number(mb, 0) })].filter(Boolean);
  const what = predictions ? t("With them goes what the model saw.") : "";
  return `${when}${limits.length ? ` ${t("Limits: {limits}.", { limits: limits.join(", ") })}` : ""} ${what}`.trim();
}
