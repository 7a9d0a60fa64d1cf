// Jobs of cloud-sync: how they go, while they go and shortly after.
import { get, path, post, remove } from "../../api.js";
import { IconButton } from "../../components/button.js";
import { Note, ProgressBar } from "../../components/panels.js";
import { boxNow } from "../../format.js";
import { t } from "../../i18n.js";
import { progress } from "../../live.js";
import { can } from "../../store.js";
import { html, useState } from "../../view.js";

const WORDS = {
  link: () => t("Linking the project"),
  pull: () => t("Fetching the newest model"),
  import: () => t("Importing a file"),
  upload: () => t("Uploading pictures"),
  retrain: () => t("Training at Edge Impulse"),
  "check-updates": () => t("Looking for a new model"),
};

export const jobWord = (command) => WORDS[command]?.() ?? command;
export const isOver = ({ state }) => state === "done" || state === "failed";

const SHOWN_AFTER_MS = 60_000;

/** {commands (only these; all when left out)} */
export function JobList({ commands }) {
  const [closed, setClosed] = useState(new Set());
  const now = boxNow();
  const shown = [...progress.value.values()].filter(
    (job) =>
      (!commands || commands.includes(job.command)) &&
      !closed.has(job.job) &&
      (!isOver(job) || (job.state === "failed" && now - Date.parse(job.at) < 10 * SHOWN_AFTER_MS) || now - Date.parse(job.at) < SHOWN_AFTER_MS),
  );
  if (shown.length === 0) return null;
  return html`<div class="stack jobs" aria-live="polite">
    ${shown.map((job) => html`<${Job} key=${job.job} ...${job} onClose=${() => setClosed(new Set([...closed, job.job]))} />`)}
  </div>`;
}

function Job({ job, command, state, text, done, total, onClose }) {
  if (state === "failed") {
    return html`<${Note} tone="bad" title=${t("{what} failed", { what: jobWord(command) })} action=${html`<${IconButton} icon="x" label=${t("Close")} onClick=${onClose} />`}><p>${text}</p><//>`;
  }
  if (state === "done") {
    return html`<${Note} tone="ok" title=${t("{what}: done", { what: jobWord(command) })} action=${html`<${IconButton} icon="x" label=${t("Close")} onClick=${onClose} />`}><p>${text}</p><//>`;
  }
  return html`<div class="job">
    <${ProgressBar} label=${`${jobWord(command)}${text ? `: ${text}` : ""}`} value=${total > 0 ? done / total : null} />
    ${can("operate") && html`<${IconButton} icon="x" label=${t("Cancel: {what}", { what: jobWord(command) })} onClick=${() => remove(path`jobs/${job}`)} />`}
  </div>`;
}

/** Start a job, and wait until it is over: `await job(() => post(...))`. Throws what it failed of. */
export async function job(start) {
  const { job: id } = await start();
  return new Promise((resolve, reject) => {
    const end = (told) => {
      stop();
      if (told.state === "failed") reject(new Error(told.text));
      else resolve(told);
    };
    const seen = () => {
      const told = progress.peek().get(id);
      if (told && isOver(told)) end(told);
    };
    const stop = progress.subscribe(() => queueMicrotask(seen));
    // Steps may have come before the socket listened, or be lost with it: the list has them all.
    const timer = setInterval(async () => {
      if (progress.peek().get(id) && isOver(progress.peek().get(id))) return clearInterval(timer);
      const { jobs } = await get("jobs", { limit: 20 }).catch(() => ({ jobs: [] }));
      const told = jobs.find((one) => one.job === id);
      if (told && isOver(told)) {
        clearInterval(timer);
        end(told);
      }
    }, 3000);
  });
}

export const startJob = (where, body = undefined) => job(() => post(where, body));
