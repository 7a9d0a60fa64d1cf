// How the box appears in Home Assistant.
import { get } from "../../api.js";
import { Button } from "../../components/button.js";
import { Checkbox, Field, Radios, Segmented } from "../../components/field.js";
import { Card, ErrorNote, Note, StateChip } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { useUnsaved } from "../../components/unsaved.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { problemOf } from "../../publisher.js";
import { filled } from "../../settings_document.js";
import { html, useEffect, useState } from "../../view.js";
import { Authority, Certificate } from "./broker_fields.js";
import { LoginFields, loginOf, madeOf } from "./login_fields.js";
import { changeOutputs, checkOutputs, refusal, slim } from "./saving.js";
import { forgetUnused, hostOf, keepSecrets, namesOf } from "./secrets.js";

const USER = "home-assistant"; // as the box calls it where it says who uses a secret
const PLACE = "outputs.home_assistant";

function draftOf(whole, options) {
  const { broker, ...rest } = filled(whole, "HomeAssistantOptions", options);
  const item = filled(whole, "OtherBroker", broker ?? { url: "" });
  return { ...rest, other: broker !== null, item, login: loginOf(item).login };
}

/** Options in one order, without defaults: equal where they mean the same. */
function meaning(whole, { broker = null, ...options }) {
  return JSON.stringify([slim(whole, "HomeAssistantOptions", options), broker && slim(whole, "OtherBroker", broker)]);
}

export function HomeAssistant({ whole, outputs, document, may }) {
  const said = document?.outputs?.home_assistant ?? {};
  const text = JSON.stringify(said);
  const [base, setBase] = useState(text);
  const [draft, setDraft] = useState(() => draftOf(whole, said));
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const start = draftOf(whole, JSON.parse(base));
  const dirty = JSON.stringify(draft) !== JSON.stringify(start);
  useUnsaved(dirty && !busy);
  const take = () => {
    setBase(text);
    setDraft(draftOf(whole, said));
    setError(null);
  };
  // What somebody else saves comes in while nothing is changed here.
  useEffect(() => {
    if (text !== base && !dirty) take();
  }, [text]);

  const set = (fields) => setDraft({ ...draft, ...fields });
  const below = (where, field) => where === `${PLACE}.${field}` || where?.startsWith(`${PLACE}.${field}.`);
  const errors = (field) => (error?.problems ?? []).filter(({ where }) => below(where, field)).map(({ reason }) => reason);
  const brokerErrors = (field) => errors(`broker.${field}`);
  const host = hostOf(draft.item.url);

  async function save() {
    setBusy(true);
    try {
      const { other, item, login, ...rest } = draft;
      const { username: _user, password_secret: _password, ...plain } = item;
      const made = madeOf(login, USER, host);
      if (other && made.lacks) throw refusal({ [`${PLACE}.broker.password_secret`]: made.lacks });
      const broker = other ? slim(whole, "OtherBroker", { ...plain, ...made.fields }) : null;
      const wanted = { ...slim(whole, "HomeAssistantOptions", { ...rest, broker }, { ...said, broker: null }) };
      // A merge patch merges objects: what is to go is said as null.
      const gone = (now, then) => Object.fromEntries(Object.keys(now ?? {}).filter((key) => !(key in (then ?? {}))).map((key) => [key, null]));
      const patch = { ...gone(said, wanted), ...wanted };
      if (broker && said.broker) patch.broker = { ...gone(said.broker, broker), ...broker };
      if (!broker) patch.broker = null;
      const to = (changes) => ({ home_assistant: now = {} }) => {
        if (meaning(whole, now) !== meaning(whole, JSON.parse(base))) {
          throw new Error(t("Somebody else has changed it meanwhile. Undo, and look at what is there now."));
        }
        return { home_assistant: changes };
      };
      await checkOutputs(to(wanted));
      if (other) await keepSecrets(made.wanted);
      const held = await changeOutputs(to(patch));
      if (said.broker) await forgetUnused(namesOf(said.broker));
      setError(null);
      setBase(JSON.stringify(wanted));
      setDraft(draftOf(whole, wanted));
      toast(held ? t("Saved. {reason}", { reason: held }) : t("Saved, and in force."), { tone: held ? "warn" : "ok" });
    } catch (reason) {
      setError(reason);
    } finally {
      setBusy(false);
    }
  }

  const shown = ["mode", "prefix", "page", "broker.url", "broker.username", "broker.password_secret", "broker.authority", "broker.certificate"];
  const elsewhere = error?.problems?.length && error.problems.every(({ where }) => shown.some((field) => below(where, field))) ? null : error;
  const reason = draft.mode === "off" ? "" : problemOf("Home Assistant");
  const shared = { item: draft.item, change: (fields) => set({ item: { ...draft.item, ...fields } }), errors: brokerErrors };
  return html`<${Card}
    title="Home Assistant"
    icon="house"
    id="output-home-assistant"
    lead=${t("The box shows up there by itself: cameras, counts, events, alarms.")}
    actions=${start.mode === "off" && html`<${StateChip} tone="idle" label=${t("Switched off")} />`}
    foot=${html`<div class="row row--end grow">
      ${dirty && html`<${Button} onClick=${take}>${t("Undo")}<//>`}
      <${Button} kind="primary" icon="save" disabled=${!may || !dirty} why=${may ? t("Nothing was changed.") : t("Only an administrator can change this.")} onClick=${save}>${t("Save")}<//>
    </div>`}
  >
    <fieldset class="output__body" disabled=${!may}>
      ${reason && html`<${Note} tone="warn" title=${t("It does not work now.")}><p>${sentence(reason)}</p><//>`}
      <${Radios}
        label=${t("How it is announced")}
        value=${draft.mode}
        onInput=${(mode) => set({ mode })}
        options=${[
          { value: "device", label: t("As devices"), help: t("One message each; Home Assistant 2024.11 and later.") },
          { value: "single", label: t("As single entities"), help: t("For older ones, and for programs that know only that.") },
          { value: "off", label: t("Not at all") },
        ]}
      />
      ${
        draft.mode !== "off" &&
        html`
          <${Segmented}
            label=${t("Its broker")}
            value=${draft.other}
            onInput=${(other) => set({ other })}
            options=${[
              { value: false, label: t("The one of this box") },
              { value: true, label: t("Another one") },
            ]}
          />
          ${
            draft.other &&
            html`<div class="stack">
              <${Field} label=${t("Address (URL)")} required value=${draft.item.url} onInput=${(url) => shared.change({ url })} error=${brokerErrors("url")} code autocapitalize="off" autocomplete="off" spellcheck=${false} placeholder="mqtt://homeassistant.local:1883" />
              <${LoginFields} login=${draft.login} onInput=${(login) => set({ login })} host=${host} kinds=${["none", "password"]} errors=${brokerErrors} />
              <div class="output__fields"><${Certificate} ...${shared} /><${Authority} ...${shared} /></div>
            </div>`
          }
          <${HowTo} other=${draft.other} />
          <div class="output__fields">
            <${Checkbox} label=${t("Pictures of events")} checked=${draft.pictures} onInput=${(pictures) => set({ pictures })} />
            <${Checkbox} label=${t("Switches and buttons")} checked=${draft.commands} onInput=${(commands) => set({ commands })} help=${t("Without them it only reads.")} />
          </div>
          <details class="output__more">
            <summary>${t("More")}</summary>
            <div class="output__fields">
              <${Field} label=${t("Discovery prefix")} value=${draft.prefix} onInput=${(prefix) => set({ prefix })} error=${errors("prefix")} code autocapitalize="off" spellcheck=${false} help=${t("As it is set in Home Assistant.")} />
              <${Field} label=${t("Address of this page")} optional value=${draft.page} onInput=${(page) => set({ page })} error=${errors("page")} code autocapitalize="off" spellcheck=${false} placeholder="http://192.168.1.5:8081" help=${t("For its button Visit.")} />
            </div>
          </details>
        `
      }
      <${ErrorNote} error=${elsewhere} />
    </fieldset>
  <//>`;
}

function HowTo({ other }) {
  const [port, setPort] = useState("…");
  useEffect(() => {
    get("topics").then((told) => setPort(told.port), () => {}); // the card of the topics says what is wrong
  }, []);
  return html`<${Note} title=${t("In Home Assistant")}>
    ${
      other
        ? html`<p>${t("Nothing is to be set up there. The account above must be allowed to write below the discovery prefix and nxai/v1, and to read there.")}</p>`
        : html`<ol class="output-steps small">
            <li>${t("Settings > Devices & services > Add integration > MQTT.")}</li>
            <li>${t("Broker: the address of this box, port {port}; user: home-assistant.", { port })}</li>
            <li>${t("Its password is told on the box by:")} <code>make passwords</code></li>
          </ol>`
    }
    <p class="small soft">${t("More is told in docs/guides/home-assistant.md.")}</p>
  <//>`;
}
