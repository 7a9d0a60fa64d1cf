// One destination, alarm rule or processor in its list: what it is, how it fares, what can be done with it.
import { Button } from "../../components/button.js";
import { Switch } from "../../components/field.js";
import { Icon } from "../../components/icon.js";
import { Menu } from "../../components/menu.js";
import { StateChip } from "../../components/panels.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { cls, html } from "../../view.js";

/**
 * {icon, name, words (in one line below), state: {tone, label} or null, reason, facts: [text], enabled, onToggle(on),
 * onEdit, actions (of a Menu), may, now (something holds now), children}
 */
export function PartRow({ icon, name, words, state, reason, facts = [], enabled, onToggle, onEdit, actions, may, now, children }) {
  return html`<li class=${cls("output-part", now && "is-now", !enabled && "output-part--off")}>
    <span class="output-part__icon"><${Icon} name=${icon} /></span>
    <div class="output-part__body">
      <div class="output-part__head">
        <h3 class="output-part__name">${name}</h3>
        ${state && html`<${StateChip} tone=${state.tone} label=${state.label} />`}
      </div>
      ${words && html`<p class="small soft output-part__words">${words}</p>`}
      ${reason && html`<p class="small output-part__reason">${sentence(reason)}</p>`}
      ${facts.length > 0 && html`<p class="small soft number">${facts.join(" · ")}</p>`}
      ${children}
    </div>
    <div class="output-part__tools">
      <${Switch} label=${t("{name} is in use", { name })} hideLabel checked=${enabled} disabled=${!may} onInput=${onToggle} />
      ${may && onEdit && html`<${Button} size="s" aria-label=${t("Edit {name}", { name })} onClick=${onEdit}>${t("Edit")}<//>`}
      ${may && actions?.length > 0 && html`<${Menu} label=${t("More for {name}", { name })} items=${actions} />`}
    </div>
  </li>`;
}
