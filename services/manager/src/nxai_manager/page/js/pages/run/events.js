// What came and went, newest first, as it happens.
import { Badge, Card, EmptyState } from "../../components/panels.js";
import { Button } from "../../components/button.js";
import { Checkbox, Select } from "../../components/field.js";
import { Icon } from "../../components/icon.js";
import { boxNow, duration, fullTime, number, score, time } from "../../format.js";
import { t } from "../../i18n.js";
import { events, states, useListen } from "../../live.js";
import { tick } from "../../recent.js";
import { to } from "../../router.js";
import { cls, html, useEffect, useMemo, useState } from "../../view.js";
import { tokenOf } from "./facts.js";
import { collectThumbnails, fetchSnapshot, isNews, thumbnails } from "./thumbnails.js";

const PAGE = 40;

/**
 * An event that has begun and not ended, as far as the camera's newest state says. `looked`: cameras that a model
 * looks at; of others nobody knows.
 */
function underWay({ event, camera, label, timestamp_ms: at }, looked) {
  if (event === "end" || !looked.has(camera)) return false;
  const state = states.value.get(camera);
  return !state || state.timestamp_ms < at || state.present[label] !== false;
}

/** {cameras (of GET cameras), boxRuns, only (id: the events of one camera)} */
export function Events({ cameras, boxRuns, only, class: more }) {
  useListen("events", "states");
  const [camera, setCamera] = useState("");
  const [label, setLabel] = useState("");
  const [open, setOpen] = useState(false);
  const [shown, setShown] = useState(PAGE);
  useEffect(collectThumbnails, []);

  const here = only ?? camera;
  const looked = new Set(cameras.filter((one) => boxRuns && one.enabled && one.run).map(({ id }) => id));
  const all = useMemo(
    () =>
      events.value
        .filter((one) => !here || one.camera === here)
        .sort((a, b) => Date.parse(b.started_at) - Date.parse(a.started_at)),
    [events.value, here],
  );
  const labels = useMemo(() => [...new Set(all.map((one) => one.label))].sort(), [events.value, here]);
  const fits = all.filter((one) => (!label || one.label === label) && (!open || underWay(one, looked)));
  const names = new Map(cameras.map(({ id, name }) => [id, name]));

  // The newest event of each camera may be older than this page: its snapshot is still there.
  useEffect(() => {
    const newest = new Map();
    for (const one of events.value) {
      const other = newest.get(one.camera);
      if (!other || Date.parse(one.started_at) > Date.parse(other.started_at)) newest.set(one.camera, one);
    }
    for (const one of newest.values()) if (one.event !== "start" || !isNews(one)) fetchSnapshot(one);
  }, [events.value.length > 0]);

  return html`<${Card}
    title=${t("Events")}
    lead=${t("What came and went, newest first.")}
    tight
    class=${cls("events", more)}
    actions=${html`<a class="small" href=${to("data")}>${t("All data")}</a>`}
  >
    <div class="events__filters">
      ${
        !only &&
        html`<${Select}
          label=${t("Camera")}
          hideLabel
          value=${camera}
          onInput=${setCamera}
          options=${[{ value: "", label: t("All cameras") }, ...cameras.map(({ id, name }) => ({ value: id, label: name }))]}
        />`
      }
      <${Select}
        label=${t("Label")}
        hideLabel
        value=${labels.includes(label) ? label : ""}
        onInput=${setLabel}
        options=${[{ value: "", label: t("All labels") }, ...labels.map((one) => ({ value: one, label: one }))]}
      />
      <${Checkbox} label=${t("Only under way")} checked=${open} onInput=${setOpen} />
    </div>
    ${
      fits.length === 0
        ? html`<${EmptyState}
            icon="bell"
            title=${all.length ? t("No event fits") : t("No event yet")}
            class="events__empty"
          >
            ${all.length ? t("Choose another camera or label.") : t("An event begins when a label is seen in several pictures in a row, and ends when it is gone.")}
          <//>`
        : html`<div class="events__scroll" tabindex="0" role="region" aria-label=${t("List of events")}>
            <ol class="events__list">
              ${fits.slice(0, shown).map((one) => html`<${Event} key=${one.id} event=${one} now=${underWay(one, looked)} name=${only ? null : (names.get(one.camera) ?? one.camera_name ?? one.camera)} />`)}
            </ol>
            ${
              fits.length > shown &&
              html`<div class="events__more">
                <${Button} size="s" onClick=${() => setShown(shown + PAGE)}
                  >${t("{n} more", { n: fits.length - shown })}<//
                >
              </div>`
            }
          </div>`
    }
  <//>`;
}

const long = (seconds) => (seconds < 1 ? `< 1 ${t("s")}` : duration(seconds));

function Event({ event, name, now }) {
  if (now) void tick.value; // its length grows
  const seconds = now ? (boxNow() - Date.parse(event.started_at)) / 1000 : event.duration_s;
  const picture = thumbnails.value.get(event.id);
  return html`<li class=${cls("event", now && "is-now")}>
    <div class="event__picture">${picture ? html`<img src=${picture} alt="" />` : html`<${Icon} name="image" />`}</div>
    <div class="event__body">
      <div class="event__head">
        <span
          class="label-sign"
          style=${{ "--tone": `var(${tokenOf(event.label, event.model)})` }}
          aria-hidden="true"
        ></span>
        <span class="strong truncate">${event.label}</span>
        ${event.max_count > 1 && html`<span class="soft number" title=${t("Most at once")}>×${number(event.max_count, 0)}</span>`}
        <span class="small soft number" title=${t("Highest confidence")}>${score(event.confidence)}</span>
        <time class="event__time small soft number" datetime=${event.started_at} title=${fullTime(event.started_at)}
          >${time(event.started_at)}</time
        >
      </div>
      <div class="event__foot small soft">
        ${name && html`<span class="truncate">${name}</span>`}
        <span class="event__rest number">
          ${now ? html`<${Badge} tone="ok">${t("{duration} so far", { duration: long(seconds) })}<//>` : event.event === "end" ? long(seconds) : t("end not heard")}
        </span>
      </div>
    </div>
  </li>`;
}
