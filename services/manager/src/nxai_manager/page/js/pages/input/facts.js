// What is known of a camera's connection, in words.
import { cameraStatus } from "../../components/live_tile.js";
import { age, ageSeconds, number } from "../../format.js";
import { t } from "../../i18n.js";
import { statuses } from "../../live.js";

/** What capture last said of a camera, live or with the list; undefined: nothing yet. */
export const statusOf = (camera) => cameraStatus(camera.id) ?? camera.status ?? undefined;

/** State as a chip shows it: {state, reason}. */
export function stateOf(camera, boxRuns = true) {
  if (!camera.enabled) return { state: "disabled", reason: "" };
  const status = statusOf(camera);
  if (!status || status.state === "disabled") return { state: "starting", reason: "" }; // it was just switched on
  if (status.state === "running" && (!boxRuns || !camera.run)) return { state: "paused", reason: "" };
  return { state: status.state, reason: status.reason };
}

/** Whether there is a picture to be had: asking for one that is not there is an error. */
export const hasPicture = (camera) => camera.enabled && Boolean(statusOf(camera)?.last_picture_at);

/** How often it reconnects in an hour, since capture was started. */
function reconnectsPerHour(status) {
  const capture = [...statuses.value.values()].find(({ role }) => role === "capture");
  if (!capture) return null;
  const hours = Math.max(1, ageSeconds(capture.started_at) / 3600);
  return status.reconnects / hours;
}

/** [[name, value], ...] of a connection. */
export function connectionFacts(camera) {
  const status = statusOf(camera);
  if (!status || !camera.enabled) return [];
  const often = reconnectsPerHour(status);
  const running = status.state === "running";
  return [
    status.width && [t("Picture"), `${status.width} × ${status.height}`],
    running && [t("Rate"), t("{n} fps", { n: number(status.fps) })],
    status.codec && [t("Codec"), status.transport ? `${status.codec} (${status.transport.toUpperCase()})` : status.codec],
    [t("Last picture"), status.last_picture_at ? age(status.last_picture_at) : t("none yet")],
    [t("Reconnects"), often === null ? number(status.reconnects, 0) : t("{n} an hour", { n: number(often) })],
    status.damaged > 0 && [t("Damaged"), number(status.damaged, 0)],
  ].filter(Boolean);
}

const TYPES = {
  rtsp: () => t("Network camera (RTSP)"),
  mjpeg: () => t("MJPEG stream"),
  still: () => t("Still picture behind a URL"),
  v4l2: () => t("USB camera"),
  file: () => t("Video file"),
  folder: () => t("Folder of pictures"),
  push: () => t("Pushed over MQTT"),
  demo: () => t("Demo"),
};

export const typeWord = (type) => TYPES[type]?.() ?? type;
export const TYPE_NAMES = Object.keys(TYPES);

/** Where the pictures come from, in a few letters: a host, a device, a file. */
export function placeOf({ source = {} }) {
  const { url, device, path } = source;
  return (URL.canParse(url ?? "") && new URL(url).host) || url || device || path || "";
}
