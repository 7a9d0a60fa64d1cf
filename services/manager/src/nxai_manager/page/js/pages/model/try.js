// Try a model at once on a picture that is dropped here, or on what a camera sees now.
import { ask, get, path } from "../../api.js";
import { Button } from "../../components/button.js";
import { Select } from "../../components/field.js";
import { FileDrop } from "../../components/file_drop.js";
import { drawFound } from "../../components/overlay.js";
import { Card, ErrorNote, Facts, ProgressBar } from "../../components/panels.js";
import { JsonView } from "../../components/json_view.js";
import { milliseconds, score } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { can, cameras } from "../../store.js";
import { html, useEffect, useRef, useState } from "../../view.js";

export function TryPicture({ family }) {
  const ready = family.versions.filter(({ state }) => state === "ready");
  const options = [
    ...(family.manifest ? [{ value: "", label: t("The one that runs") }] : []),
    ...ready.map((one) => ({ value: one.digest, label: one.version || one.digest.slice(0, 12) })),
  ];
  const [which, setWhich] = useState(options[0]?.value ?? "");
  const [picture, setPicture] = useState(null);
  const [result, setResult] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const seen = cameras.data.value?.cameras ?? [];

  async function look(blob, digest = which) {
    setPicture(blob);
    setResult(null);
    setError(null);
    setBusy(true);
    try {
      const query = digest ? { digest } : { model: family.model };
      const told = await ask("POST", "models/detect", { query, raw: blob, type: "application/octet-stream", timeout: 90 });
      setResult(told.result);
    } catch (reason) {
      setError(reason);
    } finally {
      setBusy(false);
    }
  }
  const again = (digest) => {
    setWhich(digest);
    if (picture) look(picture, digest);
  };

  return html`<${Card} title=${t("Try a picture")} icon="image" lead=${t("It is prepared and looked at exactly as a frame of a camera; nothing is kept or sent.")}>
    <div class="stack">
      ${options.length > 1 && html`<${Select} label=${t("Version")} value=${which} options=${options} onInput=${again} />`}
      <${FileDrop} icon="image" label=${t("Drop a picture here, or choose one")} accept=${["image/jpeg", "image/png"]} largest=${16 * 1024 * 1024} disabled=${busy || !can("operate") || options.length === 0} onFiles=${([file]) => look(file)} />
      ${
        seen.length > 0 &&
        html`<div class="row">
          ${seen.slice(0, 8).map(
            ({ id, name }) => html`<${Button} key=${id} size="s" icon="camera" disabled=${busy || !can("operate")} onClick=${async () => look(await get(path`cameras/${id}/still`))}>${t("From {camera}", { camera: name })}<//>`,
          )}
        </div>`
      }
      ${busy && html`<${ProgressBar} label=${t("Looking")} value=${null} />`}
      <${ErrorNote} error=${error} />
      ${picture && html`<${Shown} blob=${picture} result=${result} task=${family.manifest?.task ?? ready[0]?.task} model=${family.model} />`}
    </div>
  <//>`;
}

function Shown({ blob, result, model }) {
  const canvas = useRef(null);
  useEffect(() => {
    let gone = false;
    createImageBitmap(blob).then((bitmap) => {
      if (gone || !canvas.current) return bitmap.close();
      const surface = canvas.current;
      surface.width = bitmap.width;
      surface.height = bitmap.height;
      const context = surface.getContext("2d");
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
      if (result) {
        const area = { x: 0, y: 0, width: surface.width, height: surface.height };
        const scale = Math.max(1, surface.width / (surface.clientWidth || surface.width));
        drawFound(context, area, scale, [foundIn(result, model)]);
      }
    }, () => {
      // No picture: the box says so, too, in better words.
      if (canvas.current) canvas.current.width = canvas.current.height = 0;
    });
    return () => (gone = true);
  }, [blob, result]);
  const found = result?.detections ?? [];
  const classes = result?.classifications ?? [];
  return html`<div class="stack">
    <canvas class="try__picture" ref=${canvas} role="img" aria-label=${result ? tn(found.length, "The picture, with {n} object marked", "The picture, with {n} objects marked") : t("The picture")}></canvas>
    ${
      result &&
      html`
        <${Facts}
          items=${[
            found.length > 0 || classes.length === 0 ? [t("Found"), found.length ? found.map(({ label, confidence }) => `${label} ${score(confidence)}`).join(", ") : t("nothing")] : null,
            classes.length > 0 && [t("Classes"), [...classes].sort((a, b) => b.confidence - a.confidence).map(({ label, confidence }) => `${label} ${score(confidence)}`).join(", ")],
            [t("One run"), milliseconds(result.timing?.engine_ms)],
            [t("Doubtful"), result.uncertain ? result.uncertain_reason || t("yes") : t("no")],
          ]}
        />
        <details><summary>${t("The whole result")}</summary><${JsonView} value=${result} label=${t("The whole result")} height="20rem" /></details>
      `
    }
  </div>`;
}

/** An InferenceResult in the shape of Detections, which the live view draws. */
function foundIn(result, model) {
  const { source_width: width, source_height: height } = result;
  return {
    model: result.model === "tried" ? model : result.model,
    counts: Object.fromEntries(result.labels.map((label) => [label, 0])),
    objects: result.detections.map(({ label, confidence, box }) => ({
      label,
      confidence,
      x: box.x / width,
      y: box.y / height,
      width: box.width / width,
      height: box.height / height,
    })),
    scores: Object.fromEntries((result.classifications ?? []).map(({ label, confidence }) => [label, confidence])),
  };
}
