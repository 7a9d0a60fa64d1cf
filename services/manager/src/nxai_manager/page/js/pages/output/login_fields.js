// How a far side knows us: by nothing, by user and password, or (HTTP) by a token in a header.
import { Field, Segmented } from "../../components/field.js";
import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { SecretField, isKept } from "./secret_field.js";
import { nameToReplace } from "./secrets.js";

const WORDS = { none: () => t("None"), password: () => t("User and password"), token: () => t("Token") };
const BLANK = { name: "", text: "", again: false };
const TOKEN_HEADER = /^([A-Za-z]{0,20}) ?\{\{-? *secret\.([a-z][a-z0-9_]{0,63}) *-?\}\}$/;

/**
 * Login of a destination or broker: {kind, username, secret, header, word}; `headers` without the one that carries the
 * token.
 */
export function loginOf({ username = "", password_secret: name = "", headers = {} }) {
  const blank = { kind: "none", username, secret: BLANK, header: "Authorization", word: "Bearer" };
  const pairs = Object.entries(headers);
  if (username || name) return { login: { ...blank, kind: "password", secret: { ...BLANK, name } }, headers: pairs };
  const at = pairs.findIndex(([, value]) => TOKEN_HEADER.test(value));
  if (at === -1) return { login: blank, headers: pairs };
  const [header, value] = pairs[at];
  const [, word, token] = TOKEN_HEADER.exec(value);
  return { login: { ...blank, kind: "token", secret: { ...BLANK, name: token }, header, word }, headers: pairs.toSpliced(at, 1) };
}

/**
 * What a login stands for: {fields of the settings, header ([name, value] or null), wanted (secrets to keep), lacks (what
 * is still to be typed, or "")}. `user`: whose secret it is, for its name; `host`: where it may go.
 */
export function madeOf({ kind, username, secret, header, word }, user, host) {
  if (kind === "none") return { fields: {}, header: null, wanted: [], lacks: "" };
  const { name, wanted, lacks } = secretOf(secret, user, kind, host);
  if (kind === "token") return { fields: {}, header: [header.trim(), `${word.trim()} {{ secret.${name} }}`.trim()], wanted, lacks: lacks && t("Type the token.") };
  const missing = lacks && secret.name; // without one at all there is just a user
  return { fields: { username, ...(name ? { password_secret: name } : {}) }, header: null, wanted, lacks: missing ? t("Type the password, or choose another login.") : "" };
}

/** Under which name a secret is used, what is to be kept first, and whether it lacks. `word`: what it is, for its name. */
export function secretOf(secret, user, word, host) {
  if (isKept(secret, host)) return { name: secret.name, wanted: [], lacks: false };
  if (!secret.text) return { name: "", wanted: [], lacks: true };
  const name = nameToReplace(secret.name, user, word);
  return { name, wanted: [{ name, value: secret.text, host }], lacks: false };
}

/** {login, onInput, host, kinds (of WORDS), errors(field)} */
export function LoginFields({ login, onInput, host, kinds, errors }) {
  const set = (fields) => onInput({ ...login, ...fields });
  const drop = () => set({ kind: "none", username: "", secret: BLANK });
  const secret = { value: login.secret, onInput: (value) => set({ secret: value }), onRemove: drop, host };
  return html`<div class="stack login">
    <${Segmented} label=${t("Login")} value=${login.kind} onInput=${(kind) => set({ kind, secret: kind === login.kind ? login.secret : BLANK })} options=${kinds.map((kind) => ({ value: kind, label: WORDS[kind]() }))} />
    ${
      login.kind === "password" &&
      html`<div class="output__fields">
        <${Field} label=${t("User")} value=${login.username} onInput=${(username) => set({ username })} autocomplete="off" autocapitalize="off" spellcheck=${false} error=${errors("username")} />
        <${SecretField} ...${secret} label=${t("Password")} optional error=${errors("password_secret")} />
      </div>`
    }
    ${
      login.kind === "token" &&
      html`<${SecretField} ...${secret} label=${t("Token")} error=${errors("token_secret")} />
        <div class="output__fields">
          <${Field} label=${t("Sent in header")} value=${login.header} onInput=${(header) => set({ header })} code autocapitalize="off" spellcheck=${false} error=${errors(`headers.${login.header.trim()}`)} />
          <${Field} label=${t("Word before it")} optional value=${login.word} onInput=${(word) => set({ word })} code autocapitalize="off" spellcheck=${false} />
        </div>`
    }
  </div>`;
}
