// The data logger on this box.
import { get } from "../../api.js";
import { Button } from "../../components/button.js";
import { Switch } from "../../components/field.js";
import { Card, ErrorNote, Facts } from "../../components/panels.js";
import { day, number } from "../../format.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { filled } from "../../settings_document.js";
import { html, useEffect, useState } from "../../view.js";
import { NumberSetting } from "./number.js";

export function Logger({ whole, document, desk, may }) {
  const logger = filled(whole, "LoggerOptions", document?.logger);
  const [facts, setFacts] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    get("data/logger").then(setFacts, setError);
  }, [logger.enabled]);
  const save = (changes) => desk.save({ logger: changes });
  return html`<${Card}
    title=${t("Data logger")}
    icon="database"
    id="output-logger"
    lead=${t("Every result is kept on this box, for charts, tables and downloads.")}
    actions=${html`<${Button} size="s" icon="chart-line" href=${to("data")}>${t("Open the data")}<//>`}
  >
    <div class="output__body">
    <${Switch} label=${t("Keep results")} checked=${logger.enabled} disabled=${!may} onInput=${(on) => save({ enabled: on })} help=${logger.enabled ? null : t("What was kept stays readable.")} />
    ${
      logger.enabled &&
      html`<div class="output__fields">
        <${NumberSetting} ...${{ whole, part: "LoggerOptions", name: "keep_days" }} label=${t("For")} unit=${t("days")} value=${logger.keep_days} disabled=${!may} onSave=${(n) => save({ keep_days: n })} />
        <${NumberSetting} ...${{ whole, part: "LoggerOptions", name: "keep_mb" }} label=${t("At most")} unit="MB" value=${logger.keep_mb} disabled=${!may} onSave=${(n) => save({ keep_mb: n })} help=${t("The oldest go first.")} />
      </div>`
    }
    <${ErrorNote} error=${error} />
    ${
      facts &&
      html`<${Facts}
        items=${[
          [t("Results"), `${facts.estimated?.includes("rows") ? "≈ " : ""}${number(facts.rows, 0)}`],
          [t("Size"), `${number(facts.size_mb)} MB`],
          [t("Since"), facts.oldest ? day(facts.oldest) : null],
          [t("Database"), facts.database === "postgresql" ? "PostgreSQL" : "SQLite"],
        ]}
      />`
    }
    </div>
  <//>`;
}
