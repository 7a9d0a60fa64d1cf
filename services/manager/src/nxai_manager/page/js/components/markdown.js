import { html, useEffect, useMemo, useState } from "../view.js";

let loading = null;
let make = null; // once the libraries are there

async function load() {
  const [{ Marked }, { default: purify }] = await Promise.all([
    import("../../vendor/marked.js"),
    import("../../vendor/dompurify.js"),
  ]);
  purify.addHook("afterSanitizeAttributes", (node) => {
    if (node.tagName !== "A") return;
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  });
  // No styles, forms or pictures from elsewhere: the page asks nobody but the box.
  const rules = {
    FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "iframe", "video", "audio", "svg", "math"],
    FORBID_ATTR: ["style", "class", "id", "srcset"],
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#|data:image\/(?:png|jpeg|webp);base64,)/i,
  };
  const marked = new Marked({
    async: false,
    gfm: true,
    renderer: {
      // HTML in it is shown as it was typed: Markdown is all that is needed, and nothing is to be made safe.
      html: ({ text }) => text.replace(/[&<>"]/g, (sign) => `&#${sign.codePointAt(0)};`),
      // The page has its own first and second headings.
      heading({ tokens, depth }) {
        const level = Math.min(6, depth + 2);
        return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
      },
    },
  });
  return (text) => purify.sanitize(marked.parse(text), rules);
}

/** Text in Markdown, made safe: {text, class}. Plain until the library is there. */
export function Markdown({ text, class: more }) {
  const [, again] = useState(0);
  useEffect(() => {
    if (make) return;
    (loading ??= load()).then(
      (made) => {
        make = made;
        again((n) => n + 1);
      },
      (error) => {
        loading = null;
        console.error("Markdown cannot be shown", error);
      },
    );
  }, []);
  const made = useMemo(() => make?.(text), [text, Boolean(make)]);
  const classes = `prose ${more ?? ""}`;
  if (made === undefined) return html`<div class=${`${classes} prose--plain`}>${text}</div>`;
  return html`<div class=${classes} dangerouslySetInnerHTML=${{ __html: made }}></div>`;
}
