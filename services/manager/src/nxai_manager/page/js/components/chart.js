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
export const seriesToken = (index) => `--series-${(index % 8) + 1}`;

/**
 * A chart over time or numbers, in the colours of the theme, with a table for who cannot see it.
 * {title (required), x: [seconds since 1970 or numbers], series: [{label, values, unit, token (colour), dash, fill}],
 * kind: "line"|"bars"|"steps", time (true: x are times), height (240), unit, yMin, yMax, digits, stacked,
 * onRange(from, to) (drag to zoom), format: (value) => text, rowTitle (heading of x in the table)}
 */
export function Chart(props) {
  const { title, x, series, time: overTime = true, height = 240, format, unit = "", digits = 1 } = props;
  const box = useRef(null);
  const plot = useRef(null);
  const [failed, setFailed] = useState(null);
  const [asTable, setAsTable] = useState(false);
  const [shown, setShown] = useState(null); // what is under the pointer
  const isDark = dark.value;
  const shape = JSON.stringify([
    series.map(({ label, token, dash, fill }) => [label, token, dash, fill]),
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

  useEffect(() => {
    if (asTable) return undefined;
    let gone = false;
    let observer = null;
    load().then(
      (UPlot) => {
        if (gone || !box.current) return;
        const width = () => Math.max(160, box.current?.clientWidth ?? 0);
        plot.current = new UPlot(options(UPlot, props, width(), text, setShown), data(props), box.current);
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

  const at = shown ?? x.length - 1;
  return html`<figure class="chart">
    <figcaption class="chart__head">
      <span class="chart__title">${title}</span>
      <span class="chart__at small soft number">${x.length > 0 && (overTime ? time(x[at] * 1000) : number(x[at], 3))}</span>
      <button type="button" class="button button--quiet button--s" aria-pressed=${String(asTable)} onClick=${() => setAsTable(!asTable)}>
        ${asTable ? t("As a chart") : t("As a table")}
      </button>
    </figcaption>
    ${
      asTable
        ? html`<${Numbers} ...${{ title, x, series, overTime, text }} rowTitle=${props.rowTitle} />`
        : html`<div class="chart__plot" ref=${box} role="img" aria-label=${summary(title, series, text)} style=${{ minHeight: `${height}px` }}></div>
          <ul class="chart__key">
            ${series.map(
              ({ label, token, values }, index) => html`<li key=${label}>
                <span class="chart__sign" style=${{ background: `var(${token ?? seriesToken(index)})` }}></span>
                <span class="truncate">${label}</span> <span class="number soft">${text(values[at])}</span>
              </li>`,
            )}
          </ul>`
    }
    ${failed && html`<p class="field__error">${t("The chart cannot be drawn: {reason}", { reason: failed.message })}</p>`}
  </figure>`;
}

const data = ({ x, series }) => [x, ...series.map(({ values }) => values)];

function options(
  UPlot,
  { series, kind = "line", time: overTime = true, height = 240, yMin, yMax, onRange },
  width,
  text,
  setShown,
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
    cursor: { y: false, drag: { x: Boolean(onRange), y: false, setScale: false }, points: { size: 7 } },
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
      setCursor: [(plot) => setShown(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          if (!onRange || plot.select.width < 4) return;
          onRange(plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        },
      ],
    },
  };
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

function Numbers({ title, x, series, overTime, text, rowTitle }) {
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
            <th scope="row">${overTime ? time(at * 1000) : number(at, 3)}</th>
            ${series.map(({ values }) => html`<td class="table__number">${text(values[from + index])}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
    ${from > 0 && html`<p class="small soft">${t("The last {n} of {all} rows.", { n: MOST_ROWS, all: x.length })}</p>`}
  </div>`;
}
