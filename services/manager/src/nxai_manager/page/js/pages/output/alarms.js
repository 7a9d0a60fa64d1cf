// Alarm rules, and which of them hold now.
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { lazy } from "../../components/lazy.js";
import { Badge, Card, EmptyState, When } from "../../components/panels.js";
import { showError, toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { free } from "../../naming.js";
import { raisedAlarms } from "../../publisher.js";
import { html, useState } from "../../view.js";
import { sentenceOf } from "./alarm_words.js";
import { PartRow } from "./part_row.js";
import { changeOutputs, fieldsOf, oneOf } from "./saving.js";

const AlarmEditor = lazy(() => import("./alarm_editor.js"), "AlarmEditor");

export function Alarms({ whole, outputs, cameras, may }) {
  const [editing, setEditing] = useState(null); // {before, start}
  const all = outputs.alarms;
  const names = new Map(cameras.map(({ id, name }) => [id, name]));
  const raised = raisedAlarms();
  const add = html`<${Button} kind=${all.length ? "plain" : "primary"} size=${all.length ? "s" : "m"} icon="plus" onClick=${() => setEditing({ before: null, start: {} })}>${t("Add an alarm rule")}<//>`;

  async function remove(rule) {
    const name = rule.name || rule.id;
    const yes = await confirm({
      title: t("Remove {name}?", { name }),
      text: t("An alarm that holds now ends. What was told of it stays told."),
      action: t("Remove"),
    });
    if (!yes) return;
    await changeOutputs(oneOf("alarms", rule, null));
    toast(t("{name} is removed.", { name }), { tone: "ok" });
  }

  const duplicate = (rule) => {
    const id = free(`${rule.id}-copy`.slice(0, 60), all.map((one) => one.id));
    setEditing({ before: null, start: { ...rule, id, name: t("{name} (copy)", { name: rule.name || rule.id }) } });
  };

  return html`<${Card} title=${t("Alarms")} icon="bell" id="output-alarms" lead=${t("A rule over what a camera sees; when it holds, a message and a picture are sent.")} actions=${may && all.length > 0 && add}>
    ${
      all.length === 0
        ? html`<${EmptyState} icon="bell" title=${t("No alarm rule yet")} action=${may && add}>
            <p>${t("At least two nuts in an area for three seconds; nobody at the machine for a minute.")}</p>
          <//>`
        : html`<ul class="output-parts">
            ${all.map((rule) => {
              const enabled = rule.enabled ?? true;
              const now = enabled ? raised.filter((one) => one.rule === rule.id) : [];
              return html`<${PartRow}
                key=${rule.id}
                icon="bell"
                name=${rule.name || rule.id}
                words=${sentenceOf(rule, names)}
                state=${enabled ? now.length > 0 && { tone: "bad", label: t("Holds now") } : { tone: "idle", label: t("Switched off") }}
                now=${now.length > 0}
                ...${{ enabled, may }}
                onToggle=${(on) => changeOutputs(fieldsOf("alarms", rule.id, { enabled: on })).catch(showError)}
                onEdit=${() => setEditing({ before: rule, start: rule })}
                actions=${[
                  { label: t("Duplicate"), icon: "copy", onClick: () => duplicate(rule) },
                  { label: t("Remove"), icon: "trash-2", tone: "bad", onClick: () => remove(rule).catch(showError) },
                ]}
              >
                ${
                  now.length > 0 &&
                  html`<p class="row small">
                    ${now.map(({ id, camera, count, started_at: at }) => html`<${Badge} key=${id} tone="bad">${names.get(camera) ?? camera}${count !== undefined && ` · ×${count}`} · <${When} at=${at} /><//>`)}
                  </p>`
                }
              <//>`;
            })}
          </ul>`
    }
    ${editing && html`<${AlarmEditor} ...${editing} whole=${whole} outputs=${outputs} cameras=${cameras} onClose=${() => setEditing(null)} />`}
  <//>`;
}
