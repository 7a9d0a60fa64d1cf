// Run: start and stop, see every camera with what is found in it, and test.
import { Button } from "../components/button.js";
import { cameraStatus } from "../components/live_tile.js";
import { EmptyState, ErrorNote, Figure, Note, Skeleton } from "../components/panels.js";
import { milliseconds, number } from "../format.js";
import { t } from "../i18n.js";
import { onMessage, useListen } from "../live.js";
import { useTitle } from "../title.js";
import { recent, tick, useRecent } from "../recent.js";
import { to } from "../router.js";
import { cameras, can, models } from "../store.js";
import { cls, html, useEffect, useState } from "../view.js";
import { Alarms } from "./run/alarms.js";
import { Events } from "./run/events.js";
import { whyBlind } from "./run/facts.js";
import { Large } from "./run/large.js";
import { pictures } from "./run/quality.js";
import { runBox, whyNot } from "./run/running.js";
import { TestDialog } from "./run/test.js";
import { RunTile } from "./run/tile.js";
import { Tools } from "./run/tools.js";
import { openWall, Wall } from "./run/wall.js";

export default function Run({ path, query }) {
  const [testing, setTesting] = useState(null);
  useListen("status", "models", "states", "events", "deployments");
  useEffect(() => {
    cameras.load();
    models.load();
    // An imported model is put on a camera by cloud-sync: the settings do not change.
    return onMessage("deployment", () => cameras.load());
  }, []);
  const told = cameras.data.value;
  const all = told?.cameras ?? [];
  useRecent(all.map(({ id }) => id));

  const error = cameras.error.value;
  if (!told) {
    return html`<div class="page page--wide run">
      <h1 class="unseen">${t("Run")}</h1>
      ${error ? html`<${ErrorNote} error=${error} onRetry=${() => cameras.load()} />` : html`<${Skeleton} height="5rem" /><${Skeleton} kind="cards" class="run__skeleton" />`}
    </div>`;
  }
  const shared = { cameras: all, boxRuns: told.running };
  const onTest = (camera) => setTesting(camera ? [camera] : all.filter(({ enabled }) => enabled));
  return html`
    ${
      path[0]
        ? html`<${Large} ...${shared} id=${path[0]} onTest=${onTest} />`
        : query.view === "wall" && all.length
          ? html`<${Wall} ...${shared} />`
          : html`<${Overview} ...${shared} error=${error} onTest=${onTest} />`
    }
    ${testing && html`<${TestDialog} cameras=${testing} onClose=${() => setTesting(null)} />`}
  `;
}

function Overview({ cameras: all, boxRuns, error, onTest }) {
  useTitle(t("Run")); // again, after a camera was shown large
  const enabled = all.filter((camera) => camera.enabled);
  const wish = pictures(enabled.length);
  return html`<div class="page page--wide run">
    <header class="page__head run__head">
      <h1>${t("Run")}</h1>
      ${
        all.length > 0 &&
        html`<div class="row">
          <${Button}
            icon="flask-conical"
            disabled=${Boolean(whyNot()) || !enabled.length}
            why=${whyNot() ? t("Viewers cannot run a test.") : t("Every camera is switched off.")}
            onClick=${() => onTest(null)}
            >${t("Test")}<//
          >
          <${Button} icon="monitor" onClick=${openWall}>${t("Wall display")}<//>
        </div>`
      }
    </header>
    <${ErrorNote} error=${error} onRetry=${() => cameras.load()} />
    ${
      all.length === 0
        ? html`<${NoCamera} />`
        : html` <${Control} cameras=${all} boxRuns=${boxRuns} />
            <${NoModel} cameras=${all} />
            <div class="run__columns">
              <section class="run__main" aria-label=${t("Cameras")}>
                <${Tools} />
                <ul class="run__grid" data-count=${sizeOf(all.length)}>
                  ${all.map((camera) => html`<${RunTile} key=${camera.id} camera=${camera} boxRuns=${boxRuns} wish=${wish} onTest=${onTest} />`)}
                </ul>
              </section>
              <div class="run__aside stack"><${Alarms} cameras=${all} /><${Events} cameras=${all} boxRuns=${boxRuns} class="run__events" /></div>
            </div>`
    }
  </div>`;
}

const sizeOf = (count) =>
  count === 1 ? "one" : count === 2 ? "two" : count <= 4 ? "few" : count <= 9 ? "some" : "many";

/** Run and stop of the whole box, what it means, and how it goes. */
function Control({ cameras: all, boxRuns }) {
  void tick.value;
  const now = Date.now();
  const looked = all.filter(
    (camera) => camera.enabled && !whyBlind(camera, boxRuns) && cameraStatus(camera.id)?.state === "running",
  );
  const rates = looked.map(({ id }) => recent(id).rates(now));
  const latencies = rates.map(({ latency }) => latency).filter((one) => one !== null);
  const objects = looked.flatMap(({ id }) => recent(id).now(now)).reduce((sum, { count }) => sum + count, 0);
  const why = whyNot();
  return html`<section
    class=${cls("control", boxRuns ? "control--on" : "control--off")}
    aria-label=${t("Run and stop")}
  >
    <${Button}
      class="control__button"
      kind=${boxRuns ? "plain" : "primary"}
      icon=${boxRuns ? "square" : "play"}
      disabled=${Boolean(why)}
      why=${why}
      aria-label=${boxRuns ? t("Stop all cameras") : t("Run all cameras")}
      onClick=${() => runBox(!boxRuns)}
    >
      ${boxRuns ? t("Stop") : t("Run||to start")}
    <//>
    <div class="control__words">
      <p class="control__state" role="status">
        <span class="control__sign" aria-hidden="true"></span
        >${boxRuns ? (looked.length ? t("Running") : t("Running, but no camera is looked at")) : t("Stopped")}
      </p>
      <p class="small soft">
        ${
          boxRuns
            ? t("Models look at the pictures; results go where Output says.")
            : t(
                "Cameras stay connected and can be seen, but no model looks at them: nothing is counted, sent or logged.",
              )
        }
        ${why && html` <span>${why}</span>`}
      </p>
    </div>
    <div class="control__figures">
      <${Figure}
        label=${t("Cameras looked at")}
        value=${t("{n} of {all}", { n: number(looked.length, 0), all: number(all.length, 0) })}
      />
      <${Figure} label=${t("Objects now")} value=${looked.length ? number(objects, 0) : "–"} />
      <${Figure}
        label=${t("Results a second")}
        value=${
          looked.length
            ? number(
                rates.reduce((sum, { fps }) => sum + fps, 0),
                1,
              )
            : "–"
        }
      />
      <${Figure}
        label=${t("Slowest")}
        value=${latencies.length ? milliseconds(Math.max(...latencies)) : "–"}
        hint=${t("Latency of the slowest camera: from the decoded picture to the result")}
      />
    </div>
  </section>`;
}

const NoCamera = () =>
  html`<${EmptyState}
    icon="cctv"
    title=${t("No camera yet")}
    action=${can("configure") && html`<${Button} kind="primary" icon="plus" href=${to("input")}>${t("Add a camera")}<//>`}
  >
    ${
      can("configure")
        ? t("Add one on the Input page: a network camera, a USB camera, a video file, or the demo.")
        : t("Somebody who may change settings has to add one on the Input page.")
    }
  <//>`;

/** Nothing can be looked for at all. */
function NoModel({ cameras: all }) {
  if (all.some(({ models: some }) => some.length)) return null;
  const none = models.data.value && models.data.value.models.length === 0;
  return html`<${Note}
    tone="warn"
    class="run__note"
    title=${none ? t("There is no model yet") : t("No model looks at any camera")}
  >
    <p>
      ${none ? t("The cameras can be seen, but nothing is looked for in them.") : t("Choose on the Input page which model looks at which camera.")}
      ${" "}<a href=${none ? to("model") : to("input")}>${none ? t("Add a model") : t("To the cameras")}</a>
    </p>
  <//>`;
}
