// Save, undo, and what to do when somebody else was faster: {...useDraft()}.
import { Button } from "../../components/button.js";
import { Note } from "../../components/panels.js";
import { t } from "../../i18n.js";
import { html } from "../../view.js";

export function SaveBar({ dirty, behind, may, undo, save }) {
  const why = !may
    ? t("Only an administrator can change this.")
    : behind
      ? t("Somebody else has changed it meanwhile.")
      : t("Nothing was changed.");
  return html`<div class="row row--end grow">
    ${dirty && !behind && html`<${Button} onClick=${undo}>${t("Undo")}<//>`}
    <${Button} kind="primary" icon="save" disabled=${!may || !dirty || behind} why=${why} onClick=${save}>${t("Save")}<//>
  </div>`;
}

export const Behind = ({ behind, undo, keepMine }) =>
  behind &&
  html`<${Note} tone="warn" title=${t("Somebody else has changed it meanwhile.")}>
    <p>${t("What is shown here is not saved. Take theirs, or keep yours and save it in its place.")}</p>
    <div class="row input__choice">
      <${Button} size="s" onClick=${undo}>${t("Take theirs")}<//>
      <${Button} size="s" onClick=${keepMine}>${t("Keep mine")}<//>
    </div>
  <//>`;
