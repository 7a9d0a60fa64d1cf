// Sending approved pictures to the linked Edge Impulse project.
import { path, post, remove } from "../../api.js";
import { Button, IconButton } from "../../components/button.js";
import { Dialog } from "../../components/dialog.js";
import { Checkbox, Radios } from "../../components/field.js";
import { ErrorNote, Note, ProgressBar, Skeleton } from "../../components/panels.js";
import { showError } from "../../components/toast.js";
import { ageSeconds, bytes, number, sentence } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { progress } from "../../live.js";
import { to } from "../../router.js";
import { cameras, can } from "../../store.js";
import { html, signal, useEffect, useState } from "../../view.js";
import { cameraName } from "./filters.js";
import { chosen, counts, fitting, pictures, project, showPictures } from "./pictures.js";

const SHOWN_S = 120; // what an upload came to is told for so long
const closed = signal(new Set());

export const isOver = ({ state }) => state === "done" || state === "failed";

/** Uploads under way and those that ended lately, newest first: [Progress]. */
export const uploads = () => [...progress.value.values()].filter(({ command }) => command === "upload").reverse();

export function UploadButton() {
  const [open, setOpen] = useState(false);
  const running = uploads().some((job) => !isOver(job));
  return html`<${Button}
      kind="primary"
      icon="upload"
      disabled=${!can("operate") || running}
      why=${running ? t("An upload is under way.") : t("Viewers cannot send pictures.")}
      onClick=${() => setOpen(true)}
      >${t("Upload to Edge Impulse")}<//
    >${open && html`<${UploadDialog} onClose=${() => setOpen(false)} />`}`;
}

function UploadDialog({ onClose }) {
  const [which, setWhich] = useState("approved");
  const [include, setInclude] = useState(false);
  const [error, setError] = useState(null);
  useEffect(() => {
    project.load();
    counts.load();
  }, []);
  const told = project.data.value;
  const by = counts.data.value?.by_state;
  const trouble = project.error.value ?? counts.error.value;
  const picked = fitting(pictures.value).filter(({ id }) => chosen.value.has(id));
  const link = told?.link;
  const ready = link && by && !told.trouble;
  const why = told?.trouble ? t("The API key does not do any more.") : ready ? t("There is nothing to send.") : t("It is being counted.");
  const sent = which === "chosen" ? picked.filter(({ state }) => ["approved", "failed"].includes(state) || (include && state === "new")).length : (by?.approved ?? 0) + (include ? (by?.new ?? 0) : 0);
  const stay = (cameras.data.value?.cameras ?? []).filter((one) => one.settings?.collect?.upload === "never");

  async function start() {
    setError(null);
    try {
      await post("samples/upload", { samples: which === "chosen" ? picked.map(({ id }) => id).slice(0, 1000) : [], include_new: include });
      onClose();
    } catch (reason) {
      setError(reason);
    }
  }
  return html`<${Dialog}
    title=${t("Upload to Edge Impulse")}
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//>
      ${told && !link ? html`<${Button} kind="primary" icon="link" href=${to("model")} onClick=${onClose}>${t("Link a project")}<//>` : html`<${Button} kind="primary" icon="upload" disabled=${!ready || sent === 0} why=${why} onClick=${start}>${sent ? tn(sent, "Send {n} picture", "Send {n} pictures") : t("Send")}<//>`}`}
  >
    <div class="stack">
      <${ErrorNote} error=${trouble} title=${t("It cannot be told what would be sent")} onRetry=${() => (project.load(), counts.load())} />
      ${!trouble && (!told || !by) && html`<${Skeleton} lines=${4} />`}
      ${
        told &&
        !link &&
        html`<${Note} tone="info" title=${t("No Edge Impulse project is linked")}>
          <p>${t("Link one on the Model page: it gets the pictures, and gives the next version of the model.")}</p>
        <//>`
      }
      ${told?.trouble && html`<${Note} tone="bad" title=${t("The API key does not do any more.")} action=${html`<${Button} size="s" href=${to("model")}>${t("To the key")}<//>`}><p>${sentence(told.trouble)}</p><//>`}
      ${
        ready &&
        html`
          <p>
            ${t("To project {name} ({number}).", { name: link.name, number: link.project })}${" "}
            ${t("Boxes that a person confirmed go along as labels; what the model saw is noted beside the picture.")}
          </p>
          ${
            picked.length > 0 &&
            html`<${Radios}
              label=${t("Which pictures")}
              value=${which}
              onInput=${setWhich}
              options=${[
                { value: "approved", label: tn(by.approved, "The {n} approved one", "All {n} approved ones") },
                { value: "chosen", label: tn(picked.length, "Only the {n} chosen", "Only the {n} chosen"), help: t("Those of them that are approved, or were refused before.") },
              ]}
            />`
          }
          ${
            by.new > 0 &&
            html`<${Checkbox}
              label=${which === "chosen" ? t("Also those that nobody has looked at") : tn(by.new, "Also the {n} that nobody has looked at", "Also the {n} that nobody has looked at")}
              help=${t("They go up without labels, to be labelled at Edge Impulse. They show whatever the camera saw.")}
              checked=${include}
              onInput=${setInclude}
            />`
          }
          ${which === "approved" && by.approved === 0 && !include && html`<p class="soft">${t("Nothing is approved yet. Look through the new pictures first.")}</p>`}
          ${stay.length > 0 && html`<${Note} tone="info" title=${t("Some pictures stay here")}><p>${t("Pictures of {cameras} never leave this box: so it is set at Output.", { cameras: stay.map(({ id }) => cameraName(id)).join(", ") })}</p><//>`}
        `
      }
      <${ErrorNote} error=${error} title=${t("The upload did not begin")} />
    </div>
  <//>`;
}

/** How an upload goes, and for a while what it came to. */
export function UploadState() {
  const shown = uploads().find((job) => !isOver(job) || (ageSeconds(job.at) < SHOWN_S && !closed.value.has(job.job)));
  const over = shown && isOver(shown);
  useEffect(() => {
    if (!over) return;
    counts.load();
    const query = Object.fromEntries(new URLSearchParams(location.hash.split("?")[1] ?? ""));
    showPictures(query, { anew: true });
  }, [shown?.job, over]);
  if (!shown) return null;
  const close = html`<${IconButton} icon="x" label=${t("Close")} onClick=${() => (closed.value = new Set([...closed.value, shown.job]))} />`;
  if (shown.state === "failed") {
    return html`<${Note} tone="bad" title=${t("The upload did not get through")} action=${close}><p>${sentence(shown.text)}</p>${sums(shown.details)}<//>`;
  }
  if (over) {
    const { uploaded = 0, failed = 0, left = "" } = shown.details;
    const tone = failed || left ? "warn" : uploaded ? "ok" : "info";
    return html`<${Note} tone=${tone} title=${uploaded ? tn(uploaded, "{n} picture was uploaded", "{n} pictures were uploaded") : t("Nothing was uploaded")} action=${close}>${sums(shown.details)}<//>`;
  }
  const { done, total, text, job } = shown;
  return html`<div class="data-upload" role="status">
    <${ProgressBar}
      class="grow"
      label=${t("Uploading to Edge Impulse: {step}", { step: text || t("waits") })}
      text=${total > 0 ? t("{n} of {all}", { n: number(done, 0), all: number(total, 0) }) : ""}
      value=${total > 0 ? done / total : null}
    />
    ${can("operate") && html`<${Button} size="s" icon="x" onClick=${() => remove(path`jobs/${job}`).catch(showError)}>${t("Cancel")}<//>`}
  </div>`;
}

/** What an upload came to, beside the number of pictures. */
function sums({ bytes: size, duplicates, failed, kept_back: kept, left } = {}) {
  const parts = [
    size > 0 && bytes(size),
    duplicates > 0 && tn(duplicates, "{n} of them was there already", "{n} of them were there already"),
    failed > 0 && tn(failed, "{n} was refused: see Refused", "{n} were refused: see Refused"),
    kept > 0 && tn(kept, "{n} stays here: not approved, or of a camera that never sends", "{n} stay here: not approved, or of a camera that never sends"),
    left && t("The others wait: {reason}", { reason: left }),
  ].filter(Boolean);
  return parts.length > 0 && html`<p>${parts.join(" · ")}</p>`;
}
