// Boxes on a picture, to be corrected: moved, resized, drawn, relabelled, removed. By pointer and keyboard.
import { labelToken } from "../colours.js";
import { number, score } from "../format.js";
import { t } from "../i18n.js";
import { cls, html, useEffect, useRef, useState } from "../view.js";
import { Icon } from "./icon.js";
import { usePicture } from "./polygon_editor.js";

const SMALLEST = 0.005;
const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));
const rounded = (box) => ({
  ...box,
  ...Object.fromEntries(["x", "y", "width", "height"].map((key) => [key, Math.round(box[key] * 100_000) / 100_000])),
});

/**
 * {picture (URL or Blob), alt, boxes: [{label, x, y, width, height (0..1), confidence?}], onInput(boxes), labels
 * (all of the model; the first nine have the keys 1 to 9), label (of new boxes), onLabel(label), chosen, onChoose(index),
 * disabled, onKey(event) (keys that it does not use: the gallery's)}
 */
export function BoxEditor({
  picture,
  alt,
  boxes,
  onInput,
  labels = [],
  label,
  onLabel,
  chosen: outside,
  onChoose,
  disabled = false,
  onKey,
  class: more,
}) {
  const [own, setOwn] = useState(-1);
  const chosen = outside ?? own;
  const [newLabel, setNewLabel] = useState(labels[0] ?? "");
  const current = label ?? newLabel;
  const [told, setTold] = useState("");
  const url = usePicture(picture);
  const stage = useRef(null);
  const drag = useRef(null);
  const [drawn, setDrawn] = useState(null);

  useEffect(() => {
    if (!current && labels.length) setNewLabel(labels[0]);
  }, [labels.join("\n")]);

  const choose = (index) => (onChoose ? onChoose(index) : setOwn(index));
  const replace = (index, box) => onInput(boxes.map((one, at) => (at === index ? rounded(box) : one)));

  function place(event) {
    const area = stage.current.getBoundingClientRect();
    return [clamp((event.clientX - area.left) / area.width), clamp((event.clientY - area.top) / area.height)];
  }

  function add(box) {
    onInput([...boxes, rounded({ label: current || labels[0] || "", ...box })]);
    choose(boxes.length);
    setTold(t("Box added: {label}", { label: current }));
    focus(boxes.length);
  }

  function removeBox(index) {
    setTold(t("Box removed: {label}", { label: boxes[index].label }));
    onInput(boxes.filter((_, at) => at !== index));
    const next = Math.min(index, boxes.length - 2);
    choose(next);
    if (next >= 0) focus(next);
    else stage.current.focus();
  }

  const focus = (index) => requestAnimationFrame(() => stage.current?.querySelectorAll(".box-edit")[index]?.focus());

  function relabel(index, name) {
    replace(index, { ...boxes[index], label: name });
    setTold(t("Now {label}", { label: name }));
  }

  function setLabel(name) {
    if (chosen >= 0 && boxes[chosen]) relabel(chosen, name);
    setNewLabel(name);
    onLabel?.(name);
  }

  // -- pointer -------------------------------------------------------------------------------------

  function press(event) {
    if (disabled || event.button !== 0) return;
    event.preventDefault();
    stage.current.focus({ preventScroll: true });
    choose(-1);
    drag.current = { kind: "draw", from: place(event) };
    stage.current.setPointerCapture(event.pointerId);
  }

  function grab(event, index, handle = "") {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    choose(index);
    event.currentTarget.closest(".box-edit").focus({ preventScroll: true });
    if (disabled) return;
    drag.current = { kind: "hold", index, handle, from: place(event), box: boxes[index] };
    stage.current.setPointerCapture(event.pointerId);
  }

  function move(event) {
    const held = drag.current;
    if (!held) return;
    const [x, y] = place(event);
    if (held.kind === "draw") setDrawn(between(held.from, [x, y]));
    else
      replace(
        held.index,
        held.handle ? resized(held.box, held.handle, x, y) : moved(held.box, x - held.from[0], y - held.from[1]),
      );
  }

  function release() {
    const held = drag.current;
    drag.current = null;
    if (held?.kind !== "draw") return;
    if (drawn && drawn.width > SMALLEST * 2 && drawn.height > SMALLEST * 2) add(drawn);
    setDrawn(null);
  }

  // -- keyboard ------------------------------------------------------------------------------------

  function keys(event) {
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) - 1 : -1;
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!disabled && plain && digit >= 0 && digit < labels.length) {
      event.preventDefault();
      setLabel(labels[digit]);
    } else if (!disabled && plain && event.key.toLowerCase() === "b") {
      event.preventDefault();
      add({ x: 0.4, y: 0.4, width: 0.2, height: 0.2 });
    } else if (event.key === "Escape" && drag.current) {
      event.preventDefault();
      event.stopPropagation();
      drag.current = null;
      setDrawn(null);
    } else {
      onKey?.(event);
    }
  }

  function keysOnBox(event, index) {
    if (disabled) return;
    const step = event.altKey ? 0.05 : 0.005;
    const way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (way) {
      event.preventDefault();
      event.stopPropagation();
      const box = boxes[index];
      const next = event.shiftKey
        ? {
            ...box,
            width: clamp(box.width + way[0], SMALLEST, 1 - box.x),
            height: clamp(box.height + way[1], SMALLEST, 1 - box.y),
          }
        : moved(box, ...way);
      replace(index, next);
      setTold(describe(next));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      event.stopPropagation();
      removeBox(index);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      choose(-1);
      stage.current.focus();
    }
  }

  return html`<div class=${cls("boxes", more)}>
    <div
      class=${cls("boxes__stage", !disabled && "is-drawing")}
      ref=${stage}
      tabindex="0"
      role="group"
      aria-label=${alt ?? t("Picture with boxes")}
      onPointerDown=${press}
      onPointerMove=${move}
      onPointerUp=${release}
      onPointerCancel=${release}
      onKeyDown=${keys}
    >
      ${url ? html`<img src=${url} alt="" draggable=${false} />` : html`<div class="areas__blank"><${Icon} name="image-off" />${t("No picture")}</div>`}
      ${boxes.map(
        (box, index) => html`<div
          key=${index}
          class=${cls("box-edit", index === chosen && "is-chosen", box.x > 0.75 && "box-edit--right", box.y < 0.06 && "box-edit--top")}
          style=${frame(box, labelToken(box.label, labels))}
          role="button"
          tabindex="0"
          aria-pressed=${String(index === chosen)}
          aria-label=${`${t("Box {n}", { n: index + 1 })}: ${describe(box)}`}
          onFocus=${() => choose(index)}
          onPointerDown=${(event) => grab(event, index)}
          onKeyDown=${(event) => keysOnBox(event, index)}
        >
          <span class="box-edit__label">${box.label}${box.confidence !== undefined && box.confidence !== null ? ` ${score(box.confidence)}` : ""}</span>
          ${
            index === chosen &&
            !disabled &&
            HANDLES.map(
              (handle) =>
                html`<span class=${`box-edit__handle box-edit__handle--${handle}`} onPointerDown=${(event) => grab(event, index, handle)}></span>`,
            )
          }
        </div>`,
      )}
      ${drawn && html`<div class="box-edit is-chosen" style=${frame(drawn, labelToken(current, labels))}></div>`}
    </div>
    <div class="unseen" role="status">${told}</div>
    ${
      labels.length > 0 &&
      !disabled &&
      html`<div class="boxes__labels" role="toolbar" aria-label=${t("Labels")}>
      ${labels.map((name, index) => {
        const now = chosen >= 0 ? boxes[chosen]?.label : current;
        return html`<button type="button" class="boxes__label" style=${{ "--tone": `var(${labelToken(name, labels)})` }} aria-pressed=${String(now === name)} onClick=${() => setLabel(name)}>
          <span class="boxes__sign"></span>${name}${index < 9 && html`<kbd>${index + 1}</kbd>`}
        </button>`;
      })}
    </div>`
    }
  </div>`;
}

const describe = ({ label, x, y, width, height }) =>
  t("{label}, {x} % from the left, {y} % from the top, {width} % wide, {height} % high", {
    label,
    x: number(x * 100),
    y: number(y * 100),
    width: number(width * 100),
    height: number(height * 100),
  });

const frame = ({ x, y, width, height }, token) => ({
  left: `${x * 100}%`,
  top: `${y * 100}%`,
  width: `${width * 100}%`,
  height: `${height * 100}%`,
  "--tone": `var(${token})`,
});

const between = ([ax, ay], [bx, by]) => ({
  x: Math.min(ax, bx),
  y: Math.min(ay, by),
  width: Math.abs(ax - bx),
  height: Math.abs(ay - by),
});

const moved = (box, dx, dy) => ({
  ...box,
  x: clamp(box.x + dx, 0, 1 - box.width),
  y: clamp(box.y + dy, 0, 1 - box.height),
});

function resized(box, handle, x, y) {
  let { x: left, y: top } = box;
  let right = left + box.width;
  let bottom = top + box.height;
  if (handle.includes("w")) left = clamp(x, 0, right - SMALLEST);
  if (handle.includes("e")) right = clamp(x, left + SMALLEST, 1);
  if (handle.includes("n")) top = clamp(y, 0, bottom - SMALLEST);
  if (handle.includes("s")) bottom = clamp(y, top + SMALLEST, 1);
  return { ...box, x: left, y: top, width: right - left, height: bottom - top };
}
