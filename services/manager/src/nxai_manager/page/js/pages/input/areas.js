// Privacy masks, the region of interest, and where objects count: drawn on the camera's own picture.
import { get, patch, path } from "../../api.js";
import { Button } from "../../components/button.js";
import { Card, ErrorNote, Note } from "../../components/panels.js";
import { PolygonEditor } from "../../components/polygon_editor.js";
import { t } from "../../i18n.js";
import { html, useEffect, useState } from "../../view.js";
import { SaveBar, useDraft } from "./detail.js";
import { Still } from "./still.js";

const corners = ({ x = 0, y = 0, width = 1, height = 1 }) => [
  [x, y],
  [x + width, y],
  [x + width, y + height],
  [x, y + height],
];

function areasOf({ masks = [], areas = {}, region = null }) {
  return [
    ...masks.map((points) => ({ kind: "mask", points })),
    ...(areas.include ?? []).map((points) => ({ kind: "include", points })),
    ...(areas.exclude ?? []).map((points) => ({ kind: "exclude", points })),
    ...(region ? [{ kind: "roi", points: corners(region) }] : []),
  ];
}

const round = (value) => Math.round(value * 10_000) / 10_000;

function settingsOf(areas) {
  const of = (kind) => areas.filter((one) => one.kind === kind).map(({ points }) => points);
  const [roi] = of("roi");
  let region = null;
  if (roi) {
    const xs = roi.map(([x]) => x);
    const ys = roi.map(([, y]) => y);
    const [x, y] = [Math.min(...xs), Math.min(...ys)];
    region = { x: round(x), y: round(y), width: round(Math.max(...xs) - x), height: round(Math.max(...ys) - y) };
  }
  const [include, exclude] = [of("include"), of("exclude")];
  return {
    masks: of("mask").length ? of("mask") : null,
    areas: include.length || exclude.length ? { include, exclude } : null,
    region,
  };
}

export function Areas({ camera, may }) {
  const { draft, setDraft, dirty, error, save, undo } = useDraft(areasOf(camera.settings));
  const [picture, setPicture] = useState(null);
  const [failed, setFailed] = useState(null);
  const load = () => get(path`cameras/${camera.id}/still`, { width: 1280 }).then(setPicture, setFailed);
  const known = JSON.stringify(camera.settings.masks ?? []);
  useEffect(() => {
    load();
  }, [camera.id, known]);

  const onSave = () => save((now) => patch(path`cameras/${camera.id}`, settingsOf(now)));
  return html`<div class="stack">
    <${Note}>
      <ul class="bullets">
        <li><strong>${t("Privacy mask")}</strong>: ${t("blackened before any pixel leaves the camera's process; nobody and no model ever sees it.")}</li>
        <li><strong>${t("Region of interest")}</strong>: ${t("models see only this part, larger.")}</li>
        <li><strong>${t("Look only here")}</strong>, <strong>${t("Do not look here")}</strong>: ${t("objects count, or do not, by where they stand: the middle of their lower edge.")}</li>
      </ul>
    <//>
    <${Card} title=${t("Draw on the picture")} icon="pentagon" actions=${html`<${Button} size="s" icon="refresh-cw" onClick=${load}>${t("New picture")}<//>`} foot=${html`<${SaveBar} ...${{ dirty, may, undo, onSave }} />`}>
      ${
        picture
          ? html`<${PolygonEditor} picture=${picture} alt=${t("Picture of {camera}", { camera: camera.name })} areas=${draft} onInput=${setDraft} kinds=${["mask", "roi", "include", "exclude"]} disabled=${!may} />`
          : html`<${ErrorNote} error=${failed} title=${t("There is no picture to draw on.")} onRetry=${load} />`
      }
      <${ErrorNote} error=${error} />
    <//>
    ${(camera.settings.masks ?? []).length > 0 && html`<${Card} title=${t("What leaves the camera now")} icon="shield-check" lead=${t("Masks are burned in.")}><${Still} camera=${camera.id} name=${camera.name} width=${640} version=${known} /><//>`}
  </div>`;
}
