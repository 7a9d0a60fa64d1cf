// What is counted on a camera, as chips, lines and a table.
import { Sparkline } from "../../components/sparkline.js";
import { milliseconds, number, percent } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { MINUTES, recent, tick } from "../../recent.js";
import { cls, html } from "../../view.js";
import { labelsOf, tokenOf } from "./facts.js";

/** [{label, token, now, mean, most}]: those of its models first, all of them, zero included. */
function counted(camera) {
  const found = recent(camera.id).labels(Date.now());
  const tokens = labelsOf(camera);
  for (const label of found.keys()) if (!tokens.has(label)) tokens.set(label, tokenOf(label, camera.models[0] ?? ""));
  return [...tokens].map(([label, token]) => ({
    label,
    token,
    ...(found.get(label) ?? { now: null, mean: 0, most: 0 }),
  }));
}

/** Best class of each classification model, now: [{label, score, token}] */
function classes(camera) {
  return recent(camera.id)
    .now(Date.now())
    .filter(({ scores }) => Object.keys(scores).length)
    .map(({ scores, model }) => {
      const [label, best] = Object.entries(scores).sort((a, b) => b[1] - a[1])[0];
      return { label, score: best, token: tokenOf(label, model) };
    });
}

const Sign = ({ token }) =>
  html`<span class="label-sign" style=${{ "--tone": `var(${token})` }} aria-hidden="true"></span>`;

/** Chips of a tile: how many of each label now; {camera, idle (nothing is counted), most (chips)} */
export function CountChips({ camera, idle, most = 6 }) {
  void tick.value;
  const best = classes(camera);
  const all = best.length ? [] : counted(camera);
  // Those that are there go first where not all fit; otherwise each keeps its place.
  const shown = all.length > most ? [...all].sort((a, b) => (b.now ?? 0) - (a.now ?? 0)).slice(0, most) : all;
  const quiet = idle || all.every(({ now }) => now === null);
  if (!all.length && !best.length) return null;
  return html`<ul class="counts" aria-label=${t("Counts now")}>
    ${best.map(({ label, score, token }) => html`<li class="count"><${Sign} token=${token} /><span class="truncate">${label}</span><span class="count__n number">${percent(score)}</span></li>`)}
    ${shown.map(
      ({ label, token, now }) =>
        html`<li key=${label} class=${cls("count", !quiet && now > 0 && "is-there")}>
          <${Sign} token=${token} /><span class="truncate">${label}</span
          ><span class="count__n number">${quiet ? "–" : number(now ?? 0, 0)}</span>
        </li>`,
    )}
    ${all.length > shown.length && html`<li class="count count--more soft">${tn(all.length - shown.length, "{n} more label", "{n} more labels")}</li>`}
  </ul>`;
}

const LINES = [
  {
    what: "objects",
    name: () => t("Objects"),
    value: (v) => number(v, 1),
    tone: "accent",
    about: () => t("Objects in a picture, over the last two minutes"),
  },
  {
    what: "fps",
    name: () => t("Rate"),
    value: (v) => (v === null ? "–" : t("{n} fps", { n: number(v, 1) })),
    tone: "ok",
    about: () => t("Results a second, over the last two minutes"),
  },
  {
    what: "latency",
    name: () => t("Latency"),
    value: milliseconds,
    tone: "warn",
    about: () => t("From the decoded picture to the result, over the last two minutes"),
  },
  {
    what: "age",
    name: () => t("Age"),
    value: milliseconds,
    tone: "idle",
    about: () => t("Age of the picture that is shown, over the last two minutes"),
  },
];

/** Objects, rate, latency and age of the picture as small lines with their value of now: {camera, large} */
export function Lines({ camera, large }) {
  void tick.value;
  const now = Date.now();
  return html`<dl class=${cls("lines", large && "lines--large")}>
    ${LINES.map(({ what, name, value, tone, about }) => {
      const points = recent(camera.id).series(what, now);
      const last = points.at(-1) ?? null;
      return html`<div class="lines__one" title=${about()}>
        <dt>${name()}</dt>
        <dd class="lines__value number">${value(last)}</dd>
        <dd class="lines__spark">
          <${Sparkline}
            values=${points}
            label=${`${about()}: ${value(last)}`}
            tone=${tone}
            width=${large ? 240 : 96}
            height=${large ? 40 : 20}
          />
        </dd>
      </div>`;
    })}
  </dl>`;
}

/** Each label: now, mean and most over the last minutes. */
export function CountTable({ camera }) {
  void tick.value;
  const rows = counted(camera);
  if (!rows.length) return html`<p class="soft small">${t("Its models have no labels that could be counted.")}</p>`;
  return html`<table class="table count-table">
    <caption class="unseen">
      ${t("Objects of each label in a picture")}
    </caption>
    <thead>
      <tr>
        <th scope="col">${t("Label")}</th>
        <th scope="col" class="table__number">${t("Now")}</th>
        <th scope="col" class="table__number" title=${t("Mean of the last {n} minutes", { n: MINUTES })}>
          ${t("Ø {n} min", { n: MINUTES })}
        </th>
        <th scope="col" class="table__number" title=${t("Most in a second of the last {n} minutes", { n: MINUTES })}>
          ${t("Most")}
        </th>
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ({ label, token, now, mean, most }) =>
          html`<tr key=${label}>
            <th scope="row">
              <span class="count__label"><${Sign} token=${token} />${label}</span>
            </th>
            <td class="table__number strong">${number(now, 0)}</td>
            <td class="table__number">${number(mean, 1)}</td>
            <td class="table__number">${number(most, 1)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
