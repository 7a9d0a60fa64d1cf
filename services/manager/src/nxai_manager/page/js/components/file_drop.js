import { bytes } from "../format.js";
import { t } from "../i18n.js";
import { cls, html, useId, useRef, useState } from "../view.js";
import { Icon } from "./icon.js";

/**
 * A place to drop files on, or to choose them: {label, help, accept: [".tflite", ".onnx"] or ["image/"], multiple,
 * largest (bytes), onFiles([File]), disabled, icon, children (below, progress say)}
 * Files that do not fit are refused here, with the reason.
 */
export function FileDrop({
  label,
  help,
  accept = [],
  multiple = false,
  largest,
  onFiles,
  disabled,
  icon = "file-up",
  children,
  class: more,
}) {
  const id = useId();
  const [over, setOver] = useState(0);
  const [wrong, setWrong] = useState("");
  const input = useRef(null);

  function take(list) {
    const files = [...list];
    setWrong("");
    const reason = refuse(files);
    if (reason) setWrong(reason);
    else if (files.length) onFiles(files);
  }

  function refuse(files) {
    if (files.length > 1 && !multiple) return t("One file at a time.");
    for (const file of files) {
      const fits =
        accept.length === 0 ||
        accept.some((kind) =>
          kind.startsWith(".") ? file.name.toLowerCase().endsWith(kind) : file.type.startsWith(kind),
        );
      if (!fits)
        return t("{name} is not of the kind that is taken here: {kinds}", {
          name: file.name,
          kinds: accept.join(", "),
        });
      if (largest && file.size > largest)
        return t("{name} has {size}; at most {largest} are taken.", {
          name: file.name,
          size: bytes(file.size),
          largest: bytes(largest),
        });
      if (file.size === 0) return t("{name} is empty.", { name: file.name });
    }
    return "";
  }

  const hover = (step) => (event) => {
    if (disabled || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    setOver((n) => Math.max(0, n + step));
  };

  return html`<div
    class=${cls("drop", over > 0 && "is-over", more)}
    onDragEnter=${hover(1)}
    onDragOver=${hover(0)}
    onDragLeave=${hover(-1)}
    onDrop=${(event) => {
      event.preventDefault();
      setOver(0);
      if (!disabled) take(event.dataTransfer.files);
    }}
    onPaste=${(event) => !disabled && event.clipboardData.files.length && take(event.clipboardData.files)}
  >
    <${Icon} name=${icon} />
    <p class="strong">${label}</p>
    ${help && html`<p class="small soft" id=${`${id}-help`}>${help}</p>`}
    <button type="button" class="button" disabled=${disabled} aria-describedby=${help ? `${id}-help` : null} onClick=${() => input.current.click()}>
      ${multiple ? t("Choose files") : t("Choose a file")}
    </button>
    <input
      ref=${input}
      type="file"
      hidden
      tabindex="-1"
      accept=${accept.map((kind) => (kind.endsWith("/") ? `${kind}*` : kind)).join()}
      multiple=${multiple}
      onChange=${(event) => {
        take(event.currentTarget.files);
        event.currentTarget.value = "";
      }}
    />
    <div aria-live="polite">${wrong && html`<p class="field__error"><${Icon} name="circle-alert" />${wrong}</p>`}</div>
    ${children}
  </div>`;
}
