// One camera as it is now: its picture, with what was found in that very picture drawn on it.
//
// Each time it has drawn a picture, or what was found in it, its canvas sends "nxai:drawn" (it bubbles): detail is
// {camera, stream, sequence, captured_at_us, boxes (drawn), exact (all found in this very frame), result_ms (when the
// newest result drawn was told, null: none), drawn_ms}; times by the box's clock. Tests and benchmarks listen to it.
import { age, boxNow, milliseconds, number, sentence } from "../format.js";
import { t } from "../i18n.js";
import { connection, manifests, onDetections, onPreview, statuses, useListen, useWatch } from "../live.js";
import { to } from "../router.js";
import { colour, dark } from "../theme.js";
import { cls, html, useEffect, useLayoutEffect, useRef, useState } from "../view.js";
import { Icon } from "./icon.js";
import { drawFound } from "./overlay.js";
import { stateWords, StateChip } from "./panels.js";

const STALE_MS = 3000; // a picture that old is not "now" any more
const KEPT = 30; // results of a model that wait for their picture: 2 s at 15 a second
const LATE_US = 500_000; // what was found half a second before a picture says nothing about it
const SILENT_US = 2_000_000; // a model that has found nothing for so long is not waited for
const QUEUE = 3;
const SMALL = 400; // on a tile narrower than that (px), numbers would hide what they are about

/** What capture last said of a camera (CameraStatus), or undefined. Needs listen("status"). */
export function cameraStatus(camera) {
  for (const { cameras } of statuses.value.values()) {
    const found = cameras?.find((one) => one.camera === camera);
    if (found) return found;
  }
  return undefined;
}

/**
 * Matches pictures and results. A picture is shown together with what was found in that very frame; it waits for it
 * a moment, as long as results usually take, then is shown with what was found just before and drawn anew when its
 * own result comes. Pure but for the clock passed in (ms).
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

  /**
   * {found: [Detections], exact, waits}: of each model what fits the frame best; whether all of that is of this very
   * frame; whether there may still come better. A picture that does not tell its frame has the newest results.
   */
  match({ stream, sequence, captured_at_us: at }, now = 0) {
    if (stream === undefined) {
      const fresh = now - this.lastResultAt < LATE_US / 1000;
      return { found: fresh ? [...this.results.values()].map((kept) => kept.at(-1)) : [], exact: false, waits: false };
    }
    const found = [];
    let exact = true;
    let waits = false;
    for (const kept of this.results.values()) {
      const newest = kept.at(-1);
      const behind = newest.stream === stream && newest.sequence < sequence; // its result may be on the way
      if (newest.stream !== stream || (behind && at - newest.timestamp_ms * 1000 > SILENT_US)) continue;
      const same = kept.findLast((one) => one.sequence <= sequence);
      if (same?.sequence === sequence) {
        found.push(same);
        continue;
      }
      exact = false;
      waits ||= behind;
      if (same && at - same.timestamp_ms * 1000 <= LATE_US) found.push(same);
    }
    return { found, exact: exact && found.length > 0, waits };
  }
}

/**
 * {camera (id), name, fps (10), width (640: of the pictures asked for), boxes (true), labels (true),
 * threshold (hide less certain ones), areas ([{kind, points}], drawn faintly), paused (keep this picture), chip
 * ({icon, text}: said on the picture), state (said in place of the camera's own, where it gives pictures), bar (true: name, state and figures below), facts (true: figures in the bar),
 * actions (on the picture), tools (beside the state), children (in the bar; may be a function of {figures, status, trouble}), link (true: a
 * trouble leads to the camera's settings), onShown({found, sequence, exact})}
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
  chip,
  state,
  bar = true,
  facts = true,
  actions,
  tools,
  link = true,
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
    const painter = new Painter(canvas.current, camera);
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
    view.current.anew();
  }, [boxes, labels, threshold, areas, paused, onShown, dark.value, manifests.value]);

  const status = cameraStatus(camera);
  const trouble = whatIsWrong(camera, status, figures, paused);
  const sign = paused ? { icon: "pause", text: t("Paused") } : chip;
  return html`<figure class=${cls("tile", trouble && "tile--trouble", more)}>
    <div class="tile__stage" ref=${stage}>
      <canvas
        ref=${canvas}
        role="img"
        data-watched=${seen && !paused ? "true" : null}
        aria-label=${t("Live picture of {name}. {found}", { name, found: figures?.words ?? "" })}
      ></canvas>
      ${
        trouble &&
        html`<div class="tile__trouble">
          <${Icon} name=${trouble.icon} />
          <p class="strong">${trouble.title}</p>
          ${trouble.text && html`<p class="small">${trouble.text}</p>`}
          ${link && trouble.href && html`<a class="small" href=${trouble.href}>${t("To the camera's settings")}</a>`}
        </div>`
      }
      ${sign && html`<span class="tile__chip"><${Icon} name=${sign.icon} />${sign.text}</span>`}
      ${actions && html`<div class="tile__actions">${actions}</div>`}
    </div>
    ${
      bar &&
      html`<figcaption class="tile__bar">
        <div class="tile__head">
          <span class="strong truncate" title=${name}>${name}</span>
          <${StateChip}
            state=${trouble?.state ?? state ?? status?.state ?? (figures?.shown ? "running" : "connecting")}
          />
          ${tools}
        </div>
        ${facts && html`<${TileFigures} figures=${figures} status=${status} />`}
        ${typeof children === "function" ? children({ figures, status, trouble }) : children}
      </figcaption>`
    }
  </figure>`;
}

function whatIsWrong(camera, status, figures, paused) {
  if (paused) return null;
  if (connection.value.state === "waiting")
    return { icon: "wifi-off", title: t("No connection to the box"), text: "", state: "offline" };
  if (status && ["waiting", "disabled", "ended"].includes(status.state)) {
    return {
      icon: status.state === "waiting" ? "triangle-alert" : "video-off",
      title: status.state === "waiting" ? t("No picture") : stateWords(status.state).text,
      text: sentence(status.reason),
      state: status.state,
      href: to("input", camera),
    };
  }
  if (!figures?.shown)
    return {
      icon: "video",
      title: t("Waiting for the first picture"),
      text: status?.reason && sentence(status.reason),
      state: status?.state,
    };
  if (figures.ageMs > STALE_MS) {
    return {
      icon: "clock",
      title: t("No new picture"),
      text: `${t("The last one is from {age}.", { age: age(figures.at) })} ${status?.reason ? sentence(status.reason) : ""}`,
      state: "stale",
      href: to("input", camera),
    };
  }
  return null;
}

/** Rates and delays of a tile in one line: {figures, status}. */
export const TileFigures = ({ figures, status }) =>
  html`<ul class="tile__figures number">
    <li title=${t("Results a second")}>
      <${Icon} name="gauge" />${t("{n} fps", { n: number(figures?.results ?? 0, 1) })}
    </li>
    <li title=${t("From the decoded picture to the result")}>
      <${Icon} name="zap" />${figures?.latency ? milliseconds(figures.latency) : "–"}
    </li>
    <li title=${t("Age of the last picture")}>
      <${Icon} name="clock" />${figures?.shown ? milliseconds(figures.ageMs) : "–"}
    </li>
    ${status?.width && html`<li class="tile__size" title=${t("Size of the camera's picture")}>${status.width}×${status.height} ${status.codec}</li>`}
  </ul>`;

// -- drawing -------------------------------------------------------------------------------------

let ground = "";
const groundColour = () => (ground ||= colour("--picture"));

/** Draws frames and boxes on a canvas, once per repaint of the screen, and counts how fast they come. */
class Painter {
  constructor(canvas, camera) {
    this.canvas = canvas;
    this.camera = camera;
    canvas.dataset.camera = camera;
    this.context = canvas.getContext("2d", { alpha: false });
    this.matcher = new FrameMatcher();
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

  /** What is drawn, or how, has changed. */
  anew() {
    this.drawn = "";
    this.ask();
  }

  async take(frame) {
    if (this.paused || document.hidden) return;
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
      if (this.matcher.match(head, now).waits && now - head.at < this.matcher.patience(now)) break;
      this.shown?.bitmap.close();
      this.shown = this.queue.shift();
    }
    this.paint();
    if (first && this.shown) this.onFirst?.();
    if (this.queue.length) this.ask(); // its result may still come
  }

  paint() {
    const { context, canvas, shown } = this;
    const match = shown && this.matcher.match(shown, performance.now());
    // A result of another frame alone changes nothing.
    const drawn =
      match &&
      [shown.at, canvas.width, canvas.height, ...match.found.map((one) => `${one.model} ${one.sequence}`)].join();
    if (shown && drawn === this.drawn) return;
    this.drawn = drawn;
    context.fillStyle = groundColour();
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!shown) return;
    const fit = Math.min(canvas.width / shown.bitmap.width, canvas.height / shown.bitmap.height);
    const width = shown.bitmap.width * fit;
    const height = shown.bitmap.height * fit;
    const area = { x: (canvas.width - width) / 2, y: (canvas.height - height) / 2, width, height };
    context.drawImage(shown.bitmap, area.x, area.y, width, height);
    this.drawAreas(area);
    const { found, exact } = match;
    const { boxes: wanted, labels, threshold } = this;
    const brief = canvas.width / this.scale < SMALL;
    const boxes = drawFound(context, area, this.scale, found, { boxes: wanted, labels, threshold, brief });
    this.tell(found, exact, boxes);
  }

  tell(found, exact, boxes) {
    const { canvas, camera, shown } = this;
    const { stream, sequence, captured_at_us } = shown;
    Object.assign(canvas.dataset, {
      sequence: sequence ?? "",
      exact: String(exact),
      boxes: String(boxes),
      at: String(Date.now()),
    });
    const results = found.map((one) => one.timestamp_ms + one.latency_ms);
    const result_ms = results.length ? Math.max(...results) : null;
    const detail = { camera, stream, sequence, captured_at_us, boxes, exact, result_ms, drawn_ms: boxNow() };
    canvas.dispatchEvent(new CustomEvent("nxai:drawn", { bubbles: true, detail }));
    this.onShown?.({ found, sequence, exact });
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
      context.strokeStyle = colour(`--area-${kind}`);
      context.stroke();
      context.setLineDash([]);
    }
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
    const { found } = shown ? this.matcher.match(shown, performance.now()) : { found: [] };
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
