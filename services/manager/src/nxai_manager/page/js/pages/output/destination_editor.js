// A destination, new or changed: what it is first, then what matters, then the rest.
import { Button } from "../../components/button.js";
import { Dialog } from "../../components/dialog.js";
import { Field } from "../../components/field.js";
import { Icon } from "../../components/icon.js";
import { t } from "../../i18n.js";
import { free, slug } from "../../naming.js";
import { filled } from "../../settings_document.js";
import { html, useState } from "../../view.js";
import { CameraChoice, ContentChoice } from "./choices.js";
import { MORE, ToWhom } from "./destination_fields.js";
import { TYPES } from "./destination_types.js";
import { EditorDialog, useEditor } from "./editor.js";
import { LoginFields, loginOf, madeOf, secretOf } from "./login_fields.js";
import { changeOutputs, checkOutputs, oneOf, refusal, slim } from "./saving.js";
import { SecretField, isKept } from "./secret_field.js";
import { forgetUnused, hostOf, keepSecrets, namesIn, namesOf } from "./secrets.js";

/** {before: as it stands in the settings, or null; start: what is shown at first, or null; whole, outputs, cameras, onClose} */
export function DestinationEditor({ start, onClose, ...rest }) {
  const [chosen, setChosen] = useState(start);
  if (!chosen) return html`<${Types} onChoose=${(type) => setChosen({ type })} onClose=${onClose} />`;
  return html`<${Form} key=${chosen.type} start=${chosen} onBack=${start ? null : () => setChosen(null)} onClose=${onClose} ...${rest} />`;
}

const Types = ({ onChoose, onClose }) =>
  html`<${Dialog} title=${t("Where shall results go?")} onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//>`}>
    <ul class="output-types">
      ${Object.entries(TYPES).map(
        ([type, { icon, word, about }], index) => html`<li key=${type}>
          <button type="button" class="output-types__one" autofocus=${index === 0} onClick=${() => onChoose(type)}>
            <span class="output-part__icon"><${Icon} name=${icon} /></span>
            <span class="grow"><span class="strong">${word()}</span><span class="small soft output-types__about">${about()}</span></span>
            <${Icon} name="chevron-right" />
          </button>
        </li>`,
      )}
    </ul>
  <//>`;

const LOGINS = { http: ["none", "password", "token"], mqtt: ["none", "password"] };

/** What the form edits of a destination. */
function draftOf(whole, start) {
  const item = filled(whole, TYPES[start.type].part, start);
  const { login, headers } = loginOf(item);
  return {
    id: start.id ?? "",
    item,
    cameras: item.cameras.length ? item.cameras : null,
    login,
    headers,
    token: { name: item.token_secret ?? "", text: "", again: false },
    others: {}, // secrets that templates name: {name: {text, again}}
  };
}

/** Names of secrets in templates that have no field of their own. */
const otherNames = ({ item, headers }) => [...new Set([item.url, item.body, ...headers.map(([, value]) => value)].flatMap(namesIn))];

const otherSecret = (draft, name) => ({ name, text: "", again: false, ...draft.others[name] });

/** The destination that a draft stands for, the secrets to keep for it, and what is still lacking, by field. */
function made(draft, { id, type, whole, before }) {
  const { item } = draft;
  const host = hostOf(item.url);
  const lacks = {};
  const login = madeOf(draft.login, id, host);
  if (login.lacks) lacks[draft.login.kind === "token" ? "token_secret" : "password_secret"] = login.lacks;
  if (draft.cameras?.length === 0) lacks.cameras = t("Choose at least one camera.");
  const { username: _user, password_secret: _password, token_secret: _token, ...plain } = item;
  const value = { ...plain, id, type, name: (item.name ?? "").trim(), cameras: draft.cameras ?? [], ...login.fields };
  const wanted = [...login.wanted];
  if (type === "http") {
    const pairs = draft.headers.filter(([name, text]) => name.trim() || text);
    if (login.header) pairs.unshift(login.header);
    value.headers = Object.fromEntries(pairs.map(([name, text]) => [name.trim(), text]));
    if (Object.keys(value.headers).length < pairs.length) lacks.headers = t("Two headers have the same name.");
    for (const name of otherNames(draft)) {
      const secret = otherSecret(draft, name);
      if (secret.text) wanted.push({ name, value: secret.text, host });
      else if (!isKept(secret, host)) lacks[`secret_${name}`] = t("Type it; a template asks for it.");
    }
  }
  if (type === "influxdb") {
    const token = secretOf(draft.token, id, "token", host);
    if (token.lacks && draft.token.name) lacks.token_secret = t("Type the token.");
    value.token_secret = token.name;
    wanted.push(...token.wanted);
  }
  return { item: slim(whole, TYPES[type].part, value, before ?? {}), wanted, lacks };
}

function Form({ before, start, whole, outputs, cameras, onBack, onClose }) {
  const { type } = start;
  const { part, word } = TYPES[type];
  const known = outputs.destinations.map(({ id }) => id);
  const idOf = (draft) => before?.id ?? (draft.id || free(slug(draft.item.name ?? "", type), known));
  const [place, setPlace] = useState(before?.id ?? "");

  async function save(draft) {
    const id = idOf(draft);
    setPlace(id);
    const { item, wanted, lacks } = made(draft, { id, type, whole, before });
    if (!before && known.includes(id)) lacks.id = t("There is a destination of this id already.");
    if (Object.keys(lacks).length) throw refusal(Object.fromEntries(Object.entries(lacks).map(([field, reason]) => [`outputs.destinations.${id}.${field}`, reason])));
    const change = oneOf("destinations", before, item);
    await checkOutputs(change);
    await keepSecrets(wanted);
    const held = await changeOutputs(change);
    if (before) await forgetUnused(namesOf(before));
    return held;
  }

  const desk = useEditor({ start: draftOf(whole, start), place: `outputs.destinations.${place}`, save, onDone: onClose });
  const { draft, set, errors } = desk;
  const { item } = draft;
  const change = (fields) => set({ item: { ...item, ...fields } });
  const host = hostOf(item.url);
  const shared = { whole, part, item, change, errors, cameras, draft, set };
  const More = MORE[type];
  const id = idOf(draft);
  return html`<${EditorDialog}
    title=${before ? t("Edit {name}", { name: before.name || before.id }) : t("New destination: {type}", { type: word() })}
    desk=${desk}
    fields=${[...FIELDS, ...otherNames(draft).map((name) => `secret_${name}`)]}
    onClose=${onClose}
    action=${before ? t("Save") : t("Add")}
    back=${onBack && html`<${Button} kind="quiet" icon="chevron-left" onClick=${onBack}>${t("Another kind")}<//>`}
  >
    <${Field} label=${t("Name")} optional autofocus value=${item.name} onInput=${(name) => change({ name })} maxlength="100" error=${errors("name")} />
    <${ToWhom} type=${type} ...${shared} />
    ${LOGINS[type] && html`<${LoginFields} login=${draft.login} onInput=${(login) => set({ login })} host=${host} kinds=${LOGINS[type]} errors=${errors} />`}
    ${type === "influxdb" && html`<${SecretField} label=${t("Token")} optional value=${draft.token} onInput=${(token) => set({ token })} onRemove=${() => set({ token: { name: "", text: "", again: false } })} host=${host} error=${errors("token_secret")} />`}
    <${ContentChoice} value=${item.what} onInput=${(what) => change({ what })} outputs=${outputs} error=${errors("what")} />
    <${CameraChoice} cameras=${cameras} value=${draft.cameras} onInput=${(chosen) => set({ cameras: chosen })} error=${errors("cameras")} />
    <details class="output__more">
      <summary>${t("More")}</summary>
      <div class="stack"><${More} ...${shared} /></div>
    </details>
    ${
      type === "http" &&
      otherNames(draft).map(
        (name) =>
          html`<${SecretField} key=${name} label=${t("Secret {name}", { name })} value=${otherSecret(draft, name)} onInput=${({ text, again }) => set({ others: { ...draft.others, [name]: { text, again } } })} host=${host} error=${errors(`secret_${name}`)} />`,
      )
    }
    <details class="output__more output__more--small" open=${errors("id").length > 0}>
      <summary>${t("Id: {id}", { id })}</summary>
      <${Field} label=${t("Id")} value=${id} disabled=${Boolean(before)} onInput=${(text) => set({ id: text })} code autocapitalize="off" spellcheck=${false} help=${t("Its place in the outbox hangs on it, so it stays as it is.")} error=${errors("id")} />
    </details>
  <//>`;
}

/** Those that show their own errors. */
const FIELDS = [
  ...["id", "name", "url", "path", "bucket", "org", "what", "cameras", "username", "password_secret", "token_secret", "headers", "body", "content_type", "method"],
  ...["gather", "batch_size", "interval_s", "timeout_s", "certificate", "authority", "picture", "root", "qos", "rotate_mb", "keep_files", "compress", "only_with_objects"],
];
