// #/data/samples: the pictures that were kept for retraining.
import { Button } from "../../components/button.js";
import { Select } from "../../components/field.js";
import { Icon } from "../../components/icon.js";
import { Menu } from "../../components/menu.js";
import { EmptyState, ErrorNote, KeyHints, Skeleton, StateChip } from "../../components/panels.js";
import { Tabs } from "../../components/tabs.js";
import { showError, toast } from "../../components/toast.js";
import { bytes, fullTime, number, score, sentence, time } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { manifests } from "../../live.js";
import { go, to } from "../../router.js";
import { cameras, can } from "../../store.js";
import { cls, html, useEffect, useRef, useState } from "../../view.js";
import { cameraName, Own } from "./filters.js";
import {
  chosen,
  counts,
  decide,
  decided,
  fitting,
  hasNewer,
  keyOf,
  morePictures,
  PAGE,
  pictures,
  picturesError,
  picturesLoading,
  remember,
  reviewed,
  showPictures,
  takeBack,
  wholeOf,
  whyNoReview,
} from "./pictures.js";
import { PRESETS, spanOf } from "./span.js";
import { Thumb } from "./thumb.js";
import { UploadState } from "./upload.js";
import { capturedAt, isClassified, PICTURE_STATES, pictureState, shownWords, STRATEGY_NAMES, strategyWord } from "./words.js";

const LOOK_S = 10;

export function Gallery({ query }) {
  const key = keyOf(query);
  const [newer, setNewer] = useState(false);
  const now = pictures.value;
  const list = now.key === key ? fitting(now) : [];
  const known = now.key === key && now.total !== null;

  useEffect(() => {
    setNewer(false);
    showPictures(query);
  }, [key]);
  useEffect(() => {
    const look = async () => {
      if (document.hidden) return;
      counts.load();
      setNewer(await hasNewer().catch(() => false));
    };
    const timer = setInterval(look, LOOK_S * 1000);
    return () => clearInterval(timer);
  }, [key]);

  function change(changes) {
    const next = { ...query, ...changes };
    for (const [name, value] of Object.entries(next)) if (!value) delete next[name];
    go(to("data", "samples", next), { replace: true });
  }
  const again = () => {
    setNewer(false);
    return showPictures(query, { anew: true });
  };
  const error = picturesError.value;
  const filtered = query.camera || query.label || query.strategy || query.range || query.since;

  return html`<div class="gallery stack">
    <${UploadState} />
    <${StateTabs} query=${query} />
    <${GalleryFilters} query=${query} onChange=${change} filtered=${filtered} />
    <${ErrorNote} error=${error} title=${t("The pictures cannot be shown now")} onRetry=${again} />
    ${newer && html`<div class="gallery__newer" role="status"><${Button} size="s" icon="arrow-up" onClick=${again}>${t("Newer pictures: show them")}<//></div>`}
    ${
      !known
        ? !error && html`<${Skeleton} kind="cards" count=${12} class="gallery__skeleton" />`
        : list.length === 0
          ? html`<${NoPicture} query=${query} filtered=${filtered} onChange=${change} />`
          : html`<${Grid} list=${list} query=${query} total=${now.total} />`
    }
    <${Usage} />
  </div>`;
}

function StateTabs({ query }) {
  const told = counts.data.value;
  const { by_state: by = {}, pictures: all } = told ?? {};
  const { state, ...rest } = query;
  const shown = PICTURE_STATES.filter((one) => one !== "uploading" || by.uploading || state === one);
  const tab = (id, label, count) => ({ id, label, count: count === undefined ? null : number(count, 0), href: to("data", "samples", id ? { ...rest, state: id } : rest) });
  return html`<${Tabs}
    label=${t("Pictures by state")}
    class="gallery__tabs"
    value=${state ?? ""}
    tabs=${[tab("", t("All"), all), ...shown.map((one) => tab(one, pictureState(one).text, by[one]))]}
  />`;
}

function GalleryFilters({ query, onChange, filtered }) {
  const { camera = "", label = "", strategy = "", range = "", since, order = "" } = query;
  const told = counts.data.value;
  const own = Boolean(since);
  const labels = new Set([...manifests.value.values()].flatMap((one) => one.labels ?? []));
  for (const one of pictures.value.samples) for (const name of one.labels) labels.add(name);
  const options = (all, names, word, now) => [
    { value: "", label: all },
    ...[...new Set([...names, now])].filter(Boolean).map((value) => ({ value, label: word(value) })),
  ];
  const times = [
    { value: "", label: t("Any time") },
    ...PRESETS.map((one) => ({ value: one.id, label: one.title() })),
    { value: "own", label: t("A time of your own") },
  ];
  const setTime = (value) => {
    const span = spanOf({ range: "day" });
    onChange(value === "own" ? { range: "", since: span.since, until: span.until } : { range: value, since: "", until: "" });
  };
  const strategies = STRATEGY_NAMES.filter((one) => told?.by_strategy?.[one]);
  return html`<section class="data-filters" aria-label=${t("Which pictures are shown")}>
    <div class="data-filters__what">
      <${Select} label=${t("Camera")} hideLabel value=${camera} options=${options(t("All cameras"), Object.keys(told?.by_camera ?? {}), cameraName, camera)} onInput=${(value) => onChange({ camera: value })} />
      <${Select} label=${t("Label")} hideLabel value=${label} options=${options(t("All labels"), labels, (one) => one, label)} onInput=${(value) => onChange({ label: value })} />
      <${Select} label=${t("Why kept")} hideLabel value=${strategy} options=${options(t("Kept for any reason"), strategies, strategyWord, strategy)} onInput=${(value) => onChange({ strategy: value })} />
      <${Select} label=${t("Time")} hideLabel value=${own ? "own" : range} options=${times} onInput=${setTime} />
      <${Select}
        label=${t("Order")}
        hideLabel
        value=${order}
        options=${[
          { value: "", label: t("Newest first") },
          { value: "value", label: t("Most valuable first") },
        ]}
        onInput=${(value) => onChange({ order: value })}
      />
      ${filtered && html`<${Button} kind="quiet" icon="funnel-x" onClick=${() => onChange({ camera: "", label: "", strategy: "", range: "", since: "", until: "" })}>${t("Without filters")}<//>`}
    </div>
    ${own && html`<${Own} key=${`${query.since}${query.until}`} span=${spanOf(query)} onChange=${onChange} />`}
  </section>`;
}

/** How much is kept, and how much there is room for. */
function Usage() {
  const told = counts.data.value;
  if (!told) return null;
  const { pictures: all, bytes: size, dropped, limits } = told;
  return html`<p class="data__logger small soft">
    <span class="number">${t("{n} of at most {most} pictures", { n: number(all, 0), most: number(limits.keep_pictures, 0) })}</span>
    <span class="number">${t("{size} of {most}", { size: bytes(size), most: bytes(limits.keep_mb * 1e6) })}</span>
    <span>${tn(limits.keep_days, "kept for {n} day", "kept for {n} days")}</span>
    ${dropped > 0 && html`<span class="number">${tn(dropped, "{n} was removed for want of room or for its age", "{n} were removed for want of room or for their age")}</span>`}
    <a href=${to("output")}>${t("Change what is kept")}</a>
  </p>`;
}

function NoPicture({ query, filtered, onChange }) {
  const told = counts.data.value;
  if (filtered || (query.state && told?.pictures)) {
    const nothingNew = query.state === "new" && !filtered;
    return html`<${EmptyState}
      icon=${nothingNew ? "circle-check" : "images"}
      title=${nothingNew ? t("All pictures are looked through") : t("No picture fits")}
      action=${
        filtered
          ? html`<${Button} icon="funnel-x" onClick=${() => onChange({ camera: "", label: "", strategy: "", range: "", since: "", until: "" })}>${t("Without filters")}<//>`
          : html`<${Button} href=${to("data", "samples")}>${t("All pictures")}<//>`
      }
    >
      ${nothingNew && t("New ones come here as soon as a model is unsure.")}
    <//>`;
  }
  const collecting = cameras.data.value?.cameras.some((one) => one.settings?.collect?.enabled);
  return html`<${EmptyState}
    icon="images"
    title=${t("No pictures yet")}
    action=${html`<${Button} kind=${collecting ? "plain" : "primary"} href=${to("output")}>${t("Open Output")}<//>`}
  >
    ${
      collecting
        ? t("Pictures in which a model was unsure are kept, and come here. None was kept so far.")
        : t("Choose at Output which cameras keep pictures in which the model was unsure. They stay on this box until you send them.")
    }
  <//>`;
}

// -- the pictures ----------------------------------------------------------------------------------

function Grid({ list, query, total }) {
  const box = useRef(null);
  // Which picture the Tab key reaches.
  const [at, setAt] = useState(() => Math.max(0, list.findIndex(({ id }) => id === reviewed.id)));
  const anchor = useRef(null); // where a range of chosen ones begins
  const picked = chosen.value;
  const loading = picturesLoading.value;
  const may = can("operate");
  const current = Math.min(at, list.length - 1);

  const focus = (index) => {
    setAt(index);
    box.current?.querySelectorAll(".picture__link")[index]?.focus();
  };
  const columns = () => {
    const items = [...(box.current?.children ?? [])];
    return Math.max(1, items.findIndex((item) => item.offsetTop !== items[0].offsetTop) === -1 ? items.length : items.findIndex((item) => item.offsetTop !== items[0].offsetTop));
  };

  function toggle(index) {
    const next = new Set(picked);
    if (!next.delete(list[index].id)) next.add(list[index].id);
    anchor.current = index;
    chosen.value = next;
  }
  function extend(index) {
    const from = anchor.current ?? current;
    const range = list.slice(Math.min(from, index), Math.max(from, index) + 1);
    anchor.current = from;
    chosen.value = new Set([...picked, ...range.map(({ id }) => id)]);
  }
  const chooseAll = () => (chosen.value = new Set(list.map(({ id }) => id)));
  const clear = () => (chosen.value = new Set());

  function click(event, index) {
    setAt(index);
    if (event.shiftKey || event.ctrlKey || event.metaKey || picked.size) {
      event.preventDefault();
      if (event.shiftKey) extend(index);
      else toggle(index);
    }
  }

  function keys(event) {
    if (event.target.closest("input, select, textarea, button, [role=menu]")) return;
    const index = [...box.current.children].indexOf(event.target.closest(".picture"));
    if (index === -1) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() }[event.key];
    if (step && !event.altKey && !event.ctrlKey && !event.metaKey) {
      const next = Math.min(list.length - 1, Math.max(0, index + step));
      if (event.shiftKey) {
        anchor.current ??= index;
        extend(next);
      }
      focus(next);
    } else if (event.key === "Home") focus(0);
    else if (event.key === "End") focus(list.length - 1);
    else if (event.key === " ") toggle(index);
    else return;
    event.preventDefault();
  }

  useEffect(() => {
    if (reviewed.id) focus(current);
    reviewed.id = "";
  }, []);

  // Keys that go for the whole gallery, wherever the focus is.
  useEffect(() => {
    const all = (event) => {
      if (event.defaultPrevented || event.altKey || event.target.closest("input:not([type=checkbox]), select, textarea, dialog, [role=menu]")) return;
      const letter = event.key.toLowerCase();
      if ((event.ctrlKey || event.metaKey) && letter === "a") chooseAll();
      else if (event.ctrlKey || event.metaKey) return;
      else if (event.key === "Escape" && picked.size) clear();
      else if (letter === "u" && may && decided.peek().length) undo();
      else if (!picked.size || !may) return;
      else if (letter === "a") act("approved", list, { confirm: true });
      else if (letter === "d" || letter === "x") act("discarded", list);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", all);
    return () => removeEventListener("keydown", all);
  });

  return html`
    <div class="row row--apart gallery__head">
      <p class="small soft number" role="status">
        ${t("{n} of {all} shown", { n: number(list.length, 0), all: number(total, 0) })}
      </p>
      <${Button} size="s" kind="quiet" icon="check" onClick=${picked.size === list.length ? clear : chooseAll}>
        ${picked.size === list.length ? t("Choose none") : tn(list.length, "Choose this one", "Choose all {n}")}
      <//>
    </div>
    <ul class=${cls("gallery__grid", picked.size && "is-choosing")} ref=${box} onKeyDown=${keys} aria-label=${t("Pictures")}>
      ${list.map(
        (sample, index) => html`<${Picture}
          key=${sample.id}
          sample=${sample}
          query=${query}
          tab=${index === current}
          isChosen=${picked.has(sample.id)}
          onClick=${(event) => click(event, index)}
          onFocus=${() => setAt(index)}
          onToggle=${(event) => (event.shiftKey ? extend(index) : toggle(index))}
        />`,
      )}
    </ul>
    <div class="row gallery__more">
      ${list.length < total && html`<${Button} busy=${loading} onClick=${morePictures}>${t("{n} more", { n: number(Math.min(PAGE, total - list.length), 0) })}<//>`}
    </div>
    <${KeyHints}
      class="data-keys"
      keys=${[
        [["←", "→", "↑", "↓"], t("go")],
        [[t("Space")], t("choose")],
        [["Ctrl", "A"], t("choose all")],
        [["Enter"], t("review")],
        [["A"], t("approve the chosen")],
        [["D"], t("discard the chosen")],
        [["U"], t("undo")],
      ]}
    />
    ${picked.size > 0 && html`<${Bar} list=${list} may=${may} onClear=${clear} />`}
  `;
}

function Picture({ sample, query, tab, isChosen, onClick, onFocus, onToggle }) {
  const { tone, text } = pictureState(sample.state);
  const at = capturedAt(sample);
  const shown = shownWords(sample);
  const name = t("{camera}, {time}: {shown}. {state}. {reason}", {
    camera: cameraName(sample.camera),
    time: time(at),
    shown,
    state: text,
    reason: sentence(sample.reason),
  });
  return html`<li class=${cls("picture", isChosen && "is-chosen")}>
    <a class="picture__link" href=${to("data", "samples", sample.id, query)} tabindex=${tab ? 0 : -1} aria-label=${name} onClick=${onClick} onFocus=${onFocus}>
      <${Thumb} sample=${sample} />
      <span class="picture__words">
        <span class="picture__top"
          ><span class="truncate strong">${cameraName(sample.camera)}</span><span class="tiny soft number picture__time" title=${fullTime(at)}>${time(at)}</span></span
        >
        <span class="small picture__reason" title=${sentence(sample.reason)}>${sentence(sample.reason)}</span>
        <span class="picture__foot"
          ><${StateChip} tone=${tone} label=${text} /><span class="tiny soft number" title=${t("How much a look at it is worth")}>${t("worth {value}", { value: score(sample.value) })}</span></span
        >
        ${sample.state === "failed" && sample.state_reason && html`<span class="tiny picture__trouble">${sentence(sample.state_reason)}</span>`}
      </span>
    </a>
    <label class="picture__check">
      <input type="checkbox" checked=${isChosen} tabindex=${tab ? 0 : -1} aria-label=${t("Choose the picture of {time}", { time: time(at) })} onClick=${(event) => onToggle(event)} />
    </label>
  </li>`;
}

/** Decide about the chosen pictures. */
async function act(decision, list, { confirm = false } = {}) {
  const samples = list.filter(({ id }) => chosen.peek().has(id));
  if (!samples.length) return;
  try {
    // A model that names whole pictures has no boxes to confirm; its class is what it found.
    const classed = confirm ? samples.filter(isClassified) : [];
    const rest = confirm ? samples.filter((one) => !isClassified(one)) : samples;
    const told = rest.length ? await decide(rest, decision, { confirm }) : { changed: 0, reason: "" };
    for (const one of classed) {
      const { changed, reason } = await decide([one], decision, { boxes: [wholeOf(one, one.scores[0][0])] });
      told.changed += changed;
      told.reason ||= reason;
    }
    if (told.changed) remember(samples);
    say(decision, told, samples.length);
  } catch (error) {
    showError(error);
  }
}

function say(decision, { changed, reason }, wanted) {
  const words = {
    approved: tn(changed, "{n} picture approved.", "{n} pictures approved."),
    discarded: tn(changed, "{n} picture discarded.", "{n} pictures discarded."),
    new: tn(changed, "{n} picture is new again.", "{n} pictures are new again."),
  }[decision];
  if (changed < wanted) toast(`${words} ${t("Not all could be: {reason}", { reason })}`, { tone: "warn", stays: true });
  else toast(words, { action: { label: t("Undo"), onClick: undo } });
}

async function undo() {
  try {
    if (await takeBack()) toast(t("Taken back."));
  } catch (error) {
    showError(error);
  }
}

function Bar({ list, may, onClear }) {
  const n = list.filter(({ id }) => chosen.value.has(id)).length;
  const why = whyNoReview(may);
  const button = (decision, icon, words, options, kind) =>
    html`<${Button} kind=${kind} icon=${icon} disabled=${!may} why=${why} onClick=${() => act(decision, list, options)}>${words}<//>`;
  return html`<div class="gallery__bar" role="toolbar" aria-label=${t("Chosen pictures")}>
    <span class="strong number" role="status">${tn(n, "{n} chosen", "{n} chosen")}</span>
    ${button("approved", "thumbs-up", t("Approve"), { confirm: true }, "primary")}
    ${button("discarded", "trash-2", t("Discard"))}
    <${Menu}
      label=${t("More to do with the chosen")}
      class="gallery__menu"
      items=${[
        { heading: t("Approve") },
        { label: t("What the model found is right"), icon: "check", disabled: !may, why, onClick: () => act("approved", list, { confirm: true }) },
        { label: t("Without labels: I label them at Edge Impulse"), icon: "image", disabled: !may, why, onClick: () => act("approved", list) },
        "-",
        { label: t("Back to new"), icon: "undo-2", disabled: !may, why, onClick: () => act("new", list) },
      ]}
    />
    <${Button} kind="quiet" class="button--icon" icon="x" aria-label=${t("Choose none")} onClick=${onClear} />
  </div>`;
}
