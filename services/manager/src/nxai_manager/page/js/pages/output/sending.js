// How collected pictures go to Edge Impulse.
import { get } from "../../api.js";
import { Button } from "../../components/button.js";
import { Field, Radios, Select, Switch } from "../../components/field.js";
import { Card, Note } from "../../components/panels.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { filled } from "../../settings_document.js";
import { html, useEffect, useState } from "../../view.js";
import { NumberSetting } from "./number.js";

export function Sending({ whole, document, desk, may }) {
  const upload = filled(whole, "UploadOptions", document?.edge_impulse?.upload);
  const [project, setProject] = useState(null);
  useEffect(() => {
    get("project").then(setProject, () => {});
  }, []);
  const save = (changes) => desk.save({ edge_impulse: { upload: changes } });
  const off = !may;
  return html`<${Card} title=${t("Sending to Edge Impulse")} icon="upload" id="output-sending" lead=${project?.link ? t("Project: {name}", { name: project.link.name }) : null}>
    <div class="output__body">
    ${
      project &&
      !project.link &&
      html`<${Note} title=${t("No Edge Impulse project is linked.")} action=${html`<${Button} size="s" href=${to("model")}>${t("Link a project")}<//>`}>
        <p>${t("Pictures are kept on this box until one is.")}</p>
      <//>`
    }
    <${Radios}
      label=${t("When")}
      value=${upload.mode}
      disabled=${off}
      onInput=${(mode) => save({ mode })}
      options=${[
        { value: "manual", label: t("When I press Upload"), help: t("Nothing is sent by itself.") },
        { value: "approved", label: t("What I approved, by itself"), help: t("Within the hours and the amount below.") },
        { value: "automatic", label: t("Everything, by itself"), help: t("Without anybody's look.") },
      ]}
    />
    <div class="output__fields">
      <${Window} value=${upload.window} disabled=${off || upload.mode === "manual"} onSave=${(text) => save({ window: text })} />
      <${NumberSetting} ...${{ whole, part: "UploadOptions", name: "mb_per_day" }} label=${t("At most a day")} unit="MB" value=${upload.mb_per_day} disabled=${off || upload.mode === "manual"} onSave=${(n) => save({ mb_per_day: n })} help=${t("0: no limit.")} />
      <${Select}
        label=${t("Into")}
        value=${upload.category}
        disabled=${off}
        onInput=${(category) => save({ category })}
        options=${[
          { value: "split", label: t("Training and test, divided by Edge Impulse") },
          { value: "training", label: t("Training data") },
          { value: "testing", label: t("Test data") },
        ]}
      />
    </div>
    <${Switch} label=${t("Send along what the model saw")} checked=${upload.predictions} disabled=${off} onInput=${(on) => save({ predictions: on })} help=${t("As metadata; labels are only what a person confirmed.")} />
    <${Switch} label=${t("The connection costs money")} checked=${upload.metered} disabled=${off} onInput=${(on) => save({ metered: on })} help=${t("Nothing is sent, fetched or asked by itself; what you start runs.")} />
    </div>
  <//>`;
}

function Window({ value, onSave, disabled }) {
  const [typed, setTyped] = useState(value);
  const [error, setError] = useState(null);
  useEffect(() => setTyped(value), [value]);
  const commit = async (text) => {
    if (text === value) return;
    try {
      await onSave(text.trim());
      setError(null);
    } catch (reason) {
      setError(reason.problems?.[0]?.reason ?? reason.detail);
    }
  };
  return html`<${Field} label=${t("Between")} optional placeholder="22:00-06:00" value=${typed} disabled=${disabled} onInput=${setTyped} onCommit=${commit} error=${error} help=${t("Local time of the box; empty: always.")} />`;
}
