// How many pictures of which size are asked for: as much as is seen, no more than the page can take.
import { t } from "../../i18n.js";
import { signal } from "../../view.js";

const KEY = "nxai.run.view";
const kept = read();

/** "auto", "smooth", "sharp", "light" */
export const quality = signal(kept.quality ?? "auto");
export const boxes = signal(kept.boxes ?? true);
export const labels = signal(kept.labels ?? true);

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

/** Change one of them, and keep it in this browser. */
export function choose(which, value) {
  which.value = value;
  localStorage.setItem(KEY, JSON.stringify({ quality: quality.value, boxes: boxes.value, labels: labels.value }));
}

export const QUALITIES = () => [
  { value: "auto", label: t("Automatic") },
  { value: "smooth", label: t("Smooth: 15 a second") },
  { value: "sharp", label: t("Sharp: 5 a second, large") },
  { value: "light", label: t("Light: 2 a second, small") },
];

/** {fps, width} of pictures for so many cameras at once; `large`: one of them fills the page. */
export function pictures(count, large = false, chosen = quality.value) {
  if (chosen === "light") return { fps: 2, width: 320 };
  if (chosen === "sharp") return { fps: 5, width: large || count <= 4 ? 1280 : 960 };
  if (chosen === "smooth") return { fps: 15, width: large ? 1280 : 640 };
  if (large || count === 1) return { fps: 12, width: 1280 };
  if (count <= 4) return { fps: 10, width: 640 };
  if (count <= 9) return { fps: 6, width: 480 };
  if (count <= 16) return { fps: 4, width: 400 };
  return { fps: 2, width: 320 };
}
