// A camera's picture, fetched anew every few seconds: cheap enough for many.
import { get, path } from "../../api.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { html, useEffect, useRef, useState } from "../../view.js";
import { Icon } from "../../components/icon.js";

const EVERY_MS = 5000;

/** {camera (id), name, width, every (ms; 0: once), version (a change fetches anew), onError} */
export function Still({ camera, name, width = 480, every = EVERY_MS, version = "" }) {
  const [url, setUrl] = useState("");
  const [error, setError] = useState("");
  const last = useRef("");
  useEffect(() => {
    let gone = false;
    let timer = 0;
    async function look() {
      try {
        if (!document.hidden) {
          const blob = await get(path`cameras/${camera}/still`, { width });
          if (gone) return;
          const next = URL.createObjectURL(blob);
          setUrl(next);
          setError("");
          // The picture before is still shown for a moment.
          const old = last.current;
          last.current = next;
          if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
        }
      } catch (reason) {
        if (!gone) setError(reason.detail ?? String(reason));
      }
      if (!gone && every) timer = setTimeout(look, every);
    }
    look();
    return () => {
      gone = true;
      clearTimeout(timer);
      if (last.current) URL.revokeObjectURL(last.current);
      last.current = "";
    };
  }, [camera, width, every, version]);
  if (!url) {
    return html`<div class="still still--empty"><${Icon} name=${error ? "image-off" : "image"} />${error && html`<span class="small">${sentence(error)}</span>`}</div>`;
  }
  return html`<div class="still"><img src=${url} alt=${t("Picture of {camera}", { camera: name })} />${error && html`<span class="still__old">${t("An older picture")}</span>`}</div>`;
}

