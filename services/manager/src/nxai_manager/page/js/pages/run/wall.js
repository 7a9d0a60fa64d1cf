// All cameras and nothing else, for a screen on a wall.
import { Button } from "../../components/button.js";
import { LiveTile } from "../../components/live_tile.js";
import { t } from "../../i18n.js";
import { go, to } from "../../router.js";
import { cls, html, useEffect, useLayoutEffect, useRef, useState } from "../../view.js";
import { CountChips } from "./counts.js";
import { whyBlind } from "./facts.js";
import { boxes, labels, pictures } from "./quality.js";
import { stopped } from "./tile.js";

const QUIET_MS = 3000;
const PICTURE = 16 / 9;

/** Columns that make n pictures largest in this room. */
export function columnsFor(n, width, height) {
  let best = { columns: 1, size: 0 };
  for (let columns = 1; columns <= n; columns += 1) {
    const rows = Math.ceil(n / columns);
    const size = Math.min(width / columns, (height / rows) * PICTURE);
    if (size >= best.size) best = { columns, size };
  }
  return best.columns;
}

/** Go to the wall display, in full screen where the browser lets a page. */
export function openWall() {
  document.documentElement.requestFullscreen?.({ navigationUI: "hide" }).catch(() => {}); // then without
  go(to("run", { view: "wall" }));
}

/** Keep the screen on while this is shown: {held, why (not)} */
function useWakeLock() {
  const [held, setHeld] = useState(null);
  useEffect(() => {
    let lock = null;
    let gone = false;
    const hold = async () => {
      if (document.hidden || gone) return;
      try {
        lock = await navigator.wakeLock.request("screen");
        if (gone) lock.release();
        else setHeld(true);
      } catch {
        setHeld(false); // no HTTPS, an old browser, or a battery that is low
      }
    };
    hold();
    document.addEventListener("visibilitychange", hold);
    return () => {
      gone = true;
      document.removeEventListener("visibilitychange", hold);
      lock?.release();
    };
  }, []);
  return held;
}

/** {cameras, boxRuns} */
export function Wall({ cameras, boxRuns }) {
  const dialog = useRef(null);
  const [quiet, setQuiet] = useState(false);
  const [columns, setColumns] = useState(1);
  const awake = useWakeLock();
  const shown = cameras.filter(({ enabled }) => enabled);
  const wish = pictures(shown.length, shown.length === 1);

  const leave = () => {
    if (document.fullscreenElement) document.exitFullscreen();
    go(to("run"), { replace: true });
  };

  useLayoutEffect(() => {
    const element = dialog.current;
    element.showModal(); // what lies behind is out of reach of the keyboard, too
    element.focus();
    const size = new ResizeObserver(() =>
      setColumns(columnsFor(shown.length, element.clientWidth, element.clientHeight)),
    );
    size.observe(element);
    let timer = 0;
    const wake = () => {
      setQuiet(false);
      clearTimeout(timer);
      timer = setTimeout(() => setQuiet(true), QUIET_MS);
    };
    wake();
    const full = () => !document.fullscreenElement && go(to("run"), { replace: true });
    for (const kind of ["pointermove", "pointerdown", "keydown"]) element.addEventListener(kind, wake);
    document.addEventListener("fullscreenchange", full);
    return () => {
      clearTimeout(timer);
      size.disconnect();
      document.removeEventListener("fullscreenchange", full);
      element.close();
    };
  }, [shown.length]);

  return html`<dialog
    class=${cls("wall", quiet && "is-quiet")}
    ref=${dialog}
    tabindex="-1"
    aria-label=${t("Wall display")}
    onCancel=${(event) => {
      event.preventDefault();
      leave();
    }}
  >
    <ul class="wall__grid" style=${{ "--columns": columns }}>
      ${shown.map((camera) => {
        const blind = whyBlind(camera, boxRuns);
        return html`<li key=${camera.id} class="wall__one">
          <${LiveTile}
            camera=${camera.id}
            name=${camera.name}
            fps=${wish.fps}
            width=${wish.width}
            boxes=${boxes.value}
            labels=${labels.value}
            bar=${false}
            link=${false}
            chip=${stopped(blind)}
          />
          <div class="wall__caption">
            <span class="strong truncate">${camera.name}</span
            ><${CountChips} camera=${camera} idle=${Boolean(blind)} most=${4} />
          </div>
        </li>`;
      })}
    </ul>
    <div class="wall__tools">
      ${awake === false && html`<span class="small">${t("This browser may switch the screen off: it keeps it on for pages over HTTPS alone.")}</span>`}
      <${Button} icon="minimize" onClick=${leave}>${t("Leave the wall display")}<//>
    </div>
  </dialog>`;
}
