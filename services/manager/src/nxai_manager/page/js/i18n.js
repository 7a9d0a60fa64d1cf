// Texts: t("English text", {vars}) is the only way a text gets on the page. The English text is the
// key; locales/<language>/<part>.json has the translations, part by part ("shell" and each page).
import { signal } from "./view.js";

const KEY = "nxai.language";
export const LANGUAGES = { en: "English", de: "Deutsch" };

/** Language that is shown. Changing it loads the page anew: texts may be kept anywhere. */
export const language = signal(choose());

const texts = new Map();
const loaded = new Map();
let plurals = new Intl.PluralRules(language.value);

function choose() {
  const kept = localStorage.getItem(KEY);
  if (kept in LANGUAGES) return kept;
  const wanted = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}

/** What dates and numbers are written in: the browser's own variety of the language shown. */
export const locale = () =>
  navigator.languages.find((tag) => tag.toLowerCase().startsWith(language.value)) ?? language.value;

export function setLanguage(tag) {
  localStorage.setItem(KEY, tag);
  location.reload();
}

/** Load the texts of a part of the page: "shell", or the name of a page. Missing ones are English. */
export function loadTexts(part) {
  if (language.value === "en") return Promise.resolve();
  if (!loaded.has(part)) loaded.set(part, load(part));
  return loaded.get(part);
}

async function load(part) {
  const address = new URL(`../locales/${language.value}/${part}.json`, import.meta.url);
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${answer.status}`);
    for (const [key, text] of Object.entries(await answer.json())) if (text) texts.set(key, text);
  } catch (error) {
    loaded.delete(part);
    console.warn(`Texts of ${part} in ${language.value} cannot be loaded (${error.message}); shown in English.`);
  }
}

/**
 * The text in the language shown; {name} is replaced by vars.name. Where one English word has two
 * meanings, the second is told apart behind "||", which is not shown: t("Run||to start").
 */
export function t(text, vars) {
  return fill(texts.get(text) ?? text.split("||")[0], vars);
}

/** Text for a number: tn(n, "{n} camera", "{n} cameras"); {n} is written as a number of the language. */
export function tn(n, one, other, vars) {
  const forms = texts.get(other);
  const form = plurals.select(n);
  const text = forms ? (forms[form] ?? forms.other) : form === "one" ? one : other;
  return fill(text, { n: n.toLocaleString(locale()), ...vars });
}

function fill(text, vars) {
  if (!vars) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in vars ? String(vars[name]) : whole));
}

document.documentElement.lang = language.value;
