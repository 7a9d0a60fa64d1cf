// Output: what leaves the box, where to, and the pictures that it was unsure of.
import { EmptyState, ErrorNote, Note, Skeleton } from "../components/panels.js";
import { Button } from "../components/button.js";
import { t } from "../i18n.js";
import { useListen } from "../live.js";
import { to } from "../router.js";
import { documentOf, filled, saver, schema } from "../settings_document.js";
import { can, cameras, models, settings } from "../store.js";
import { html, useEffect, useState } from "../view.js";
import { Alarms } from "./output/alarms.js";
import { Destinations } from "./output/destinations.js";
import { Doubt } from "./output/doubt.js";
import { HomeAssistant } from "./output/home_assistant.js";
import { Logger } from "./output/logger.js";
import { Messages } from "./output/messages.js";
import { Processors } from "./output/processors.js";
import { Sections } from "./output/sections.js";
import { Sending } from "./output/sending.js";
import { Topics } from "./output/topics.js";

export default function Output({ path: [section] }) {
  const [desk] = useState(saver);
  useListen("status", "settings", "alarms", "states", "processors");
  useEffect(() => {
    for (const one of [settings, cameras, models]) one.load();
    schema.want();
  }, []);
  const whole = schema.data.value;
  const told = settings.data.value;
  const error = settings.error.value ?? schema.error.value ?? cameras.error.value;
  const seen = cameras.data.value?.cameras;

  if (!whole || !told || !seen) {
    return html`<div class="page page--narrow">
      <header class="page__head"><h1>${t("Output")}</h1></header>
      ${error ? html`<${ErrorNote} error=${error} onRetry=${() => settings.load()} />` : html`<${Skeleton} kind="cards" count=${4} />`}
    </div>`;
  }
  const document = documentOf(told);
  const outputs = filled(whole, "Outputs", document?.outputs);
  const shared = { whole, document, outputs, cameras: seen, desk, may: can("configure") && document !== null };
  return html`<div class="page page--narrow output">
    <header class="page__head">
      <div>
        <h1>${t("Output")}</h1>
        <p class="soft">${t("What leaves the cameras, and where it goes.")}</p>
      </div>
    </header>
    ${
      !can("configure") &&
      html`<${Note} title=${t("You can look, but not change anything here.")}>
        <p>${t("An administrator can.")}</p>
      <//>`
    }
    ${
      document === null &&
      html`<${Note} tone="warn" title=${t("The settings file has a mistake.")} action=${html`<${Button} size="s" href=${to("settings")}>${t("Open settings")}<//>`}>
        <p>${t("Nothing can be changed here until it is put right.")}</p>
      <//>`
    }
    <${Sections} chosen=${section} />
    <${ErrorNote} error=${desk.error.value} />
    <div class="stack output__cards">
      ${
        seen.length === 0
          ? html`<${EmptyState} icon="cctv" title=${t("No camera yet")} action=${html`<${Button} kind="primary" href=${to("input")}>${t("Add a camera")}<//>`}>
              <p>${t("Each camera has topics of its own.")}</p>
            <//>`
          : html`<${Topics} ...${shared} />`
      }
      <${Messages} ...${shared} />
      <${Destinations} ...${shared} />
      <${Alarms} ...${shared} />
      <${HomeAssistant} ...${shared} />
      <${Processors} ...${shared} />
      <${Logger} ...${shared} />
      <${Doubt} ...${shared} />
      <${Sending} ...${shared} />
    </div>
  </div>`;
}
