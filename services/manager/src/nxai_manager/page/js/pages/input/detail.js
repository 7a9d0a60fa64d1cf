// One camera: connection, areas, models, options.
import { patch, path, put, remove } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Field, Switch } from "../../components/field.js";
import { Card, Copyable, EmptyState, ErrorNote, Facts, Note, StateChip } from "../../components/panels.js";
import { Tabs } from "../../components/tabs.js";
import { toast } from "../../components/toast.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { go, guardLeaving, to } from "../../router.js";
import { can, cameras } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";
import { SchemaForm } from "../settings/schema_form.js";
import { Areas } from "./areas.js";
import { connectionFacts, stateOf } from "./facts.js";
import { Models } from "./models.js";
import { Probe, SourceForm } from "./source_form.js";
import { Still } from "./still.js";

export function Detail({ id, view = "connection", camera, whole }) {
  if (!camera) {
    return html`<div class="page page--narrow">
      <header class="page__head"><h1>${t("Input")}</h1></header>
      <${EmptyState} icon="video-off" title=${t("There is no camera {id}.", { id })} action=${html`<${Button} href=${to("input")}>${t("All cameras")}<//>`} />
    </div>`;
  }
  const { state, reason } = stateOf(camera, cameras.data.value?.running);
  const tabs = [
    { id: "connection", label: t("Connection"), icon: "plug", href: to("input", id) },
    { id: "areas", label: t("Areas"), icon: "pentagon", href: to("input", id, "areas") },
    { id: "models", label: t("Models"), icon: "brain-circuit", href: to("input", id, "models") },
    { id: "options", label: t("Options"), icon: "sliders-horizontal", href: to("input", id, "options") },
  ];
  const shown = { connection: Connection, areas: Areas, models: Models, options: Options }[view] ?? Connection;
  const shared = { camera, whole, may: can("configure") };
  return html`<div class="page input">
    <header class="page__head">
      <div class="grow">
        <p class="small"><a href=${to("input")}>‹ ${t("All cameras")}</a></p>
        <h1>${camera.name}</h1>
      </div>
      <${StateChip} state=${state} />
    </header>
    ${reason && html`<${Note} tone="warn" title=${t("It gives no pictures now.")}><p>${sentence(reason)}</p><//>`}
    <${Tabs} label=${t("Settings of {camera}", { camera: camera.name })} tabs=${tabs} value=${view} />
    <div class="settings__view"><${shown} key=${view} ...${shared} /></div>
  </div>`;
}

/** Draft of a part of a camera with what the box says of it. */
export function useDraft(saved) {
  const text = JSON.stringify(saved);
  const [draft, setDraft] = useState(saved);
  const [error, setError] = useState(null);
  useEffect(() => setDraft(JSON.parse(text)), [text]);
  const dirty = JSON.stringify(draft) !== text;
  useEffect(() => (dirty ? guardLeaving(() => t("What you changed is not saved.")) : undefined), [dirty]);
  const errors = (where) => (error?.problems ?? []).filter((one) => one.where === where || one.where.endsWith(`.${where}`)).map(({ reason }) => reason);
  const save = async (work) => {
    try {
      const told = await work(draft);
      setError(null);
      await cameras.load();
      toast(told?.held_up ? t("Saved. {reason}", { reason: told.held_up }) : t("Saved, and in force."), { tone: told?.held_up ? "warn" : "ok" });
    } catch (reason) {
      setError(reason);
    }
  };
  return { draft, setDraft, dirty, error, errors, save, undo: () => setDraft(JSON.parse(text)) };
}

export const SaveBar = ({ dirty, may, undo, onSave }) => html`<div class="row row--end">
  ${dirty && html`<${Button} onClick=${undo}>${t("Undo")}<//>`}
  <${Button} kind="primary" icon="save" disabled=${!may || !dirty} why=${may ? t("Nothing was changed.") : t("Only an administrator can change this.")} onClick=${onSave}>${t("Save")}<//>
</div>`;

function Connection({ camera, whole, may }) {
  const { settings } = camera;
  const { draft, setDraft, dirty, error, errors, save, undo } = useDraft({
    name: settings.name ?? "",
    source: settings.source,
    username: settings.username ?? "",
    password: settings.password ?? "",
  });

  const onSave = () =>
    save(({ name, source, username, password }) => {
      const whole = { ...settings, name, source, username, password };
      for (const key of ["name", "username", "password"]) if (!whole[key]) delete whole[key];
      return put(path`cameras/${camera.id}`, whole);
    });

  async function drop() {
    const yes = await confirm({
      title: t("Delete {camera}?", { camera: camera.name }),
      text: t("Its settings, masks and areas are deleted. Collected pictures and logged results stay."),
      action: t("Delete the camera"),
    });
    if (!yes) return;
    const { note } = await remove(path`cameras/${camera.id}`);
    toast(note, { tone: "ok" });
    await cameras.load();
    go(to("input"));
  }

  return html`<div class="columns columns--aside">
    <${Card} title=${t("Connection")} icon="plug" foot=${html`<${SaveBar} ...${{ dirty, may, undo, onSave }} />`}>
      <div class="stack">
        <${Field} label=${t("Name")} value=${draft.name} onInput=${(name) => setDraft({ ...draft, name })} disabled=${!may} maxlength="100" error=${errors("name")} />
        <${SourceForm} whole=${whole} draft=${draft} onInput=${setDraft} disabled=${!may} errors=${errors} />
        ${may && html`<${Probe} draft=${draft} camera=${camera.id} masks=${settings.masks ?? []} />`}
        <${ErrorNote} error=${error} />
      </div>
    <//>
    <div class="stack">
      <${Card} title=${t("Now")} icon="video">
        <div class="stack">
          ${camera.enabled && html`<${Still} camera=${camera.id} name=${camera.name} width=${640} />`}
          <${Facts} items=${[...connectionFacts(camera), [t("Name in topics"), html`<${Copyable}>${camera.id}<//>`]]} />
          <${Switch} label=${t("Switched on")} checked=${camera.enabled} disabled=${!may} onInput=${async (enabled) => {
            await patch(path`cameras/${camera.id}`, { enabled });
            await cameras.load();
          }} help=${t("Off: it is not even opened.")} />
        </div>
      <//>
      ${may && html`<${Button} kind="danger" icon="trash-2" onClick=${drop}>${t("Delete the camera")}<//>`}
    </div>
  </div>`;
}

const OPTIONS = ["inference_limit_ms", "on_change", "snapshots", "resize_quality", "credit_window", "watchdog"];

function Options({ camera, whole, may }) {
  const saved = Object.fromEntries(OPTIONS.filter((key) => key in camera.settings).map((key) => [key, camera.settings[key]]));
  const { draft, setDraft, dirty, error, errors, save, undo } = useDraft(saved);
  const skip = Object.keys(whole.$defs.Camera.properties).filter((key) => !OPTIONS.includes(key));
  const set = ([key, ...rest], value) => {
    const next = { ...draft };
    if (rest.length) {
      next[key] = { ...next[key], [rest[0]]: value };
      if (value === undefined) delete next[key][rest[0]];
    } else if (value === undefined) delete next[key];
    else next[key] = value;
    setDraft(next);
  };
  const onSave = () => save((now) => patch(path`cameras/${camera.id}`, Object.fromEntries(OPTIONS.map((key) => [key, now[key] ?? null]))));
  return html`<${Card} title=${t("When and how pictures are looked at")} icon="sliders-horizontal" foot=${html`<${SaveBar} ...${{ dirty, may, undo, onSave }} />`}>
    <${SchemaForm} whole=${whole} part="Camera" skip=${skip} value=${draft} path=${[]} onChange=${set} disabled=${!may} errors=${errors} />
    <${ErrorNote} error=${error} />
  <//>`;
}
