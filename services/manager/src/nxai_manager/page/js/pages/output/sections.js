// Ways to the cards of a long page; each is a place of its own: #/output/alarms.
import { t } from "../../i18n.js";
import { to } from "../../router.js";
import { html, useEffect } from "../../view.js";

const SECTIONS = {
  topics: () => t("MQTT topics"),
  messages: () => t("Messages"),
  destinations: () => t("Destinations"),
  alarms: () => t("Alarms"),
  "home-assistant": () => "Home Assistant",
  processors: () => t("Processors"),
  logger: () => t("Data logger"),
  pictures: () => t("Pictures"),
  sending: () => "Edge Impulse",
};

function show(section) {
  const card = document.getElementById(`output-${section}`);
  card?.scrollIntoView({ block: "start" });
  const title = card?.querySelector("h2");
  title?.setAttribute("tabindex", "-1");
  title?.focus({ preventScroll: true });
}

/** Shown once the cards are there: {chosen (of the address)} */
export function Sections({ chosen }) {
  useEffect(() => {
    if (!(chosen in SECTIONS)) return undefined;
    // After the page that is shown anew was put to where it was left.
    const frame = requestAnimationFrame(() => show(chosen));
    return () => cancelAnimationFrame(frame);
  }, [chosen]);
  return html`<nav class="output-ways" aria-label=${t("On this page")}>
    <ul class="output-ways__list">
      ${Object.entries(SECTIONS).map(([name, word]) => html`<li key=${name}><a class="output-ways__one" href=${to("output", name)} onClick=${() => name === chosen && show(name)}>${word()}</a></li>`)}
    </ul>
  </nav>`;
}
