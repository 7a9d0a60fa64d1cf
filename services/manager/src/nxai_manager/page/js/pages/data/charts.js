// The charts of counts, confidence and latency.
import { Chart } from "../../components/chart.js";
import { Segmented } from "../../components/field.js";
import { Card, ErrorNote, Skeleton } from "../../components/panels.js";
import { milliseconds, number, score } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { deployments, manifests } from "../../live.js";
import { cameras } from "../../store.js";
import { cls, html, useMemo, useState } from "../../view.js";
import { cameraName } from "./filters.js";

export const HEIGHT = 240;
const TALL = 330; // beside the answer about retraining
const SYNC = "data";

/** A chart's card: {of (asked), title, children: (data) => element}; old data stay while an error is told. */
export function ChartCard({ of, title, children }) {
  return html`<${Card} class=${cls("data-chart", of.loading && of.data && "is-asking")} aria-label=${title} aria-busy=${String(of.loading)}>
    <${ErrorNote} error=${of.error} title=${t("{chart} cannot be shown now", { chart: title })} onRetry=${of.again} />
    ${of.data ? children(of.data) : !of.error && html`<${Skeleton} height=${`${HEIGHT + 64}px`} />`}
  <//>`;
}

/** Times of an answer, in seconds as the chart has them. */
export const seconds = (data) => data.times.map((at) => at / 1000);

/** Names of series that say only in what they differ. */
function names(series, parts) {
  const varied = parts.filter(({ of }) => new Set(series.map(of)).size > 1);
  const used = varied.length ? varied : parts.slice(0, 1);
  return series.map((one) =>
    one.other ? tn(one.other, "{n} other", "{n} others") : used.map(({ of, word = (text) => text }) => word(of(one))).join(" · "),
  );
}

export function CountsCard({ of, onRange }) {
  const [measure, setMeasure] = useState("picture");
  const title = t("Objects counted");
  const chart = useMemo(() => {
    if (!of.data) return null;
    const { series } = of.data;
    const called = names(series, [
      { of: ({ label }) => label },
      { of: ({ camera }) => camera, word: cameraName },
      { of: ({ model }) => model },
    ]);
    const lines = series.flatMap((one, index) => {
      const shared = { group: called[index], token: `--series-${(index % 8) + 1}` };
      if (measure === "all") return [{ ...shared, label: called[index], values: one.objects, fill: series.length === 1 }];
      return [
        { ...shared, label: t("{name}, mean", { name: called[index] }), values: one.mean },
        { ...shared, label: t("{name}, most", { name: called[index] }), values: one.max, dash: true },
      ];
    });
    return { x: seconds(of.data), series: lines };
  }, [of.data, measure, cameras.data.value]);
  return html`<${ChartCard} of=${of} title=${title}>
    ${() => html`<${Chart}
      title=${title}
      level=${2}
      height=${TALL}
      ...${chart}
      digits=${measure === "all" ? 0 : 2}
      sync=${SYNC}
      onRange=${onRange}
      lead=${measure === "all" ? t("Objects of all pictures of a step added up.") : t("Objects in a picture: mean (line) and most (dashed).")}
      aside=${html`<${Segmented}
        label=${t("What is counted")}
        hideLabel
        class="segmented--s"
        value=${measure}
        options=${[
          { value: "picture", label: t("In a picture") },
          { value: "all", label: t("In all") },
        ]}
        onInput=${setMeasure}
      />`}
    />`}
  <//>`;
}

const EDGES = Array.from({ length: 11 }, (_, index) => index / 10);

export function ConfidenceCard({ of, query }) {
  const title = t("Confidence per label");
  const marks = thresholds(query);
  const chart = useMemo(() => {
    if (!of.data) return null;
    const called = names(of.data.series, [{ of: ({ label }) => label }]);
    const series = of.data.series.map(({ bins }, index) => ({
      label: called[index],
      // A bin reaches to the edge of the next one; the last one needs an edge of its own.
      values: [...bins, bins.at(-1)],
      fill: true,
    }));
    return { x: EDGES, series };
  }, [of.data]);
  return html`<${ChartCard} of=${of} title=${title}>
    ${() => html`<${Chart}
      title=${title}
      level=${2}
      height=${HEIGHT}
      kind="steps"
      time=${false}
      ...${chart}
      digits=${0}
      rows=${10}
      rowTitle=${t("Confidence")}
      xText=${(at) => t("{from} to {until}", { from: number(at, 1), until: number(at + 0.1, 1) })}
      marks=${marks}
      lead=${t("Objects per tenth of confidence. Many close above the threshold: others are probably missed below it.")}
    />`}
  <//>`;
}

/** Thresholds in force of the models (and cameras) that are shown: marks of the chart. */
function thresholds({ camera, model }) {
  const found = new Map();
  const note = (value, name) => {
    if (typeof value !== "number") return;
    if (!found.has(value)) found.set(value, new Set());
    found.get(value).add(name);
  };
  for (const one of cameras.data.value?.cameras ?? []) {
    if (camera && one.id !== camera) continue;
    const own = new Map((one.settings?.models ?? []).map((use) => [use.id ?? use, use.threshold]));
    for (const name of one.models ?? []) {
      if (model && name !== model) continue;
      note(own.get(name) ?? deployments.value.get(name)?.threshold ?? manifests.value.get(name)?.threshold, name);
    }
  }
  const all = [...found].sort(([a], [b]) => a - b).slice(0, 4);
  return all.map(([at, of]) => ({
    at,
    label: all.length > 1 ? t("threshold {value} ({models})", { value: score(at), models: [...of].join(", ") }) : t("threshold {value}", { value: score(at) }),
  }));
}

export function LatencyCard({ of, onRange, filtered }) {
  const [measure, setMeasure] = useState("mean");
  const title = t("Latency and inference");
  const chart = useMemo(() => {
    if (!of.data) return null;
    const called = names(of.data.series, [{ of: ({ camera }) => camera, word: cameraName }]);
    const lines = of.data.series.flatMap((one, index) => {
      const shared = { group: called[index], token: `--series-${(index % 8) + 1}` };
      if (measure === "most") return [{ ...shared, label: called[index], values: one.max_ms }];
      return [
        { ...shared, label: t("{name}, latency", { name: called[index] }), values: one.mean_ms },
        { ...shared, label: t("{name}, inference", { name: called[index] }), values: one.inference_ms, dash: true },
      ];
    });
    return { x: seconds(of.data), series: lines };
  }, [of.data, measure, cameras.data.value]);
  return html`<${ChartCard} of=${of} title=${title}>
    ${() => html`<${Chart}
      title=${title}
      level=${2}
      height=${HEIGHT}
      ...${chart}
      format=${milliseconds}
      yMin=${0}
      sync=${SYNC}
      onRange=${onRange}
      lead=${html`${measure === "most" ? t("The slowest result of each step.") : t("From the picture to the result (line), and the model's part of it (dashed).")}${filtered ? ` ${t("Of all labels.")}` : ""}`}
      aside=${html`<${Segmented}
        label=${t("Which latency")}
        hideLabel
        class="segmented--s"
        value=${measure}
        options=${[
          { value: "mean", label: t("Mean") },
          { value: "most", label: t("Longest") },
        ]}
        onInput=${setMeasure}
      />`}
    />`}
  <//>`;
}
