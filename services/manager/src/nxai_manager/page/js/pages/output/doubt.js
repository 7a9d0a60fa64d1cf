// "Upload images with low certainty": what is collected, how much, and in words what leaves the box.
import { Button } from "../../components/button.js";
import { Checkbox, Field, Radios, Segmented, Select, Slider, Switch } from "../../components/field.js";
import { Card, ErrorNote, Note } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { filled } from "../../settings_document.js";
import { html, useEffect, useState } from "../../view.js";
import { STRATEGIES } from "./strategies.js";
import { Words } from "./words.js";

const ALL = "";
const USUAL = 0.6; // what is taken where nobody set a threshold (docs/settings.md, `uncertain`)

/** Collecting of one camera, with every default said. */
function policyOf(whole, camera) {
  const said = camera.settings.collect;
  const given = typeof said === "boolean" ? { enabled: said } : (said ?? {});
  const collect = filled(whole, "CollectPolicy", given);
  collect.strategies = collect.strategies.map((one) => (typeof one === "string" ? { strategy: one } : one));
  return { collect, threshold: camera.settings.uncertain?.threshold ?? null };
}

export function Doubt({ whole, document, cameras, desk, may }) {
  const [whose, setWhose] = useState(ALL);
  const policies = cameras.map((camera) => policyOf(whole, camera));
  const texts = new Set(policies.map((one) => JSON.stringify(one)));
  const differ = texts.size > 1;
  const at = cameras.findIndex(({ id }) => id === whose);
  const saved = policies[Math.max(0, at)];
  const [draft, setDraft] = useState(saved);
  const savedText = JSON.stringify(saved);
  useEffect(() => setDraft(JSON.parse(savedText ?? "null")), [savedText, whose]);
  if (!saved || !draft) return null;

  const { collect, threshold } = draft;
  const changed = JSON.stringify(draft) !== savedText || (whose === ALL && differ);
  const set = (fields) => setDraft({ ...draft, collect: { ...collect, ...fields } });
  const setQuota = (fields) => set({ quotas: { ...collect.quotas, ...fields } });
  const asks = collect.strategies.some(({ strategy }) => strategy === "uncertain");

  async function save() {
    const targets = at === -1 ? cameras : [cameras[at]];
    for (const { id } of targets) {
      await desk.saveCamera(id, { collect, uncertain: threshold === null ? null : { threshold } });
    }
    toast(collect.enabled ? t("Saved. Pictures are collected from now on.") : t("Saved."), { tone: "ok" });
  }

  return html`<${Card}
    title=${t("Upload images with low certainty")}
    icon="images"
    id="output-pictures"
    lead=${t("Pictures that the model was unsure of make the next model better.")}
    actions=${html`<${Button} size="s" icon="images" href=${to("data", "samples")}>${t("Open the gallery")}<//>`}
    foot=${html`<div class="row row--end">
      ${changed && html`<${Button} onClick=${() => setDraft(saved)}>${t("Undo")}<//>`}
      <${Button} kind="primary" icon="save" disabled=${!may || !changed} why=${may ? t("Nothing was changed.") : t("Only an administrator can change this.")} onClick=${save}>${t("Save")}<//>
    </div>`}
  >
    <div class="output__body">
    ${
      cameras.length > 1 &&
      html`<${Select}
        label=${t("For")}
        value=${whose}
        onInput=${setWhose}
        options=${[{ value: ALL, label: t("All cameras") }, ...cameras.map(({ id, name }) => ({ value: id, label: name }))]}
        help=${whose === ALL && differ ? t("The cameras differ now; saving makes them alike.") : null}
      />`
    }
    <${Segmented}
      label=${t("Upload images")}
      value=${collect.enabled}
      disabled=${!may}
      onInput=${(enabled) => set({ enabled })}
      options=${[
        { value: false, label: t("No") },
        { value: true, label: t("Yes") },
      ]}
    />
    ${
      collect.enabled &&
      html`
        <${Slider}
          label=${t("Probability threshold")}
          value=${threshold ?? USUAL}
          disabled=${!may || !asks}
          onInput=${(value) => setDraft({ ...draft, threshold: value })}
          help=${asks ? t("A picture is kept when any block (FOMO), any detection or the best class is less probable than this. 0: never.") : t("Not used: the first reason below is off.")}
        />
        <${Words} draft=${draft} usual=${USUAL} document=${document} count=${at === -1 ? cameras.length : 1} />
        <details class="output__more">
          <summary>${t("More reasons to keep a picture")}</summary>
          <${Strategies} whole=${whole} value=${collect.strategies} disabled=${!may} onInput=${(strategies) => set({ strategies })} />
        </details>
        <details class="output__more">
          <summary>${t("How many at most")}</summary>
          <div class="output__fields">
            ${[
              ["per_minute", t("A minute")],
              ["per_hour", t("An hour")],
              ["per_day", t("A day")],
              ["label_per_day", t("A day of one label")],
            ].map(
              ([name, label]) =>
                html`<${Field} key=${name} type="number" min="0" label=${label} value=${collect.quotas[name]} disabled=${!may} onInput=${(n) => n !== null && setQuota({ [name]: n })} help=${collect.quotas[name] === 0 ? t("No limit") : null} />`,
            )}
            <${Field} type="number" min="0" step="any" unit="s" label=${t("Pause between two")} value=${collect.min_gap_s} disabled=${!may} onInput=${(n) => n !== null && set({ min_gap_s: n })} />
            <${Field} type="number" min="0" max="32" label=${t("Leave out look-alikes")} unit="bit" value=${collect.near_duplicate_bits} disabled=${!may} onInput=${(n) => n !== null && set({ near_duplicate_bits: n })} help=${t("Pictures whose fingerprints differ by no more are taken for the same.")} />
          </div>
        </details>
        <${Radios}
          label=${t("May they leave the box?")}
          value=${collect.upload}
          disabled=${!may}
          onInput=${(upload) => set({ upload })}
          options=${[
            { value: "as-configured", label: t("As set below"), help: t("See: Sending to Edge Impulse.") },
            { value: "never", label: t("Never"), help: t("Kept here to look at; nothing of this camera is sent, whatever else is set.") },
          ]}
        />
      `
    }
    <${ErrorNote} error=${desk.error.value} />
    </div>
  <//>`;
}

/** {value: list of strategies, onInput(list)}: those that are on, in the order in which they are asked. */
function Strategies({ whole, value, onInput, disabled }) {
  const on = new Map(value.map((one) => [one.strategy, one]));
  const put = (name, one) => onInput(STRATEGIES.flatMap((each) => (each.name === name ? (one ? [one] : []) : on.has(each.name) ? [on.get(each.name)] : [])));
  return html`<ul class="output__strategies">
    ${STRATEGIES.map(({ name, part, label, help, field, unit, min, max, step, percent }) => {
      const now = on.get(name);
      const full = now && filled(whole, part, now);
      return html`<li key=${name} class="output__strategy">
        <${Checkbox} label=${label()} help=${help()} checked=${Boolean(now)} disabled=${disabled} onInput=${(checked) => put(name, checked ? filled(whole, part, { strategy: name }) : null)} />
        ${
          full &&
          field &&
          html`<${Field}
            type="number"
            hideLabel
            label=${t("Number of: {what}", { what: label() })}
            ...${{ unit: percent ? "%" : unit, min, max, step: step ?? "any" }}
            value=${percent ? Math.round(full[field] * 1e4) / 100 : full[field]}
            disabled=${disabled}
            onInput=${(n) => n !== null && put(name, { ...full, [field]: percent ? n / 100 : n })}
          />`
        }
      </li>`;
    })}
  </ul>`;
}
