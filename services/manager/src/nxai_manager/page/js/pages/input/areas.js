// Privacy masks, the region of interest, and where objects count: drawn on the camera's own picture.
import { get, path } from "../../api.js";
import { Button } from "../../components/button.js";
import { Card, EmptyState, ErrorNote, Note, Skeleton } from "../../components/panels.js";
import { PolygonEditor } from "../../components/polygon_editor.js";
import { sentence } from "../../format.js";
import { t } from "../../i18n.js";
import { html, useEffect, useState } from "../../view.js";
import { useDraft } from "./change.js";
import { hasPicture, stateOf } from "./facts.js";
import { Behind, SaveBar } from "./save_bar.js";
import { Still } from "./still.js";

const KINDS = ["mask", "roi", "include", "exclude"];
const TAKEN_OVER_MS = 2500; // by then capture burns new masks in

/** Corners of a region {x, y, width, height}, top left first. */
export const corners = ({ x = 0, y = 0, width = 1, height = 1 }) => [
  [x, y],
  [x + width, y],
  [x + width, y + height],
  [x, y + height],
];

/** What the editor draws of a camera's settings: [{kind, points}]. */
export function areasOf({ masks, areas, region }) {
  return [
    ...(masks ?? []).map((points) => ({ kind: "mask", points })),
    ...(region ? [{ kind: "roi", points: corners(region) }] : []),
    ...(areas?.include ?? []).map((points) => ({ kind: "include", points })),
    ...(areas?.exclude ?? []).map((points) => ({ kind: "exclude", points })),
  ];
}

const round = (value) => Math.round(value * 10_000) / 10_000;

/** The settings that what is drawn stands for. */
export function settingsOf(drawn) {
  const of = (kind) => drawn.filter((one) => one.kind === kind).map(({ points }) => points);
  const made = {};
  const [masks, [roi], include, exclude] = KINDS.map(of);
  if (masks.length) made.masks = masks;
  if (include.length || exclude.length) made.areas = { include, exclude };
  if (roi) {
    const xs = roi.map(([x]) => x);
    const ys = roi.map(([, y]) => y);
    const [x, y] = [Math.min(...xs), Math.min(...ys)];
    made.region = { x: round(x), y: round(y), width: round(Math.max(...xs) - x), height: round(Math.max(...ys) - y) };
  }
  return made;
}

export function Areas({ camera, may }) {
  const desk = useDraft(camera, areasOf, settingsOf);
  const [picture, setPicture] = useState(null);
  const [failed, setFailed] = useState(null);
  const { draft, setDraft, error } = desk;
  const there = hasPicture(camera);
  const load = () =>
    get(path`cameras/${camera.id}/still`, { width: 1280 }).then((blob) => {
      setPicture(blob);
      setFailed(null);
    }, setFailed);
  const masks = JSON.stringify(camera.settings.masks ?? []);
  useEffect(() => {
    if (!there) return undefined;
    load();
    const timer = setTimeout(load, TAKEN_OVER_MS);
    return () => clearTimeout(timer);
  }, [camera.id, masks, there]);

  return html`<div class="stack">
    <${Behind} ...${desk} />
    <${Card}
      title=${t("Draw on the picture")}
      icon="pentagon"
      actions=${there && html`<${Button} size="s" icon="refresh-cw" onClick=${load}>${t("New picture")}<//>`}
      foot=${picture && html`<${SaveBar} ...${desk} may=${may} />`}
    >
      ${picture || !failed ? null : html`<${ErrorNote} error=${failed} title=${t("There is no picture to draw on.")} onRetry=${load} />`}
      ${
        picture
          ? html`<${PolygonEditor} picture=${picture} alt=${t("Picture of {camera}", { camera: camera.name })} areas=${draft} onInput=${setDraft} kinds=${KINDS} disabled=${!may} />`
          : there
            ? !failed && html`<${Skeleton} height="22rem" />`
            : html`<${EmptyState} icon="image-off" title=${t("There is no picture to draw on.")}>
                <p>${sentence(stateOf(camera).reason) || t("It appears as soon as the camera gives one.")}</p>
              <//>`
      }
      <${ErrorNote} error=${error} class="input__problem" />
    <//>
    <div class="columns">
      <${Note}>
        <ul class="bullets">
          <li><strong>${t("Privacy mask")}</strong>: ${t("blackened before any pixel leaves the camera's process; nobody and no model ever sees it.")}</li>
          <li><strong>${t("Region of interest")}</strong>: ${t("models see only this part, larger.")}</li>
          <li><strong>${t("Look only here")}</strong>, <strong>${t("Do not look here")}</strong>: ${t("objects count, or do not, by where they stand: the middle of their lower edge.")}</li>
        </ul>
      <//>
      ${
        masks !== "[]" &&
        html`<${Card} title=${t("What leaves the camera now")} icon="shield-check" lead=${t("Masks are burned in.")}>
          <div class="input__frame"><${Still} camera=${camera} width=${640} version=${masks} /></div>
        <//>`
      }
    </div>
  </div>`;
}
