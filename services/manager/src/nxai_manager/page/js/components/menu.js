import { cls, html, useEffect, useId, useLayoutEffect, useRef, useState } from "../view.js";
import { Icon } from "./icon.js";

/**
 * A button that opens a list of actions: {label, icon, trigger: (attributes) => element, align: "start"|"end",
 * items: [{label, icon, onClick, href, tone: "bad", checked, disabled, why, hint} | "-" | {heading} | null]}
 * Arrow keys, Home, End, letters and Escape work as in a menu of the system.
 */
export function Menu({ label, icon = "ellipsis-vertical", trigger, items, align = "end", class: more }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const box = useRef(null);
  const button = () => box.current?.querySelector("[aria-haspopup]");
  const entries = () => [...(box.current?.querySelectorAll('[role^="menuitem"]') ?? [])];

  useLayoutEffect(() => {
    if (!open) return undefined;
    entries()[0]?.focus();
    const away = (event) => !box.current?.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);

  function close(focus = true) {
    setOpen(false);
    if (focus) button()?.focus();
  }

  function keys(event) {
    if (!open) {
      if (event.key === "ArrowDown" && event.target === button()) {
        event.preventDefault();
        setOpen(true);
      }
      return;
    }
    const listed = entries();
    const at = listed.indexOf(document.activeElement);
    const move = { ArrowDown: at + 1, ArrowUp: at - 1 + listed.length, Home: 0, End: listed.length - 1 }[event.key];
    if (move !== undefined) {
      event.preventDefault();
      listed[move % listed.length]?.focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") {
      close(false);
    } else if (event.key.length === 1 && /\S/.test(event.key)) {
      const letter = event.key.toLowerCase();
      const order = [...listed.slice(at + 1), ...listed.slice(0, at + 1)];
      order.find((one) => one.textContent.trim().toLowerCase().startsWith(letter))?.focus();
    }
  }

  const attributes = {
    "aria-haspopup": "menu",
    "aria-expanded": String(open),
    "aria-controls": open ? id : null,
    onClick: () => setOpen(!open),
  };
  return html`<div class=${cls("menu", more)} ref=${box} onKeyDown=${keys} onFocusOut=${(event) => event.relatedTarget && !box.current.contains(event.relatedTarget) && setOpen(false)}>
    ${
      trigger
        ? trigger(attributes)
        : html`<button type="button" class="button button--quiet button--icon" aria-label=${label} title=${label} ...${attributes}>
          <${Icon} name=${icon} />
        </button>`
    }
    ${
      open &&
      html`<div class=${`menu__list menu__list--${align}`} role="menu" id=${id} aria-label=${label}>
      ${items.filter(Boolean).map((item) => {
        if (item === "-") return html`<hr role="separator" />`;
        if (item.heading) return html`<div class="menu__heading" role="presentation">${item.heading}</div>`;
        const choose = (event) => {
          if (item.disabled) {
            event.preventDefault();
            return;
          }
          close();
          item.onClick?.(event);
        };
        const shared = {
          class: cls("menu__item", item.tone && `menu__item--${item.tone}`),
          role: item.checked === undefined ? "menuitem" : "menuitemradio",
          "aria-checked": item.checked === undefined ? null : String(item.checked),
          "aria-disabled": item.disabled ? "true" : null,
          title: item.disabled ? item.why : null,
          tabindex: -1,
          onClick: choose,
        };
        const sign = item.checked === undefined ? item.icon : item.checked ? "check" : null;
        const inner = html`<span class="menu__icon">${sign && html`<${Icon} name=${sign} />`}</span>
          <span class="grow">${item.label}</span>
          ${item.hint && html`<span class="menu__hint">${item.hint}</span>`}`;
        return item.href && !item.disabled
          ? html`<a href=${item.href} ...${shared}>${inner}</a>`
          : html`<button type="button" ...${shared}>${inner}</button>`;
      })}
    </div>`
    }
  </div>`;
}

/**
 * A button that opens a small panel: {trigger: (attributes) => element, label, align, children (or () => element)}
 */
export function Popover({ trigger, label, align = "end", children, class: more }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const box = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const away = (event) => !box.current?.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);
  const keys = (event) => {
    if (event.key !== "Escape" || !open) return;
    event.stopPropagation();
    setOpen(false);
    box.current.querySelector("[aria-expanded]")?.focus();
  };
  const attributes = {
    "aria-expanded": String(open),
    "aria-controls": open ? id : null,
    onClick: () => setOpen(!open),
  };
  return html`<div class=${cls("menu", more)} ref=${box} onKeyDown=${keys}>
    ${trigger(attributes)}
    ${
      open &&
      html`<div class=${`menu__list menu__panel menu__list--${align}`} id=${id} role="group" aria-label=${label} onClick=${(event) => event.target.closest("a") && setOpen(false)}>
      ${typeof children === "function" ? children(() => setOpen(false)) : children}
    </div>`
    }
  </div>`;
}
