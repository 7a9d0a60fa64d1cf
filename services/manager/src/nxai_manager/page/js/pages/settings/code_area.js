// A text with line numbers; lines with a mistake are marked.
import { html, useLayoutEffect, useRef } from "../../view.js";

/** {label, value, onInput(text), problems: [{line, reason}], readonly, areaRef, describedby} */
export function CodeArea({ label, value, onInput, problems = [], readonly, areaRef, describedby }) {
  const own = useRef(null);
  const area = areaRef ?? own;
  const numbers = useRef(null);
  const count = value.split("\n").length;
  const wrong = new Set(problems.map(({ line }) => line));
  const follow = () => {
    if (numbers.current && area.current) numbers.current.scrollTop = area.current.scrollTop;
  };
  useLayoutEffect(follow);

  // Tab indents, as in an editor; Escape first lets it leave the field.
  const free = useRef(false);
  function keys(event) {
    if (event.key === "Escape") free.current = true;
    else if (event.key === "Tab" && !free.current && !readonly && !event.shiftKey) {
      event.preventDefault();
      document.execCommand("insertText", false, "  ");
    } else if (event.key !== "Shift") free.current = false;
  }

  return html`<div class="code-area">
    <div class="code-area__numbers" aria-hidden="true" ref=${numbers}>
      ${Array.from({ length: count }, (_, index) => html`<span key=${index} class=${wrong.has(index + 1) ? "is-wrong" : ""}>${index + 1}</span>`)}
    </div>
    <textarea
      class="code-area__text code"
      ref=${area}
      aria-label=${label}
      aria-describedby=${describedby}
      aria-invalid=${problems.length ? "true" : null}
      spellcheck=${false}
      autocapitalize="off"
      autocomplete="off"
      wrap="off"
      readonly=${readonly}
      value=${value}
      onInput=${(event) => onInput?.(event.currentTarget.value)}
      onScroll=${follow}
      onKeyDown=${keys}
    ></textarea>
  </div>`;
}

/** Put the cursor at the beginning of a line, and show it. */
export function showLine(area, line) {
  const before = area.value.split("\n").slice(0, line - 1);
  const at = before.reduce((sum, text) => sum + text.length + 1, 0);
  area.focus();
  area.setSelectionRange(at, at + (area.value.split("\n")[line - 1]?.length ?? 0));
  const height = area.scrollHeight / Math.max(1, area.value.split("\n").length);
  area.scrollTop = Math.max(0, (line - 4) * height);
}
