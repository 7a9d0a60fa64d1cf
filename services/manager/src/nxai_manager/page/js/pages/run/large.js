// One camera large, with all that is known of it.
import { Button, IconButton } from "../../components/button.js";
import { cameraStatus, LiveTile } from "../../components/live_tile.js";
import { Card, EmptyState, Facts, StateChip, When } from "../../components/panels.js";
import { milliseconds, number } from "../../format.js";
import { t } from "../../i18n.js";
import { manifests } from "../../live.js";
import { useTitle } from "../../title.js";
import { go, to } from "../../router.js";
import { html, useLayoutEffect } from "../../view.js";
import { CountTable, Lines } from "./counts.js";
import { Alarms } from "./alarms.js";
import { Events } from "./events.js";
import { modelStatus, whyBlind } from "./facts.js";
import { boxes, labels, pictures } from "./quality.js";
import { runCamera, whyNot } from "./running.js";
import { Blind, stopped } from "./tile.js";
import { Tools } from "./tools.js";

/** {id, cameras, boxRuns, onTest(camera)} */
export function Large({ id, cameras, boxRuns, onTest }) {
  const at = cameras.findIndex((one) => one.id === id);
  const camera = cameras[at];
  const before = cameras[at - 1];
  const after = cameras[at + 1];
  useTitle(camera?.name ?? t("Run"));

  // Before the browser paints: who presses a key at what they see must not meet the keys of the last camera.
  useLayoutEffect(() => {
    const keys = (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      if (event.target.closest("input, select, textarea, dialog, [role=menu], [role=region], [contenteditable]"))
        return;
      const next = { ArrowLeft: before, ArrowRight: after }[event.key];
      if (next) go(to("run", next.id));
      else if (event.key === "Escape") go(to("run"));
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [before?.id, after?.id]);

  if (!camera) {
    return html`<div class="page">
      <h1 class="unseen">${t("Run")}</h1>
      <${EmptyState}
        icon="cctv"
        title=${t("There is no camera {camera}", { camera: id })}
        action=${html`<${Button} kind="primary" href=${to("run")}>${t("To all cameras")}<//>`}
      >
        ${t("It may have been deleted, or the link is mistyped.")}
      <//>
    </div>`;
  }
  const status = cameraStatus(id);
  const blind = whyBlind(camera, boxRuns);
  const wish = pictures(1, true);
  const step = (other, icon, label) =>
    html`<${IconButton}
      icon=${icon}
      label=${other ? t("{label}: {camera}", { label, camera: other.name }) : label}
      href=${other && to("run", other.id)}
      disabled=${!other}
    />`;

  return html`<div class="page page--wide run">
    <header class="page__head run__head">
      <div class="run__title">
        <a class="run__back small" href=${to("run")}>${t("All cameras")}</a>
        <h1>${camera.name}</h1>
      </div>
      <div class="row">
        ${cameras.length > 1 && html`<div class="row run__steps">${step(before, "chevron-left", t("Previous camera"))}${step(after, "chevron-right", t("Next camera"))}</div>`}
        <${Button}
          icon="flask-conical"
          disabled=${Boolean(whyNot())}
          why=${t("Viewers cannot run a test.")}
          onClick=${() => onTest(camera)}
          >${t("Test")}<//
        >
        <${Button}
          kind=${camera.run ? "plain" : "primary"}
          icon=${camera.run ? "square" : "play"}
          disabled=${Boolean(whyNot())}
          why=${whyNot()}
          onClick=${() => runCamera(camera, !camera.run)}
        >
          ${camera.run ? t("Stop this camera") : t("Run this camera")}
        <//>
      </div>
    </header>
    <div class="run__columns">
      <div class="run__main stack">
        <${Tools} />
        <${LiveTile}
          key=${id}
          class="run__large"
          camera=${id}
          name=${camera.name}
          fps=${wish.fps}
          width=${wish.width}
          boxes=${boxes.value}
          labels=${labels.value}
          chip=${stopped(blind)}
          state=${stopped(blind) && "stopped"}
        >
          <${Blind} camera=${camera} blind=${blind} />
        <//>
        <${Card} title=${t("Over the last two minutes")}><${Lines} camera=${camera} large /><//>
      </div>
      <div class="run__aside stack">
        <${Card} title=${t("Counts")} lead=${t("Objects of each label in a picture.")} tight
          ><${CountTable} camera=${camera}
        /><//>
        <${Card} title=${t("Camera and model")}>
          <${Facts}
            class="facts--rows"
            items=${[
              [t("State"), html`<${StateChip} state=${status?.state ?? "connecting"} />`],
              status?.reason && [t("Reason"), status.reason],
              status?.width && [t("Picture"), `${status.width} × ${status.height} ${status.codec}`],
              status && [t("Camera's rate"), t("{n} fps", { n: number(status.fps, 1) })],
              status?.last_picture_at && [t("Last picture"), html`<${When} at=${status.last_picture_at} />`],
              status?.transport && [t("Transport"), status.transport.toUpperCase()],
              ...camera.models.map((model) => [t("Model"), html`<${Model} model=${model} />`]),
              status && [t("Reconnects"), number(status.reconnects, 0)],
            ]}
          />
          <p class="run__link"><a class="small" href=${to("input", id)}>${t("Camera settings")}</a></p>
        <//>
        <${Alarms} cameras=${cameras} only=${id} />
        <${Events} key=${id} cameras=${cameras} boxRuns=${boxRuns} only=${id} />
      </div>
    </div>
  </div>`;
}

function Model({ model }) {
  const status = modelStatus(model);
  const manifest = manifests.value.get(model);
  return html`<span
    >${manifest?.name || model}${manifest?.version && ` ${manifest.version}`}${status?.engine_ms ? html` <span class="soft number">${milliseconds(status.engine_ms)}</span>` : ""}</span
  >`;
}
