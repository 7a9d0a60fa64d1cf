// What each camera showed over the last minutes: one bucket a second, in this page's memory alone.
import { boxNow } from "./format.js";
import { listen, onDetections } from "./live.js";
import { signal, useEffect } from "./view.js";

export const MINUTES = 5;
const SECONDS = MINUTES * 60;
const FRESH_MS = 3000; // what was found longer ago is not "now"

/** Counts up once a second while somebody looks. */
export const tick = signal(0);

class Bucket {
  constructor(second) {
    this.second = second;
    this.models = new Map(); // model -> {results, latency (sum, ms), objects (sum), counts: {label: sum}}
    this.age = null; // of the picture shown (ms), at its oldest
  }
}

/** One camera. Pure but for the clock passed in (ms). */
export class Recent {
  constructor() {
    this.buckets = new Array(SECONDS);
    this.newest = new Map(); // model -> {detections, at}
    this.began = null;
  }

  bucket(now) {
    const second = Math.floor(now / 1000);
    this.began ??= second;
    const kept = this.buckets[second % SECONDS];
    return kept?.second === second ? kept : (this.buckets[second % SECONDS] = new Bucket(second));
  }

  /** How old the picture is that is shown (ms). */
  shows(age, now) {
    const bucket = this.bucket(now);
    bucket.age = Math.max(bucket.age ?? 0, age);
  }

  add(detections, now) {
    const bucket = this.bucket(now);
    this.newest.set(detections.model, { detections, at: now });
    let sums = bucket.models.get(detections.model);
    if (!sums) bucket.models.set(detections.model, (sums = { results: 0, latency: 0, objects: 0, counts: {} }));
    sums.results += 1;
    sums.latency += detections.latency_ms;
    sums.objects += detections.count;
    for (const [label, n] of Object.entries(detections.counts)) sums.counts[label] = (sums.counts[label] ?? 0) + n;
  }

  /** Whole buckets of the last `span` seconds, oldest first; undefined where nothing came. */
  last(span, now) {
    const second = Math.floor(now / 1000);
    return Array.from({ length: span }, (_, index) => {
      const wanted = second - span + index;
      const bucket = this.buckets[((wanted % SECONDS) + SECONDS) % SECONDS];
      return bucket?.second === wanted ? bucket : undefined;
    });
  }

  /**
   * Points of a line, oldest first: "objects" (mean in a picture, all models together), "latency"
   * (mean, ms), "fps" (results a second of the quickest model), "age" (of the picture shown, ms). null: nothing came, or
   * not known yet.
   */
  series(what, now, { longest = 120, step = 2 } = {}) {
    const since = this.began === null ? 0 : Math.floor(now / 1000) - this.began;
    const span = Math.min(longest, Math.max(20, since - (since % step))); // a line that has just begun is not a dot
    const buckets = this.last(span, now);
    const first = Math.floor(now / 1000) - span;
    const points = [];
    for (let at = 0; at < span; at += step) {
      const some = buckets
        .slice(at, at + step)
        .filter((bucket) => bucket && (what === "age" ? bucket.age !== null : bucket.models.size));
      if (some.length) points.push(POINT[what](some, step));
      else points.push(what === "fps" && this.newest.size && first + at > this.began ? 0 : null);
    }
    return points;
  }

  /** [{model, detections}] of now; a model that has gone silent has none. */
  now(now) {
    return [...this.newest.values()].filter(({ at }) => now - at < FRESH_MS).map(({ detections }) => detections);
  }

  /** Results a second and mean latency (ms) over the last seconds; {fps: 0, latency: null} without any. */
  rates(now, span = 4) {
    const some = this.last(span, now).filter((bucket) => bucket?.models.size);
    return some.length ? { fps: POINT.fps(some, span), latency: POINT.latency(some) } : { fps: 0, latency: null };
  }

  /**
   * Objects of each label: Map label -> {now, mean, most} in a picture; `mean` and `most` (of the
   * means of a second) over the last minutes. Labels in the order of their model.
   */
  labels(now) {
    const labels = new Map();
    const entry = (label) => {
      if (!labels.has(label)) labels.set(label, { now: null, mean: 0, most: 0 });
      return labels.get(label);
    };
    for (const { detections } of this.newest.values()) for (const label of Object.keys(detections.counts)) entry(label);
    for (const { counts } of this.now(now)) for (const [label, n] of Object.entries(counts)) entry(label).now += n;
    let seconds = 0;
    for (const bucket of this.last(SECONDS - 1, now)) {
      if (!bucket?.models.size) continue;
      seconds += 1;
      for (const { results, counts } of bucket.models.values()) {
        for (const [label, sum] of Object.entries(counts)) {
          const one = entry(label);
          one.mean += sum / results;
          one.most = Math.max(one.most, sum / results);
        }
      }
    }
    for (const one of labels.values()) if (seconds) one.mean /= seconds;
    return labels;
  }
}

const sum = (values) => values.reduce((whole, value) => whole + value, 0);
const each = (buckets) => buckets.flatMap((bucket) => [...bucket.models.values()]);

const POINT = {
  objects: (buckets) =>
    sum(buckets.map(({ models }) => sum([...models.values()].map(({ objects, results }) => objects / results)))) /
    buckets.length,
  latency: (buckets) =>
    sum(each(buckets).map(({ latency }) => latency)) / sum(each(buckets).map(({ results }) => results)),
  fps: (buckets, seconds) => {
    const models = new Map();
    for (const { models: some } of buckets)
      for (const [model, { results }] of some) models.set(model, (models.get(model) ?? 0) + results);
    return Math.max(0, ...models.values()) / seconds;
  },
  age: (buckets) => Math.max(...buckets.map(({ age }) => age)),
};

const known = new Map(); // camera -> Recent: kept while other pages are shown

/** Of a camera; an empty one where nothing came yet. */
export function recent(camera) {
  if (!known.has(camera)) known.set(camera, new Recent());
  return known.get(camera);
}

/** Follow these cameras while the component is shown. Reading `tick.value` draws anew each second. */
export function useRecent(cameras) {
  useEffect(() => {
    const end = listen("detections");
    const ends = cameras.map((camera) => onDetections(camera, (found) => recent(camera).add(found, Date.now())));
    const shown = new Map(); // canvas of a tile -> {camera, captured_at_us} of its picture
    const drawn = ({ target, detail }) => shown.set(target, detail);
    addEventListener("nxai:drawn", drawn);
    const timer = setInterval(() => {
      if (document.hidden) return;
      for (const [canvas, { camera, captured_at_us: at }] of shown) {
        if (!canvas.isConnected) shown.delete(canvas);
        else if (at && canvas.dataset.watched) recent(camera).shows(Math.max(0, boxNow() - at / 1000), Date.now());
      }
      tick.value += 1;
    }, 1000);
    return () => {
      end();
      removeEventListener("nxai:drawn", drawn);
      for (const one of ends) one();
      clearInterval(timer);
    };
  }, [cameras.join()]);
}
