// Words for what models are and do.
import { t } from "../../i18n.js";

const TASKS = {
  fomo: () => "FOMO",
  yolov5: () => "YOLOv5",
  "yolov5v5-drpai": () => "YOLOv5 v5",
  "mobilenet-ssd": () => "MobileNet-SSD",
  classification: () => t("Classification"),
};

export const taskWord = (task) => TASKS[task]?.() ?? (task || t("Unknown task"));

/** What a model can do, as the badges of the closed catalogue: [{key, icon, text}]. */
export function badgesOf({ task, channels }) {
  if (!task) return [];
  const badges = [{ key: "image", icon: "image", text: channels === 1 ? t("Gray image") : t("Image") }];
  if (task === "classification") badges.push({ key: "class", icon: "tag", text: t("Class of the picture") });
  else {
    badges.push({
      key: "where",
      icon: task === "fomo" ? "crosshair" : "scan",
      text: task === "fomo" ? t("Object centres") : t("Object boxes"),
    });
    badges.push({ key: "count", icon: "list", text: t("Counts") });
  }
  return badges;
}

const RESIZE = {
  squash: () => t("Stretched to the model's shape"),
  "fit-short": () => t("Cropped to the model's shape"),
  "fit-long": () => t("Whole, with black bars"),
};

export const resizeWord = (mode) => RESIZE[mode]?.() ?? mode;

/** Why a model does not run as it should, or null: {tone, text}. */
export function troubleOf({ status, deployment }) {
  if (deployment?.phase === "failed") return { tone: "bad", text: deployment.reason };
  if (status?.failed) return { tone: "bad", text: status.failed };
  if (status?.state === "failed") return { tone: "bad", text: status.reason };
  return null;
}
