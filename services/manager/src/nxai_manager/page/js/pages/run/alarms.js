// Alarms that hold now, and the last ones that did: a few lines beside the events.
import { Badge, Card } from "../../components/panels.js";
import { Icon } from "../../components/icon.js";
import { boxNow, duration, fullTime, time } from "../../format.js";
import { t } from "../../i18n.js";
import { alarms, useListen } from "../../live.js";
import { raisedAlarms } from "../../publisher.js";
import { tick } from "../../recent.js";
import { to } from "../../router.js";
import { cls, html } from "../../view.js";

const ENDED = 3; // shown besides those that hold now

/** {cameras (of GET cameras), only (id: the alarms of one camera)}; nothing while there was none. */
export function Alarms({ cameras, only }) {
  useListen("alarms", "states", "status");
  const here = ({ camera }) => !only || camera === only;
  const now = raisedAlarms().filter(here);
  const ended = [...alarms.value.values()].filter((one) => one.alarm === "end" && here(one)).slice(-ENDED).reverse();
  if (now.length + ended.length === 0) return null;
  const names = new Map(cameras.map(({ id, name }) => [id, name]));
  return html`<${Card} title=${t("Alarms")} tight class="alarms" actions=${html`<a class="small" href=${to("output", "alarms")}>${t("Rules")}</a>`}>
    <ul class="alarms__list">
      ${[...now, ...ended].map((one) => html`<${Alarm} key=${one.id} alarm=${one} name=${only ? null : (names.get(one.camera) ?? one.camera)} />`)}
    </ul>
  <//>`;
}

function Alarm({ alarm, name }) {
  const holds = alarm.alarm !== "end";
  if (holds) void tick.value; // its length grows
  const seconds = holds ? (boxNow() - Date.parse(alarm.started_at)) / 1000 : alarm.duration_s;
  return html`<li class=${cls("alarm", holds && "is-now")}>
    <${Icon} name="bell" />
    <div class="event__body">
      <div class="event__head">
        <span class="strong truncate">${alarm.rule_name || alarm.rule}</span>
        <time class="event__time small soft number" datetime=${alarm.started_at} title=${fullTime(alarm.started_at)}>${time(alarm.started_at)}</time>
      </div>
      <div class="event__foot small soft">
        ${name && html`<span class="truncate">${name}</span>`}
        <span class="event__rest number">${holds ? html`<${Badge} tone="bad">${t("holds for {duration}", { duration: duration(seconds) })}<//>` : duration(seconds)}</span>
      </div>
    </div>
  </li>`;
}
