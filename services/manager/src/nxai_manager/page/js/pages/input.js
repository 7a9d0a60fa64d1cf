// Input: the cameras, how they fare, what models see of them, and new ones.
import { Button } from "../components/button.js";
import { EmptyState, ErrorNote, Skeleton } from "../components/panels.js";
import { t } from "../i18n.js";
import { useListen } from "../live.js";
import { to } from "../router.js";
import { schema } from "../settings_document.js";
import { can, cameras, models } from "../store.js";
import { html, useEffect, useState } from "../view.js";
import { AddCamera } from "./input/add.js";
import { CameraCard } from "./input/card.js";
import { Detail } from "./input/detail.js";

export default function Input({ path, query }) {
  const [adding, setAdding] = useState(query.add !== undefined);
  useListen("status", "states", "settings", "deployments", "models");
  useEffect(() => {
    for (const one of [cameras, models]) one.load();
    schema.want();
  }, []);
  const told = cameras.data.value;
  const error = cameras.error.value ?? schema.error.value;
  const whole = schema.data.value;
  if (!told || !whole) {
    return html`<div class="page">
      <header class="page__head"><h1>${t("Input")}</h1></header>
      ${error ? html`<${ErrorNote} error=${error} onRetry=${() => cameras.load()} />` : html`<${Skeleton} kind="cards" count=${3} />`}
    </div>`;
  }
  if (path[0]) {
    return html`<${Detail} key=${path[0]} id=${path[0]} view=${path[1]} camera=${told.cameras.find(({ id }) => id === path[0])} whole=${whole} />`;
  }
  const may = can("configure");
  const add = may && html`<${Button} kind="primary" icon="plus" onClick=${() => setAdding(true)}>${t("Add a camera")}<//>`;
  return html`<div class="page input">
    <header class="page__head">
      <div>
        <h1>${t("Input")}</h1>
        <p class="soft">${t("The cameras of this box.")}</p>
      </div>
      ${told.cameras.length > 0 && add}
    </header>
    <${ErrorNote} error=${cameras.error.value} onRetry=${() => cameras.load()} />
    ${
      told.cameras.length === 0
        ? html`<${EmptyState} icon="cctv" title=${t("No camera yet")} action=${add}>
            <p>${t("Network cameras, USB cameras, videos and pictures: all can be watched.")}</p>
          <//>`
        : html`<ul class="input__cards">
            ${told.cameras.map((camera) => html`<${CameraCard} key=${camera.id} camera=${camera} boxRuns=${told.running} />`)}
          </ul>`
    }
    ${adding && html`<${AddCamera} whole=${whole} known=${told.cameras.map(({ id }) => id)} onClose=${() => setAdding(false)} />`}
  </div>`;
}

export const toCamera = (id, ...rest) => to("input", id, ...rest);
