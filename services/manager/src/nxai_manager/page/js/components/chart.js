import { number, time } from "../format.js";
import { locale, t } from "../i18n.js";
import { colour, dark } from "../theme.js";
import { html, useEffect, useRef, useState } from "../view.js";

let library = null;

function load() {
  library ??= (async () => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL("../../vendor/uplot.css", import.meta.url).href;
    document.head.append(link);
    const { default: UPlot } = await import("../../vendor/uplot.js");
    return UPlot;
  })();
  return library;
}

/** Colour of the nth series, in charts and their keys. */
const seriesToken = (index) => `--series-${(index % 8) + 1}`;

/** Lines that are drawn at first where there are many; the key has the others, to be switched on. */
const MOST_DRAWN = 8;
const MOST_IN_KEY = 12;

/**
 * A chart over time or numbers, in the colours of the theme, with a table for who cannot see it.
 * {title (required), x: [seconds since 1970 or numbers], series: [{label, values, unit, token (colour), dash, fill,
 * group (lines of one group share an entry of the key, and its colour)}],
 * kind: "line"|"bars"|"steps", time (true: x are times), height (240), unit, yMin, yMax, digits, stacked,
 * onRange(from, to) (drag to zoom), format: (value) => text, rowTitle (heading of x in the table),
 * xText: (x, index) => text, rows (of the table, when x has an end besides), marks: [{at (on x), label, token}],
 * sync (charts of one name point at the same place), level (heading: 3), lead (what it shows), aside (a control)}
 */
export function Chart(props) {
  const {
    title,
    x,
    series,
    time: overTime = true,
    height = 240,
    format,
    unit = "",
    digits = 1,
    level = 3,
    lead,
    aside,
  } = props;
  const box = useRef(null);
  const plot = useRef(null);
  const [failed, setFailed] = useState(null);
  const [asTable, setAsTable] = useState(false);
  const [shown, setShown] = useState(null); // what is under the pointer
  const [switched, setSwitched] = useState(new Map()); // group -> on, where a person chose
  const [whole, setWhole] = useState(false); // the whole key
  const isDark = dark.value;
  const groups = groupsOf(series);
  const isOn = (group) => switched.get(group) ?? groups.findIndex(({ name }) => name === group) < MOST_DRAWN;
  const drawn = series.map((one) => isOn(one.group ?? one.label));
  const shape = JSON.stringify([
    series.map(({ label, token, dash, fill }) => [label, token, dash, fill]),
    props.marks,
    props.kind,
    overTime,
    height,
    props.yMin,
    props.yMax,
    unit,
    isDark,
    asTable,
  ]);
  const text =
    format ??
    ((value) => (value === null || value === undefined ? "–" : `${number(value, digits)}${unit ? ` ${unit}` : ""}`));
  const latest = useRef(null);
  latest.current = { props, drawn };

  useEffect(() => {
    if (asTable) return undefined;
    let gone = false;
    let observer = null;
    load().then(
      (UPlot) => {
        if (gone || !box.current) return;
        const width = () => Math.max(160, box.current?.clientWidth ?? 0);
        plot.current = new UPlot(
          options(UPlot, latest.current.props, width(), text, setShown, latest),
          data(latest.current.props),
          box.current,
        );
        observer = new ResizeObserver(() => plot.current?.setSize({ width: width(), height }));
        observer.observe(box.current);
      },
      (error) => setFailed(error),
    );
    return () => {
      gone = true;
      observer?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data(props));
  }, [x, series]);

  useEffect(() => {
    plot.current?.batch(() => drawn.forEach((show, index) => plot.current.setSeries(index + 1, { show })));
  }, [drawn.join()]);

  const at = Math.min(shown ?? lastKnown(x, series), (props.rows ?? x.length) - 1);
  const xText = props.xText ?? (overTime ? (value) => time(value * 1000) : (value) => number(value, 3));
  const listed = whole ? groups : groups.slice(0, MOST_IN_KEY);
  const Title = `h${level}`;
  return html`<figure class="chart">
    <figcaption class="chart__head">
      <div class="chart__words">
        <${Title} class="chart__title">${title}<//>
        ${lead && html`<p class="small soft">${lead}</p>`}
      </div>
      <span class="chart__at small soft number">${!asTable && x.length > 0 && (props.xText && shown === null ? "" : xText(x[at], at))}</span>
      ${aside}
      <button type="button" class="button button--quiet button--s" aria-pressed=${String(asTable)} onClick=${() => setAsTable(!asTable)}>
        ${asTable ? t("As a chart") : t("As a table")}
      </button>
    </figcaption>
    ${
      asTable
        ? html`<${Numbers} ...${{ title, series, overTime, text, xText }} x=${x.slice(0, props.rows)} rowTitle=${props.rowTitle} />`
        : html`<div class="chart__plot" ref=${box} role="img" aria-label=${summary(title, series, text)} style=${{ minHeight: `${height}px` }}></div>
          <ul class="chart__key" aria-label=${t("Lines of the chart")}>
            ${listed.map(
              ({ name, token, lines }) => html`<li key=${name}>
                <button
                  type="button"
                  class="chart__line"
                  aria-pressed=${String(isOn(name))}
                  title=${isOn(name) ? t("Hide {line}", { line: name }) : t("Show {line}", { line: name })}
                  onClick=${() => setSwitched(new Map(switched).set(name, !isOn(name)))}
                >
                  <span class="chart__sign" style=${{ "--tone": `var(${token})` }}></span>
                  <span class="truncate">${name}</span>
                  <span class="number soft">${!(props.xText && shown === null) && isOn(name) && lines.map(({ values }) => text(values[at])).join(" / ")}</span>
                </button>
              </li>`,
            )}
            ${
              groups.length > listed.length &&
              html`<li><button type="button" class="button button--quiet button--s" onClick=${() => setWhole(true)}>${t("{n} more", { n: groups.length - listed.length })}</button></li>`
            }
          </ul>`
    }
    ${failed && html`<p class="field__error">${t("The chart cannot be drawn: {reason}", { reason: failed.message })}</p>`}
  </figure>`;
}

const data = ({ x, series }) => [x, ...series.map(({ values }) => values)];

/** The newest place at which any line has a value. */
const lastKnown = (x, series) =>
  Math.max(
    0,
    x.findLastIndex((_, index) => series.some(({ values }) => (values[index] ?? null) !== null)),
  );

/** Entries of the key: [{name, token, lines: [series]}] */
function groupsOf(series) {
  const groups = new Map();
  series.forEach((one, index) => {
    const name = one.group ?? one.label;
    if (!groups.has(name)) groups.set(name, { name, token: one.token ?? seriesToken(index), lines: [] });
    groups.get(name).lines.push(one);
  });
  return [...groups.values()];
}

function options(
  UPlot,
  { series, kind = "line", time: overTime = true, height = 240, yMin, yMax, onRange, marks = [], sync },
  width,
  text,
  setShown,
  latest,
) {
  const soft = colour("--text-soft");
  const line = colour("--line");
  const axis = {
    stroke: soft,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1, size: 4 },
    font: "12px system-ui, sans-serif",
  };
  const paths = {
    bars: UPlot.paths.bars({ size: [0.8, 60] }),
    steps: UPlot.paths.stepped({ align: 1 }),
    line: UPlot.paths.linear(),
  }[kind];
  const day = { day: "numeric", month: "short" };
  const clock = { hour: "2-digit", minute: "2-digit" };
  const labels = (plot, splits, _axis, _space, step) =>
    splits.map((at) => {
      const when = new Date(at * 1000);
      const parts =
        step >= 86400 || (when.getHours() === 0 && when.getMinutes() === 0)
          ? day
          : step < 60
            ? { ...clock, second: "2-digit" }
            : clock;
      return new Intl.DateTimeFormat(locale(), parts).format(when);
    });
  return {
    width,
    height,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: Boolean(onRange), y: false, setScale: false },
      points: { size: 7 },
      // Only where the pointer is: what is dragged in one chart is not dragged in the others.
      ...(sync ? { sync: { key: sync, scales: ["x", null], filters: { pub: (kind) => !/down|up/.test(kind) } } } : {}),
    },
    scales: {
      x: { time: overTime },
      y: {
        range: (_plot, low, high) => {
          const from = yMin ?? Math.min(0, low ?? 0);
          const top = yMax ?? (high === null || high <= from ? from + 1 : from + (high - from) * 1.08);
          return [from, top];
        },
      },
    },
    axes: [
      { ...axis, space: 72, size: 32, ...(overTime ? { values: labels } : {}) },
      { ...axis, size: 56, space: 36, values: (_plot, splits) => splits.map((value) => text(value)) },
    ],
    series: [
      {},
      ...series.map(({ label, token, dash, fill }, index) => {
        const stroke = colour(token ?? seriesToken(index));
        return {
          label,
          show: latest.current.drawn[index],
          stroke,
          width: 1.75,
          dash: dash ? [6, 4] : undefined,
          fill:
            fill || kind === "bars"
              ? stroke.replace("rgb(", "rgba(").replace(")", kind === "bars" ? ", 0.55)" : ", 0.14)")
              : undefined,
          paths,
          points: { show: kind === "line" && series[index].values.length < 30, size: 5 },
          spanGaps: false,
        };
      }),
    ],
    hooks: {
      draw: marks.length ? [(plot) => drawMarks(plot, marks)] : [],
      setCursor: [(plot) => setShown(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          if (!onRange || plot.select.width < 4) return;
          latest.current.props.onRange(
            plot.posToVal(plot.select.left, "x"),
            plot.posToVal(plot.select.left + plot.select.width, "x"),
          );
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        },
      ],
    },
  };
}

/** Upright lines with a word at them. */
function drawMarks({ ctx: context, bbox, valToPos }, marks) {
  const scale = devicePixelRatio || 1;
  context.save();
  context.font = `${12 * scale}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.textAlign = "left";
  context.lineWidth = 1.5 * scale;
  context.setLineDash([5 * scale, 4 * scale]);
  marks.forEach(({ at, label, token = "--text-soft" }, index) => {
    const x = Math.round(valToPos(at, "x", true));
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) return;
    context.strokeStyle = context.fillStyle = colour(token);
    context.beginPath();
    context.moveTo(x, bbox.top);
    context.lineTo(x, bbox.top + bbox.height);
    context.stroke();
    const width = context.measureText(label).width;
    const left = x - width - 6 * scale >= bbox.left ? x - width - 6 * scale : x + 6 * scale;
    context.fillText(label, left, bbox.top + (2 + 15 * index) * scale);
  });
  context.restore();
}

function summary(title, series, text) {
  const parts = series.slice(0, 8).map(({ label, values }) => {
    const known = values.filter((value) => value !== null && value !== undefined);
    if (known.length === 0) return t("{label}: no values", { label });
    return t("{label}: from {least} to {most}, last {last}", {
      label,
      least: text(known.reduce((a, b) => Math.min(a, b))),
      most: text(known.reduce((a, b) => Math.max(a, b))),
      last: text(known.at(-1)),
    });
  });
  return [title, ...parts].join(". ");
}

const MOST_ROWS = 300;

function Numbers({ title, x, series, overTime, text, xText, rowTitle }) {
  const from = Math.max(0, x.length - MOST_ROWS);
  return html`<div class="chart__table" tabindex="0" role="region" aria-label=${title}>
    <table class="table">
      <caption class="unseen">${title}</caption>
      <thead>
        <tr>
          <th scope="col">${rowTitle ?? (overTime ? t("Time") : t("Value"))}</th>
          ${series.map(({ label }) => html`<th scope="col" class="table__number">${label}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${x.slice(from).map(
          (at, index) => html`<tr>
            <th scope="row">${xText(at, from + index)}</th>
            ${series.map(({ values }) => html`<td class="table__number">${text(values[from + index])}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
    ${from > 0 && html`<p class="small soft">${t("The last {n} of {all} rows.", { n: MOST_ROWS, all: x.length })}</p>`}
  </div>`;
}
