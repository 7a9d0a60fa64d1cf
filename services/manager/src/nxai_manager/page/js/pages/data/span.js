// Which time is looked at: the last hour ... up to now, or one of one's own. It stands in the address.
import { boxNow } from "../../format.js";
import { t } from "../../i18n.js";
import { useEffect, useState } from "../../view.js";

const HOUR_S = 3600;
export const REFRESH_S = 15;

/** Times up to now: id, seconds, words. */
export const PRESETS = [
  { id: "hour", seconds: HOUR_S, label: () => t("1 hour"), title: () => t("Last hour") },
  { id: "six", seconds: 6 * HOUR_S, label: () => t("6 hours"), title: () => t("Last 6 hours") },
  { id: "day", seconds: 24 * HOUR_S, label: () => t("Day"), title: () => t("Last 24 hours") },
  { id: "week", seconds: 7 * 24 * HOUR_S, label: () => t("Week"), title: () => t("Last 7 days") },
  { id: "month", seconds: 30 * 24 * HOUR_S, label: () => t("Month"), title: () => t("Last 30 days") },
];
const USUAL = "hour";

/** {preset (null: of one's own), since, until (ISO)} as the address says: {range} or {since, until}. */
export function spanOf({ range, since, until }, now = boxNow()) {
  if (isTime(since) && isTime(until) && Date.parse(since) < Date.parse(until)) {
    return { preset: null, since: new Date(since).toISOString(), until: new Date(until).toISOString() };
  }
  const preset = PRESETS.find(({ id }) => id === range) ?? PRESETS.find(({ id }) => id === USUAL);
  return { preset, since: iso(now - preset.seconds * 1000), until: iso(now) };
}

const isTime = (text) => Boolean(text) && !Number.isNaN(Date.parse(text));
const iso = (ms) => new Date(ms).toISOString();

/** The time of the address; one that reaches to now moves on with it while the page is seen. */
export function useSpan(query) {
  const key = [query.range, query.since, query.until].join();
  const [span, setSpan] = useState(() => ({ key, ...spanOf(query) }));
  const now = span.key === key ? span : { key, ...spanOf(query) };
  useEffect(() => {
    setSpan(now);
    if (!now.preset) return undefined;
    let missed = false;
    const move = () => {
      missed = document.hidden;
      if (!missed) setSpan({ key, ...spanOf(query) });
    };
    const timer = setInterval(move, REFRESH_S * 1000);
    const seen = () => !document.hidden && missed && move();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key]);
  return now;
}

/** "2026-11-29T17:05" as a control has it, in the viewer's zone; and back, as ISO text. */
export const asLocal = (text) => {
  const at = new Date(text);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};
export const fromLocal = (text) => (text ? new Date(text).toISOString() : "");
