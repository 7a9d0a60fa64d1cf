// Add a model: link a project, or a file.
import { post, put, upload } from "../../api.js";
import { Button } from "../../components/button.js";
import { Dialog } from "../../components/dialog.js";
import { Field, Select } from "../../components/field.js";
import { FileDrop } from "../../components/file_drop.js";
import { ErrorNote, Note, ProgressBar } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { useListen, progress } from "../../live.js";
import { go, to } from "../../router.js";
import { models } from "../../store.js";
import { html, useState } from "../../view.js";
import { job, startJob } from "./jobs.js";
import { resizeWord, taskWord } from "./words.js";

/** {kind: "project"|"file", project, onClose} */
export const AddDialog = ({ kind, ...rest }) => (kind === "file" ? html`<${AddFile} ...${rest} />` : html`<${LinkProject} ...${rest} />`);

function LinkProject({ project, onClose }) {
  const now = project.data.value;
  const [key, setKey] = useState("");
  const [id, setId] = useState(now?.link?.project ?? null);
  const [studio, setStudio] = useState("");
  const [ingestion, setIngestion] = useState("");
  const [error, setError] = useState(null);
  const [working, setWorking] = useState("");
  useListen("progress");
  const [running] = [...progress.value.values()].filter(({ command, state }) => (command === "link" || command === "pull") && state === "running");

  async function link(event) {
    event.preventDefault();
    setError(null);
    setWorking("link");
    try {
      const body = { studio: studio.trim(), ingestion: ingestion.trim() };
      if (key) body.key = key.trim();
      if (id) body.project = id;
      const told = await job(() => put("project", body));
      await project.load();
      if (told.details?.note) toast(told.details.note, { tone: "warn" });
      setWorking("pull");
      if (told.details?.learn_block) {
        const pulled = await startJob("project/pull", {});
        await models.load();
        toast(t("The model is here. Choose the cameras it shall look at."), { tone: "ok" });
        onClose();
        if (pulled.details?.model) go(to("model", pulled.details.model));
        return;
      }
      onClose();
    } catch (reason) {
      setError(reason);
    } finally {
      setWorking("");
    }
  }

  const cannot = now && !now.can_link;
  return html`<${Dialog}
    title=${t("Link an Edge Impulse project")}
    lead=${t("Its newest model is fetched, tested on this box, and kept up to date.")}
    onClose=${onClose}
    dismissable=${!working}
    footer=${html`<${Button} disabled=${Boolean(working)} onClick=${onClose}>${t("Cancel")}<//>
      <${Button} kind="primary" type="submit" form="link-project" busy=${Boolean(working)} disabled=${cannot}>${t("Link model")}<//>`}
  >
    <form id="link-project" class="stack" onSubmit=${link} autocomplete="off">
      ${cannot && html`<${Note} tone="warn" title=${t("Keys cannot be typed in here.")}><p>${t("Run nxai-cloud-sync link on the box; then open this page again.")}</p><//>`}
      <${Field}
        type="password"
        label=${t("API key")}
        autofocus
        required=${!now?.link}
        optional=${Boolean(now?.link)}
        value=${key}
        onInput=${setKey}
        autocomplete="off"
        placeholder="ei_…"
        help=${now?.link ? t("Leave empty to keep the key that is there.") : t("In Edge Impulse Studio: Dashboard > Keys. It stays on this box.")}
        error=${error?.for?.("key")}
      />
      <${Field}
        type="number"
        label=${t("Project ID")}
        optional
        value=${id}
        onInput=${setId}
        min="1"
        step="1"
        help=${t("The number in the address of the Studio. Left out: the project that the key belongs to.")}
        error=${error?.for?.("project")}
      />
      <details class="output__more">
        <summary>${t("Another server")}</summary>
        <div class="stack">
          <${Field} type="url" label=${t("Studio API")} optional value=${studio} onInput=${setStudio} placeholder="https://studio.edgeimpulse.com/v1" error=${error?.for?.("studio")} />
          <${Field} type="url" label=${t("Ingestion API")} optional value=${ingestion} onInput=${setIngestion} placeholder="https://ingestion.edgeimpulse.com" error=${error?.for?.("ingestion")} />
        </div>
      </details>
      ${working && html`<${ProgressBar} label=${running?.text || (working === "link" ? t("Linking the project") : t("Fetching the newest model"))} value=${running?.total > 0 ? running.done / running.total : null} />`}
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}

const MODEL_FILES = [".tflite", ".lite", ".onnx", ".zip"];
const LARGEST = 300 * 1024 * 1024;

function AddFile({ onClose }) {
  const [file, setFile] = useState(null);
  const [sent, setSent] = useState(null);
  const [title, setTitle] = useState("");
  const [labels, setLabels] = useState("");
  const [task, setTask] = useState(null);
  const [resize, setResize] = useState(null);
  const [stage, setStage] = useState("");
  const [error, setError] = useState(null);
  useListen("progress");
  const [running] = [...progress.value.values()].filter(({ command, state }) => command === "import" && state === "running");

  async function take([chosen]) {
    setFile(chosen);
    setTitle(chosen.name.replace(/\.[^.]+$/, ""));
    setError(null);
  }

  async function add(event) {
    event.preventDefault();
    setError(null);
    setStage("send");
    setSent(0);
    try {
      const { file: name } = await upload("models/files", file, { query: { name: file.name }, onProgress: setSent, type: "application/octet-stream" }).done;
      setStage("test");
      const named = labels
        .split(/[\n,]/)
        .map((text) => text.trim())
        .filter(Boolean);
      const told = await job(() =>
        post("models/import", {
          file: name,
          title: title.trim(),
          ...(named.length ? { labels: named } : {}),
          ...(task ? { task } : {}),
          ...(resize ? { resize_mode: resize } : {}),
        }),
      );
      await models.load();
      toast(told.text || t("The model is here."), { tone: "ok" });
      onClose();
      if (told.details?.model) go(to("model", told.details.model));
    } catch (reason) {
      setError(reason);
    } finally {
      setStage("");
    }
  }

  return html`<${Dialog}
    title=${t("Add a model file")}
    lead=${t("A .tflite or .onnx file, or the .zip that Edge Impulse or Teachable Machine gives.")}
    onClose=${onClose}
    dismissable=${!stage}
    footer=${html`<${Button} disabled=${Boolean(stage)} onClick=${onClose}>${t("Cancel")}<//>
      <${Button} kind="primary" type="submit" form="add-file" busy=${Boolean(stage)} disabled=${!file} why=${t("Choose a file first.")}>${t("Add")}<//>`}
  >
    <form id="add-file" class="stack" onSubmit=${add}>
      <${FileDrop} label=${t("Drop the file here, or choose it")} accept=${MODEL_FILES} largest=${LARGEST} onFiles=${take} disabled=${Boolean(stage)}>
        ${file && html`<p class="strong">${file.name}</p>`}
      <//>
      ${
        file &&
        html`
          <${Field} label=${t("Name")} value=${title} onInput=${setTitle} maxlength="200" />
          <${Field}
            type="textarea"
            rows="3"
            label=${t("Labels")}
            optional
            value=${labels}
            onInput=${setLabels}
            help=${t("In the order of the model's output, separated by commas or lines. A .zip or a model's own list tells them by itself.")}
            error=${error?.for?.("labels")}
          />
          <div class="output__fields">
            <${Select}
              label=${t("Task")}
              value=${task}
              onInput=${setTask}
              options=${[{ value: null, label: t("Find out") }, ...["fomo", "yolov5", "mobilenet-ssd", "classification"].map((one) => ({ value: one, label: taskWord(one) }))]}
            />
            <${Select}
              label=${t("Resize mode")}
              value=${resize}
              onInput=${setResize}
              options=${[{ value: null, label: t("As the file says") }, ...["squash", "fit-short", "fit-long"].map((one) => ({ value: one, label: resizeWord(one) }))]}
              help=${t("As the model was trained.")}
            />
          </div>
        `
      }
      ${stage === "send" && html`<${ProgressBar} label=${t("Sending the file")} value=${sent} />`}
      ${stage === "test" && html`<${ProgressBar} label=${running?.text || t("Converting, testing and timing it on this box")} value=${null} />`}
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}
