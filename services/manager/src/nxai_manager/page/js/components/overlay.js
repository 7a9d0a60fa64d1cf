// What was found, drawn on a picture: boxes of detectors, centroids of FOMO, the class of a whole picture.
import { boxToken, labelIndex } from "../colours.js";
import { score } from "../format.js";
import { manifests } from "../live.js";
import { colour, dark } from "../theme.js";
import { cls, html, useEffect, useRef } from "../view.js";

const EDGE = "rgba(0,0,0,0.65)"; // around all that is drawn: readable on any video
const INK = "#0b1115";
const TAG = 17; // height of a label
const RING = 10;

const tones = new Map();

function toneOf(label, names) {
  const token = boxToken(labelIndex(label, names));
  if (!tones.has(token)) tones.set(token, colour(token));
  return tones.get(token);
}

/**
 * Draw Detections on a canvas. `area` ({x, y, width, height}): where the picture lies, in pixels of the canvas;
 * `scale`: those of one pixel of the page. {boxes, labels, threshold, brief (labels without numbers)}. Returns how many objects were drawn.
 */
export function drawFound(
  context,
  area,
  scale,
  found,
  { boxes = true, labels = true, threshold = 0, brief = false } = {},
) {
  if (!boxes) return 0;
  const tags = [];
  let count = 0;
  for (const { model, objects = [], counts = {}, scores = {} } of found) {
    const manifest = manifests.value.get(model);
    const names = manifest?.labels ?? Object.keys(counts);
    for (const object of objects) {
      if (object.confidence < threshold) continue;
      count += 1;
      const tone = toneOf(object.label, names);
      const x = area.x + object.x * area.width;
      const y = area.y + object.y * area.height;
      const width = object.width * area.width;
      const height = object.height * area.height;
      const text = brief ? object.label : `${object.label} ${score(object.confidence)}`;
      if (manifest?.task === "fomo") {
        const [cx, cy] = [x + width / 2, y + height / 2];
        drawCentroid(context, cx, cy, tone, scale);
        tags.push({ text, tone, places: around(cx, cy, RING * scale) });
      } else {
        drawBox(context, x, y, width, height, tone, scale);
        tags.push({ text, tone, places: along(x, y, width, height) });
      }
    }
    const [best] = Object.entries(scores).sort((a, b) => b[1] - a[1]);
    if (best)
      tags.unshift({
        text: `${best[0]} ${score(best[1])}`,
        tone: toneOf(best[0], names),
        places: () => [[area.x, area.y]],
      });
  }
  if (labels) drawTags(context, area, scale, tags);
  return count;
}

function drawBox(context, x, y, width, height, tone, scale) {
  for (const [style, line] of [
    [EDGE, 4],
    [tone, 2],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = line * scale;
    context.strokeRect(x, y, width, height);
  }
}

function drawCentroid(context, x, y, tone, scale) {
  const circle = (radius) => {
    context.beginPath();
    context.arc(x, y, radius * scale, 0, 2 * Math.PI);
  };
  circle(RING);
  context.fillStyle = tone;
  context.globalAlpha = 0.22;
  context.fill();
  context.globalAlpha = 1;
  for (const [style, line] of [
    [EDGE, 3.5],
    [tone, 1.75],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = line * scale;
    context.stroke();
  }
  circle(4);
  context.fillStyle = EDGE;
  context.fill();
  circle(3);
  context.fillStyle = tone;
  context.fill();
}

// Where a label may stand (left, top), the best place first, given its size.
const around = (cx, cy, ring) => (width, height) => [
  [cx + ring * 1.15, cy - height / 2],
  [cx - width / 2, cy - ring * 1.25 - height],
  [cx - width / 2, cy + ring * 1.25],
  [cx - ring * 1.15 - width, cy - height / 2],
];
const along = (x, y, boxWidth, boxHeight) => (width, height) => [
  [x, y - height],
  [x, y + boxHeight],
  [x + boxWidth - width, y - height],
  [x, y],
];

/** Labels, each where it covers no other one, if there is such a place. */
function drawTags(context, area, scale, tags) {
  context.font = `600 ${12 * scale}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const height = TAG * scale;
  const taken = [];
  for (const { text, tone, places } of tags) {
    const width = context.measureText(text).width + 10 * scale;
    const inside = places(width, height).map(([x, y]) => [
      Math.max(area.x, Math.min(x, area.x + area.width - width)),
      Math.max(area.y, Math.min(y, area.y + area.height - height)),
    ]);
    const free = ([x, y]) =>
      taken.every((one) => x >= one.x + one.width || one.x >= x + width || y >= one.y + height || one.y >= y + height);
    const [x, y] = inside.find(free) ?? inside[0];
    taken.push({ x, y, width });
    context.fillStyle = tone;
    context.fillRect(x, y, width, height);
    context.fillStyle = INK;
    context.fillText(text, x + 5 * scale, y + height / 2 + 0.5 * scale);
  }
}

/** A still picture with what was found in it: {picture (URL), found: [Detections], alt, labels (true)} */
export function Overlay({ picture, found, alt, labels = true, class: more }) {
  const canvas = useRef(null);
  useEffect(() => {
    let gone = false;
    const image = new Image();
    image.onload = () => {
      if (gone) return;
      const element = canvas.current;
      const { naturalWidth: width, naturalHeight: height } = image;
      Object.assign(element, { width, height });
      const context = element.getContext("2d", { alpha: false });
      context.drawImage(image, 0, 0, width, height);
      const scale = Math.max(1, width / Math.max(1, element.clientWidth || width));
      drawFound(context, { x: 0, y: 0, width, height }, scale, found, { labels });
    };
    image.src = picture;
    return () => {
      gone = true;
    };
  }, [picture, found.length, labels, dark.value]);
  return html`<canvas class=${cls("overlay", more)} ref=${canvas} role="img" aria-label=${alt}></canvas>`;
}
