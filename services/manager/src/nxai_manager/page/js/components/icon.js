import { cls, html } from "../view.js";

const SPRITE = new URL("../../vendor/icons.svg", import.meta.url).href;

/** {name (of vendor/icons.svg), label (for a screen reader; none: hidden from it), class} */
export const Icon = ({ name, label, class: more }) => html`<svg
  class=${cls("icon", more)}
  viewBox="0 0 24 24"
  role=${label ? "img" : null}
  aria-label=${label}
  aria-hidden=${label ? null : "true"}
  focusable="false"
>
  <use href=${`${SPRITE}#${name}`} />
</svg>`;

/** The product's own sign: a viewfinder around the middle of an object. {class} */
export const Logo = ({ class: more }) => html`<svg class=${cls("logo", more)} viewBox="0 0 32 32" aria-hidden="true">
  <rect class="logo__ground" width="32" height="32" rx="8" />
  <path
    class="logo__frame"
    d="M12.5 7H10a3 3 0 0 0-3 3v2.5M19.5 7H22a3 3 0 0 1 3 3v2.5M12.5 25H10a3 3 0 0 1-3-3v-2.5"
  />
  <path class="logo__edge" d="M19.5 25H22a3 3 0 0 0 3-3v-2.5" />
  <circle class="logo__point" cx="16" cy="16" r="3.5" />
</svg>`;
