// A camera as a card: its picture, state and figures.
import { Button } from "../../components/button.js";
import { LiveTile } from "../../components/live_tile.js";
import { Facts, StateChip } from "../../components/panels.js";
import { list, sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { models } from "../../store.js";
import { html, useState } from "../../view.js";
import { areasOf } from "./areas.js";
import { connectionFacts, placeOf, stateOf, typeWord } from "./facts.js";
import { Still } from "./still.js";

export function CameraCard({ camera, boxRuns }) {
  const [live, setLive] = useState(false);
  const { id, name, settings } = camera;
  const { state, reason } = stateOf(camera, boxRuns);
  const names = camera.models.map((one) => models.data.value?.models.find(({ model }) => model === one)?.name ?? one);
  const facts = connectionFacts(camera);
  const drawn = areasOf(settings).filter(({ kind }) => kind !== "mask"); // those are in the picture
  const place = placeOf(settings);
  const words = [typeWord(settings.source?.type), place].filter(Boolean).join(" · ");
  return html`<li class="card input__card">
    <div class="input__picture">
      ${
        live && camera.enabled
          ? html`<${LiveTile} camera=${id} name=${name} width=${640} fps=${10} bar=${false} link=${false} areas=${drawn} />`
          : html`<${Still} camera=${camera} />`
      }
      ${
        camera.enabled &&
        html`<${Button} size="s" class="input__live" icon=${live ? "image" : "play"} aria-label=${live ? t("Still picture of {camera}", { camera: name }) : t("Live picture of {camera}", { camera: name })} onClick=${() => setLive(!live)}>${live ? t("Still") : t("Live")}<//>`
      }
    </div>
    <div class="input__body">
      <div>
        <div class="input__head">
          <h2 class="input__name"><a href=${to("input", id)}>${name}</a></h2>
          <${StateChip} state=${state} />
        </div>
        <p class="small soft truncate" title=${words}>${words}</p>
      </div>
      ${reason && html`<p class="small input__reason">${sentence(reason)}</p>`}
      ${facts.length > 0 && html`<${Facts} class="input__facts" items=${facts} />`}
      <p class="small"><span class="soft">${t("Models:")}</span> ${names.length ? list(names) : html`<span class="soft">${t("none looks at it")}</span>`}</p>
      <div class="row input__ways">
        <${Button} size="s" href=${to("input", id)} aria-label=${t("Settings of {camera}", { camera: name })}>${t("Settings")}<//>
        <${Button} size="s" href=${to("input", id, "areas")} aria-label=${t("Areas of {camera}", { camera: name })}>${t("Areas")}<//>
        <${Button} size="s" href=${to("input", id, "models")} aria-label=${t("Models of {camera}", { camera: name })}>${t("Models")}<//>
      </div>
    </div>
  </li>`;
}
