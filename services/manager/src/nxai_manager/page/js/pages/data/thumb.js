// A kept picture, small, with what was found in it.
import { labelToken } from "../../colours.js";
import { Icon } from "../../components/icon.js";
import { score } from "../../format.js";
import { html, useState } from "../../view.js";
import { pictureAddress } from "./pictures.js";
import { boxesOf, isClassified } from "./words.js";

const MOST_BOXES = 40;
export const THUMB_WIDTH = 400;

/** {sample, words (labels at the boxes)} */
export function Thumb({ sample, words = false }) {
  const [broken, setBroken] = useState(false);
  const { id, width, height, labels } = sample;
  const boxes = isClassified(sample) ? [] : boxesOf(sample).slice(0, MOST_BOXES);
  const [best] = sample.scores;
  return html`<span class="thumb">
    ${
      broken
        ? html`<span class="thumb__broken"><${Icon} name="image-off" /></span>`
        : html`<img src=${pictureAddress(id, THUMB_WIDTH)} width=${width} height=${height} alt="" loading="lazy" decoding="async" onError=${() => setBroken(true)} />`
    }
    <span class="thumb__boxes" style=${{ aspectRatio: `${width} / ${height}` }}>
      ${boxes.map(
        (box) => html`<span
          class="data-box"
          style=${{
            "--tone": `var(${labelToken(box.label, labels)})`,
            left: `${(100 * box.x) / width}%`,
            top: `${(100 * box.y) / height}%`,
            width: `${(100 * box.width) / width}%`,
            height: `${(100 * box.height) / height}%`,
          }}
          >${words && html`<span class="data-box__label">${box.label}</span>`}</span
        >`,
      )}
      ${best && html`<span class="data-box__label thumb__class" style=${{ "--tone": `var(${labelToken(sample.boxes?.[0]?.label ?? best[0], labels)})` }}>${sample.boxes?.[0]?.label ?? `${best[0]} ${score(best[1])}`}</span>`}
    </span>
  </span>`;
}
