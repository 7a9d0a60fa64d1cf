// Programs that look at each result before it goes out: those that are used, and those that have introduced themselves.
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Icon } from "../../components/icon.js";
import { lazy } from "../../components/lazy.js";
import { Card, EmptyState } from "../../components/panels.js";
import { showError, toast } from "../../components/toast.js";
import { list, number } from "../../format.js";
import { t } from "../../i18n.js";
import { processors } from "../../live.js";
import { problemOf } from "../../publisher.js";
import { html, useState } from "../../view.js";
import { PartRow } from "./part_row.js";
import { changeOutputs, fieldsOf, oneOf } from "./saving.js";

const ProcessorEditor = lazy(() => import("./processor_editor.js"), "ProcessorEditor");

export function Processors({ whole, outputs, cameras, may }) {
  const [editing, setEditing] = useState(null); // {before, start}
  const used = outputs.processors;
  const offered = [...processors.value.values()].filter(({ processor }) => !used.some(({ id }) => id === processor));
  const names = new Map(cameras.map(({ id, name }) => [id, name]));

  async function remove(one, name) {
    const yes = await confirm({
      title: t("Use {name} no more?", { name }),
      text: t("Results go out without it. Its settings here are lost."),
      action: t("Remove"),
    });
    if (!yes) return;
    await changeOutputs(oneOf("processors", one, null));
    toast(t("{name} is not used any more.", { name }), { tone: "ok" });
  }

  const move = (id, by) =>
    changeOutputs(({ processors: now = [] }) => {
      const at = now.findIndex((one) => one.id === id);
      const rest = now.toSpliced(at, 1);
      return { processors: rest.toSpliced(Math.max(0, at + by), 0, now[at]) };
    }).catch(showError);

  return html`<${Card} title=${t("Processors")} icon="cpu" id="output-processors" lead=${t("Programs of your own that look at each result before it goes out, one after the other.")}>
    ${
      used.length + offered.length === 0 &&
      html`<${EmptyState} icon="cpu" title=${t("No processor has introduced itself")}>
        <p>${t("It connects to the broker of this box with the account processor, and says what it is.")}</p>
      <//>`
    }
    ${
      used.length > 0 &&
      html`<ul class="output-parts">
        ${used.map((one, index) => {
          const manifest = processors.value.get(one.id);
          const name = manifest?.name || one.id;
          const enabled = one.enabled ?? true;
          const reason = enabled ? problemOf(`processor ${one.id}`) : "";
          const state = !enabled
            ? { tone: "idle", label: t("Switched off") }
            : reason
              ? { tone: "warn", label: t("Left out") }
              : manifest
                ? { tone: "ok", label: t("Works") }
                : { tone: "warn", label: t("Not there") };
          const words = [manifest?.description, manifest?.version, one.cameras?.length ? list(one.cameras.map((id) => names.get(id) ?? id)) : "", t("{n} ms at most", { n: number(one.timeout_ms ?? 200, 0) })];
          return html`<${PartRow}
            key=${one.id}
            icon="cpu"
            name=${name}
            words=${words.filter(Boolean).join(" · ")}
            ...${{ state, reason, enabled, may }}
            onToggle=${(on) => changeOutputs(fieldsOf("processors", one.id, { enabled: on })).catch(showError)}
            onEdit=${() => setEditing({ before: one, start: one })}
            actions=${[
              index > 0 && { label: t("Earlier"), icon: "arrow-up", onClick: () => move(one.id, -1) },
              index < used.length - 1 && { label: t("Later"), icon: "arrow-down", onClick: () => move(one.id, 1) },
              { label: t("Remove"), icon: "trash-2", tone: "bad", onClick: () => remove(one, name).catch(showError) },
            ]}
          />`;
        })}
      </ul>`
    }
    ${
      offered.length > 0 &&
      html`<section class="output__offered" aria-label=${t("Introduced, and not used")}>
        <h3>${t("Introduced, and not used")}</h3>
        <ul class="output-parts">
          ${offered.map(
            (one) => html`<li key=${one.processor} class="output-part output-part--off">
              <span class="output-part__icon"><${Icon} name="cpu" /></span>
              <div class="output-part__body">
                <h4 class="output-part__name">${one.name || one.processor}</h4>
                <p class="small soft output-part__words">${[one.description, one.version].filter(Boolean).join(" · ")}</p>
              </div>
              <div class="output-part__tools">
                ${may && html`<${Button} size="s" icon="plus" aria-label=${t("Use {name}", { name: one.name || one.processor })} onClick=${() => setEditing({ before: null, start: { id: one.processor } })}>${t("Use it")}<//>`}
              </div>
            </li>`,
          )}
        </ul>
      </section>`
    }
    ${editing && html`<${ProcessorEditor} ...${editing} whole=${whole} cameras=${cameras} onClose=${() => setEditing(null)} />`}
  <//>`;
}
