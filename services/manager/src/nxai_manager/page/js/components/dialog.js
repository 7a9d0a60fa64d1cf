import { t } from "../i18n.js";
import { cls, html, signal, useId, useLayoutEffect, useRef } from "../view.js";
import { Button, IconButton } from "./button.js";
import { layer } from "./layers.js";

/**
 * A modal window: {title, open, onClose, size: "s"|"m"|"l"|"full", footer, children, lead, dismissable}
 * Focus stays inside, Escape and the backdrop close it (unless dismissable=${false}); the focus returns.
 */
export function Dialog({
  title,
  open = true,
  onClose,
  size = "m",
  footer,
  lead,
  dismissable = true,
  children,
  class: more,
}) {
  const ref = useRef(null);
  const id = useId();

  useLayoutEffect(() => {
    const dialog = ref.current;
    if (!open || !dialog) return undefined;
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
    const end = layer(dialog);
    return () => {
      end();
      dialog.close(); // which gives the focus back
    };
  }, [open]);

  const backdrop = useBackdrop(dismissable ? onClose : null);
  if (!open) return null;
  return html`<dialog
    ref=${ref}
    class=${cls("dialog", `dialog--${size}`, more)}
    aria-labelledby=${id}
    onCancel=${(event) => {
      event.preventDefault();
      if (dismissable && event.target === ref.current) onClose?.();
    }}
    ...${backdrop}
  >
    <div class="dialog__head">
      <div class="grow">
        <h2 id=${id}>${title}</h2>
        ${lead && html`<p class="soft small">${lead}</p>`}
      </div>
      ${dismissable && html`<${IconButton} icon="x" label=${t("Close")} onClick=${() => onClose?.()} />`}
    </div>
    <div class="dialog__body">${children}</div>
    ${footer && html`<div class="dialog__foot">${footer}</div>`}
  </dialog>`;
}

// Closes only when pressed and released on the backdrop: dragging a corner out of it is no click.
function useBackdrop(close) {
  const pressed = useRef(false);
  const outside = (event) => event.target === event.currentTarget && event.target.tagName === "DIALOG";
  return {
    onPointerDown: (event) => (pressed.current = outside(event)),
    onClick: (event) => pressed.current && outside(event) && close?.(),
  };
}

const question = signal(null);

/**
 * Ask before something is lost: await confirm({title, text (what is lost), action: "Delete camera", danger, word})
 * -> true or false. `word`: has to be typed first.
 */
export function confirm(asked) {
  question.value?.answer(false);
  return new Promise((resolve) => {
    question.value = {
      ...asked,
      answer: (yes) => {
        question.value = null;
        resolve(yes);
      },
    };
  });
}

/** Shows what confirm() asks; the shell has one. */
export function ConfirmDialog() {
  const asked = question.value;
  const typed = useRef(null);
  if (!asked) return null;
  const { title, text, details, action, danger = true, cancel = t("Cancel"), word, answer } = asked;
  const decide = (event) => {
    event.preventDefault();
    if (!word || typed.current?.value.trim() === word) answer(true);
  };
  return html`<${Dialog}
    title=${title}
    size="s"
    onClose=${() => answer(false)}
    footer=${html`<${Button} autofocus=${!word} onClick=${() => answer(false)}>${cancel}<//>
      <${Button} kind=${danger ? "danger" : "primary"} type="submit" form="confirm">${action}<//>`}
  >
    <form id="confirm" class="stack" onSubmit=${decide}>
      <p>${text}</p>
      ${details}
      ${
        word &&
        html`<label class="field">
        <span class="field__label">${t("Type {word} to confirm", { word })}</span>
        <input class="input" ref=${typed} autofocus autocomplete="off" spellcheck=${false} />
      </label>`
      }
    </form>
  <//>`;
}
