// Texts of before, how they differ, and back to one.
import { get, path as where, post } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Segmented } from "../../components/field.js";
import { Badge, Card, EmptyState, ErrorNote, Skeleton, When } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { settingsNow } from "../../live.js";
import { to } from "../../router.js";
import { can, settings } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";
import { wayOf } from "./editor.js";

export function History({ path: [chosen] }) {
  const [entries, setEntries] = useState(null);
  const [error, setError] = useState(null);
  const load = () =>
    get("settings/history").then(
      (told) => {
        setEntries(told.entries);
        setError(null);
      },
      setError,
    );
  useEffect(() => {
    load();
  }, [settingsNow.value?.revision]);
  if (!entries) return error ? html`<${ErrorNote} error=${error} onRetry=${load} />` : html`<${Skeleton} lines=${6} />`;
  if (entries.length === 0) return html`<${EmptyState} icon="history" title=${t("Nothing has been changed yet.")} />`;
  const now = entries.find(({ id }) => id === chosen) ?? entries[0];
  return html`<div class="history">
    <nav class="history__list" aria-label=${t("Settings of before")}>
      <ul>
        ${entries.map(
          (entry) => html`<li key=${entry.id}>
            <a class="history__entry" href=${to("settings", "history", entry.id)} aria-current=${entry.id === now.id ? "true" : null}>
              <span class="row"><span class="strong"><${When} at=${entry.at} kind="time" /></span>
                ${entry.in_force && html`<${Badge} tone="ok">${t("in force")}<//>`}
                ${!entry.used && html`<${Badge} tone="warn">${t("never in force")}<//>`}
              </span>
              <span class="small soft">${wayOf(entry)}</span>
              <span class="small soft truncate">${entry.changes.join(", ")}${entry.more_changes > 0 ? ` +${entry.more_changes}` : ""}</span>
            </a>
          </li>`,
        )}
      </ul>
    </nav>
    <${Entry} key=${now.id} entry=${now} onRestored=${load} />
  </div>`;
}

function Entry({ entry, onRestored }) {
  const [against, setAgainst] = useState("before");
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    get(where`settings/history/${entry.id}`, { against }).then(setTold, setError);
  }, [entry.id, against]);

  async function restore() {
    const yes = await confirm({
      title: t("Bring these settings back?"),
      text: t("They are put in force with the passwords that they had. What is in force now stays in the history."),
      action: t("Restore"),
      danger: false,
    });
    if (!yes) return;
    await post(where`settings/history/${entry.id}/restore`, {});
    await settings.load();
    toast(t("The settings of before are back."), { tone: "ok" });
    onRestored();
  }

  return html`<${Card}
    title=${t("What was changed")}
    lead=${wayOf(entry)}
    actions=${can("configure") && !entry.in_force && html`<${Button} icon="undo-2" onClick=${restore}>${t("Restore")}<//>`}
  >
    <div class="stack">
      <${Segmented}
        label=${t("Compared with")}
        value=${against}
        onInput=${setAgainst}
        options=${[
          { value: "before", label: t("the one before") },
          { value: "now", label: t("the file now") },
        ]}
      />
      <${ErrorNote} error=${error} />
      ${
        told &&
        (told.differences.length === 0
          ? html`<p class="soft">${t("Nothing differs.")}</p>`
          : html`<ul class="differences">
              ${told.differences.map(
                ({ where: place, before, after }) => html`<li key=${place}>
                  <code>${place}</code>
                  <span class="differences__values">${
                    before === after
                      ? html`<span>${t("a password")}</span>`
                      : html`<del>${before ?? t("nothing")}</del><span aria-hidden="true">→</span><ins>${after ?? t("nothing")}</ins>`
                  }</span>
                </li>`,
              )}
            </ul>`)
      }
      ${told?.lines && html`<details><summary>${t("As lines of the text")}</summary><${Lines} text=${told.lines} /></details>`}
      ${told && html`<details><summary>${t("The whole text")}</summary><pre class="code-block" tabindex="0">${told.text}</pre></details>`}
    </div>
  <//>`;
}

const Lines = ({ text }) =>
  html`<pre class="code-block" tabindex="0">${text
    .split("\n")
    .map((line, index) => html`<span key=${index} class=${line.startsWith("+") ? "line--more" : line.startsWith("-") ? "line--less" : ""}>${line}\n</span>`)}</pre>`;
