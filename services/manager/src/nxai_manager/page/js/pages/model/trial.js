// Two versions on the same live frames, side by side.
import { path, post } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Card, Figure, Note, ProgressBar } from "../../components/panels.js";
import { toast } from "../../components/toast.js";
import { milliseconds, number, percent, score } from "../../format.js";
import { list } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { can } from "../../store.js";
import { html } from "../../view.js";

/** Whether a version waits beside the one in force: on trial, or for a decision. */
export const isOpen = ({ candidate, installed, phase }) => phase === "shadow" || Boolean(candidate && candidate.digest !== installed.digest);

export function Trial({ family }) {
  const { deployment } = family;
  const { report, candidate, installed, progress: seen, promotable } = deployment;
  const running = deployment.phase === "shadow";
  // A trial that is over waits for a decision, unless its version is in force by now.
  const open = isOpen(deployment);
  const before = installed.version || installed.digest.slice(0, 12);
  const after = candidate ? candidate.version || candidate.digest.slice(0, 12) : t("new");
  const agreement = report?.frames ? report.agreeing / report.frames : null;

  async function promote() {
    const yes =
      promotable ||
      (await confirm({
        title: t("Put version {version} in force?", { version: after }),
        text: t("The trial has not seen enough, or its outcome breaks the rules. You can roll back afterwards."),
        action: t("Put in force"),
        danger: false,
      }));
    if (!yes) return;
    const { reason } = await post(path`models/${family.model}/promote`);
    toast(reason || t("Done."), { tone: "ok" });
  }
  const end = async () => {
    const { reason } = await post(path`models/${family.model}/end-trial`);
    toast(reason || t("Done."), { tone: "ok" });
  };

  return html`<${Card}
    title=${running ? t("A new version on trial") : open ? t("The trial is over: what shall run?") : t("The last trial")}
    icon="git-compare"
    lead=${running ? t("Both look at the same live frames; only the one in force is counted and sent.") : null}
    foot=${
      open &&
      can("operate") &&
      html`<div class="row row--end">
      <${Button} onClick=${end}>${running ? t("End the trial") : t("Keep the old one")}<//>
      <${Button} kind="primary" icon="rocket" onClick=${promote}>${t("Put version {version} in force", { version: after })}<//>
    </div>`
    }
  >
    ${running && html`<${ProgressBar} label=${t("Progress")} value=${seen} />`}
    ${
      !report || report.frames === 0
        ? html`<p class="soft">${t("No frame has been looked at by both yet.")}</p>`
        : html`
          <div class="trial__figures">
            <${Figure} label=${t("Frames")} value=${number(report.frames, 0)} />
            <${Figure} label=${t("Same result")} value=${percent(agreement)} tone=${agreement >= 0.7 ? "ok" : "warn"} />
            <${Figure} label=${t("Found by both")} value=${number(report.matched, 0)} />
            <${Figure} label=${t("Only by {version}", { version: before })} value=${number(report.only_before, 0)} />
            <${Figure} label=${t("Only by {version}", { version: after })} value=${number(report.only_after, 0)} />
            <${Figure} label=${t("Confidence")} value=${`${report.confidence_shift > 0 ? "+" : ""}${score(report.confidence_shift)}`} hint=${t("New minus old, of what both found")} />
          </div>
          <div class="table-box">
            <table class="table trial__table">
              <caption class="unseen">${t("Both versions side by side")}</caption>
              <thead><tr><th scope="col">${t("In the same frames")}</th><th scope="col" class="number">${before}</th><th scope="col" class="number">${after}</th></tr></thead>
              <tbody>
                ${report.labels.map(
                  (one) => html`<tr key=${one.label}><th scope="row">${one.label}</th><td class="number">${number(one.before, 0)}</td><td class="number">${number(one.after, 0)}</td></tr>`,
                )}
                <tr><th scope="row">${t("One run")}</th><td class="number">${milliseconds(report.engine_ms_before)}</td><td class="number">${milliseconds(report.engine_ms_after)}</td></tr>
                <tr><th scope="row">${t("Load of the box")}</th><td class="number">${percent(report.load_before)}</td><td class="number">${percent(report.load_after)}</td></tr>
              </tbody>
            </table>
          </div>
          ${report.labels_added.length > 0 && html`<${Note}><p>${t("New labels: {labels}", { labels: list(report.labels_added) })}</p><//>`}
          ${report.labels_removed.length > 0 && html`<${Note} tone="warn"><p>${t("Labels that are no more: {labels}", { labels: list(report.labels_removed) })}</p><//>`}
          ${report.errors > 0 && html`<${Note} tone="bad"><p>${tn(report.errors, "The new version could not look at {n} frame.", "The new version could not look at {n} frames.")}</p><//>`}
          ${
            open &&
            html`<p class="small soft">${
              running ? t("The trial goes on; see Settings for its rules.") : promotable ? t("The trial has seen enough, and its outcome keeps the rules.") : t("Its outcome breaks the rules: look at where they differ.")
            }</p>`
          }
        `
    }
  <//>`;
}
