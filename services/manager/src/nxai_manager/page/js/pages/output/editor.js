// What editors of one thing have in common: a draft in a window, its errors at its fields, a question before it is lost.
import { ApiError } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm, Dialog } from "../../components/dialog.js";
import { ErrorNote } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { useUnsaved } from "../../components/unsaved.js";
import { t } from "../../i18n.js";
import { html, useId, useState } from "../../view.js";

/**
 * Draft of a thing that stands at `place` in the settings ("outputs.alarms.jam"). `save(draft)` throws ApiError; returns
 * why it is not in force yet, or "". `onDone()` once it is saved.
 */
export function useEditor({ start, place, save, onDone }) {
  const [first] = useState(() => JSON.stringify(start));
  const [draft, setDraft] = useState(start);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const dirty = JSON.stringify(draft) !== first;
  useUnsaved(dirty && !busy);
  const set = (fields) => setDraft((now) => ({ ...now, ...fields }));
  const below = (where, field) => where === `${place}.${field}` || where?.startsWith(`${place}.${field}.`);
  /** Reasons for a field and what is below it. */
  const errors = (field) => (error?.problems ?? []).filter(({ where }) => below(where, field)).map(({ reason }) => reason);
  /** What has no field to stand at. */
  const elsewhere = (fields) => {
    if (!error?.problems?.length) return error;
    const rest = error.problems.filter(({ where }) => !fields.some((field) => below(where, field)));
    return rest.length ? new ApiError({ ...error, status: error.status, detail: error.detail, problems: rest }) : null;
  };

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    try {
      const held = await save(draft);
      setError(null);
      toast(held ? t("Saved. {reason}", { reason: held }) : t("Saved, and in force."), { tone: held ? "warn" : "ok" });
      onDone();
    } catch (reason) {
      setError(reason);
      requestAnimationFrame(showWrong);
    } finally {
      setBusy(false);
    }
  }
  return { draft, set, dirty, busy, error, errors, elsewhere, submit };
}

// What is wrong may lie in a part that is folded away.
function showWrong() {
  const field = document.querySelector('dialog [aria-invalid="true"], dialog .field__error');
  for (let box = field?.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  if (field?.matches(".field__error")) field.scrollIntoView({ block: "center" });
  else field?.focus();
}

/** {title, lead, desk: of useEditor(), fields (that show their errors), onClose, size, back (element), children} */
export function EditorDialog({ title, lead, desk, fields, onClose, size, back, action = t("Save"), children }) {
  const id = useId();
  async function close() {
    const lost =
      desk.dirty &&
      !(await confirm({ title: t("Leave without saving?"), text: t("What was changed here is lost."), action: t("Leave"), cancel: t("Stay") }));
    if (!lost) onClose();
  }
  return html`<${Dialog}
    title=${title}
    lead=${lead}
    size=${size}
    onClose=${close}
    class="output-editor"
    footer=${html`${back}<${Button} onClick=${close}>${t("Cancel")}<//>
      <${Button} kind="primary" type="submit" form=${id} busy=${desk.busy}>${action}<//>`}
  >
    <form id=${id} class="stack" onSubmit=${desk.submit} autocomplete="off" novalidate>
      ${children}
      <${ErrorNote} error=${desk.elsewhere(fields)} />
    </form>
  <//>`;
}
