// A camera's picture, fetched anew every few seconds: cheap enough for many.
import { get, path } from "../../api.js";
import { Icon } from "../../components/icon.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { html, useEffect, useRef, useState } from "../../view.js";
import { hasPicture, stateOf } from "./facts.js";

const EVERY_MS = 5000;

/** {camera (of the list), width, every (ms; 0: once), version (a change fetches anew), children (on the picture)} */
export function Still({ camera, width = 480, every = EVERY_MS, version = "", children }) {
  const [url, setUrl] = useState("");
  const [error, setError] = useState("");
  const last = useRef("");
  const there = hasPicture(camera);
  useEffect(() => {
    if (!there) return undefined;
    let gone = false;
    let timer = 0;
    async function look() {
      try {
        if (!document.hidden) {
          const blob = await get(path`cameras/${camera.id}/still`, { width });
          if (gone) return;
          const old = last.current;
          last.current = URL.createObjectURL(blob);
          setUrl(last.current);
          setError("");
          // The picture before is still shown for a moment.
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
    };
  }, [camera.id, width, every, version, there]);
  useEffect(() => () => URL.revokeObjectURL(last.current), []);

  if (!camera.enabled) return html`<${Blank} icon="video-off">${t("Switched off")}<//>`;
  if (!url) {
    const waits = !error && there;
    return html`<${Blank} icon=${error ? "image-off" : "image"}>${error ? sentence(error) : waits ? "" : t("No picture yet")}<//>`;
  }
  const old = error || !["running", "paused"].includes(stateOf(camera).state);
  return html`<div class="still">
    <img src=${url} alt=${t("Picture of {camera}", { camera: camera.name })} />
    ${children}
    ${old && html`<span class="still__old">${t("An older picture")}</span>`}
  </div>`;
}

const Blank = ({ icon, children }) => html`<div class="still still--empty"><${Icon} name=${icon} /><span class="small">${children}</span></div>`;
