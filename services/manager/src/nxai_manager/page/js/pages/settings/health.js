// How the box fares.
import { address, get } from "../../api.js";
import { Button } from "../../components/button.js";
import { Card, ErrorNote, Facts, Figure, Note, Skeleton, StateChip } from "../../components/panels.js";
import { ageSeconds, bytes, duration, number, sentence } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { statuses } from "../../live.js";
import { to } from "../../router.js";
import { can } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";

const STATES = {
  silent: ["bad", () => t("Silent")],
  missing: ["bad", () => t("Not there")],
  offline: ["bad", () => t("Offline")],
  stopped: ["bad", () => t("Stopped")],
};
const OVERALL = {
  ok: ["ok", () => t("All well")],
  attention: ["warn", () => t("It works, with problems")],
  broken: ["bad", () => t("A part of the box is away")],
};

export function Health() {
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  const load = () =>
    get("health").then(
      (answer) => {
        setTold(answer);
        setError(null);
      },
      setError,
    );
  // What is told live changes the judgement: states and problems, not every counter.
  const gist = [...statuses.value.values()].map(({ service, state, problems }) => `${service} ${state} ${problems.length}`).join();
  useEffect(() => {
    load();
    const timer = setInterval(load, 10_000);
    return () => clearInterval(timer);
  }, [gist]);
  if (!told) return error ? html`<${ErrorNote} error=${error} onRetry=${load} />` : html`<${Skeleton} kind="cards" count=${5} />`;
  const [tone, words] = OVERALL[told.state];
  return html`<div class="stack">
    <${ErrorNote} error=${error} onRetry=${load} />
    <section class="health" aria-label=${t("The box as a whole")}>
      <${StateChip} tone=${tone} label=${words()} />
      <${Figure} label=${t("MQTT broker")} value=${told.broker_connected ? t("Connected") : t("Away")} tone=${told.broker_connected ? "ok" : "bad"} />
      <${Figure} label=${t("Viewers")} value=${number(told.viewers, 0)} />
      <${Figure} label=${t("Version")} value=${told.version || "–"} />
      <div class="grow"></div>
      ${can("configure") && html`<${Button} icon="archive" href=${address("diagnostics")} download>${t("Diagnostics")}<//>`}
    </section>
    ${
      told.problems.length > 0 &&
      html`<${Card} title=${tn(told.problems.length, "{n} problem", "{n} problems")} icon="triangle-alert">
        <ul class="bullets">${told.problems.map(({ about, reason }) => html`<li key=${about + reason}><span class="strong">${about}</span>: ${reason}</li>`)}</ul>
      <//>`
    }
    <ul class="health__services">
      ${told.services.map((one) => html`<${Service} key=${one.service} ...${one} />`)}
    </ul>
  </div>`;
}

function Service({ service, state, reason, status: asked }) {
  const live = statuses.value.get(service) ?? asked;
  const own = STATES[state];
  const gauges = live?.gauges ?? {};
  const counters = Object.entries(live?.counters ?? {});
  return html`<li class="card health__service">
    <div class="row row--apart">
      <h2 class="health__name">${service}</h2>
      <${StateChip} state=${state} tone=${own?.[0]} label=${own?.[1]()} />
    </div>
    ${reason && html`<p class="small">${sentence(reason)}</p>`}
    ${
      live &&
      html`
      <${Facts}
        items=${[
          [t("Version"), live.version || "–"],
          [t("Runs since"), duration(ageSeconds(live.started_at))],
          gauges.memory_mb !== undefined && [t("Memory"), bytes(gauges.memory_mb * 1e6)],
          gauges.disk_free_mb !== undefined && [t("Free on its disk"), `${bytes(gauges.disk_free_mb * 1e6)}${gauges.disk_size_mb ? ` ${t("of {size}", { size: bytes(gauges.disk_size_mb * 1e6) })}` : ""}`],
          gauges.bus_waiting !== undefined && [t("Waiting to be sent"), number(gauges.bus_waiting, 0)],
          live.counters?.bus_dropped !== undefined && [t("Messages dropped"), number(live.counters.bus_dropped, 0)],
        ]}
      />
      <details>
        <summary>${t("All counters")}</summary>
        <dl class="health__counters">
          ${[...Object.entries(gauges), ...counters].map(([name, value]) => html`<div key=${name}><dt>${name.replaceAll("_", " ")}</dt><dd class="number">${number(value, 1)}</dd></div>`)}
        </dl>
      </details>
    `
    }
    ${!live && html`<${Note} tone="warn"><p>${t("Nothing was heard of it.")}</p><//>`}
    ${can("configure") && live && html`<div class="row"><${Button} size="s" icon="terminal" href=${to("settings", "logs", service)}>${t("Log")}<//></div>`}
  </li>`;
}
