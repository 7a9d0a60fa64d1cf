// How often each version of a model was unsure: whether retraining helped.
import { Chart } from "../../components/chart.js";
import { Note } from "../../components/panels.js";
import { Table } from "../../components/table.js";
import { number, percent } from "../../format.js";
import { t } from "../../i18n.js";
import { html, useMemo } from "../../view.js";
import { ChartCard, HEIGHT, seconds } from "./charts.js";

const FEW = 100; // results, of which a share says nothing yet
const SURE = 3; // standard errors: pictures of a video are alike, so more than the usual two

/** Sums of each version: [{model, version, results, uncertain, share, first, last}], newest first. */
export function versionsOf(series) {
  return series
    .filter(({ other }) => !other)
    .map(({ model, version, results, uncertain }) => {
      const known = results.map((n, index) => (n ? index : -1)).filter((index) => index >= 0);
      const all = sum(results);
      return {
        model,
        version,
        results: all,
        uncertain: sum(uncertain),
        share: all ? sum(uncertain) / all : null,
        first: known[0] ?? -1,
        last: known.at(-1) ?? -1,
      };
    })
    .filter(({ results }) => results > 0)
    .sort((a, b) => b.first - a.first || b.last - a.last || b.version.localeCompare(a.version, undefined, { numeric: true }));
}

const sum = (values) => values.reduce((whole, value) => whole + (value ?? 0), 0);

/** Of each model: how its newest version does beside the one before: {model, verdict, now, before}. */
export function verdicts(versions) {
  const models = Map.groupBy ? Map.groupBy(versions, ({ model }) => model) : grouped(versions);
  return [...models].map(([model, [now, before]]) => {
    if (!before) return { model, verdict: "alone", now };
    const few = [now, before].find(({ results }) => results < FEW);
    if (few) return { model, verdict: "few", now, before, few };
    const both = (now.uncertain + before.uncertain) / (now.results + before.results);
    const error = Math.sqrt(both * (1 - both) * (1 / now.results + 1 / before.results));
    const apart = now.share - before.share;
    const verdict = error === 0 || Math.abs(apart) < SURE * error ? "same" : apart < 0 ? "better" : "worse";
    return { model, verdict, now, before };
  });
}

function grouped(versions) {
  const models = new Map();
  for (const one of versions) models.set(one.model, [...(models.get(one.model) ?? []), one]);
  return models;
}

const TONES = { better: "ok", worse: "warn", same: "info", few: "info", alone: "info" };

/** [heading, sentence] of a verdict. */
function words({ model, verdict, now, before, few }) {
  const vars = {
    model,
    now: now.version || "–",
    before: before?.version || "–",
    a: percent(now.share, 1),
    b: percent(before?.share, 1),
    version: few?.version || "–",
    n: number(few?.results, 0),
  };
  switch (verdict) {
    case "better":
      return [
        t("Retraining helped"),
        t("Version {now} of {model} is unsure in {a} of its results; version {before} was in {b}.", vars),
      ];
    case "worse":
      return [
        t("The new version is less sure"),
        t("Version {now} of {model} is unsure in {a} of its results; version {before} was only in {b}.", vars),
      ];
    case "same":
      return [
        t("No difference that counts"),
        t("Version {now} of {model} is unsure in {a} of its results, version {before} was in {b}.", vars),
      ];
    case "few":
      return [
        t("Too early to tell whether retraining helped"),
        t("Version {version} of {model} has only {n} results in this time.", vars),
      ];
    default:
      return [
        t("Nothing to compare with"),
        t("In this time only version {now} of {model} looked: unsure in {a} of its results. Choose a time in which two versions looked.", vars),
      ];
  }
}

export function CertaintyCard({ of, onRange, filtered }) {
  const title = t("Low certainty per model version");
  const versions = useMemo(() => versionsOf(of.data?.series ?? []), [of.data]);
  const chart = useMemo(() => {
    if (!of.data) return null;
    const series = of.data.series.filter(({ other }) => !other);
    const several = new Set(series.map(({ model }) => model)).size > 1;
    // The newest first in the table, the colours by age: a version keeps its own while others come.
    const age = new Map([...versions].reverse().map((one, index) => [`${one.model} ${one.version}`, index]));
    return {
      x: seconds(of.data),
      series: series
        .map((one) => ({
          label: nameOf(one, several),
          age: age.get(`${one.model} ${one.version}`) ?? 0,
          values: one.results.map((n, index) => (n ? (100 * (one.uncertain[index] ?? 0)) / n : null)),
        }))
        .sort((a, b) => b.age - a.age)
        .map((one) => ({ ...one, token: `--series-${(one.age % 8) + 1}` })),
    };
  }, [of.data, versions]);
  const told = verdicts(versions);
  const shown = told.filter(({ verdict }) => verdict !== "alone");
  const several = told.length > 1;
  return html`<${ChartCard} of=${of} title=${title}>
    ${() => html`
      <div class="data-verdicts">
        ${(shown.length ? shown : told).slice(0, 2).map((one) => {
          const [heading, sentence] = words(one);
          return html`<${Note} key=${one.model} tone=${TONES[one.verdict]} title=${heading}><p>${sentence}</p><//>`;
        })}
      </div>
      <${Chart}
        title=${title}
        level=${2}
        height=${HEIGHT - 60}
        ...${chart}
        unit="%"
        yMin=${0}
        sync="data"
        onRange=${onRange}
        lead=${html`${t("Share of results that the model was unsure of.")}${filtered ? ` ${t("Of all labels.")}` : ""}`}
      />
      ${
        versions.length > 1 &&
        html`<${Table}
          label=${t("Versions in this time")}
          cards=${false}
          class="data-versions"
          id=${({ model, version }) => `${model} ${version}`}
          rows=${versions.slice(0, 6)}
          columns=${[
            { key: "version", label: t("Version"), cell: (one) => nameOf(one, several) },
            { key: "results", label: t("Results"), number: true, cell: ({ results }) => number(results, 0) },
            { key: "uncertain", label: t("Unsure"), number: true, cell: ({ uncertain }) => number(uncertain, 0) },
            { key: "share", label: t("Share"), number: true, cell: ({ share }) => html`<span class="strong">${percent(share, 1)}</span>` },
          ]}
        />`
      }
    `}
  <//>`;
}

const nameOf = ({ model, version }, several) => {
  const called = version || t("without a version");
  return several ? `${model} ${called}` : called;
};
