// Each result that was kept: a table, its details, and downloads.
import { address, get } from "../../api.js";
import { Button } from "../../components/button.js";
import { Dialog } from "../../components/dialog.js";
import { Select } from "../../components/field.js";
import { Icon } from "../../components/icon.js";
import { JsonView } from "../../components/json_view.js";
import { Popover } from "../../components/menu.js";
import { Badge, EmptyState, ErrorNote, Facts, Skeleton } from "../../components/panels.js";
import { Table } from "../../components/table.js";
import { labelToken } from "../../colours.js";
import { fullTime, milliseconds, number, score, time } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { manifests } from "../../live.js";
import { html, useEffect, useRef, useState } from "../../view.js";
import { cameraName } from "./filters.js";

const PAGE = matchMedia("(max-width: 40rem)").matches ? 15 : 50; // there each is a card
const LOOKS = 8; // a page that found little looks on so often before it says so

const DOUBT = [
  { value: "", label: () => t("Sure and unsure") },
  { value: "true", label: () => t("Only unsure") },
  { value: "false", label: () => t("Only sure") },
];
const OBJECTS = [
  { value: "", label: () => t("With and without objects") },
  { value: "true", label: () => t("Something found") },
  { value: "false", label: () => t("Nothing found") },
];
const worded = (options) => options.map(({ value, label }) => ({ value, label: label() }));

const keyOf = (row) => [row.camera, row.model, row.stream, row.sequence, row.timestamp].join(" ");

/** {asked (since, until, camera, model, label), live (reaches to now), about (how many results in all, roughly)} */
export function Results({ asked, live, about }) {
  const [uncertain, setUncertain] = useState("");
  const [objects, setObjects] = useState("");
  const [list, setList] = useState(null); // {rows, next, searched}
  const [error, setError] = useState(null);
  const [loading, setLoading] = useState(false); // more; what moves on by itself does so quietly
  const [chosen, setChosen] = useState(null);
  const under = useRef(null);
  const { since, until, ...what } = asked;
  const kind = JSON.stringify([what, uncertain, objects, live ? "" : [since, until]]);
  const pages = useRef({ kind: "", count: 0, span: null });

  async function ask(more) {
    under.current?.abort();
    const mine = new AbortController();
    under.current = mine;
    setLoading(more);
    // Later pages belong to the first one: its time, not one that moved on since.
    const span = more ? pages.current.span : { since, until };
    const rows = more ? [...list.rows] : [];
    const wanted = rows.length + PAGE;
    let next = more ? list.next : "";
    let searched = null;
    try {
      for (let look = 0; look < LOOKS && next !== null && rows.length < wanted; look += 1) {
        const page = await get(
          "data/results",
          { ...span, ...what, uncertain, with_objects: objects, limit: wanted - rows.length, after: next },
          { signal: mine.signal },
        );
        rows.push(...page.results);
        next = page.next;
        searched = page.searched_to ?? null;
      }
      if (under.current !== mine) return;
      pages.current = { kind, count: more ? pages.current.count + 1 : 1, span };
      setList({ rows, next, searched });
      setError(null);
    } catch (reason) {
      if (under.current === mine) setError(reason);
    } finally {
      if (under.current === mine) setLoading(false);
    }
  }

  useEffect(() => {
    // What moves on by itself does so only while nobody reads further down.
    if (pages.current.kind === kind && (pages.current.count > 1 || chosen)) return;
    ask(false);
  }, [kind, until]);
  useEffect(() => () => under.current?.abort(), []);

  const columns = [
    {
      key: "timestamp",
      label: t("Time"),
      main: true,
      cell: (row) => html`<time class="number" datetime=${row.timestamp} title=${fullTime(row.timestamp_ms)}>${time(row.timestamp_ms)}<span class="faint">.${String(row.timestamp_ms % 1000).padStart(3, "0")}</span></time>`,
    },
    { key: "camera", label: t("Camera"), cell: ({ camera }) => cameraName(camera) },
    { key: "model", label: t("Model"), cell: ({ model, model_version: version }) => html`${model} <span class="soft">${version}</span>` },
    { key: "objects", label: t("Found"), cell: (row) => html`<${Found} row=${row} />` },
    { key: "confidence", label: t("Confidence"), cell: (row) => html`<span class="number">${confidences(row)}</span>` },
    { key: "uncertain", label: t("Certainty"), cell: ({ uncertain: unsure }) => (unsure ? html`<${Badge} tone="warn">${t("unsure")}<//>` : html`<span class="soft">${t("sure")}</span>`) },
    { key: "latency_ms", label: t("Latency"), number: true, cell: ({ latency_ms: ms }) => milliseconds(ms) },
    {
      key: "more",
      label: "",
      cell: (row) => html`<${Button} size="s" kind="quiet" icon="braces" aria-label=${t("Details of the result of {time}", { time: time(row.timestamp_ms) })} onClick=${() => setChosen(row)}>${t("Details")}<//>`,
    },
  ];
  const filtered = uncertain || objects;
  return html`<section class="section data-results" aria-labelledby="data-results">
    <header class="section__head">
      <h2 id="data-results">${t("Results")}</h2>
      <div class="row">
        <${Select} label=${t("Certainty")} hideLabel value=${uncertain} options=${worded(DOUBT)} onInput=${setUncertain} />
        <${Select} label=${t("Found")} hideLabel value=${objects} options=${worded(OBJECTS)} onInput=${setObjects} />
        <${Downloads} asked=${asked} about=${about} />
      </div>
    </header>
    <${ErrorNote} error=${error} title=${t("The results cannot be shown now")} onRetry=${() => ask(false)} />
    ${
      list
        ? html`<${Table}
              label=${t("Results, newest first")}
              columns=${columns}
              rows=${list.rows}
              id=${keyOf}
              onRow=${setChosen}
              chosen=${(row) => chosen && keyOf(row) === keyOf(chosen)}
              empty=${
                list.next === null &&
                html`<${EmptyState} icon="search" title=${t("No such result in this time")} action=${filtered && html`<${Button} icon="funnel-x" onClick=${() => (setUncertain(""), setObjects(""))}>${t("All results")}<//>`} />`
              }
            />
            <div class="row data-results__more">
              ${
                list.next !== null
                  ? html`<${Button} busy=${loading} onClick=${() => ask(true)}>${list.searched ? t("Look further back") : t("Load more")}<//>`
                  : list.rows.length > 0 && html`<span class="small soft">${t("These are all.")}</span>`
              }
              <span class="small soft number" role="status">
                ${list.rows.length > 0 && tn(list.rows.length, "{n} result shown", "{n} results shown")}
                ${list.next !== null && list.searched && ` · ${t("looked back to {time}", { time: time(list.searched) })}`}
              </span>
            </div>`
        : !error && html`<${Skeleton} lines=${8} />`
    }
    ${chosen && html`<${Details} row=${chosen} onClose=${() => setChosen(null)} />`}
  </section>`;
}

const labelsOf = (row) => manifests.value.get(row.model)?.labels ?? Object.keys(row.scores);

/** What a result shows: labels with their number, or the likeliest class. */
function Found({ row }) {
  const counts = new Map();
  for (const { label } of row.objects) counts.set(label, (counts.get(label) ?? 0) + 1);
  const [best] = Object.entries(row.scores).sort((a, b) => b[1] - a[1]);
  if (counts.size === 0 && best) counts.set(best[0], null);
  if (counts.size === 0) return html`<span class="soft">${t("nothing")}</span>`;
  return html`<span class="data-found">
    ${[...counts].map(([label, n]) => html`<span class="data-found__one"><span class="label-sign" style=${{ "--tone": `var(${labelToken(label, labelsOf(row))})` }}></span>${label}${n !== null && html` <span class="number soft">${number(n, 0)}</span>`}</span>`)}
  </span>`;
}

/** "0.62 to 0.91" of the objects; of a class its own. */
function confidences({ objects, scores }) {
  const values = objects.length ? objects.map(({ confidence }) => confidence) : Object.values(scores);
  if (!values.length) return "–";
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (!objects.length) return score(most);
  return score(least) === score(most) ? score(most) : t("{from} to {until}", { from: score(least), until: score(most) });
}

function Details({ row, onClose }) {
  const [open, setOpen] = useState(false);
  const { picture_width: width, picture_height: height, objects } = row;
  const scores = Object.entries(row.scores).sort((a, b) => b[1] - a[1]);
  return html`<${Dialog} title=${t("Result of {time}", { time: time(row.timestamp_ms) })} lead=${`${cameraName(row.camera)} · ${row.model} ${row.model_version}`} size="l" onClose=${onClose}>
    <div class="data-result">
      ${
        width > 0 &&
        html`<div class="data-result__stage" style=${{ aspectRatio: `${width} / ${height}` }} role="img" aria-label=${t("Where the objects were; the picture itself was not kept")}>
          ${objects.map(
            (one) => html`<span
              class="data-box"
              style=${{ "--tone": `var(${labelToken(one.label, labelsOf(row))})`, left: `${(100 * one.x) / width}%`, top: `${(100 * one.y) / height}%`, width: `${(100 * one.width) / width}%`, height: `${(100 * one.height) / height}%` }}
              ><span class="data-box__label">${one.label} ${score(one.confidence)}</span></span
            >`,
          )}
          ${objects.length === 0 && html`<p class="data-result__none">${scores.length ? `${scores[0][0]} ${score(scores[0][1])}` : t("Nothing found")}</p>`}
        </div>`
      }
      <div class="stack">
        <${Facts}
          class="facts--rows"
          items=${[
            [t("Captured"), fullTime(row.timestamp_ms)],
            [t("Certainty"), row.uncertain ? html`<${Badge} tone="warn">${t("unsure")}<//>` : t("sure")],
            [t("Latency"), milliseconds(row.latency_ms)],
            [t("Inference"), milliseconds(row.inference_ms)],
            [t("Picture"), html`<span class="number">${`${width} × ${height}`}</span>`],
            [t("Stream and number"), html`<span class="number">${`${row.stream} · ${row.sequence}`}</span>`],
          ]}
        />
      </div>
    </div>
    ${
      objects.length > 0 &&
      html`<${Table}
        label=${t("Objects")}
        cards=${false}
        id=${(one) => objects.indexOf(one)}
        rows=${objects}
        columns=${[
          { key: "label", label: t("Label"), sort: true, cell: ({ label }) => html`<span class="data-found__one"><span class="label-sign" style=${{ "--tone": `var(${labelToken(label, labelsOf(row))})` }}></span>${label}</span>` },
          { key: "confidence", label: t("Confidence"), sort: true, number: true, cell: ({ confidence }) => score(confidence) },
          { key: "x", label: "x", number: true, cell: ({ x }) => number(x) },
          { key: "y", label: "y", number: true, cell: ({ y }) => number(y) },
          { key: "width", label: t("Width"), number: true, cell: (one) => number(one.width) },
          { key: "height", label: t("Height"), number: true, cell: (one) => number(one.height) },
        ]}
      />`
    }
    ${
      scores.length > 0 &&
      html`<${Table}
        label=${t("Classes")}
        cards=${false}
        id=${([label]) => label}
        rows=${scores}
        columns=${[
          { key: "label", label: t("Class"), cell: ([label]) => label },
          { key: "score", label: t("Probability"), number: true, cell: ([, value]) => score(value) },
        ]}
      />`
    }
    <div class="data-result__json">
      <${Button} size="s" icon="braces" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? t("Hide JSON") : t("Show JSON")}<//>
      ${open && html`<${JsonView} value=${row} label=${t("Result as JSON")} height="20rem" />`}
    </div>
  <//>`;
}

function Downloads({ asked, about }) {
  const link = (what, format, words) => html`<a
    class="menu__item"
    href=${address("data/export", { ...asked, what, format })}
    download
  >
    <${Icon} name=${format === "csv" ? "file-text" : "file-json"} class="menu__icon" /><span class="grow">${words}</span><span class="menu__hint">${format === "csv" ? "CSV" : "JSON"}</span>
  </a>`;
  return html`<${Popover}
    label=${t("Download")}
    class="data-download"
    trigger=${(attributes) => html`<${Button} icon="download" ...${attributes}>${t("Download")}<//>`}
  >
    <div class="data-download__list">
      <p class="menu__heading">${asked.label ? t("Results with {label} among about {n} in this time", { label: asked.label, n: number(about, 0) }) : tn(about, "About {n} result in this time", "About {n} results in this time")}</p>
      ${link("results", "csv", t("Results, a line for each object"))}
      ${link("results", "jsonl", t("Results, a line for each"))}
      <hr role="separator" />
      <p class="menu__heading">${t("Counts, a line for each minute, camera, model and label")}</p>
      ${link("counts", "csv", t("Counts for a spreadsheet"))}
      ${link("counts", "jsonl", t("Counts for a script"))}
      <p class="small soft data-download__note">${t("Of the time, camera, model and label chosen above.")}</p>
    </div>
  <//>`;
}
