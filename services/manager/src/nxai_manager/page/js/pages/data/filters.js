// Which time, camera, model and label is looked at.
import { Field, Segmented, Select } from "../../components/field.js";
import { Button } from "../../components/button.js";
import { Icon } from "../../components/icon.js";
import { time } from "../../format.js";
import { t } from "../../i18n.js";
import { cameras } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";
import { asLocal, fromLocal, PRESETS, REFRESH_S } from "./span.js";

export const cameraName = (id) => cameras.data.value?.cameras.find((one) => one.id === id)?.name || id;

/** {query, span, facts (of the logger), onChange(changes), loading} */
export function Filters({ query, span, facts, onChange, loading }) {
  const own = span.preset === null;
  const { camera = "", model = "", label = "" } = query;
  const options = (all, names, now) => [
    { value: "", label: all },
    ...unique([...names, now]).map((value) => ({ value, label: all === t("All cameras") ? cameraName(value) : value })),
  ];
  const filtered = camera || model || label;
  return html`<section class="data-filters" aria-label=${t("What is shown")}>
    <div class="data-filters__time">
      <${Segmented}
        label=${t("Time")}
        hideLabel
        value=${span.preset?.id ?? "own"}
        options=${[...PRESETS.map((one) => ({ value: one.id, label: one.label(), title: one.title() })), { value: "own", label: t("Custom") }]}
        onInput=${(range) => onChange(range === "own" ? { range: "", since: span.since, until: span.until } : { range, since: "", until: "" })}
      />
      ${own && html`<${Own} key=${span.since + span.until} span=${span} onChange=${onChange} />`}
    </div>
    <div class="data-filters__what">
      <${Select} label=${t("Camera")} hideLabel value=${camera} options=${options(t("All cameras"), facts.cameras, camera)} onInput=${(value) => onChange({ camera: value }, { replace: true })} />
      <${Select} label=${t("Model")} hideLabel value=${model} options=${options(t("All models"), facts.models.map((one) => one.model), model)} onInput=${(value) => onChange({ model: value }, { replace: true })} />
      <${Select} label=${t("Label")} hideLabel value=${label} options=${options(t("All labels"), facts.labels, label)} onInput=${(value) => onChange({ label: value }, { replace: true })} />
      ${filtered && html`<${Button} kind="quiet" icon="funnel-x" onClick=${() => onChange({ camera: "", model: "", label: "" }, { replace: true })}>${t("Without filters")}<//>`}
    </div>
    <p class="data-filters__now small soft number" title=${own ? null : t("Asked anew every {n} seconds while this page is seen.", { n: REFRESH_S })}>
      ${
        own
          ? html`<${Icon} name="pause" />${t("A time of your own: it does not move on.")}`
          : html`<span class=${loading ? "data-filters__pulse is-busy" : "data-filters__pulse"} aria-hidden="true"></span>${t("Up to {time}, moves on by itself", { time: time(span.until) })}`
      }
    </p>
  </section>`;
}

const unique = (values) => [...new Set(values)].filter(Boolean);

export function Own({ span, onChange }) {
  const [since, setSince] = useState(asLocal(span.since));
  const [until, setUntil] = useState(asLocal(span.until));
  const wrong = since && until && since >= until;
  const changed = since !== asLocal(span.since) || until !== asLocal(span.until);
  useEffect(() => {
    if (!changed || wrong || !since || !until) return undefined;
    const timer = setTimeout(() => onChange({ range: "", since: fromLocal(since), until: fromLocal(until) }), 1200);
    return () => clearTimeout(timer);
  }, [since, until]);
  const show = (event) => {
    event.preventDefault();
    if (!wrong && since && until) onChange({ range: "", since: fromLocal(since), until: fromLocal(until) });
  };
  return html`<form class="data-filters__own" onSubmit=${show}>
    <${Field} type="datetime-local" label=${t("From")} value=${since} onInput=${setSince} max=${until} required />
    <${Field} type="datetime-local" label=${t("To")} value=${until} onInput=${setUntil} error=${wrong ? t("ends before it begins") : null} required />
    <${Button} type="submit" disabled=${!changed || wrong}>${t("Show||a time")}<//>
  </form>`;
}
