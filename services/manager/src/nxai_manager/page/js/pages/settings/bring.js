// Settings brought along and taken away: files of this program and of the Nx AI Manager.
import { address, post } from "../../api.js";
import { Button } from "../../components/button.js";
import { FileDrop } from "../../components/file_drop.js";
import { Badge, Card, ErrorNote, Note } from "../../components/panels.js";
import { Table } from "../../components/table.js";
import { t, tn } from "../../i18n.js";
import { go, to } from "../../router.js";
import { can } from "../../store.js";
import { html, useState } from "../../view.js";
import { imported } from "./editor.js";

const OUTCOMES = {
  translated: ["ok", () => t("Translated")],
  "not-applicable": ["idle", () => t("Says nothing here")],
  "needs-you": ["warn", () => t("Needs you")],
  unknown: ["idle", () => t("Unknown")],
};

export function Bring() {
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  async function read([file]) {
    setTold(null);
    setError(null);
    try {
      setTold(await post("settings/import", { text: await file.text() }));
    } catch (reason) {
      setError(reason);
    }
  }
  function take() {
    imported.value = { text: told.text, token: told.token };
    go(to("settings"));
  }
  return html`<div class="stack">
    <${Card} title=${t("Export")} icon="download" lead=${t("settings.json as it is, without passwords.")}>
      <${Button} icon="download" href=${address("settings/export")} download>${t("Download settings.json")}<//>
    <//>
    <${Card} title=${t("Import")} icon="file-up" lead=${t("A settings.json of nxai-edge, or the settings file of the Nx AI Manager. Nothing is changed until you save it.")}>
      <div class="stack">
        <${FileDrop} label=${t("Drop the file here, or choose it")} accept=${[".json", "application/json"]} largest=${4 * 1024 * 1024} onFiles=${read} disabled=${!can("configure")} />
        <${ErrorNote} error=${error} title=${t("This file cannot be read as settings.")} />
        ${
          told &&
          html`
            ${
              told.problems.length > 0
                ? html`<${Note} tone="warn" title=${tn(told.problems.length, "{n} thing is to be put right before it can be saved.", "{n} things are to be put right before it can be saved.")} />`
                : html`<${Note} tone="ok" title=${t("It can be saved as it is.")} />`
            }
            <div class="row"><${Button} kind="primary" icon="pencil" onClick=${take}>${t("Open in the editor")}<//></div>
            ${told.keys.length > 0 && html`<${Keys} keys=${told.keys} />`}
          `
        }
      </div>
    <//>
  </div>`;
}

const Keys = ({ keys }) => html`<${Table}
  label=${t("What became of each key")}
  rows=${keys}
  id=${({ key }) => key}
  columns=${[
    { key: "key", label: t("Key"), main: true, sort: true, cell: ({ key }) => html`<code>${key}</code>` },
    { key: "value", label: t("Value"), cell: ({ value }) => html`<code>${value}</code>` },
    {
      key: "outcome",
      label: t("Outcome"),
      sort: true,
      cell: ({ outcome }) => html`<${Badge} tone=${OUTCOMES[outcome]?.[0]}>${OUTCOMES[outcome]?.[1]() ?? outcome}<//>`,
    },
    { key: "note", label: t("What to know"), cell: ({ where, note }) => html`${where && html`<code>${where}</code> `}${note}` },
  ]}
/>`;
