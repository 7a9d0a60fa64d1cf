import { cls, html } from "../view.js";

/**
 * A small line of the last values: {values: [number or null], label (what it is, for a screen reader), min (0),
 * max, width (96), height (24), tone: "accent"|"ok"|"warn"|"bad"|"idle", area}
 */
export function Sparkline({
  values,
  label,
  min = 0,
  max,
  width = 96,
  height = 24,
  tone = "accent",
  area = true,
  class: more,
}) {
  const known = values.filter((value) => value !== null && value !== undefined);
  const top = Math.max(max ?? -Infinity, ...known, min + 1e-9);
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const y = (value) => (height - 2 - ((value - min) / (top - min)) * (height - 4)).toFixed(1);
  let path = "";
  let pen = false;
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      pen = false;
      return;
    }
    path += `${pen ? "L" : "M"}${(index * step).toFixed(1)} ${y(value)}`;
    pen = true;
  });
  const whole = known.length === values.length && known.length > 1;
  return html`<svg
    class=${cls("spark", `spark--${tone}`, more)}
    viewBox=${`0 0 ${width} ${height}`}
    width=${width}
    height=${height}
    preserveAspectRatio="none"
    role="img"
    aria-label=${label}
  >
    ${area && whole && html`<path class="spark__area" d=${`${path}L${width} ${height}L0 ${height}Z`} />`}
    <path class="spark__line" d=${path} />
  </svg>`;
}
