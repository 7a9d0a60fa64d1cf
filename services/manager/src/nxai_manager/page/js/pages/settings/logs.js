// What the services say, as they say it.
import { get, path as where } from "../../api.js";
import { Button } from "../../components/button.js";
import { Field, Select, Switch } from "../../components/field.js";
import { CopyButton, EmptyState, ErrorNote } from "../../components/panels.js";
import { time } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { statuses } from "../../live.js";
import { go, to } from "../../router.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../view.js";

const EVERY_MS = 2000;
const MOST = 2000;
const LEVELS = ["debug", "info", "warning", "error"];

export function Logs({ path: [chosen] }) {
  const services = [...statuses.value.keys()].sort();
  const service = chosen || services[0] || "manager";
  const [level, setLevel] = useState("info");
  const [words, setWords] = useState("");
  const [follow, setFollow] = useState(true);
  const [lines, setLines] = useState([]);
  const [error, setError] = useState(null);
  const end = useRef(null);

  useEffect(() => {
    let gone = false;
    let timer = 0;
    let after = 0;
    setLines([]);
    async function look() {
      try {
        const told = await get(where`services/${service}/log`, { after, level, limit: MOST });
        if (gone) return;
        after = told.next;
        setError(null);
        if (told.lines.length) setLines((before) => [...before, ...told.lines].slice(-MOST));
      } catch (reason) {
        if (!gone) setError(reason);
      }
      if (!gone) timer = setTimeout(look, document.hidden ? 5 * EVERY_MS : EVERY_MS);
    }
    look();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [service, level]);

  const wanted = words.trim().toLowerCase();
  const shown = wanted ? lines.filter((line) => textOf(line).toLowerCase().includes(wanted)) : lines;
  useLayoutEffect(() => {
    if (follow && end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [shown.length, follow]);

  return html`<div class="stack logs">
    <div class="logs__tools">
      <${Select} label=${t("Service")} value=${service} options=${services.length ? services : [service]} onInput=${(one) => go(to("settings", "logs", one))} />
      <${Select} label=${t("From level")} value=${level} options=${LEVELS} onInput=${setLevel} />
      <${Field} type="search" icon="search" label=${t("Contains")} value=${words} onInput=${setWords} />
      <${Switch} label=${t("Follow")} checked=${follow} onInput=${setFollow} />
      <${CopyButton} words=${t("Copy")} get=${() => shown.map(textOf).join("\n")} />
    </div>
    <${ErrorNote} error=${error} />
    <p class="small soft" aria-live="polite">${tn(shown.length, "{n} line", "{n} lines")}${wanted && lines.length !== shown.length ? ` ${t("of {n}", { n: lines.length })}` : ""}</p>
    ${
      shown.length === 0
        ? !error && html`<${EmptyState} icon="terminal" title=${t("Nothing was said.")} action=${wanted && html`<${Button} onClick=${() => setWords("")}>${t("Show all")}<//>`} />`
        : html`<div class="logs__lines code" ref=${end} tabindex="0" role="log" aria-live="off" aria-label=${t("Log of {service}", { service })}>
            ${shown.map(
              (line) => html`<div key=${line.number} class=${`logs__line logs__line--${line.level.toLowerCase()}`}>
                <time datetime=${line.at} title=${line.at}>${time(line.at)}</time>
                <span class="logs__level">${line.level}</span>
                <span class="logs__message">${line.message}${fieldsOf(line)}${line.trace ? `\n${line.trace}` : ""}</span>
              </div>`,
            )}
          </div>`
    }
  </div>`;
}

const fieldsOf = ({ fields }) =>
  Object.entries(fields ?? {})
    .map(([name, value]) => ` ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("");

const textOf = (line) => `${line.at} ${line.level} ${line.logger} ${line.message}${fieldsOf(line)}${line.trace ? `\n${line.trace}` : ""}`;
