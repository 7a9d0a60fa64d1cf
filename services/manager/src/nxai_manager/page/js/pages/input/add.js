// Add a camera: kind, address, a try, a name; then the models.
import { ApiError, post } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm, Dialog } from "../../components/dialog.js";
import { Checkbox, Field } from "../../components/field.js";
import { ErrorNote } from "../../components/panels.js";
import { showError, toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { free, slug } from "../../naming.js";
import { go, to } from "../../router.js";
import { cameras, models } from "../../store.js";
import { html, useState } from "../../view.js";
import { assign } from "./assign.js";
import { elsewhere, focusWrong, tellSaved } from "./change.js";
import { FIELDS, loginOf, missing, Probe, SourceForm } from "./source_form.js";

export function AddCamera({ whole, known, onClose }) {
  const [name, setName] = useState("");
  const [typedId, setId] = useState(null);
  const [draft, setDraft] = useState({ source: { type: "rtsp" }, username: "", password: "" });
  const [chosen, setChosen] = useState(new Set());
  const [works, setWorks] = useState(null);
  const [lacks, setLacks] = useState({});
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const ready = (models.data.value?.models ?? []).filter(({ manifest, versions, source, shadow_of: shadow }) => !shadow && (manifest || versions?.length || source === "settings"));
  const id = typedId ?? free(slug(name, "camera"), known);

  const errors = (where) => {
    const field = where.split(".").at(-1);
    return [lacks[field], ...(error?.for?.(where) ?? [])].filter(Boolean);
  };
  const change = (next) => {
    setDraft(next);
    setWorks(null);
    setLacks({});
  };
  const pick = (next, found) => {
    change(next);
    if (!name && found) setName(found);
  };
  const choose = (model, on) => setChosen(new Set(on ? [...chosen, model] : [...chosen].filter((one) => one !== model)));

  async function add(event) {
    event.preventDefault();
    if (busy) return;
    const wanting = { ...(name.trim() ? {} : { name: t("Give it a name.") }), ...missing(whole, draft) };
    setLacks(wanting);
    if (Object.keys(wanting).length) {
      requestAnimationFrame(focusWrong);
      return;
    }
    if (known.includes(id)) {
      setError(new ApiError({ status: 409, detail: "", problems: [{ where: "id", reason: t("There is a camera of this name in topics already.") }] }));
      requestAnimationFrame(focusWrong);
      return;
    }
    if (works === false) {
      const yes = await confirm({
        title: t("Add it although it does not work?"),
        text: t("The box goes on trying, and shows why it fails."),
        action: t("Add it"),
        danger: false,
      });
      if (!yes) return;
    }
    setBusy(true);
    try {
      const stated = ready.filter(({ model, source }) => source === "settings" && chosen.has(model)).map(({ model }) => model);
      const camera = { id, name: name.trim(), source: draft.source, ...loginOf(draft), ...(stated.length ? { models: stated } : {}) };
      const told = await post("cameras", camera);
      await cameras.load();
      if (told.held_up) tellSaved(told);
      else toast(t("{camera} is there.", { camera: camera.name }), { tone: "ok" });
      go(to("input", id), { replace: true });
      // It is there, whatever becomes of these.
      for (const model of chosen) if (!stated.includes(model)) await assign(model, id, true).catch(showError);
      models.load();
    } catch (reason) {
      setError(reason);
      requestAnimationFrame(focusWrong);
    } finally {
      setBusy(false);
    }
  }

  return html`<${Dialog}
    title=${t("Add a camera")}
    size="l"
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="add-camera" busy=${busy}>${t("Add")}<//>`}
  >
    <form id="add-camera" class="stack" onSubmit=${add} autocomplete="off" novalidate>
      <div class="stack input__named">
        <${Field} label=${t("Name")} value=${name} onInput=${setName} autofocus required maxlength="100" placeholder=${t("Front door")} error=${errors("name")} />
        <details class="input__more" open=${errors("id").length > 0 || typedId !== null}>
          <summary>${t("Name in topics: {id}", { id })}</summary>
          <${Field} label=${t("Name in topics")} value=${id} onInput=${setId} autocapitalize="off" spellcheck=${false} help=${t("a-z, 0-9, - and _. Do not change it later: charts and entities hang on it.")} error=${errors("id")} />
        </details>
      </div>
      <${SourceForm} whole=${whole} draft=${draft} onInput=${change} onPick=${pick} errors=${errors} />
      <${Probe} whole=${whole} draft=${draft} onMissing=${setLacks} onDone=${setWorks} />
      ${
        ready.length > 0 &&
        html`<fieldset class="field">
          <legend class="field__label">${t("Models that look at it")}</legend>
          ${ready.map((one) => html`<${Checkbox} key=${one.model} label=${one.name} checked=${chosen.has(one.model)} onInput=${(on) => choose(one.model, on)} />`)}
        </fieldset>`
      }
      <${ErrorNote} error=${elsewhere(error, FIELDS)} />
    </form>
  <//>`;
}
