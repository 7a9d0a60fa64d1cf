// Numbers, times and sizes as text, in the viewer's zone and language.
import { locale, t } from "./i18n.js";

const cache = new Map();

function kept(kind, options) {
  const key = kind.name + JSON.stringify(options);
  if (!cache.has(key)) cache.set(key, new kind(locale(), options));
  return cache.get(key);
}

const DASH = "–";

/** 1234.5678 -> "1,234.6"; `digits` after the point at most. */
export function number(value, digits = 1) {
  if (value === null || value === undefined || Number.isNaN(value)) return DASH;
  return kept(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
}

/** 0.8123 -> "81 %". */
export function percent(fraction, digits = 0) {
  if (fraction === null || fraction === undefined || Number.isNaN(fraction)) return DASH;
  return kept(Intl.NumberFormat, { style: "percent", maximumFractionDigits: digits }).format(fraction);
}

/** Confidence, always two digits: "0.81". */
export function score(value) {
  if (value === null || value === undefined) return DASH;
  return kept(Intl.NumberFormat, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value);
}

const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** 1536000 -> "1.5 MB" (powers of 1000, as disks are sold). */
export function bytes(value) {
  if (value === null || value === undefined) return DASH;
  let step = 0;
  while (Math.abs(value) >= 1000 && step < SIZES.length - 1) {
    value /= 1000;
    step += 1;
  }
  const unit = SIZES[step];
  return kept(Intl.NumberFormat, {
    style: "unit",
    unit,
    unitDisplay: "short",
    maximumFractionDigits: value < 10 && step > 0 ? 1 : 0,
  }).format(value);
}

/** Milliseconds: 4.21 -> "4.2 ms", 1830 -> "1.8 s". */
export function milliseconds(value) {
  if (value === null || value === undefined) return DASH;
  if (value < 1000) return `${number(value, value < 10 ? 1 : 0)} ms`;
  return `${number(value / 1000, 1)} s`;
}

/** Length of time in seconds: "8 s", "3 min 5 s", "2 h 10 min", "4 d 3 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  const steps = [
    [86400, t("d")],
    [3600, t("h")],
    [60, t("min")],
    [1, t("s")],
  ];
  const first = steps.findIndex(([size]) => whole >= size);
  if (first === -1) return `0 ${t("s")}`;
  const [size, unit] = steps[first];
  const rest = steps[first + 1] ? Math.floor((whole % size) / steps[first + 1][0]) : 0;
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${steps[first + 1][1]}` : ""}`;
}

/** The box's clock may differ from this one's: live.js keeps the difference here (ms). */
export const clock = { offset: 0 };

/** Now, by the box's clock. */
export const boxNow = () => Date.now() + clock.offset;

const moment = (when) => (when instanceof Date ? when.getTime() : typeof when === "number" ? when : Date.parse(when));

/** Seconds since `when` (ISO text, ms or Date), by the box's clock. */
export const ageSeconds = (when) => Math.max(0, (boxNow() - moment(when)) / 1000);

/** "now", "3 s ago", "5 min ago", "yesterday"; `when` as ISO text, ms or Date. */
export function age(when) {
  if (when === null || when === undefined) return DASH;
  const seconds = (boxNow() - moment(when)) / 1000;
  if (seconds > -1 && seconds < 1) return t("now");
  const relative = kept(Intl.RelativeTimeFormat, { numeric: "auto", style: "short" });
  const sign = seconds < 0 ? 1 : -1;
  const size = Math.abs(seconds);
  if (size < 60) return relative.format(sign * Math.round(size), "second");
  if (size < 3600) return relative.format(sign * Math.round(size / 60), "minute");
  if (size < 86400) return relative.format(sign * Math.round(size / 3600), "hour");
  return relative.format(sign * Math.round(size / 86400), "day");
}

/** Day and time of day with seconds; today's only the time. */
export function time(when) {
  if (when === null || when === undefined) return DASH;
  const at = new Date(moment(when));
  const today = at.toDateString() === new Date().toDateString();
  return kept(Intl.DateTimeFormat, {
    ...(today ? {} : { day: "numeric", month: "short", year: "numeric" }),
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).format(at);
}

/** Day and time, always both, with the zone: for titles and details. */
export function fullTime(when) {
  if (when === null || when === undefined) return DASH;
  return kept(Intl.DateTimeFormat, { dateStyle: "full", timeStyle: "long" }).format(new Date(moment(when)));
}

/** "3 Apr 2026". */
export function day(when) {
  if (when === null || when === undefined) return DASH;
  return kept(Intl.DateTimeFormat, { dateStyle: "medium" }).format(new Date(moment(when)));
}

/** A reason as the box tells it, as a sentence begins: "no route to it" -> "No route to it"; an address stays as it is. */
export const sentence = (text) => (text && !/^\w+:\/\//.test(text) ? text[0].toUpperCase() + text.slice(1) : text);

/** "a, b and c" in the language shown. */
export const list = (items) => kept(Intl.ListFormat, { type: "conjunction" }).format(items);
