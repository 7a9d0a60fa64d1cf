// What the publisher last told of itself, part by part: listen("status", "alarms", "states") for it.
import { alarms, states, statuses } from "./live.js";

const EARLIER_MS = 10_000; // a picture may be older than the publisher that looks at its result

/** Its Status, or null while nothing was heard. */
export const publisher = () => [...statuses.value.values()].find(({ role }) => role === "publisher") ?? null;

/** Whether it is there and works, be it with problems. */
export const publisherRuns = () => ["running", "degraded"].includes(publisher()?.state);

/** Why a part does not work: problemOf("destination shop"); empty: nothing was told. */
export const problemOf = (about) =>
  (publisher()?.problems ?? [])
    .filter((one) => one.about === about)
    .map(({ reason }) => reason)
    .join("; ");

/** Ever-growing counts and what is now; null: it tells none of that name. */
export const counter = (name) => publisher()?.counters?.[name] ?? null;
export const gauge = (name) => publisher()?.gauges?.[name] ?? null;

/**
 * Alarms that hold now, the newest first. One of a publisher that was killed never ends: it holds no more. Of one that
 * began before anybody listened the camera's state alone knows, and that has neither count nor objects.
 */
export function raisedAlarms() {
  if (!publisherRuns()) return [];
  const since = Date.parse(publisher().started_at);
  const known = alarms.value;
  const unheard = [...states.value.values()]
    .filter(({ timestamp_ms: at }) => at >= since)
    .flatMap(({ camera, alarms: held = [] }) => held.filter(({ id }) => !known.has(id)).map((one) => ({ ...one, camera })));
  const heard = [...known.values()].filter(({ alarm, timestamp_ms: at }) => alarm !== "end" && at >= since - EARLIER_MS);
  return [...unheard, ...heard].sort((a, b) => Date.parse(b.started_at) - Date.parse(a.started_at));
}
