import { cls, html, useEffect, useId, useRef } from "../view.js";
import { Icon } from "./icon.js";

/**
 * Views of one thing. With `href` in the tabs each is a place of its own (links); else ARIA tabs.
 * {label, tabs: [{id, label, icon, count, href}], value (id), onInput(id), children (of the panel)}
 */
export function Tabs({ label, tabs, value, onInput, children, class: more }) {
  const base = useId();
  const list = useRef(null);

  // Where they are wider than the window, the chosen one is in sight.
  useEffect(() => {
    const box = list.current;
    const tab = box?.querySelector('[aria-selected="true"], [aria-current="page"]');
    if (!tab) return;
    const left = tab.offsetLeft - box.offsetLeft;
    if (left < box.scrollLeft || left + tab.offsetWidth > box.scrollLeft + box.clientWidth) box.scrollLeft = left - 48;
  }, [value]);

  const inner = (tab) => html`${tab.icon && html`<${Icon} name=${tab.icon} />`}<span>${tab.label}</span>
    ${tab.count !== undefined && tab.count !== null && html`<span class="tabs__count number">${tab.count}</span>`}`;

  if (tabs[0]?.href) {
    return html`<div class=${more}>
      <nav class="tabs" aria-label=${label} ref=${list}>
        ${tabs.map((tab) => html`<a class="tabs__tab" href=${tab.href} aria-current=${tab.id === value ? "page" : null}>${inner(tab)}</a>`)}
      </nav>
      ${children && html`<div class="tabs__panel">${children}</div>`}
    </div>`;
  }

  function keys(event) {
    const at = tabs.findIndex((tab) => tab.id === value);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const tab = tabs[next % tabs.length];
    onInput(tab.id);
    list.current.querySelectorAll('[role="tab"]')[next % tabs.length].focus();
  }

  return html`<div class=${cls(more)}>
    <div class="tabs" role="tablist" aria-label=${label} ref=${list} onKeyDown=${keys}>
      ${tabs.map(
        (tab) => html`<button
          type="button"
          role="tab"
          class="tabs__tab"
          id=${`${base}-${tab.id}`}
          aria-selected=${String(tab.id === value)}
          aria-controls=${tab.id === value ? `${base}-panel` : null}
          tabindex=${tab.id === value ? 0 : -1}
          onClick=${() => onInput(tab.id)}
        >
          ${inner(tab)}
        </button>`,
      )}
    </div>
    <div class="tabs__panel" role="tabpanel" id=${`${base}-panel`} aria-labelledby=${`${base}-${value}`} tabindex="0">${children}</div>
  </div>`;
}
