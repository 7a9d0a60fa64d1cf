import { cls, html, useState } from "../view.js";
import { Icon } from "./icon.js";
import { showError } from "./toast.js";

/**
 * {kind: "plain"|"primary"|"quiet"|"danger", size: "m"|"s", icon, busy, disabled, why (reason it is disabled),
 * href, pressed (toggle), full, onClick, type, ...attributes}
 * An onClick that returns a promise makes it busy until then; what it throws is shown.
 */
export function Button({
  kind = "plain",
  size,
  icon,
  iconEnd,
  busy: busyOutside = false,
  disabled = false,
  why,
  href,
  pressed,
  full,
  class: more,
  onClick,
  type = "button",
  children,
  ...attributes
}) {
  const [working, setWorking] = useState(false);
  const busy = busyOutside || working;
  const off = disabled || busy;

  async function click(event) {
    if (off) {
      event.preventDefault();
      return;
    }
    const work = onClick?.(event);
    if (typeof work?.then !== "function") return;
    setWorking(true);
    try {
      await work;
    } catch (error) {
      showError(error);
    } finally {
      setWorking(false);
    }
  }

  const classes = cls(
    "button",
    `button--${kind}`,
    size === "s" && "button--s",
    full && "button--full",
    busy && "is-busy",
    more,
  );
  const inner = html`
    ${busy ? html`<span class="button__spin" aria-hidden="true"></span>` : icon && html`<${Icon} name=${icon} />`}
    ${children !== undefined && html`<span class="button__text">${children}</span>`}
    ${iconEnd && html`<${Icon} name=${iconEnd} />`}
  `;
  if (href && !disabled) {
    return html`<a class=${classes} href=${href} onClick=${onClick} ...${attributes}>${inner}</a>`;
  }
  // aria-disabled instead of disabled: it keeps the focus, and can say why.
  return html`<button
    type=${type}
    class=${classes}
    aria-disabled=${off ? "true" : null}
    aria-busy=${busy ? "true" : null}
    aria-pressed=${pressed === undefined ? null : String(Boolean(pressed))}
    title=${(disabled && why) || attributes.title}
    onClick=${click}
    ...${attributes}
  >
    ${inner}
  </button>`;
}

/** A button with only an icon: {icon, label (required), ...as Button}. */
export const IconButton = ({ icon, label, class: more, kind = "quiet", ...rest }) =>
  html`<${Button} icon=${icon} kind=${kind} class=${cls("button--icon", more)} aria-label=${label} title=${label} ...${rest} />`;
