// A password or token: typed once, then only said to be there.
import { Button } from "../../components/button.js";
import { Field } from "../../components/field.js";
import { Icon } from "../../components/icon.js";
import { list } from "../../format.js";
import { t } from "../../i18n.js";
import { html, useId } from "../../view.js";
import { goesTo, keptSecret } from "./secrets.js";

/** Whether nothing needs to be typed: it is kept, and may go to the host. */
export const isKept = ({ name, text, again }, host) => !text && !again && goesTo(keptSecret(name), host);

/** {label, value: {name (in the settings, or ""), text (typed), again}, onInput(value), onRemove, host, error, optional} */
export function SecretField({ label, value, onInput, onRemove, host, error, optional }) {
  const id = useId();
  const kept = keptSecret(value.name);
  const set = (fields) => onInput({ ...value, ...fields });
  if (isKept(value, host)) {
    return html`<div class="field output-secret" role="group" aria-labelledby=${id}>
      <span class="field__label" id=${id}>${label}</span>
      <div class="row output-secret__kept">
        <${Icon} name="key-round" />
        <span class="grow">${kept.hosts ? t("Kept, for {host}", { host: list(kept.hosts) }) : t("Kept, in a file that was put there by hand")}</span>
        <${Button} size="s" onClick=${() => set({ again: true })}>${t("Replace")}<//>
        ${onRemove && html`<${Button} size="s" onClick=${onRemove}>${t("Remove")}<//>`}
      </div>
    </div>`;
  }
  const moved = kept && !goesTo(kept, host) && host && kept.hosts.length > 0;
  return html`<${Field}
    type="password"
    label=${label}
    optional=${optional}
    value=${value.text}
    autocomplete="new-password"
    onInput=${(text) => set({ text })}
    error=${error}
    help=${
      moved
        ? t("It is kept for {host} alone. Type it again, for {other}.", { host: list(kept.hosts), other: host })
        : host
          ? t("It goes to a file that only the publisher reads, and from there to {host} alone.", { host })
          : t("It goes to a file that only the publisher reads.")
    }
  />`;
}
