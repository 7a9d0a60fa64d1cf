// Add a camera: kind, address, a try, a name; then the models.
import { post } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm, Dialog } from "../../components/dialog.js";
import { Checkbox, Field } from "../../components/field.js";
import { ErrorNote } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { go, to } from "../../router.js";
import { cameras, models } from "../../store.js";
import { html, useState } from "../../view.js";
import { assign } from "./assign.js";
import { Probe, SourceForm } from "./source_form.js";

/** "Front door" -> "front-door": what topics and addresses take. */
export const slug = (name) =>
  name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 60) || "camera";

const free = (wanted, known) => {
  let id = wanted;
  for (let n = 2; known.includes(id); n += 1) id = `${wanted}-${n}`;
  return id;
};

export function AddCamera({ whole, known, onClose }) {
  const [name, setName] = useState("");
  const [id, setId] = useState(null);
  const [draft, setDraft] = useState({ source: { type: "rtsp" }, username: "", password: "" });
  const [chosen, setChosen] = useState(new Set());
  const [works, setWorks] = useState(null);
  const [error, setError] = useState(null);
  const ready = (models.data.value?.models ?? []).filter(({ manifest, versions, source }) => manifest || versions?.length || source === "settings");
  const own = id ?? free(slug(name), known);

  const errors = (where) => (error?.problems ?? []).filter((one) => one.where === where || one.where.endsWith(`.${where}`)).map(({ reason }) => reason);
  const change = (next) => {
    setDraft(next);
    setWorks(null);
  };

  async function add(event) {
    event.preventDefault();
    if (works === false) {
      const yes = await confirm({ title: t("Add it although it does not work?"), text: t("The box goes on trying, and shows why it fails."), action: t("Add it"), danger: false });
      if (!yes) return;
    }
    try {
      const camera = { id: own, name: name.trim() || own, source: draft.source };
      if (draft.username) camera.username = draft.username;
      if (draft.password) camera.password = draft.password;
      await post("cameras", camera);
      await cameras.load();
      for (const model of chosen) await assign(model, own, true);
      toast(t("{camera} is there.", { camera: camera.name }), { tone: "ok" });
      onClose();
      go(to("input", own));
    } catch (reason) {
      setError(reason);
    }
  }

  return html`<${Dialog}
    title=${t("Add a camera")}
    size="l"
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="add-camera">${t("Add")}<//>`}
  >
    <form id="add-camera" class="stack" onSubmit=${add} autocomplete="off">
      <${Field} label=${t("Name")} value=${name} onInput=${setName} autofocus required maxlength="100" placeholder=${t("Front door")} error=${errors("name")} />
      <${SourceForm} whole=${whole} draft=${draft} onInput=${change} errors=${errors} />
      <${Probe} draft=${draft} onDone=${setWorks} />
      ${
        ready.length > 0 &&
        html`<fieldset class="field">
          <legend class="field__label">${t("Models that look at it")}</legend>
          ${ready.map((one) => html`<${Checkbox} key=${one.model} label=${one.name} checked=${chosen.has(one.model)} onInput=${(on) => setChosen(on ? new Set([...chosen, one.model]) : new Set([...chosen].filter((x) => x !== one.model)))} />`)}
        </fieldset>`
      }
      <details class="output__more">
        <summary>${t("Name in topics: {id}", { id: own })}</summary>
        <${Field} label=${t("Name in topics")} value=${own} onInput=${setId} help=${t("a-z, 0-9, - and _. Do not change it later: charts and entities hang on it.")} error=${errors("id")} />
      </details>
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}
