// One picture of each camera through its models, and exactly what would be sent of it.
import { post } from "../../api.js";
import { Button } from "../../components/button.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icon.js";
import { JsonView } from "../../components/json_view.js";
import { Overlay } from "../../components/overlay.js";
import { Copyable, ErrorNote, Note, Skeleton } from "../../components/panels.js";
import { Tabs } from "../../components/tabs.js";
import { bytes, milliseconds } from "../../format.js";
import { t, tn } from "../../i18n.js";
import { manifests } from "../../live.js";
import { to } from "../../router.js";
import { html, useEffect, useState } from "../../view.js";

const TIMEOUT_S = 60;

/** {cameras: [{id, name}] (those to be tested), onClose} */
export function TestDialog({ cameras, onClose }) {
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const [chosen, setChosen] = useState(cameras[0]?.id);
  const [round, setRound] = useState(0);
  const names = new Map(cameras.map(({ id, name }) => [id, name]));

  useEffect(() => {
    const cancel = new AbortController();
    setAnswer(null);
    setError(null);
    post("test", { cameras: cameras.map(({ id }) => id) }, { timeout: TIMEOUT_S, signal: cancel.signal }).then(
      setAnswer,
      (reason) => {
        if (reason?.name !== "AbortError") setError(reason);
      },
    );
    return () => cancel.abort();
  }, [round]);

  const tested = answer?.cameras ?? [];
  const one = tested.find(({ camera }) => camera === chosen) ?? tested[0];
  return html`<${Dialog}
    title=${cameras.length === 1 ? t("Test of {camera}", { camera: cameras[0].name }) : t("Test of one picture each")}
    lead=${t("Each picture takes the way of every other one through the models. Only the last step is left out: nothing is sent, logged or counted.")}
    size="l"
    class="test"
    onClose=${onClose}
    footer=${html`<${Button} icon="refresh-cw" busy=${!answer && !error} onClick=${() => setRound(round + 1)}>${t("Test again")}<//><${Button} kind="primary" onClick=${onClose}>${t("Close")}<//>`}
  >
    <p class="unseen" role="status">${answer ? summary(tested) : t("The test runs")}</p>
    <${ErrorNote} error=${error} title=${error && t("The test could not be run")} />
    ${!answer && !error && html`<div class="stack"><${Skeleton} height="18rem" /><${Skeleton} lines=${4} /></div>`}
    ${
      one &&
      (tested.length > 1
        ? html`<${Tabs}
            label=${t("Cameras")}
            value=${one.camera}
            onInput=${setChosen}
            tabs=${tested.map(({ camera, error: why }) => ({ id: camera, label: names.get(camera) ?? camera, icon: why ? "circle-alert" : "circle-check" }))}
          >
            <${Tested} key=${one.camera + answer.test} tested=${one} name=${names.get(one.camera) ?? one.camera} />
          <//>`
        : html`<${Tested} key=${answer.test} tested=${one} name=${names.get(one.camera) ?? one.camera} />`)
    }
  <//>`;
}

function summary(tested) {
  const good = tested.filter(({ error }) => !error).length;
  const bad = tested.length - good;
  return [
    tn(good, "{n} camera gave a result.", "{n} cameras gave a result."),
    bad && tn(bad, "{n} camera gave none.", "{n} cameras gave none."),
  ]
    .filter(Boolean)
    .join(" ");
}

/** What came of one camera: {tested (of POST test), name} */
function Tested({ tested, name }) {
  if (tested.error) {
    return html`<${Note}
      tone="bad"
      title=${t("{camera}: no result", { camera: name })}
      action=${html`<a class="small" href=${to("input", tested.camera)}>${t("To the camera")}</a>`}
    >
      <p>${tested.error}</p>
    <//>`;
  }
  const found = tested.results.map(detectionsOf).filter(Boolean);
  return html`<div class="test__parts">
    ${
      tested.picture
        ? html`<${Overlay}
            picture=${tested.picture}
            found=${found}
            alt=${t("The picture that was tested, with what was found in it")}
            class="test__picture"
          />`
        : html`<${Note} tone="warn"
            >${t("The picture is gone already: newer ones took its place. Test again to see one.")}<//
          >`
    }
    <div class="stack">${tested.results.map((result) => html`<${Result} key=${result.model} result=${result} />`)}</div>
  </div>`;
}

/** The flat message of a result, to draw it; none where that output is switched off. */
function detectionsOf({ messages }) {
  const flat = messages.find(({ topic }) => topic.endsWith("/detections"));
  return flat ? JSON.parse(flat.payload) : null;
}

function Result({ result }) {
  const { model, latency_ms: latency, inference_ms: inference, error, messages } = result;
  const flat = detectionsOf(result);
  const there = Object.entries(flat?.counts ?? {}).filter(([, n]) => n > 0);
  return html`<section class="test__result">
    <h3>${manifests.value.get(model)?.name || model}</h3>
    ${
      error
        ? html`<${Note} tone="bad" title=${t("The model could not look at it")}><p>${error}</p><//>`
        : html`<ul class="test__facts small soft number">
            <li>
              <${Icon}
                name="crosshair"
              />${there.length ? there.map(([label, n]) => `${n} × ${label}`).join(", ") : t("nothing found")}
            </li>
            <li title=${t("From the decoded picture to the message")}>
              <${Icon} name="zap" />${milliseconds(latency)}
            </li>
            <li title=${t("Inside the model")}><${Icon} name="cpu" />${milliseconds(inference)}</li>
          </ul>`
    }
    ${!error && messages.length === 0 && html`<${Note} tone="info">${t("Nothing would be sent: all outputs are switched off.")} <a href=${to("output")}>${t("To the outputs")}</a><//>`}
    ${messages.map(
      ({ topic, payload }, index) =>
        html`<div class="test__message" key=${topic}>
          <div class="test__topic">
            <${Icon} name="send" /><${Copyable} label=${t("Copy the topic")}>${topic}<//
            ><span class="small soft number">${bytes(new Blob([payload]).size)}</span>
          </div>
          <${JsonView}
            text=${payload}
            label=${t("Message on {topic}", { topic })}
            open=${index === 0 ? 3 : 2}
            height="20rem"
          />
        </div>`,
    )}
  </section>`;
}
