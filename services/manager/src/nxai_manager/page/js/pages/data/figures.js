// #/data: charts over a time, and each result of it.
import { EmptyState, ErrorNote, Note, Skeleton } from "../../components/panels.js";
import { Button } from "../../components/button.js";
import { bytes, day, number, sentence } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { go, to } from "../../router.js";
import { html, useEffect } from "../../view.js";
import { useAsked } from "./asked.js";
import { CertaintyCard } from "./certainty.js";
import { ConfidenceCard, CountsCard, LatencyCard } from "./charts.js";
import { Filters } from "./filters.js";
import { Results } from "./results.js";
import { useSpan } from "./span.js";

const POINTS = matchMedia("(max-width: 40rem)").matches ? 120 : 320; // as many as there is room for
const PATIENCE_S = 40; // the box itself waits 30 s for the data logger, and then says why

export function Figures({ query }) {
  const span = useSpan(query);
  const { camera, model, label } = query;
  const asked = { since: span.since, until: span.until, camera, model, label };
  const logger = useAsked("data/logger", {}, { timeout: PATIENCE_S });
  useEffect(() => {
    if (logger.error) logger.again();
  }, [span.until]);
  const charts = Object.fromEntries(
    ["counts", "confidence", "latency", "certainty"].map((chart) => [
      chart,
      // A hook in a loop: always the same four.
      useAsked(`data/charts/${chart}`, { ...asked, points: POINTS }, { timeout: PATIENCE_S }),
    ]),
  );

  /** Show another time or filter; a zoom can be undone by the browser's back button. */
  function change(changes, options) {
    const next = { ...query, ...changes };
    for (const [name, value] of Object.entries(next)) if (!value) delete next[name];
    go(to("data", next), options);
  }
  const zoom = (from, until) => {
    const [since, end] = [from, Math.max(until, from + 60)].map((at) => new Date(at * 1000).toISOString());
    change({ range: "", since, until: end });
  };

  const away = logger.error ?? (charts.certainty.data ? null : charts.certainty.error);
  if (away && !logger.data) return html`<${Away} error=${away} onRetry=${() => [logger, ...Object.values(charts)].forEach((one) => one.again())} />`;
  if (!logger.data) return html`<div class="data__views"><${Skeleton} height="3rem" /><${Skeleton} kind="cards" count=${4} /></div>`;
  const facts = logger.data;
  if (!facts.enabled && facts.rows === 0) return html`<${Off} />`;

  const results = sum((charts.certainty.data?.series ?? []).flatMap((one) => one.results));
  const nothing = charts.certainty.data && results === 0;
  const shared = { span, onRange: zoom };
  return html`<div class="data__views stack">
    ${
      !facts.enabled &&
      html`<${Note} tone="warn" title=${t("The data logger is switched off.")} action=${html`<${Button} size="s" href=${to("output")}>${t("Open Output")}<//>`}>
        <p>${t("What it kept is shown here; nothing new is added.")}</p>
      <//>`
    }
    <${Filters} query=${query} span=${span} facts=${facts} onChange=${change} loading=${Object.values(charts).some(({ loading }) => loading)} />
    ${
      nothing
        ? html`<${Nothing} query=${query} facts=${facts} onChange=${change} />`
        : html`<div class="data__charts">
              <${CountsCard} of=${charts.counts} ...${shared} />
              <${CertaintyCard} of=${charts.certainty} ...${shared} filtered=${Boolean(label)} />
              <${ConfidenceCard} of=${charts.confidence} query=${query} />
              <${LatencyCard} of=${charts.latency} ...${shared} filtered=${Boolean(label)} />
            </div>
            <${Results} asked=${asked} live=${Boolean(span.preset)} about=${results} />`
    }
    <${Facts} facts=${facts} />
  </div>`;
}

const sum = (values) => values.reduce((whole, value) => whole + (value ?? 0), 0);

function Facts({ facts }) {
  const { rows, size_mb: size, oldest, database, enabled } = facts;
  return html`<p class="data__logger small soft">
    <span>${t("Data logger")}:</span>
    <span class="number">${tn(rows, "about {n} result", "about {n} results")}</span>
    <span class="number">${bytes(size * 1e6)}</span>
    ${oldest && html`<span>${t("since {day}", { day: day(oldest) })}</span>`}
    <span>${database === "postgresql" ? "PostgreSQL" : "SQLite"}</span>
    ${!enabled && html`<span>${t("switched off")}</span>`}
    <a href=${to("output")}>${t("Change what is kept")}</a>
  </p>`;
}

/** The database does not answer, or the logger does not. */
const Away = ({ error, onRetry }) =>
  html`<div class="data__views">
    <${EmptyState}
      icon="database"
      title=${t("The data logger cannot be read now")}
      action=${html`<${Button} icon="rotate-ccw" onClick=${onRetry}>${t("Try again")}<//><${Button} kind="quiet" href=${to("output")}>${t("Settings of the data logger")}<//>`}
    >
      <p>${sentence(error.detail ?? String(error))}</p>
      <p>${t("The cameras and what is sent from here go on as before.")}</p>
    <//>
  </div>`;

const Off = () =>
  html`<div class="data__views">
    <${EmptyState}
      icon="database"
      title=${t("The data logger is switched off")}
      action=${html`<${Button} kind="primary" href=${to("output")}>${t("Open Output")}<//>`}
    >
      ${t("Switch it on at Output to have charts, a table and downloads of what the cameras see. Everything stays on this box.")}
    <//>
  </div>`;

function Nothing({ query, facts, onChange }) {
  const filtered = query.camera || query.model || query.label;
  const elsewhere = facts.newest && facts.rows > 0;
  return html`<${EmptyState}
    icon="chart-line"
    title=${filtered ? t("No result fits in this time") : t("No model looked at a picture in this time")}
    action=${html`
      ${filtered && html`<${Button} icon="funnel-x" onClick=${() => onChange({ camera: "", model: "", label: "" })}>${t("Without filters")}<//>`}
      ${elsewhere && html`<${Button} onClick=${() => onChange(around(facts.newest))}>${t("Go to the newest results")}<//>`}
      ${!elsewhere && html`<${Button} kind="primary" href=${to("run")}>${t("To the live view")}<//>`}
    `}
  >
    ${
      elsewhere
        ? t("The data logger has about {n} results, the newest of {day}.", { n: number(facts.rows, 0), day: day(facts.newest) })
        : t("Nothing was kept yet. Once a model looks at a running camera, charts appear here.")
    }
  <//>`;
}

const around = (newest) => {
  const end = Date.parse(newest) + 1000;
  return { range: "", since: new Date(end - 3_600_000).toISOString(), until: new Date(end).toISOString() };
};
