// What is drawn on pictures, and how many of them come: kept in this browser.
import { Button } from "../../components/button.js";
import { Select } from "../../components/field.js";
import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { boxes, choose, labels, QUALITIES, quality } from "./quality.js";

/** {children (further buttons)} */
export const Tools = ({ children }) =>
  html`<div class="run__tools" role="group" aria-label=${t("View")}>
    <div class="button-group">
      <${Button} size="s" icon="square-dashed" pressed=${boxes.value} onClick=${() => choose(boxes, !boxes.value)}
        >${t("Boxes")}<//
      >
      <${Button}
        size="s"
        icon="tag"
        pressed=${labels.value}
        disabled=${!boxes.value}
        why=${t("Labels belong to boxes: show those first.")}
        onClick=${() => choose(labels, !labels.value)}
        >${t("Labels")}<//
      >
    </div>
    <${Select}
      class="run__quality"
      label=${t("Pictures")}
      hideLabel
      value=${quality.value}
      onInput=${(value) => choose(quality, value)}
      options=${QUALITIES()}
    />
    ${children}
  </div>`;
