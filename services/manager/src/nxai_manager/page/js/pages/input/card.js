// A camera as a card: its picture, state and figures.
import { Button } from "../../components/button.js";
import { LiveTile } from "../../components/live_tile.js";
import { Facts, StateChip } from "../../components/panels.js";
import { list, sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { models } from "../../store.js";
import { html, useState } from "../../view.js";
import { connectionFacts, placeOf, stateOf, typeWord } from "./facts.js";
import { Still } from "./still.js";

export function CameraCard({ camera, boxRuns }) {
  const [live, setLive] = useState(false);
  const { state, reason } = stateOf(camera, boxRuns);
  const names = camera.models.map((id) => models.data.value?.models.find(({ model }) => model === id)?.name ?? id);
  return html`<li class="card camera-card">
    <div class="camera-card__picture">
      ${
        !camera.enabled
          ? html`<div class="still still--empty"><span class="small">${t("Switched off")}</span></div>`
          : live
            ? html`<${LiveTile} camera=${camera.id} name=${camera.name} width=${640} fps=${10} />`
            : html`<${Still} camera=${camera.id} name=${camera.name} />`
      }
      ${
        camera.enabled &&
        html`<${Button} size="s" class="camera-card__live" icon=${live ? "image" : "play"} pressed=${live} onClick=${() => setLive(!live)}>${live ? t("Still") : t("Live")}<//>`
      }
    </div>
    <div class="camera-card__body">
      <div class="row row--apart row--top">
        <div class="grow">
          <h2 class="camera-card__name"><a href=${to("input", camera.id)}>${camera.name}</a></h2>
          <p class="small soft truncate" title=${placeOf(camera.settings)}>${typeWord(camera.settings.source?.type)}</p>
        </div>
        <${StateChip} state=${state} />
      </div>
      ${reason && html`<p class="small camera-card__reason">${sentence(reason)}</p>`}
      <${Facts} items=${connectionFacts(camera)} />
      <p class="small"><span class="soft">${t("Models:")}</span> ${names.length ? list(names) : html`<span class="soft">${t("none looks at it")}</span>`}</p>
      <div class="row">
        <${Button} size="s" icon="settings" href=${to("input", camera.id)} aria-label=${t("Settings of {camera}", { camera: camera.name })}>${t("Settings")}<//>
        <${Button} size="s" icon="pentagon" href=${to("input", camera.id, "areas")} aria-label=${t("Areas of {camera}", { camera: camera.name })}>${t("Areas")}<//>
        <${Button} size="s" icon="brain-circuit" href=${to("input", camera.id, "models")} aria-label=${t("Models of {camera}", { camera: camera.name })}>${t("Models")}<//>
      </div>
    </div>
  </li>`;
}
