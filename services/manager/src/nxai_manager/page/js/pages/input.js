// Input: the cameras, how they fare, what models see of them, and new ones.
import { Button } from "../components/button.js";
import { EmptyState, ErrorNote, Skeleton } from "../components/panels.js";
import { t } from "../i18n.js";
import { useListen } from "../live.js";
import { go, restoreScroll, to } from "../router.js";
import { schema } from "../settings_document.js";
import { can, cameras, models } from "../store.js";
import { html, useEffect, useRef } from "../view.js";
import { AddCamera } from "./input/add.js";
import { CameraCard } from "./input/card.js";
import { Detail } from "./input/detail.js";

export default function Input({ path: [camera, view], query }) {
  useListen("status", "states", "settings", "deployments", "models");
  useEffect(() => {
    for (const one of [cameras, models, schema]) one.want();
  }, []);
  const told = cameras.data.value;
  const whole = schema.data.value;
  const error = cameras.error.value ?? schema.error.value ?? models.error.value;
  const again = () => Promise.all([cameras, models, schema].map((one) => one.load()));
  useArrival(camera, Boolean(told && whole));

  if (!told || !whole) {
    return html`<div class="page">
      <header class="page__head"><h1>${camera ?? t("Input")}</h1></header>
      ${error ? html`<${ErrorNote} error=${error} onRetry=${again} />` : html`<${Skeleton} kind="cards" count=${3} />`}
    </div>`;
  }
  const problem = html`<${ErrorNote} class="input__problem" error=${error} onRetry=${again} />`;
  if (camera) {
    return html`<${Detail} key=${camera} id=${camera} view=${view} camera=${told.cameras.find(({ id }) => id === camera)} whole=${whole} problem=${problem} />`;
  }
  const may = can("configure");
  const close = () => go(to("input"), { replace: true });
  const add = (kind) => may && html`<${Button} kind=${kind} icon="plus" href=${to("input", { add: "" })}>${t("Add a camera")}<//>`;
  return html`<div class="page">
    <header class="page__head">
      <div>
        <h1>${t("Input")}</h1>
        <p class="soft">${t("The cameras of this box.")}</p>
      </div>
      ${told.cameras.length > 0 && add("primary")}
    </header>
    ${problem}
    ${
      told.cameras.length === 0
        ? html`<${EmptyState} icon="cctv" title=${t("No camera yet")} action=${add("primary")}>
            <p>${may ? t("Network cameras, USB cameras, videos and pictures: all can be watched.") : t("An administrator can add one.")}</p>
          <//>`
        : html`<ul class="input__cards">
            ${told.cameras.map((one) => html`<${CameraCard} key=${one.id} camera=${one} boxRuns=${told.running} />`)}
          </ul>`
    }
    ${may && query.add !== undefined && html`<${AddCamera} whole=${whole} known=${told.cameras.map(({ id }) => id)} onClose=${close} />`}
  </div>`;
}

/** From the list to a camera and back: as with any other page, its heading is where one is. */
function useArrival(camera, ready) {
  const shown = useRef(null);
  useEffect(() => {
    if (!ready) return;
    const now = camera ?? "";
    if (shown.current !== null && shown.current !== now) {
      restoreScroll();
      const heading = document.querySelector("main h1");
      heading?.setAttribute("tabindex", "-1");
      if (!document.querySelector("dialog[open]")) heading?.focus({ preventScroll: true });
    }
    shown.current = now;
  }, [camera, ready]);
}
