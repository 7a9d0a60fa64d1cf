// #/data/samples/<id>: one kept picture large. What the model found is confirmed, corrected, or thrown away.
import { ApiError } from "../../api.js";
import { labelToken } from "../../colours.js";
import { BoxEditor } from "../../components/box_editor.js";
import { Button, IconButton } from "../../components/button.js";
import { confirm } from "../../components/dialog.js";
import { Field, Radios, Select } from "../../components/field.js";
import { Badge, Card, EmptyState, ErrorNote, Facts, KeyHints, Skeleton, StateChip } from "../../components/panels.js";
import { showError, toast } from "../../components/toast.js";
import { bytes, fullTime, number, percent, score, sentence, time } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { useTitle } from "../../title.js";
import { go, guardLeaving, to } from "../../router.js";
import { can } from "../../store.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../view.js";
import { cameraName } from "./filters.js";
import { decide, decided, keyOf, morePictures, pictureAddress, pictureOf, pictures, remember, reviewed, showPictures, takeBack, whyNoReview, wholeOf } from "./pictures.js";
import { boxesOf, capturedAt, isClassified, pictureState, strategyWord } from "./words.js";

const NEXT_WIDTH = 1600; // larger pictures are scaled down to be looked at; boxes keep their own pixels
const LOAD_AHEAD = 5;

export function Review({ id, query }) {
  const key = keyOf(query);
  const now = pictures.value;
  const list = now.key === key ? now.samples : [];
  const at = list.findIndex((one) => one.id === id);
  const [alone, setAlone] = useState(null); // where the list does not have it, or not all of it
  const [error, setError] = useState(null);
  const sample = at !== -1 && !list[at].left_out ? list[at] : alone?.id === id ? alone : null;

  useEffect(() => {
    showPictures(query);
  }, [key]);
  useEffect(() => {
    setError(null);
    if (sample) return undefined;
    let gone = false;
    pictureOf(id).then(
      (found) => !gone && setAlone(found),
      (reason) => !gone && setError(reason),
    );
    return () => {
      gone = true;
    };
  }, [id, Boolean(sample)]);
  useEffect(() => {
    if (at !== -1 && at >= list.length - LOAD_AHEAD && now.total > list.length) morePictures();
    const next = list[at + 1];
    if (next) new Image().src = pictureAddress(next.id, NEXT_WIDTH);
  }, [id, at, list.length]);

  const back = to("data", "samples", query);
  useTitle(sample ? t("Picture of {camera}", { camera: cameraName(sample.camera) }) : t("Picture"));
  if (!sample) {
    const missing = error instanceof ApiError && error.status === 404;
    return html`<div class="page page--wide data stack">
      <h1 class="unseen">${t("Picture")}</h1>
      ${
        missing
          ? html`<${EmptyState} icon="image-off" title=${t("This picture is not there any more")} action=${html`<${Button} kind="primary" href=${back}>${t("To all pictures")}<//>`}>
              ${t("It may have been removed for want of room or for its age.")}
            <//>`
          : error
            ? html`<a class="review__back small" href=${back}>${t("All pictures")}</a>
                <${ErrorNote} error=${error} title=${t("The picture cannot be shown now")} onRetry=${() => pictureOf(id).then(setAlone, setError)} />`
            : html`<${Skeleton} height="60vh" />`
      }
    </div>`;
  }
  // A new picture begins anew: nothing of the last one's editor is left.
  return html`<${Desk}
    key=${id}
    sample=${sample}
    place=${{ at, total: Math.max(now.total ?? 0, list.length), before: list[at - 1], after: list[at + 1] }}
    query=${query}
    back=${back}
    onChange=${setAlone}
  />`;
}

const fractions = ({ width, height }, boxes) =>
  boxes.map((box) => ({ ...box, x: box.x / width, y: box.y / height, width: box.width / width, height: box.height / height, confidence: box.confidence ?? undefined }));

const pixels = ({ width, height }, boxes) =>
  boxes.map((box) => ({ label: box.label, x: box.x * width, y: box.y * height, width: box.width * width, height: box.height * height }));

const same = (a, b) =>
  a.length === b.length && a.every((box, index) => ["label", "x", "y", "width", "height"].every((part) => box[part] === b[index][part]));

function Desk({ sample, place, query, back, onChange }) {
  const classified = isClassified(sample);
  const first = useMemo(() => (classified ? [] : fractions(sample, boxesOf(sample))), [sample]);
  const [boxes, setBoxes] = useState(first);
  const [steps, setSteps] = useState([]); // boxes before each change, for Ctrl+Z
  const [marked, setMarked] = useState(-1); // the chosen box
  const [more, setMore] = useState([]); // labels that the model does not have
  const [klass, setKlass] = useState(classified ? (sample.boxes?.[0]?.label ?? sample.scores[0][0]) : "");
  const [working, setWorking] = useState(false);
  const [error, setError] = useState(null);
  const saved = useRef(false);
  const heading = useRef(null);
  const may = can("operate");
  const locked = ["uploading", "uploaded"].includes(sample.state);
  const changed = !classified && !same(boxes, first);
  const labels = useMemo(
    () => [...new Set([...sample.labels, ...boxes.map(({ label }) => label), ...more])],
    [sample.labels, boxes, more],
  );

  // Each picture is a place of its own, for a screen reader, too.
  useLayoutEffect(() => {
    reviewed.id = sample.id;
    scrollTo({ top: 0, behavior: "instant" });
    heading.current.focus({ preventScroll: true });
  }, []);

  // A list that came late must not take away what was drawn meanwhile.
  useEffect(() => {
    if (!steps.length) setBoxes(first);
  }, [first]);

  useEffect(() => {
    if (!changed || !may) return undefined;
    return guardLeaving(() => saved.current || leave());
  }, [changed, may]);

  const edit = (next) => {
    setSteps([...steps, boxes].slice(-100));
    setBoxes(next);
  };
  const stepBack = () => {
    if (!steps.length) return;
    setBoxes(steps.at(-1));
    setSteps(steps.slice(0, -1));
    setMarked(-1);
  };

  const visit = (other) => go(other ? to("data", "samples", other.id, query) : back);

  /** Decide, and go on to the next one. */
  async function settle(decision, options = {}) {
    // Once it is decided, keys that come before the next picture is shown are not about this one.
    if (working || saved.current || !may || locked) return;
    setWorking(true);
    setError(null);
    try {
      await decide([sample], decision, options);
      remember([sample]);
      saved.current = true;
      const undo = { action: { label: t("Undo"), onClick: takeBackHere } };
      if (!place.after) toast(place.at === -1 ? doneWords(decision) : t("That was the last one."), undo);
      visit(place.after);
    } catch (reason) {
      setError(reason);
    } finally {
      setWorking(false);
    }
  }
  const approve = () => {
    if (classified) return settle("approved", { boxes: [wholeOf(sample, klass)] });
    // Untouched boxes of the model are confirmed as it told them, to the last digit.
    if (!changed && !sample.boxes) return settle("approved", { confirm: true });
    return settle("approved", { boxes: pixels(sample, boxes) });
  };
  const nothing = () => settle("approved", { boxes: [] });
  const discard = () => settle("discarded");
  const reopen = () => settle("new");
  async function takeBackHere() {
    try {
      const last = await takeBack();
      if (!last) return;
      toast(t("Taken back."));
      if (last.id === sample.id) {
        saved.current = false;
        onChange(last.before[0]);
      } else {
        saved.current = true;
        go(to("data", "samples", last.id, query));
      }
    } catch (reason) {
      showError(reason);
    }
  }

  // The editor knows the key itself, where the focus is in it.
  function newBox() {
    const stage = document.querySelector(".boxes__stage");
    stage?.focus({ preventScroll: true });
    stage?.dispatchEvent(new KeyboardEvent("keydown", { key: "b", bubbles: true, cancelable: true }));
  }

  useLayoutEffect(() => {
    const keys = (event) => {
      if (event.defaultPrevented || event.altKey || event.target.closest("input:not([type=radio]), select, textarea, dialog, [role=menu]")) return;
      const letter = event.key.toLowerCase();
      if ((event.ctrlKey || event.metaKey) && letter === "z") stepBack();
      else if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      else if (event.key === "Enter" && event.target.closest("button, a, summary")) return;
      else if (letter === "a" || event.key === "Enter") approve();
      else if (letter === "n" && !classified) nothing();
      else if (letter === "d" || letter === "x") discard();
      else if (letter === "b") newBox();
      else if (letter === "u") takeBackHere();
      else if (letter === "j" || event.key === "ArrowRight") place.after && visit(place.after);
      else if (letter === "k" || event.key === "ArrowLeft") place.before && visit(place.before);
      else if (event.key === "Escape") visit(null);
      else if (/^[1-9]$/.test(event.key) && labels[Number(event.key) - 1] && may && !locked) pick(labels[Number(event.key) - 1]);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  });

  const [newLabel, setNewLabel] = useState("");
  /** A label by its key: that of the chosen box, and of the next new ones. */
  function pick(label) {
    if (classified) setKlass(label);
    else {
      setNewLabel(label);
      if (boxes[marked]) edit(boxes.map((box, index) => (index === marked ? { ...box, label } : box)));
    }
  }

  const { tone, text } = pictureState(sample.state);
  const why = locked ? t("It was sent: change it at Edge Impulse.") : whyNoReview(may);
  const off = !may || locked || working;
  return html`<div class="page page--wide data review">
    <header class="page__head review__head">
      <div class="review__title">
        <a class="review__back small" href=${back}>${t("All pictures")}</a>
        <h1 ref=${heading} tabindex="-1">${cameraName(sample.camera)} <span class="soft review__time number">${time(capturedAt(sample))}</span></h1>
      </div>
      <div class="row">
        <span class="small soft number" role="status">${place.at === -1 ? "" : t("{n} of {all}", { n: number(place.at + 1, 0), all: number(place.total, 0) })}</span>
        <${IconButton} icon="chevron-left" label=${t("Picture before")} disabled=${!place.before} onClick=${() => visit(place.before)} />
        <${IconButton} icon="chevron-right" label=${t("Next picture")} disabled=${!place.after} onClick=${() => visit(place.after)} />
      </div>
    </header>
    <div class="review__columns">
      <div class="review__main" style=${{ "--ratio": sample.width / sample.height }}>
        <${BoxEditor}
          class="review__editor"
          picture=${pictureAddress(sample.id, NEXT_WIDTH)}
          alt=${t("Picture of {camera} with its boxes", { camera: cameraName(sample.camera) })}
          boxes=${boxes}
          onInput=${edit}
          labels=${classified ? [] : labels}
          label=${newLabel || undefined}
          onLabel=${setNewLabel}
          chosen=${marked}
          onChoose=${setMarked}
          disabled=${off || classified}
        />
        ${
          classified &&
          html`<${Radios}
            label=${t("What is on it?")}
            class="review__classes"
            value=${klass}
            disabled=${off}
            onInput=${setKlass}
            options=${labels.map((label, index) => ({
              value: label,
              label: html`${label}${index < 9 && html` <kbd>${index + 1}</kbd>`}`,
              help: t("The model says {share}", { share: percent(Object.fromEntries(sample.scores)[label] ?? 0) }),
            }))}
          />`
        }
        <${ErrorNote} error=${error} title=${t("This was not kept")} />
        <div class="review__actions" role="group" aria-label=${t("Decision")}>
          <${Button} kind="primary" icon="thumbs-up" disabled=${off} why=${why} onClick=${approve}>${approveWords(sample, boxes, changed, klass)} <kbd>A</kbd><//>
          ${!classified && boxes.length > 0 && html`<${Button} icon="square-dashed" disabled=${off} why=${why} onClick=${nothing}>${t("Nothing on it")} <kbd>N</kbd><//>`}
          <${Button} icon="trash-2" disabled=${off} why=${why} onClick=${discard}>${t("Discard")} <kbd>D</kbd><//>
          <span class="grow"></span>
          ${changed && html`<${Button} kind="quiet" icon="undo-2" onClick=${stepBack}>${t("Undo the last change")}<//>`}
          ${!changed && decided.value.length > 0 && html`<${Button} kind="quiet" icon="undo-2" disabled=${!may} why=${why} onClick=${takeBackHere}>${t("Undo")} <kbd>U</kbd><//>`}
        </div>
        ${why && html`<p class="small soft">${why}</p>`}
        <${KeyHints}
          class="data-keys"
          keys=${[
            [["A", "Enter"], t("approve")],
            !classified && [["N"], t("nothing on it")],
            [["D", "X"], t("discard")],
            [["J", "→"], t("next")],
            [["K", "←"], t("before")],
            [["1 – 9"], classified ? t("class") : t("label")],
            ...(classified
              ? []
              : [
                  [["B"], t("new box")],
                  [["Tab"], t("choose a box")],
                  [["←", "↑", "→", "↓"], t("move it")],
                  [["Shift", "→"], t("resize it")],
                  [[t("Del")], t("remove it")],
                  [["Ctrl", "Z"], t("undo a change")],
                ]),
            [["U"], t("undo a decision")],
            [["Esc"], t("all pictures")],
          ].filter(Boolean)}
        />
      </div>
      <aside class="review__aside stack" aria-label=${t("About this picture")}>
        <${Card} title=${t("Why it was kept")}>
          <p class="strong">${strategyWord(sample.strategy)}</p>
          <p>${sentence(sample.reason)}</p>
        <//>
        ${
          !classified &&
          html`<${Card}
            title=${changed ? t("Your boxes") : sample.boxes ? t("Confirmed boxes") : t("The model's boxes")}
            actions=${changed && html`<${Badge} tone="warn">${t("not kept yet")}<//>`}
          >
            <${BoxList} boxes=${boxes} labels=${labels} marked=${marked} disabled=${off} onMark=${setMarked} onInput=${edit} />
            ${!off && html`<${OtherLabel} labels=${labels} onAdd=${(name) => (setMore([...more, name]), pick(name))} />`}
          <//>`
        }
        <${Card} title=${t("This picture")}>
          <${Facts}
            class="facts--rows"
            items=${[
              [t("State"), html`<${StateChip} tone=${tone} label=${text} reason=${sentence(sample.state_reason)} />`],
              [t("Worth a look"), score(sample.value)],
              [t("Captured"), fullTime(capturedAt(sample))],
              [t("Model"), `${sample.model} ${sample.model_version}`],
              [t("Size"), html`<span class="number">${`${sample.width} × ${sample.height} · ${bytes(sample.bytes)}`}</span>`],
              sample.uploaded_at_us && [t("Sent"), fullTime(sample.uploaded_at_us / 1000)],
              sample.remote_id && [t("At Edge Impulse"), html`<span class="number">${sample.remote_id}</span>${sample.duplicate ? ` (${t("was there already")})` : ""}`],
            ]}
          />
          <div class="row review__links">
            <${Button} size="s" kind="quiet" icon="download" href=${pictureAddress(sample.id)} download=${`${sample.id}.jpg`}>${t("Download")}<//>
            ${!["new", "uploading", "uploaded"].includes(sample.state) && html`<${Button} size="s" kind="quiet" icon="undo-2" disabled=${off} why=${why} onClick=${reopen}>${t("Back to new")}<//>`}
          </div>
        <//>
      </aside>
    </div>
  </div>`;
}

const leave = () =>
  confirm({
    title: t("Leave without keeping the boxes?"),
    text: t("What you changed on this picture is lost. Approve it to keep the boxes."),
    action: t("Leave"),
    cancel: t("Stay"),
  });

const doneWords = (decision) => ({ approved: t("Approved."), discarded: t("Discarded."), new: t("New again.") })[decision];

function approveWords(sample, boxes, changed, klass) {
  if (isClassified(sample)) return t("Approve as {label}", { label: klass });
  if (boxes.length === 0) return t("Approve: nothing on it");
  if (changed) return tn(boxes.length, "Approve with your box", "Approve with your {n} boxes");
  return tn(boxes.length, "Approve: the box is right", "Approve: the {n} boxes are right");
}

function BoxList({ boxes, labels, marked, disabled, onMark, onInput }) {
  if (boxes.length === 0) return html`<p class="soft">${disabled ? t("None.") : t("None. Draw one on the picture, or press B.")}</p>`;
  return html`<ul class="review__boxes">
    ${boxes.map(
      (box, index) => html`<li key=${index} class=${index === marked ? "is-chosen" : ""} onFocusIn=${() => onMark(index)}>
        <span class="label-sign" style=${{ "--tone": `var(${labelToken(box.label, labels)})` }}></span>
        <${Select}
          label=${t("Label of box {n}", { n: index + 1 })}
          hideLabel
          disabled=${disabled}
          value=${box.label}
          options=${labels}
          onInput=${(label) => onInput(boxes.map((one, place) => (place === index ? { ...one, label } : one)))}
        />
        <span class="number small soft">${box.confidence === undefined ? t("by a person") : score(box.confidence)}</span>
        <${IconButton}
          size="s"
          icon="trash-2"
          label=${t("Remove box {n}: {label}", { n: index + 1, label: box.label })}
          disabled=${disabled}
          onClick=${() => (onMark(-1), onInput(boxes.filter((_, place) => place !== index)))}
        />
      </li>`,
    )}
  </ul>`;
}

function OtherLabel({ labels, onAdd }) {
  const [text, setText] = useState("");
  const name = text.trim();
  const add = (event) => {
    event.preventDefault();
    if (!name) return;
    if (!labels.includes(name)) onAdd(name);
    setText("");
  };
  return html`<form class="review__other" onSubmit=${add}>
    <${Field} label=${t("A label that the model does not have")} hideLabel placeholder=${t("Another label")} value=${text} onInput=${setText} maxlength=${200} autocomplete="off" />
    <${Button} type="submit" icon="plus" disabled=${!name}>${t("Add||a label")}<//>
  </form>`;
}
