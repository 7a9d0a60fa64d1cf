// Small pictures of events: what the live tile showed as an event began, or the box's own snapshot.
import { get, path } from "../../api.js";
import { boxNow } from "../../format.js";
import { onMessage } from "../../live.js";
import { signal } from "../../view.js";

const KEPT = 150; // some 10 kB each
const WIDTH = 240;
const DRAWN_MS = 150; // until the picture of the event is on the screen, with its boxes
const NEWS_MS = 2000; // longer than capture needs for its snapshot
const FRESH_MS = 1000; // older: the tile is out of sight, and gets no pictures
const TAKEN_MS = 1200; // until capture has taken and sent its snapshot

/** Map event id -> URL. A new Map at each change. */
export const thumbnails = signal(new Map());

const asked = new Set();

function keep(id, blob) {
  const next = new Map(thumbnails.value);
  next.set(id, URL.createObjectURL(blob));
  while (next.size > KEPT) {
    const [oldest, url] = next.entries().next().value;
    next.delete(oldest);
    URL.revokeObjectURL(url);
  }
  thumbnails.value = next;
}

const blobOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.75));

async function shrunk(source, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = Math.max(1, Math.round((WIDTH * height) / width));
  canvas.getContext("2d", { alpha: false }).drawImage(source, 0, 0, canvas.width, canvas.height);
  return blobOf(canvas);
}

/** Take what the tile of a camera shows, if it shows something of now. */
async function grab({ id, camera }) {
  const canvas = document.querySelector(`canvas[data-camera="${CSS.escape(camera)}"]`);
  if (!canvas?.width || Date.now() - Number(canvas.dataset.at ?? 0) > FRESH_MS) return false;
  const blob = await shrunk(canvas, canvas.width, canvas.height);
  if (blob) keep(id, blob);
  return Boolean(blob);
}

/** Ask for the snapshot that capture took at the newest event of a camera. */
export async function fetchSnapshot({ id, camera }) {
  if (asked.has(id) || thumbnails.value.has(id)) return;
  asked.add(id);
  try {
    const picture = await createImageBitmap(await get(path`cameras/${camera}/snapshot`));
    keep(id, await shrunk(picture, picture.width, picture.height));
    picture.close();
  } catch (error) {
    // There is none, or it cannot be had now: the event is shown without a picture.
    if (error.status !== 404) console.warn(`No snapshot of ${camera}: ${error.message}`);
  }
}

/** An event that has just begun; one that was told again to who comes later is none. */
export const isNews = ({ timestamp }) => boxNow() - Date.parse(timestamp) < NEWS_MS;

/** Collect while the page is shown; returns how to end it. */
export function collectThumbnails() {
  return onMessage("event", (event) => {
    if (event.event !== "start" || !isNews(event)) return;
    setTimeout(async () => {
      if (document.hidden) return;
      if (!(await grab(event))) setTimeout(() => fetchSnapshot(event), TAKEN_MS);
    }, DRAWN_MS);
  });
}
