// Secrets of destinations: given here, kept apart from the settings, sent to their hosts alone. None ever comes back.
import { path, put, remove } from "../../api.js";
import { resource } from "../../store.js";

export const secrets = resource("secrets");

/** What is known of a secret that is kept: {name, hosts, changed_at, used_by}; null: there is none. */
export const keptSecret = (name) => secrets.data.value?.secrets.find((one) => one.name === name) ?? null;

/** Whether it may go to a host. Without hosts it was put there by hand, and goes to any. */
export const goesTo = (kept, host) => kept !== null && (kept.hosts === null || kept.hosts.includes(host));

/** Where an address leads: "https://Shop.example:8443/x" -> "shop.example"; empty: it is none yet. */
export function hostOf(url) {
  const [, place = ""] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url ?? "") ?? [];
  const host = place.slice(place.lastIndexOf("@") + 1);
  return (/^\[([^\]]*)\]/.exec(host)?.[1] ?? host.replace(/:.*$/, "")).toLowerCase();
}

/** Host and port, as people read it. */
export const placeOfUrl = (url) => /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url ?? "")?.[1] ?? url ?? "";

/** Names of secrets that a template asks for. */
export const namesIn = (text) => [...(text ?? "").matchAll(/\bsecret\.([a-z][a-z0-9_]*)/g)].map(([, name]) => name);

/** Names of the secrets that a destination uses, or the broker of Home Assistant. */
export const namesOf = ({ password_secret: password, token_secret: token, url, body, headers = {} }) => [
  ...[password, token].filter(Boolean),
  ...[url, body, ...Object.values(headers)].flatMap(namesIn),
];

/** Name for a new secret of a user ("shop"): "shop_password", or with a number where others use that. */
export function nameFor(user, word) {
  const base = `${user}_${word}`.replace(/[^a-z0-9_]/g, "_").replace(/^[^a-z]/, (first) => `d${first}`).slice(0, 60);
  const taken = (name) => keptSecret(name)?.used_by.some((one) => one !== user);
  let name = base;
  for (let n = 2; taken(name); n += 1) name = `${base}_${n}`;
  return name;
}

/** The name under which a secret is replaced: its own, unless others use it as well. */
export const nameToReplace = (name, user, word) =>
  name && !keptSecret(name)?.used_by.some((one) => one !== user) ? name : nameFor(user, word);

/** Keep them: [{name, value, host}]. */
export async function keepSecrets(wanted) {
  for (const { name, value, host } of wanted) await put(path`secrets/${name}`, { value, hosts: [host] });
  if (wanted.length) await secrets.load();
}

/** Forget those of the names that nothing uses any more. */
export async function forgetUnused(names) {
  if (names.length === 0) return;
  await secrets.load();
  for (const name of new Set(names)) if (keptSecret(name)?.used_by.length === 0) await remove(path`secrets/${name}`);
  await secrets.load();
}
