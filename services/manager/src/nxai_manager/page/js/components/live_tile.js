// One camera as it is now: its picture, with what was found in that very picture drawn on it.
import { boxToken, labelIndex } from "../colours.js";
import { age, boxNow, milliseconds, number, score } from "../format.js";
import { t } from "../i18n.js";
import { connection, manifests, onDetections, onPreview, statuses, useListen, useWatch } from "../live.js";
import { colour, dark } from "../theme.js";
import { cls, html, useEffect, useLayoutEffect, useRef, useState } from "../view.js";
import { Icon } from "./icon.js";
import { stateWords, StateChip } from "./panels.js";

const STALE_MS = 4000; // a picture that old is not "now" any more
const KEPT = 60; // results of a model that wait for their picture: 2 s at 30 a second
const LATE_US = 1_000_000; // what was found a second before a picture says nothing about it
const QUEUE = 3;

/** What capture last said of a camera (CameraStatus), or undefined. Needs listen("status"). */
export function cameraStatus(camera) {
  for (const { cameras } of statuses.value.values()) {
    const found = cameras?.find((one) => one.camera === camera);
    if (found) return found;
  }
  return undefined;
}

/**
 * Matches pictures and results. A picture is shown together with what was found in that very frame;
 * it waits for it a moment, as long as results usually take. Pure but for the clock passed in.
 */
export class FrameMatcher {
  constructor() {
    this.results = new Map(); // model -> [Detections], oldest first
    this.latency = 0;
    this.lastResultAt = -Infinity;
  }

  add(detections, now) {
    const kept = this.results.get(detections.model) ?? [];
    if (kept.length && kept.at(-1).stream !== detections.stream) kept.length = 0;
    kept.push(detections);
    if (kept.length > KEPT) kept.shift();
    this.results.set(detections.model, kept);
    this.latency += (Math.min(1000, detections.latency_ms) - this.latency) * 0.2;
    this.lastResultAt = now;
  }

  /** How long a picture waits for its result (ms): nothing while no results come. */
  patience(now) {
    return now - this.lastResultAt > 1000 ? 0 : Math.min(250, 40 + 1.5 * this.latency);
  }

  /** {found: [Detections], exact}: of each model what fits the frame best. */
  match({ stream, sequence, captured_at_us: at }) {
    const found = [];
    let exact = true;
    for (const kept of this.results.values()) {
      const same = kept.findLast((one) =>
        stream === undefined ? true : one.stream === stream && one.sequence <= sequence,
      );
      if (!same) continue;
      if (stream !== undefined && same.sequence !== sequence) {
        exact = false;
        if (at !== undefined && at - same.timestamp_ms * 1000 > LATE_US) continue;
      }
      found.push(same);
    }
    return { found, exact: exact && found.length > 0 };
  }
}

/**
 * {camera (id), name, fps (10), width (640: of the pictures asked for), boxes (true), labels (true),
 * threshold (hide less certain ones), areas ([{kind, points}], drawn faintly), paused (keep this picture), bar (true:
 * name, state and figures below), stage (class), children (in the bar), onShown({found, sequence, exact}) }
 */
export function LiveTile({
  camera,
  name = camera,
  fps = 10,
  width = 640,
  boxes = true,
  labels = true,
  threshold = 0,
  areas,
  paused = false,
  bar = true,
  actions,
  children,
  onShown,
  class: more,
}) {
  const stage = useRef(null);
  const canvas = useRef(null);
  const view = useRef(null);
  const [seen, setSeen] = useState(true);
  const [figures, setFigures] = useState(null);
  useListen("status", "models", "detections");
  useWatch({ cameras: seen && !paused ? [camera] : [], fps, width });

  useLayoutEffect(() => {
    const painter = new Painter(canvas.current);
    view.current = painter;
    painter.onFirst = () => setFigures(painter.figures());
    const resize = new ResizeObserver(() => painter.resize());
    resize.observe(stage.current);
    const look = new IntersectionObserver(([entry]) => setSeen(entry.isIntersecting), { rootMargin: "100px" });
    look.observe(stage.current);
    const ends = [
      onPreview(camera, (frame) => painter.take(frame)),
      onDetections(camera, (found) => painter.found(found)),
    ];
    const timer = setInterval(() => setFigures(painter.figures()), 1000);
    return () => {
      clearInterval(timer);
      ends.forEach((end) => end());
      resize.disconnect();
      look.disconnect();
      painter.close();
    };
  }, [camera]);

  useEffect(() => {
    Object.assign(view.current, { boxes, labels, threshold, areas, paused, onShown });
    view.current.colours.clear();
    view.current.ask();
  }, [boxes, labels, threshold, areas, paused, onShown, dark.value, manifests.value]);

  const status = cameraStatus(camera);
  const trouble = whatIsWrong(status, figures, paused);
  return html`<figure class=${cls("tile", trouble && "tile--trouble", more)}>
    <div class="tile__stage" ref=${stage}>
      <canvas ref=${canvas} role="img" aria-label=${t("Live picture of {name}. {found}", { name, found: figures?.words ?? "" })}></canvas>
      ${trouble && html`<div class="tile__trouble"><${Icon} name=${trouble.icon} /><p class="strong">${trouble.title}</p>${trouble.text && html`<p class="small">${trouble.text}</p>`}</div>`}
      ${paused && html`<span class="tile__chip"><${Icon} name="pause" />${t("Paused")}</span>`}
      ${actions && html`<div class="tile__actions">${actions}</div>`}
    </div>
    ${
      bar &&
      html`<figcaption class="tile__bar">
      <div class="row row--apart">
        <span class="strong truncate">${name}</span>
        <${StateChip} state=${trouble?.state ?? status?.state ?? (figures?.shown ? "running" : "connecting")} />
      </div>
      <${TileFigures} figures=${figures} status=${status} />
      ${children}
    </figcaption>`
    }
  </figure>`;
}

function whatIsWrong(status, figures, paused) {
  if (paused) return null;
  if (connection.value.state === "waiting")
    return { icon: "wifi-off", title: t("No connection to the box"), text: "", state: "offline" };
  if (status && ["waiting", "disabled", "ended"].includes(status.state)) {
    return {
      icon: status.state === "waiting" ? "triangle-alert" : "video-off",
      title: status.state === "waiting" ? t("No picture") : stateWords(status.state).text,
      text: status.reason,
      state: status.state,
    };
  }
  if (!figures?.shown)
    return { icon: "video", title: t("Waiting for the first picture"), text: status?.reason, state: status?.state };
  if (figures.ageMs > STALE_MS) {
    return {
      icon: "clock",
      title: t("No new picture"),
      text: `${t("The last one is from {age}.", { age: age(figures.at) })} ${status?.reason ?? ""}`,
      state: "stale",
    };
  }
  return null;
}

/** Rates and delays of a tile in one line: {figures, status}. */
export const TileFigures = ({ figures, status }) =>
  html`<ul class="tile__figures number">
    <li title=${t("Results a second")}><${Icon} name="gauge" />${t("{n} fps", { n: number(figures?.results ?? 0, 1) })}</li>
    <li title=${t("From the decoded picture to the result")}><${Icon} name="zap" />${figures?.latency ? milliseconds(figures.latency) : "–"}</li>
    <li title=${t("Age of the last picture")}><${Icon} name="clock" />${figures?.shown ? milliseconds(figures.ageMs) : "–"}</li>
    ${status?.width && html`<li class="tile__size" title=${t("Size of the camera's picture")}>${status.width}×${status.height} ${status.codec}</li>`}
  </ul>`;

// -- drawing -------------------------------------------------------------------------------------

/** Draws frames and boxes on a canvas, once per repaint of the screen, and counts how fast they come. */
class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.matcher = new FrameMatcher();
    this.colours = new Map();
    this.queue = []; // decoded pictures that wait for their results
    this.shown = null;
    this.next = null; // newest picture that is not decoded yet
    this.decoding = false;
    this.asked = 0;
    this.times = { pictures: [], results: [] };
    this.boxes = this.labels = true;
    this.threshold = 0;
    this.closed = false;
    this.resize();
  }

  resize() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    const scale = Math.min(2, devicePixelRatio || 1);
    const width = Math.max(1, Math.round(box.width * scale));
    const height = Math.max(1, Math.round(box.height * scale));
    if (width === this.canvas.width && height === this.canvas.height) return;
    Object.assign(this.canvas, { width, height });
    this.scale = scale;
    this.paint();
  }

  async take(frame) {
    if (this.paused) return;
    this.count("pictures");
    this.next = frame;
    if (this.decoding) return;
    this.decoding = true;
    while (this.next && !this.closed) {
      const newest = this.next;
      this.next = null;
      try {
        const bitmap = await createImageBitmap(newest.blob);
        if (this.closed) bitmap.close();
        else this.queue.push({ ...newest, bitmap, at: performance.now() });
      } catch (error) {
        console.warn(`A picture of ${newest.camera} cannot be read: ${error.message}`);
      }
      this.ask();
    }
    this.decoding = false;
  }

  found(detections) {
    if (this.paused) return;
    this.count("results");
    this.matcher.add(detections, performance.now());
    this.ask();
  }

  ask() {
    this.asked ||= requestAnimationFrame(() => {
      this.asked = 0;
      this.step();
    });
  }

  step() {
    const first = !this.shown;
    const now = performance.now();
    while (this.queue.length > QUEUE) this.queue.shift().bitmap.close();
    while (this.queue.length) {
      const [head] = this.queue;
      if (!this.matcher.match(head).exact && now - head.at < this.matcher.patience(now)) break;
      this.shown?.bitmap.close();
      this.shown = this.queue.shift();
    }
    this.paint();
    if (first && this.shown) this.onFirst?.();
    if (this.queue.length) this.ask(); // its result may still come
  }

  paint() {
    const { context, canvas, shown } = this;
    context.fillStyle = "#0b1013";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!shown) return;
    const fit = Math.min(canvas.width / shown.bitmap.width, canvas.height / shown.bitmap.height);
    const width = shown.bitmap.width * fit;
    const height = shown.bitmap.height * fit;
    const area = { x: (canvas.width - width) / 2, y: (canvas.height - height) / 2, width, height };
    context.drawImage(shown.bitmap, area.x, area.y, width, height);
    this.drawAreas(area);
    const { found, exact } = this.matcher.match(shown);
    const visible = this.boxes ? found : [];
    let count = 0;
    for (const detections of visible) count += this.draw(detections, area);
    Object.assign(canvas.dataset, { sequence: shown.sequence ?? "", exact: String(exact), boxes: String(count) });
    this.onShown?.({ found, sequence: shown.sequence, exact });
  }

  draw(detections, area) {
    const manifest = manifests.value.get(detections.model);
    const names = manifest?.labels ?? Object.keys(detections.counts);
    const objects = detections.objects.filter(({ confidence }) => confidence >= this.threshold);
    const tags = [];
    for (const object of objects) {
      const tone = this.tone(labelIndex(object.label, names));
      const x = area.x + object.x * area.width;
      const y = area.y + object.y * area.height;
      const width = object.width * area.width;
      const height = object.height * area.height;
      if (manifest?.task === "fomo") {
        this.dot(x + width / 2, y + height / 2, tone);
        tags.push([object, tone, x + width / 2 + 9 * this.scale, y + height / 2 - 8 * this.scale]);
      } else {
        this.box(x, y, width, height, tone);
        tags.push([object, tone, x, y - 17 * this.scale]);
      }
    }
    if (this.labels)
      for (const [object, tone, x, y] of tags)
        this.tag(`${object.label} ${score(object.confidence)}`, tone, x, y, area);
    const best = Object.entries(detections.scores ?? {}).sort((a, b) => b[1] - a[1])[0];
    if (best && this.labels)
      this.tag(
        `${best[0]} ${score(best[1])}`,
        this.tone(labelIndex(best[0], names)),
        area.x + 8 * this.scale,
        area.y + 8 * this.scale,
        area,
      );
    return objects.length;
  }

  box(x, y, width, height, tone) {
    const { context, scale } = this;
    for (const [style, line] of [
      ["rgba(0,0,0,0.65)", 4],
      [tone, 2],
    ]) {
      context.strokeStyle = style;
      context.lineWidth = line * scale;
      context.strokeRect(x, y, width, height);
    }
  }

  dot(x, y, tone) {
    const { context, scale } = this;
    for (const [style, radius, line] of [
      ["rgba(0,0,0,0.65)", 9, 4],
      [tone, 9, 2],
    ]) {
      context.strokeStyle = style;
      context.lineWidth = line * scale;
      context.beginPath();
      context.arc(x, y, radius * scale, 0, 7);
      context.stroke();
    }
    context.fillStyle = tone;
    context.beginPath();
    context.arc(x, y, 3.5 * scale, 0, 7);
    context.fill();
  }

  tag(text, tone, x, y, area) {
    const { context, scale } = this;
    context.font = `600 ${12 * scale}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    const width = context.measureText(text).width + 10 * scale;
    const height = 17 * scale;
    const left = Math.max(area.x, Math.min(x, area.x + area.width - width));
    const top = Math.max(area.y, Math.min(y, area.y + area.height - height));
    context.fillStyle = tone;
    context.fillRect(left, top, width, height);
    context.fillStyle = "#0b1115";
    context.fillText(text, left + 5 * scale, top + height / 2 + scale * 0.5);
  }

  drawAreas(area) {
    const { context, scale } = this;
    for (const { kind, points } of this.areas ?? []) {
      context.beginPath();
      points.forEach(([x, y], index) =>
        context[index ? "lineTo" : "moveTo"](area.x + x * area.width, area.y + y * area.height),
      );
      context.closePath();
      context.lineWidth = 1.5 * scale;
      context.setLineDash(kind === "exclude" ? [6 * scale, 4 * scale] : []);
      context.strokeStyle = { include: "#2fd69b", exclude: "#ff8a4c", roi: "#5cc2ff" }[kind] ?? "#e9eef2";
      context.stroke();
      context.setLineDash([]);
    }
  }

  tone(index) {
    if (!this.colours.has(index)) this.colours.set(index, colour(boxToken(index)));
    return this.colours.get(index);
  }

  count(what) {
    const times = this.times[what];
    const now = performance.now();
    times.push(now);
    while (now - times[0] > 3000) times.shift();
  }

  rate(what) {
    const now = performance.now();
    const times = this.times[what].filter((at) => now - at <= 3000);
    return times.length < 2 ? 0 : ((times.length - 1) * 1000) / Math.max(1, times.at(-1) - times[0]);
  }

  /** Once a second, for the words around the picture. */
  figures() {
    const { shown } = this;
    const at = shown?.captured_at_us ? shown.captured_at_us / 1000 : null;
    const { found } = shown ? this.matcher.match(shown) : { found: [] };
    const counts = {};
    for (const { objects } of found) for (const { label } of objects) counts[label] = (counts[label] ?? 0) + 1;
    return {
      shown: Boolean(shown),
      at,
      ageMs: shown ? Math.max(0, at ? boxNow() - at : performance.now() - shown.at) : null,
      pictures: this.rate("pictures"),
      results: this.rate("results"),
      latency: this.rate("results") ? this.matcher.latency : null,
      counts,
      words: Object.entries(counts)
        .map(([label, n]) => `${n} × ${label}`)
        .join(", "),
    };
  }

  close() {
    this.closed = true;
    cancelAnimationFrame(this.asked);
    this.shown?.bitmap.close();
    for (const { bitmap } of this.queue) bitmap.close();
    this.queue = [];
  }
}
