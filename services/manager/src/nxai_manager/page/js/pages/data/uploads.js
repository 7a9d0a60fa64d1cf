// #/data/uploads: what was sent to Edge Impulse, and what became of it.
import { EmptyState, ErrorNote, Note, Skeleton, StateChip, When } from "../../components/panels.js";
import { Button } from "../../components/button.js";
import { Table } from "../../components/table.js";
import { bytes, fullTime, number, sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { progress } from "../../live.js";
import { to } from "../../router.js";
import { html, useEffect } from "../../view.js";
import { useAsked } from "./asked.js";
import { isOver, uploads, UploadState } from "./upload.js";

const MOST = 200;

export function Uploads() {
  const { data, error, again } = useAsked("jobs", { command: "upload", limit: MOST });
  const live = uploads();
  const ended = live.filter(isOver).length;
  const begun = live.length;
  useEffect(() => {
    if (data) again();
  }, [ended, begun]);

  return html`<div class="stack">
    <${UploadState} />
    <${ErrorNote} error=${error} title=${t("The history cannot be shown now")} onRetry=${again} />
    ${!data ? !error && html`<${Skeleton} lines=${6} />` : html`<${History} jobs=${data.jobs} incomplete=${data.incomplete} />`}
  </div>`;
}

/** As it stands now: the list, and what was told since. */
const now = (job) => {
  const step = progress.value.get(job.job);
  return step && !isOver(job) ? { ...job, state: step.state, text: step.text, done: step.done, total: step.total, details: { ...job.details, ...step.details } } : job;
};

function History({ jobs, incomplete }) {
  const count = (name) => ({ details }) => (details?.[name] === undefined ? "–" : number(details[name], 0));
  const columns = [
    { key: "started_at", label: t("When"), main: true, sort: true, cell: ({ started_at: at }) => html`<span title=${fullTime(at)}><${When} at=${at} /></span>` },
    { key: "models", label: t("Model"), cell: ({ details }) => details?.models || html`<span class="soft">–</span>` },
    { key: "state", label: t("Status"), cell: (job) => html`<${StateChip} state=${job.state} label=${stateWord(job)} />` },
    { key: "uploaded", label: t("Images uploaded"), number: true, sort: ({ details }) => details?.uploaded ?? 0, cell: (job) => (isOver(job) || job.details?.uploaded ? count("uploaded")(job) : job.total ? `${number(job.done, 0)} / ${number(job.total, 0)}` : "–") },
    { key: "duplicates", label: t("There already"), number: true, cell: count("duplicates") },
    { key: "failed", label: t("Refused"), number: true, sort: ({ details }) => details?.failed ?? 0, cell: count("failed") },
    { key: "bytes", label: t("Size"), number: true, cell: ({ details }) => (details?.bytes === undefined ? "–" : bytes(details.bytes)) },
    { key: "text", label: t("What happened"), cell: (job) => html`<span class="data-history__text">${sentence(toldOf(job))}</span>` },
  ];
  return html`
    ${incomplete && html`<${Note} tone="warn" title=${t("Older uploads cannot be read now.")}><p>${sentence(incomplete)}</p><//>`}
    <${Table}
      label=${t("Uploads, newest first")}
      columns=${columns}
      rows=${jobs.map(now)}
      id=${({ job }) => job}
      empty=${html`<${EmptyState} icon="upload" title=${t("Nothing was uploaded yet")} action=${html`<${Button} href=${to("data", "samples")}>${t("To the pictures")}<//>`}>
        ${t("Approve pictures, then send them to Edge Impulse: each upload is noted here.")}
      <//>`}
    />
  `;
}

const stateWord = ({ state, details }) =>
  state === "done" && details?.failed ? t("Done, some refused") : state === "failed" && details?.uploaded ? t("Broken off") : undefined;

/** Why it failed, or what waits; else which pictures it was about: the numbers have columns of their own. */
const toldOf = ({ state, text, what, details }) => (state === "failed" ? text : isOver({ state }) ? details?.left || what : text || what);
