// settings.json: forms and text side by side, one draft behind both.
import { ask, post, put } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Switch } from "../../components/field.js";
import { Card, ErrorNote, Note, Skeleton, When } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { useUnsaved } from "../../components/unsaved.js";
import { sentence } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { to } from "../../router.js";
import { schema } from "../../settings_document.js";
import { can, settings } from "../../store.js";
import { html, signal, useEffect, useMemo, useRef, useState } from "../../view.js";
import { CodeArea, showLine } from "./code_area.js";
import { changed, written } from "./pretty.js";
import { aboutOf, SchemaForm } from "./schema_form.js";

/** A text that came from an import, and waits to be saved here: {text, token}. */
export const imported = signal(null);

export function Editor() {
  useEffect(() => {
    settings.load();
    schema.want();
  }, []);
  const told = settings.data.value;
  const whole = schema.data.value;
  const error = settings.error.value ?? schema.error.value;
  if (!told || !whole) {
    return error ? html`<${ErrorNote} error=${error} onRetry=${() => settings.load()} />` : html`<${Skeleton} height="24rem" />`;
  }
  return html`<${Desk} told=${told} whole=${whole} />`;
}

function Desk({ told, whole }) {
  const [base, setBase] = useState({ text: told.text, revision: told.revision });
  const [draft, setDraft] = useState(imported.peek()?.text ?? told.text);
  const [problems, setProblems] = useState(told.problems);
  const [error, setError] = useState(null);
  const area = useRef(null);
  const token = imported.peek()?.token ?? "";
  const dirty = draft !== base.text;
  const may = can("configure");

  // Changed elsewhere: taken over when nothing is typed here, else told.
  useEffect(() => {
    if (told.revision === base.revision) return;
    if (dirty) return;
    setBase({ text: told.text, revision: told.revision });
    setDraft(told.text);
    setProblems(told.problems);
  }, [told.revision]);
  const behind = told.revision !== base.revision;

  useUnsaved(dirty);

  // Checked by the box itself, a moment after the last letter.
  useEffect(() => {
    if (!dirty) {
      setProblems(told.problems);
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const answer = await ask("POST", "settings/check", { body: { text: draft, imported: token }, signal: stop.signal });
        setProblems(answer.problems);
      } catch (reason) {
        if (!stop.signal.aborted) setError(reason);
      }
    }, 350);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [draft, base.revision]);

  const document = useMemo(() => {
    try {
      return JSON.parse(draft);
    } catch {
      return null;
    }
  }, [draft]);
  const edit = (path, value) => document && setDraft(written(changed(document, path, value)));
  const errors = (where) => problems.filter((one) => one.where === where).map(({ reason }) => reason);

  async function save() {
    try {
      const answer = await put("settings", { text: draft, revision: base.revision, imported: token });
      imported.value = null;
      setError(null);
      setBase({ text: answer.text, revision: answer.revision });
      setDraft(answer.text);
      setProblems(answer.problems);
      toast(answer.in_force ? t("Saved, and in force.") : t("Saved. {reason}", { reason: answer.held_up }), { tone: answer.in_force ? "ok" : "warn" });
      settings.load();
    } catch (reason) {
      setError(reason);
      if (reason.problems?.length) setProblems(reason.problems);
    }
  }
  function undo() {
    imported.value = null;
    setBase({ text: told.text, revision: told.revision });
    setDraft(told.text);
    setProblems(told.problems);
    setError(null);
  }

  return html`<div class="editor">
    <${Standing} told=${told} onRestored=${undo} />
    ${
      behind &&
      dirty &&
      html`<${Note} tone="warn" title=${t("Somebody else has changed the settings meanwhile.")} action=${html`<${Button} size="s" onClick=${undo}>${t("Take theirs")}<//>`}>
        <p>${t("What you typed is not saved. Take theirs, and make your change again.")}</p>
      <//>`
    }
    ${token && html`<${Note} title=${t("This text was imported and is not saved yet.")}><p>${t("Look it through, then save it. Its passwords are remembered for an hour.")}</p><//>`}
    <div class="editor__columns">
      <div class="editor__forms stack">
        <${Forms} ...${{ whole, document, edit, errors, may }} />
      </div>
      <section class="editor__text" aria-label=${t("settings.json as text")}>
        <div class="row row--apart">
          <h2 class="editor__title">settings.json</h2>
          <span class="small soft">${t("Eight dots stand for a password that is kept.")}</span>
        </div>
        <${CodeArea} label=${t("settings.json")} value=${draft} onInput=${setDraft} problems=${problems} readonly=${!may} areaRef=${area} describedby="editor-problems" />
        <div id="editor-problems" class="editor__problems" aria-live="polite">
          ${
            problems.length === 0
              ? html`<p class="small soft">${dirty ? t("No mistake found.") : t("As it is in force.")}</p>`
              : html`<p class="strong">${tn(problems.length, "{n} mistake", "{n} mistakes")}</p>
                  <ul class="bullets">
                    ${problems.map(
                      ({ line, where, reason }) => html`<li key=${`${line}${where}${reason}`}>
                        ${line && html`<button type="button" class="editor__line" onClick=${() => showLine(area.current, line)}>${t("Line {n}", { n: line })}</button> `}
                        ${where && html`<code>${where}</code> `}${reason}
                      </li>`,
                    )}
                  </ul>`
          }
        </div>
        <${ErrorNote} error=${error && !error.problems?.length ? error : null} />
        <div class="row row--end editor__buttons">
          ${dirty && html`<${Button} onClick=${undo}>${t("Undo all")}<//>`}
          <${Button} kind="primary" icon="save" disabled=${!may || !dirty || problems.length > 0 || (behind && dirty)} why=${!may ? t("Only an administrator can change this.") : dirty ? t("Put the mistakes right first.") : t("Nothing was changed.")} onClick=${save}>${t("Save")}<//>
        </div>
      </section>
    </div>
  </div>`;
}

const WAYS = {
  page: (who) => t("by {who}", { who }),
  command: () => t("by a command over MQTT"),
  file: () => t("by an edit of the file"),
  import: (who) => t("by {who}, imported", { who }),
  restore: (who) => t("by {who}, restored", { who }),
  "first-start": () => t("at the first start"),
};

export const wayOf = ({ how, who }) => WAYS[how]?.(who) ?? how;

/** Whether the file is in force, and one press to go back when it is not. */
function Standing({ told, onRestored }) {
  const { good, problems, in_force: runs, held_up: heldUp } = told;
  async function restore() {
    const yes = await confirm({
      title: t("Restore the last good settings?"),
      text: t("The file is replaced by what is in force. What is in it now is kept in the history."),
      action: t("Restore"),
      danger: false,
    });
    if (!yes) return;
    await post("settings/history/good/restore", { revision: told.revision });
    await settings.load();
    onRestored();
    toast(t("The last good settings are back."), { tone: "ok" });
  }
  if (runs) return null;
  if (heldUp) return html`<${Note} tone="warn" title=${t("The settings are good, but not in force yet.")}><p>${sentence(heldUp)}</p><//>`;
  if (problems.length === 0) return null;
  return html`<${Note}
    tone="bad"
    title=${t("The settings file has a mistake, and was not taken.")}
    action=${good && can("configure") && html`<${Button} icon="undo-2" onClick=${restore}>${t("Restore the last good ones")}<//>`}
  >
    <p>${problems[0].line ? `${t("Line {n}", { n: problems[0].line })}: ` : ""}${problems[0].where ? `${problems[0].where}: ` : ""}${problems[0].reason}</p>
    ${good && html`<p>${t("What is in force was written")} ${wayOf(good)}, <${When} at=${good.at} />.</p>`}
  <//>`;
}

function Forms({ whole, document, edit, errors, may }) {
  if (!document) return html`<${Note} tone="warn" title=${t("The text is no JSON.")}><p>${t("The forms come back once it is.")}</p><//>`;
  const disabled = !may;
  const shared = { whole, onChange: edit, disabled, errors };
  const ei = document.edge_impulse ?? {};
  return html`
    <${Card} title=${t("This box")} icon="server">
      <${SchemaForm} ...${shared} part="Device" value=${document.device} path=${["device"]} />
      <${Switch} label=${t("Inference runs")} checked=${document.run ?? true} disabled=${disabled} onInput=${(on) => edit(["run"], on)} />
    <//>
    <${Card} title=${t("Cameras and models")} icon="cctv">
      <p class="small">${t("{n} cameras and {m} models are in the file. They have pages of their own:", { n: document.cameras?.length ?? 0, m: document.models?.length ?? 0 })}</p>
      <div class="row">
        <${Button} size="s" icon="cctv" href=${to("input")}>${t("Input")}<//>
        <${Button} size="s" icon="brain-circuit" href=${to("model")}>${t("Model")}<//>
        <${Button} size="s" icon="send" href=${to("output")}>${t("Output")}<//>
      </div>
    <//>
    ${[
      ["updates", "UpdateOptions", t("New models")],
      ["shadow", "ShadowOptions", t("Trials")],
      ["rollback", "RollbackOptions", t("Rolling back by itself")],
      ["limits", "SampleLimits", t("Room for collected pictures")],
    ].map(
      ([key, part, title]) => html`<${Card} key=${key} title=${title} icon="cpu" lead=${aboutOf(whole, part)}>
        <${SchemaForm} ...${shared} part=${part} value=${ei[key]} path=${["edge_impulse", key]} />
      <//>`,
    )}
    <${Card} title=${t("Data logger")} icon="database">
      <${SchemaForm} ...${shared} part="LoggerOptions" value=${document.logger} path=${["logger"]} />
    <//>
  `;
}
