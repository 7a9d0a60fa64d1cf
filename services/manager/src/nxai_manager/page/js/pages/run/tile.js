// One camera in the grid: picture, what is counted, how it runs, and what can be done.
import { Button, IconButton } from "../../components/button.js";
import { Icon } from "../../components/icon.js";
import { LiveTile } from "../../components/live_tile.js";
import { Menu } from "../../components/menu.js";
import { t } from "../../i18n.js";
import { go, to } from "../../router.js";
import { html } from "../../view.js";
import { CountChips, Lines } from "./counts.js";
import { whyBlind } from "./facts.js";
import { boxes, labels } from "./quality.js";
import { runCamera, whyNot } from "./running.js";

/** {camera (of GET cameras), boxRuns, wish ({fps, width}), onTest(camera)} */
export function RunTile({ camera, boxRuns, wish, onTest }) {
  const blind = whyBlind(camera, boxRuns);
  const place = to("run", camera.id);
  const large = (event) => !event.target.closest("a, button, [role=menu], .tile__bar") && go(place);
  return html`<li class="run-tile" onClick=${large}>
    <${LiveTile}
      camera=${camera.id}
      name=${camera.name}
      fps=${wish.fps}
      width=${wish.width}
      boxes=${boxes.value}
      labels=${labels.value}
      chip=${stopped(blind)}
      state=${stopped(blind) && "stopped"}
      facts=${false}
      actions=${html`<${IconButton} icon="maximize" size="s" label=${t("{camera}: show large", { camera: camera.name })} href=${place} />`}
      tools=${html`<${TileMenu} camera=${camera} onTest=${onTest} />`}
    >
      <${CountChips} camera=${camera} idle=${Boolean(blind)} />
      <${Lines} camera=${camera} />
      <${Blind} camera=${camera} blind=${blind} />
    <//>
  </li>`;
}

/** Chip on the picture of a camera that no model looks at. */
export function stopped(blind) {
  if (blind?.key === "box") return { icon: "square", text: t("The box is stopped") };
  if (blind?.key === "camera") return { icon: "square", text: t("Camera stopped") };
  return null;
}

/** Why no model looks at it, and what to do. */
export function Blind({ camera, blind }) {
  if (!blind || blind.key === "box") return null;
  if (blind.key === "camera") {
    return html`<div class="blind">
      <span class="grow small">${t("No model looks at it.")}</span>
      <${Button}
        size="s"
        icon="play"
        disabled=${Boolean(whyNot())}
        why=${whyNot()}
        onClick=${() => runCamera(camera, true)}
        >${t("Run||to start")}<//
      >
    </div>`;
  }
  return html`<div class="blind blind--warn">
    <${Icon} name=${blind.key === "loading" ? "info" : "triangle-alert"} />
    <span class="grow small">${blind.text}</span>
    ${blind.href && html`<a class="small" href=${blind.href}>${blind.action}</a>`}
  </div>`;
}

function TileMenu({ camera, onTest }) {
  const why = whyNot();
  return html`<${Menu}
    class="run-tile__menu"
    label=${t("{camera}: more", { camera: camera.name })}
    items=${[
      {
        label: t("Test one picture"),
        icon: "flask-conical",
        disabled: Boolean(why),
        why: t("Viewers cannot run a test."),
        onClick: () => onTest(camera),
      },
      camera.run
        ? {
            label: t("Stop this camera"),
            icon: "square",
            disabled: Boolean(why),
            why,
            onClick: () => runCamera(camera, false),
          }
        : {
            label: t("Run this camera"),
            icon: "play",
            disabled: Boolean(why),
            why,
            onClick: () => runCamera(camera, true),
          },
      "-",
      { label: t("Camera settings"), icon: "cctv", href: to("input", camera.id) },
    ]}
  />`;
}
