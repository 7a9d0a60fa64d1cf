// The guided path after the password: model -> camera -> output -> run, each with what is missing.
import { put } from "../api.js";
import { Button } from "../components/button.js";
import { ErrorNote, Skeleton, Stepper } from "../components/panels.js";
import { t, tn } from "../i18n.js";
import { list } from "../format.js";
import { go, to } from "../router.js";
import { cameras, can, models, run } from "../store.js";
import { html, useEffect } from "../view.js";

export default function Start() {
  const all = [models, cameras, run];
  useEffect(() => {
    for (const one of all) one.load();
  }, []);
  const error = all.find((one) => one.error.value)?.error.value;
  const waiting = all.some((one) => one.data.value === null && !one.error.value);
  return html`<div class="page page--narrow start">
    <header class="page__head">
      <div>
        <h1>${t("Getting started")}</h1>
        <p class="page__lead">${t("Four steps from a bare box to detections. What is set already is ticked off.")}</p>
      </div>
    </header>
    <${ErrorNote} error=${error} onRetry=${() => all.forEach((one) => one.load())} />
    ${waiting ? html`<${Skeleton} lines=${8} />` : html`<${Steps} />`}
  </div>`;
}

function Steps() {
  const known = models.data.value?.models ?? [];
  const there = cameras.data.value?.cameras ?? [];
  const withModel = there.filter((camera) => camera.models?.length);
  const running = Boolean(run.data.value?.running);
  const demo = there.length === 1 && isDemo(there[0]);
  const steps = [
    {
      title: t("Model"),
      done: known.length > 0,
      text: known.length
        ? t("There: {names}.", { names: list(known.map(nameOf)) })
        : t("What the cameras shall look for. Link an Edge Impulse project, or drop a model file."),
      action: [t("Add a model"), to("model")],
      more: [t("Other models"), to("model")],
    },
    {
      title: t("Camera"),
      done: withModel.length > 0,
      text:
        there.length === 0
          ? t("What is looked at: RTSP, USB, a video file, pictures from a program.")
          : withModel.length === 0
            ? t("{names}: no model looks at it yet. Give it one.", { names: list(there.map(nameOf)) })
            : t("There: {names}.", { names: list(there.map(nameOf)) }),
      action: there.length === 0 ? [t("Add a camera"), to("input")] : [t("Choose its model"), to("input")],
      more: [t("Other cameras"), to("input")],
    },
    {
      title: t("Output"),
      done: true,
      text: t("Results go to MQTT and to the data logger of this box. More can be added at any time."),
      more: [t("Where results go"), to("output")],
    },
    {
      title: t("Run"),
      done: running && withModel.length > 0,
      text: running
        ? tn(withModel.length, "{n} camera is looked at.", "{n} cameras are looked at.")
        : t("Stopped: nothing is looked at until you start."),
    },
  ];
  const now = steps.findIndex(({ done }) => !done);
  return html`
    ${demo && html`<${Demo} ready=${known.length > 0 && withModel.length > 0} running=${running} />`}
    <section class="section start__steps">
      <h2 class=${demo ? "" : "unseen"}>${t("Or with your own")}</h2>
      <${Stepper}
        steps=${steps.map(({ title, text, done, action, more }, index) => ({
          title,
          text,
          state: done ? "done" : index === now ? "now" : "open",
          children: html`<div class="row">
            ${!done && action && html`<${Button} kind=${index === now ? "primary" : "plain"} href=${action[1]}>${action[0]}<//>`}
            ${(done || !action) && more && html`<a class="small" href=${more[1]}>${more[0]}</a>`}
            ${title === t("Run") && html`<${Go} running=${running} ready=${now === -1 || now === 3} primary=${!demo} />`}
          </div>`,
        }))}
      />
    </section>
  `;
}

const nameOf = ({ name, id, model }) => name || id || model;

const isDemo = (camera) => camera.settings?.source?.type === "demo";

const Demo = ({ ready, running }) => html`<section class="start__demo">
  <div class="stack">
    <h2>${t("Look at the demo first")}</h2>
    <p class="soft">${t("A belt with bolts and nuts runs by, a small model counts them: all on this box, without a camera of your own.")}</p>
    ${!ready && html`<p class="small">${t("Its model is being loaded; this takes a moment.")}</p>`}
    <div class="row"><${Go} running=${running} ready=${true} primary label=${t("Run the demo")} /></div>
  </div>
</section>`;

function Go({ running, ready, primary, label }) {
  const open = async () => {
    if (!running) {
      await put("run", { running: true });
      await run.load();
    }
    go(to("run"));
  };
  return html`<${Button}
    kind=${primary && ready ? "primary" : "plain"}
    icon="play"
    disabled=${!ready || (!running && !can("operate"))}
    why=${ready ? t("Viewers cannot start cameras.") : t("Something above is missing.")}
    onClick=${open}
  >
    ${label ?? (running ? t("See it run") : t("Run||to start"))}
  <//>`;
}
