// Where results go besides the broker of this box, how that fares, and what waits.
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { lazy } from "../../components/lazy.js";
import { Card, EmptyState, Facts } from "../../components/panels.js";
import { showError, toast } from "../../components/toast.js";
import { duration, list, number } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { free } from "../../naming.js";
import { counter, gauge, problemOf, publisherRuns } from "../../publisher.js";
import { filled } from "../../settings_document.js";
import { html, useEffect, useState } from "../../view.js";
import { contentWord } from "./choices.js";
import { placeOf, TYPES } from "./destination_types.js";
import { NumberSetting } from "./number.js";
import { PartRow } from "./part_row.js";
import { changeOutputs, fieldsOf, oneOf } from "./saving.js";
import { forgetUnused, namesOf, secrets } from "./secrets.js";

const DestinationEditor = lazy(() => import("./destination_editor.js"), "DestinationEditor");

export function Destinations({ whole, outputs, cameras, desk, may }) {
  const [editing, setEditing] = useState(null); // {before (null: new), start (null: its kind is asked first)}
  useEffect(() => {
    if (may) secrets.load();
  }, [may]);
  const all = outputs.destinations;
  const add = html`<${Button} kind=${all.length ? "plain" : "primary"} size=${all.length ? "s" : "m"} icon="plus" onClick=${() => setEditing({ before: null, start: null })}>${t("Add a destination")}<//>`;
  const names = new Map(cameras.map(({ id, name }) => [id, name]));

  async function remove(one) {
    const waiting = gauge(`queued_${one.id}`) ?? 0;
    const name = one.name || one.id;
    const yes = await confirm({
      title: t("Remove {name}?", { name }),
      text: waiting > 0 ? tn(waiting, "{n} result still waits for it, and is lost.", "{n} results still wait for it, and are lost.") : t("Nothing is sent there any more. Nothing waits for it."),
      action: t("Remove"),
    });
    if (!yes) return;
    await changeOutputs(oneOf("destinations", one, null));
    await forgetUnused(namesOf(one));
    toast(t("{name} is removed.", { name }), { tone: "ok" });
  }

  const duplicate = (one) => {
    const known = all.map(({ id }) => id);
    setEditing({ before: null, start: { ...one, id: free(`${one.id}-copy`.slice(0, 60), known), name: t("{name} (copy)", { name: one.name || one.id }) } });
  };

  return html`<${Card} title=${t("Destinations")} icon="send" id="output-destinations" lead=${t("Where results go besides the broker of this box. While one is away, they wait for it on the disk.")} actions=${may && all.length > 0 && add}>
    ${
      all.length === 0
        ? html`<${EmptyState} icon="send" title=${t("No destination yet")} action=${may && add}>
            <p>${t("An HTTP server, another MQTT broker, InfluxDB, a file or a socket.")}</p>
          <//>`
        : html`<ul class="output-parts">
            ${all.map(
              (one) => html`<${Row}
                key=${one.id}
                of=${one}
                names=${names}
                may=${may}
                onEdit=${() => setEditing({ before: one, start: one })}
                actions=${[
                  { label: t("Duplicate"), icon: "copy", onClick: () => duplicate(one) },
                  { label: t("Remove"), icon: "trash-2", tone: "bad", onClick: () => remove(one).catch(showError) },
                ]}
              />`,
            )}
          </ul>
          <${Outbox} ...${{ whole, outputs, desk, may }} />`
    }
    ${editing && html`<${DestinationEditor} ...${editing} whole=${whole} outputs=${outputs} cameras=${cameras} onClose=${() => setEditing(null)} />`}
  <//>`;
}

function Row({ of: one, names, may, onEdit, actions }) {
  const { icon, word } = TYPES[one.type ?? "http"];
  const { id, what = ["detections"], cameras = [] } = one;
  const enabled = one.enabled ?? true;
  const reason = enabled ? problemOf(`destination ${id}`) : "";
  const sent = counter(`sent_${id}`);
  const waiting = gauge(`queued_${id}`);
  const oldest = gauge(`oldest_s_${id}`);
  const told = (n, words) => (n > 0 ? [words] : []);
  const facts = enabled
    ? [
        ...(sent === null ? [] : [t("{n} sent", { n: number(sent, 0) })]),
        ...told(waiting, oldest >= 1 ? t("{n} waiting, the oldest for {duration}", { n: number(waiting, 0), duration: duration(oldest) }) : t("{n} waiting", { n: number(waiting, 0) })),
        ...told(counter(`failed_${id}`), t("{n} failed tries", { n: number(counter(`failed_${id}`), 0) })),
        ...told(counter(`rejected_${id}`), t("{n} refused", { n: number(counter(`rejected_${id}`), 0) })),
        ...told(counter(`dropped_${id}`), t("{n} dropped", { n: number(counter(`dropped_${id}`), 0) })),
      ]
    : [];
  const state = !enabled
    ? { tone: "idle", label: t("Switched off") }
    : reason
      ? { tone: "warn", label: t("Held up") }
      : sent !== null && publisherRuns()
        ? { tone: "ok", label: t("Works") }
        : null;
  const words = [word(), placeOf(one), list(what.map(contentWord)), cameras.length ? list(cameras.map((camera) => names.get(camera) ?? camera)) : ""];
  const toggle = (on) => changeOutputs(fieldsOf("destinations", id, { enabled: on })).catch(showError);
  return html`<${PartRow}
    icon=${icon}
    name=${one.name || id}
    words=${words.filter(Boolean).join(" · ")}
    ...${{ state, reason, facts, enabled, onEdit, actions, may }}
    onToggle=${toggle}
  />`;
}

/** How much is kept for destinations that are away. */
function Outbox({ whole, outputs, desk, may }) {
  const outbox = filled(whole, "OutboxOptions", outputs.outbox);
  const save = (changes) => desk.save({ outputs: { outbox: changes } });
  const [size, entries] = [gauge("outbox_mb"), gauge("outbox_entries")];
  const reason = problemOf("outbox");
  return html`<section class="output__outbox" aria-label=${t("Outbox")}>
    <h3>${t("Outbox")}</h3>
    <p class="small soft">${t("What waits for destinations that are away. What goes unsent is counted as dropped.")}</p>
    ${reason && html`<p class="small output-part__reason">${reason}</p>`}
    <div class="output__fields">
      <${NumberSetting} ...${{ whole, part: "OutboxOptions", name: "keep_days" }} label=${t("Wait at most")} unit=${t("days")} value=${outbox.keep_days} disabled=${!may} onSave=${(n) => save({ keep_days: n })} />
      <${NumberSetting} ...${{ whole, part: "OutboxOptions", name: "keep_mb" }} label=${t("Take at most")} unit="MB" value=${outbox.keep_mb} disabled=${!may} onSave=${(n) => save({ keep_mb: n })} help=${t("The oldest go first.")} />
    </div>
    ${
      (size !== null || entries !== null) &&
      html`<${Facts} items=${[size !== null && [t("Used now"), `${number(size)} MB`], entries !== null && [t("Results in it"), number(entries, 0)]]} />`
    }
  </section>`;
}
