// Areas on a picture: privacy masks, where to look and where not. By pointer and by keyboard alike.
import { number } from "../format.js";
import { t } from "../i18n.js";
import { cls, html, useEffect, useRef, useState } from "../view.js";
import { Button, IconButton } from "./button.js";
import { Icon } from "./icon.js";
import { KeyHints } from "./panels.js";

/** Words of the kinds; "roi" is a rectangle, of which there is one at most. */
const areaWords = (kind) =>
  ({
    include: t("Look only here"),
    exclude: t("Do not look here"),
    mask: t("Privacy mask"),
    roi: t("Region of interest"),
    count: t("Count only here"),
  })[kind];

const ICONS = { include: "eye", exclude: "eye-off", mask: "shield-check", roi: "rectangle-horizontal", count: "crosshair" };
const EDGE = 6; // pixels: so close to the picture's edge, the edge is meant
const clamp = (value) => Math.min(1, Math.max(0, value));
const along = (at, length) => (at < EDGE ? 0 : at > length - EDGE ? 1 : at / length);
const rounded = (value) => Math.round(clamp(value) * 10_000) / 10_000;

/**
 * {picture (URL or Blob), alt, areas: [{kind: "include"|"exclude"|"mask"|"roi"|"count", points: [[x, y], ...] 0..1}],
 * onInput(areas), kinds (those that can be added), most (areas, 32), disabled}
 */
export function PolygonEditor({
  picture,
  alt,
  areas,
  onInput,
  kinds = ["include", "exclude", "mask"],
  most = 32,
  disabled = false,
}) {
  const [chosen, setChosen] = useState(-1);
  const [corner, setCorner] = useState(-1);
  const [drawing, setDrawing] = useState(null); // {kind, points, at}
  const [told, setTold] = useState("");
  const url = usePicture(picture);
  const stage = useRef(null);
  const drag = useRef(null);

  const put = (index, points) =>
    onInput(
      areas.map((area, at) => (at === index ? { ...area, points: points.map((point) => point.map(rounded)) } : area)),
    );

  function choose(index, at = -1) {
    setChosen(index);
    setCorner(at);
  }

  function place(event) {
    const box = stage.current.getBoundingClientRect();
    return [along(event.clientX - box.left, box.width), along(event.clientY - box.top, box.height)];
  }

  function add(kind, points) {
    onInput([...areas, { kind, points: points.map((point) => point.map(rounded)) }]);
    choose(areas.length, 0);
    setDrawing(null);
    setTold(t("{kind} added.", { kind: areaWords(kind) }));
    requestAnimationFrame(() => stage.current?.querySelector(".is-corner")?.focus());
  }

  const atOnce = (kind) =>
    add(kind, [
      [0.3, 0.3],
      [0.7, 0.3],
      [0.7, 0.7],
      [0.3, 0.7],
    ]);

  function removeArea(index) {
    setTold(t("{kind} removed.", { kind: areaWords(areas[index].kind) }));
    onInput(areas.filter((_, at) => at !== index));
    choose(-1);
  }

  function removeCorner(index, at) {
    const { points, kind } = areas[index];
    if (kind === "roi" || points.length <= 3) return removeArea(index);
    put(
      index,
      points.filter((_, one) => one !== at),
    );
    setCorner(Math.max(0, at - 1));
  }

  function insertAfter(index, at) {
    const { points } = areas[index];
    const [a, b] = [points[at], points[(at + 1) % points.length]];
    put(index, points.toSpliced(at + 1, 0, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]));
    setCorner(at + 1);
  }

  function moveCorner(index, at, [x, y]) {
    const { kind, points } = areas[index];
    if (kind !== "roi")
      return put(
        index,
        points.map((point, one) => (one === at ? [x, y] : point)),
      );
    // A rectangle stays one: its neighbours move along.
    const next = points.map((point) => [...point]);
    next[at] = [x, y];
    const [before, after] = [(at + 3) % 4, (at + 1) % 4];
    const vertical = at % 2 === 0; // of corner 0 and 2 the next one shares the row
    next[after][vertical ? 1 : 0] = vertical ? y : x;
    next[before][vertical ? 0 : 1] = vertical ? x : y;
    put(index, next);
  }

  // -- drawing corner by corner --------------------------------------------------------------------

  function press(event) {
    if (disabled || event.button !== 0 || !drawing) return;
    event.preventDefault();
    const point = place(event);
    if (drawing.kind === "roi") {
      drag.current = { kind: "draw", from: point };
      stage.current.setPointerCapture(event.pointerId);
      setDrawing({ ...drawing, points: [point, point, point, point] });
      return;
    }
    const [first] = drawing.points;
    const box = stage.current.getBoundingClientRect();
    if (
      first &&
      drawing.points.length >= 3 &&
      Math.hypot((first[0] - point[0]) * box.width, (first[1] - point[1]) * box.height) < 12
    ) {
      add(drawing.kind, drawing.points);
    } else {
      setDrawing({ ...drawing, points: [...drawing.points, point], at: point });
    }
  }

  function grab(event, what) {
    if (disabled || drawing || event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    event.currentTarget.focus?.();
    choose(what.index, what.corner ?? -1);
    drag.current = { ...what, from: place(event), points: areas[what.index].points };
    stage.current.setPointerCapture(event.pointerId);
  }

  function move(event) {
    const now = place(event);
    const held = drag.current;
    if (drawing && !held) {
      if (drawing.points.length) setDrawing({ ...drawing, at: now });
    } else if (held?.kind === "draw") {
      const [a, b] = [held.from, now];
      setDrawing({ ...drawing, points: rectangle(a, b) });
    } else if (held?.corner !== undefined) {
      moveCorner(held.index, held.corner, now);
    } else if (held) {
      put(held.index, shifted(held.points, now[0] - held.from[0], now[1] - held.from[1]));
    }
  }

  function release() {
    const held = drag.current;
    drag.current = null;
    if (held?.kind !== "draw" || !drawing) return;
    const [a, , b] = drawing.points;
    if (Math.abs(a[0] - b[0]) < 0.02 || Math.abs(a[1] - b[1]) < 0.02) setDrawing({ ...drawing, points: [] });
    else add("roi", drawing.points);
  }

  function keysOnStage(event) {
    if (!drawing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      setDrawing(null);
    } else if (event.key === "Enter" && drawing.points.length >= 3) {
      event.preventDefault();
      add(drawing.kind, drawing.points);
    } else if (event.key === "Backspace" && drawing.points.length) {
      event.preventDefault();
      setDrawing({ ...drawing, points: drawing.points.slice(0, -1) });
    }
  }

  function keysOnCorner(event, index, at) {
    const { points, kind } = areas[index];
    const step = event.shiftKey ? 0.05 : 0.005;
    const way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (way) {
      event.preventDefault();
      if (event.altKey) return put(index, shifted(points, ...way));
      const next = [clamp(points[at][0] + way[0]), clamp(points[at][1] + way[1])];
      moveCorner(index, at, next);
      setTold(
        t("{x} % from the left, {y} % from the top", { x: number(next[0] * 100, 1), y: number(next[1] * 100, 1) }),
      );
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      removeCorner(index, at);
    } else if ((event.key === "Insert" || event.key === "+") && kind !== "roi") {
      event.preventDefault();
      insertAfter(index, at);
    } else if (event.key === "Escape") {
      event.preventDefault(); // of a window around it, which would close
      event.stopPropagation();
      choose(-1);
      stage.current.focus();
    }
  }

  const hasRoi = areas.some(({ kind }) => kind === "roi");
  return html`<div class="areas">
    <div class="areas__tools" role="toolbar" aria-label=${t("Areas")}>
      ${kinds.map(
        (kind) => html`<div class="button-group">
          <${Button}
            size="s"
            icon=${ICONS[kind]}
            pressed=${drawing?.kind === kind}
            disabled=${disabled || areas.length >= most || (kind === "roi" && hasRoi)}
            why=${kind === "roi" && hasRoi ? t("There is one already.") : t("No more areas can be added.")}
            onClick=${() => {
              choose(-1);
              setDrawing(drawing?.kind === kind ? null : { kind, points: [] });
              stage.current.focus();
            }}
            >${areaWords(kind)}<//
          >
          <${IconButton} size="s" kind="plain" icon="plus" disabled=${disabled || areas.length >= most || (kind === "roi" && hasRoi)} label=${t("{kind}: put one into the middle", { kind: areaWords(kind) })} onClick=${() => atOnce(kind)} />
        </div>`,
      )}
    </div>
    <p class="small soft areas__hint">
      ${
        !drawing
          ? t("Choose a kind and draw, or drag corners. Tab and the arrow keys do it, too.")
          : drawing.kind === "roi"
            ? t("Drag a rectangle.")
            : t("Click corner after corner; Enter or a click on the first one closes it, Escape gives up.")
      }
    </p>
    <div
      class=${cls("areas__stage", drawing && "is-drawing")}
      ref=${stage}
      tabindex=${drawing ? 0 : -1}
      role="group"
      aria-label=${alt ?? t("Picture with areas")}
      onPointerDown=${press}
      onPointerMove=${move}
      onPointerUp=${release}
      onPointerCancel=${release}
      onKeyDown=${keysOnStage}
      onDblClick=${() => drawing?.points.length >= 4 && add(drawing.kind, drawing.points.slice(0, -1))}
    >
      ${url ? html`<img src=${url} alt="" draggable=${false} />` : html`<div class="areas__blank"><${Icon} name="image-off" />${t("No picture")}</div>`}
      <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
        ${areas.map(
          ({ kind, points }, index) =>
            html`<polygon
              key=${index}
              class=${cls("area", `area--${kind}`, index === chosen && "is-chosen")}
              points=${points.map((point) => point.join()).join(" ")}
              onPointerDown=${(event) => grab(event, { index })}
            />`,
        )}
        ${drawing && drawing.points.length > 0 && html`<polyline class=${`area area--${drawing.kind} is-chosen`} points=${[...drawing.points, ...(drawing.at && drawing.kind !== "roi" ? [drawing.at] : [])].map((point) => point.join()).join(" ")} />`}
      </svg>
      ${drawing?.points.map(([x, y], at) => html`<span class=${cls("corner", at === 0 && drawing.points.length >= 3 && "corner--close")} style=${spot(x, y)}></span>`)}
      ${areas.map(({ kind, points }, index) =>
        points.map(
          ([x, y], at) => html`<button
            key=${`${index}.${at}`}
            type="button"
            class=${cls("corner", `corner--${kind}`, index === chosen && at === corner && "is-corner", index !== chosen && "corner--quiet")}
            style=${spot(x, y)}
            disabled=${disabled}
            aria-label=${t("{kind} {area}, corner {n} of {all}: {x} %, {y} %", { kind: areaWords(kind), area: index + 1, n: at + 1, all: points.length, x: number(x * 100), y: number(y * 100) })}
            onFocus=${() => choose(index, at)}
            onPointerDown=${(event) => grab(event, { index, corner: at })}
            onKeyDown=${(event) => keysOnCorner(event, index, at)}
          ></button>`,
        ),
      )}
      ${
        chosen >= 0 &&
        areas[chosen] &&
        areas[chosen].kind !== "roi" &&
        !disabled &&
        areas[chosen].points.map(([x, y], at, all) => {
          const [nextX, nextY] = all[(at + 1) % all.length];
          return html`<span
          class="corner corner--middle"
          style=${spot((x + nextX) / 2, (y + nextY) / 2)}
          title=${t("Drag to add a corner")}
          onPointerDown=${(event) => {
            if (event.button !== 0) return;
            event.preventDefault();
            event.stopPropagation();
            const point = place(event);
            put(chosen, all.toSpliced(at + 1, 0, point));
            setCorner(at + 1);
            drag.current = { index: chosen, corner: at + 1, from: point };
            stage.current.setPointerCapture(event.pointerId);
          }}
        ></span>`;
        })
      }
    </div>
    <div class="unseen" role="status">${told}</div>
    ${
      areas.length > 0 &&
      html`<ul class="areas__list">
      ${areas.map(
        ({ kind, points }, index) => html`<li class=${cls("areas__item", index === chosen && "is-chosen")}>
          <button type="button" class="areas__name" aria-pressed=${String(index === chosen)} onClick=${() => choose(index, 0)}>
            <span class=${`areas__sign areas__sign--${kind}`}><${Icon} name=${ICONS[kind]} /></span>
            <span>${areaWords(kind)}</span>
            <span class="soft small number">${t("{n} corners", { n: points.length })}</span>
          </button>
          <${IconButton} size="s" icon="trash-2" disabled=${disabled} label=${t("Remove {kind} {n}", { kind: areaWords(kind), n: index + 1 })} onClick=${() => removeArea(index)} />
        </li>`,
      )}
    </ul>`
    }
    ${
      chosen >= 0 &&
      html`<${KeyHints}
      keys=${[
        [["←", "↑", "→", "↓"], t("move the corner")],
        [["Shift"], t("in larger steps")],
        [["Alt"], t("the whole area")],
        [["+"], t("new corner")],
        [[t("Del")], t("remove it")],
      ]}
    />`
    }
  </div>`;
}

const spot = (x, y) => ({ left: `${x * 100}%`, top: `${y * 100}%` });

/** Corners of the rectangle between two points: top left first, clockwise. */
function rectangle([ax, ay], [bx, by]) {
  const [left, right] = ax < bx ? [ax, bx] : [bx, ax];
  const [top, bottom] = ay < by ? [ay, by] : [by, ay];
  return [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ];
}

/** Points moved together, as far as all stay in the picture. */
function shifted(points, dx, dy) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const x = Math.max(-Math.min(...xs), Math.min(1 - Math.max(...xs), dx));
  const y = Math.max(-Math.min(...ys), Math.min(1 - Math.max(...ys), dy));
  return points.map(([px, py]) => [px + x, py + y]);
}

/** URL of a picture that is one, or a Blob. */
export function usePicture(picture) {
  const [url, setUrl] = useState(typeof picture === "string" ? picture : null);
  useEffect(() => {
    if (!(picture instanceof Blob)) {
      setUrl(picture ?? null);
      return undefined;
    }
    const made = URL.createObjectURL(picture);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [picture]);
  return url;
}
