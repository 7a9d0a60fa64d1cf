// One camera: connection, areas, models, options.
import { path, remove } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Field, Switch } from "../../components/field.js";
import { Card, Copyable, EmptyState, ErrorNote, Facts, Note, StateChip } from "../../components/panels.js";
import { Tabs } from "../../components/tabs.js";
import { toast } from "../../components/toast.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { useTitle } from "../../title.js";
import { go, to } from "../../router.js";
import { can, cameras } from "../../store.js";
import { html } from "../../view.js";
import { SchemaForm } from "../settings/schema_form.js";
import { Areas } from "./areas.js";
import { changeNow, elsewhere, useDraft } from "./change.js";
import { connectionFacts, stateOf } from "./facts.js";
import { Models } from "./models.js";
import { Behind, SaveBar } from "./save_bar.js";
import { FIELDS, loginOf, Probe, SourceForm } from "./source_form.js";
import { Still } from "./still.js";

const VIEWS = { connection: Connection, areas: Areas, models: Models, options: Options };

export function Detail({ id, view, camera, whole, problem }) {
  useTitle(camera?.name ?? t("Input"));
  if (!camera) {
    return html`<div class="page page--narrow">
      <header class="page__head"><h1>${t("Input")}</h1></header>
      <${EmptyState} icon="video-off" title=${t("There is no camera {id}.", { id })} action=${html`<${Button} href=${to("input")}>${t("All cameras")}<//>`} />
    </div>`;
  }
  const { state, reason } = stateOf(camera, cameras.data.value?.running);
  const shown = view in VIEWS ? view : "connection";
  const tabs = [
    { id: "connection", label: t("Connection"), icon: "plug", href: to("input", id) },
    { id: "areas", label: t("Areas"), icon: "pentagon", href: to("input", id, "areas") },
    { id: "models", label: t("Models"), icon: "brain-circuit", href: to("input", id, "models") },
    { id: "options", label: t("Options"), icon: "sliders-horizontal", href: to("input", id, "options") },
  ];
  return html`<div class="page">
    <header class="page__head">
      <div class="input__title">
        <p class="small"><a href=${to("input")}>‹ ${t("All cameras")}</a></p>
        <h1>${camera.name}</h1>
      </div>
      <${StateChip} state=${state} />
    </header>
    ${problem}
    ${
      reason &&
      html`<${Note} class="input__problem" tone=${state === "waiting" ? "warn" : "info"} title=${state === "waiting" ? t("It gives no pictures now.") : null}>
        <p>${sentence(reason)}</p>
      <//>`
    }
    <${Tabs} label=${t("Settings of {camera}", { camera: camera.name })} tabs=${tabs} value=${shown} />
    <div class="input__view"><${VIEWS[shown]} key=${shown} camera=${camera} whole=${whole} may=${can("configure")} /></div>
  </div>`;
}

const connectionOf = ({ name = "", source, username = "", password = "" }) => ({ name, source, username, password });

const connectionSettings = ({ name, ...draft }) => ({ ...(name.trim() ? { name: name.trim() } : {}), source: draft.source, ...loginOf(draft) });

function Connection({ camera, whole, may }) {
  const desk = useDraft(camera, connectionOf, connectionSettings);
  const { draft, setDraft, error, errors } = desk;

  async function drop() {
    const yes = await confirm({
      title: t("Delete {camera}?", { camera: camera.name }),
      text: t("Its settings, masks and areas are lost. Models, collected pictures and logged results stay."),
      action: t("Delete the camera"),
    });
    if (!yes) return;
    const { note } = await remove(path`cameras/${camera.id}`);
    desk.undo(); // nothing here is worth a question any more
    await cameras.load();
    toast(note, { tone: "ok" });
    go(to("input"), { replace: true });
  }

  const set = (enabled) => changeNow(camera.id, () => ({ enabled }));
  return html`<div class="columns columns--aside">
    <div class="stack">
      <${Behind} ...${desk} />
      <${Card} title=${t("Connection")} icon="plug" foot=${html`<${SaveBar} ...${desk} may=${may} />`}>
        <form class="stack" onSubmit=${(event) => event.preventDefault()} autocomplete="off">
          <${Field} label=${t("Name")} value=${draft.name} onInput=${(name) => setDraft({ ...draft, name })} disabled=${!may} maxlength="100" error=${errors("name")} />
          <${SourceForm} whole=${whole} draft=${draft} onInput=${setDraft} disabled=${!may} errors=${errors} />
          ${may && html`<${Probe} whole=${whole} draft=${draft} camera=${camera.id} masks=${camera.settings.masks} watchdog=${camera.settings.watchdog} />`}
          <${ErrorNote} error=${elsewhere(error, FIELDS)} />
        </form>
      <//>
    </div>
    <div class="stack">
      <${Card} title=${t("Now")} icon="video">
        <div class="stack">
          <div class="input__frame"><${Still} camera=${camera} width=${640} /></div>
          <${Facts} class="facts--rows" items=${[...connectionFacts(camera), [t("Name in topics"), html`<${Copyable}>${camera.id}<//>`]]} />
          <${Switch} label=${t("Switched on")} checked=${camera.enabled} disabled=${!may} onInput=${set} help=${t("Off: it is not even opened.")} />
        </div>
      <//>
      ${may && html`<div class="row row--end"><${Button} kind="danger" icon="trash-2" onClick=${drop}>${t("Delete the camera")}<//></div>`}
    </div>
  </div>`;
}

const OPTIONS = ["inference_limit_ms", "on_change", "snapshots", "resize_quality", "credit_window", "watchdog"];

const optionsOf = (settings) => Object.fromEntries(OPTIONS.filter((key) => key in settings).map((key) => [key, settings[key]]));

function Options({ camera, whole, may }) {
  const desk = useDraft(camera, optionsOf);
  const { draft, setDraft, error, errors } = desk;
  const skip = Object.keys(whole.$defs.Camera.properties).filter((key) => !OPTIONS.includes(key));
  const set = ([key, inner], value) => {
    const next = { ...draft };
    if (inner === undefined) next[key] = value;
    else next[key] = Object.fromEntries(Object.entries({ ...draft[key], [inner]: value }).filter(([, one]) => one !== undefined));
    if (next[key] === undefined || (inner !== undefined && Object.keys(next[key]).length === 0)) delete next[key];
    setDraft(next);
  };
  const inner = OPTIONS.flatMap((key) => Object.keys(whole.$defs[whole.$defs.Camera.properties[key].$ref?.split("/").pop()]?.properties ?? {}));
  return html`<div class="stack">
    <${Behind} ...${desk} />
    <${Card} title=${t("When and how pictures are looked at")} icon="sliders-horizontal" foot=${html`<${SaveBar} ...${desk} may=${may} />`}>
      <${SchemaForm} whole=${whole} part="Camera" skip=${skip} value=${draft} path=${[]} onChange=${set} disabled=${!may} errors=${errors} />
      <${ErrorNote} error=${elsewhere(error, [...OPTIONS, ...inner])} class="input__problem" />
    <//>
  </div>`;
}
