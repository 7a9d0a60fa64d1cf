// A form made of a part of the schema: what is said in the file, and the default where nothing is.
import { Field, Select, Switch } from "../../components/field.js";
import { t } from "../../i18n.js";
import { cls, html, useEffect, useState } from "../../view.js";

// Words of options, by name or by "Part.name" where a name has two meanings. An option that is not here yet is called
// by its name, and explained by the schema.
const LABELS = {
  "ChangeTrigger.enabled": () => t("Look only when the picture changes"),
  "LoggerOptions.enabled": () => t("On"),
  "RollbackOptions.errors": () => t("Frames that it could not look at"),
  "RollbackOptions.minutes": () => t("Watched for (minutes)"),
  "ShadowOptions.frames": () => t("Frames of each camera"),
  "ShadowOptions.minutes": () => t("At most (minutes)"),
  artefact: () => t("Kind of file"),
  certificate: () => t("Certificate"),
  credit_window: () => t("Frames on their way at most"),
  device: () => t("Device"),
  enabled: () => t("On"),
  fps: () => t("Pictures a second"),
  frozen_timeout_s: () => t("Same picture for (s)"),
  height: () => t("Height (pixels)"),
  image_threshold: () => t("Share of changed pixels (%)"),
  inference_limit_ms: () => t("At least between two looks (ms)"),
  interval_ms: () => t("Every (ms)"),
  keep_days: () => t("Keep for days"),
  keep_mb: () => t("Keep at most (MB)"),
  keep_pictures: () => t("Keep at most (pictures)"),
  loop: () => t("Again from the start at its end"),
  max_slowdown: () => t("Most slowdown"),
  mb_per_day: () => t("At most a day (MB)"),
  min_agreement: () => t("Least agreement"),
  min_share_of_frames: () => t("Least share of frames"),
  name: () => t("Name"),
  on_change: () => t("Changes in the picture"),
  open_timeout_s: () => t("No stream for (s)"),
  pace: () => t("Pace"),
  path: () => t("Path"),
  picture_timeout_s: () => t("No picture for (s)"),
  pixel_threshold: () => t("Change of a pixel (of 255)"),
  policy: () => t("What happens"),
  poll_s: () => t("Look every (s)"),
  read_timeout_s: () => t("No data for (s)"),
  resize_quality: () => t("Resizing"),
  seed: () => t("Seed"),
  snapshots: () => t("Keep a picture of each event"),
  transport: () => t("Transport"),
  url: () => t("Address (URL)"),
  watchdog: () => t("When a silent camera counts as broken"),
  width: () => t("Width (pixels)"),
};

const HELPS = {
  Device: () => t("This box."),
  UpdateOptions: () => t("What happens when the project has a new model."),
  ShadowOptions: () => t("Trying a new model beside the one in force, on the same live frames."),
  RollbackOptions: () => t("Watching a model that was just put in force."),
  SampleLimits: () => t("How much is kept on the disk; the least valuable goes first, what was uploaded before it."),
  "Camera.credit_window": () => t("Empty: two for each process that infers."),
  "Camera.inference_limit_ms": () => t("0: every picture that can be processed."),
  "Camera.on_change": () => "",
  "Camera.resize_quality": () => "",
  "Camera.snapshots": () => t("Published over MQTT when an event starts; kept for a day."),
  "Camera.watchdog": () => t("It is then connected anew. Slow cameras need larger numbers."),
  "ChangeTrigger.enabled": () => t("Compared with the last picture that was looked at."),
  "ChangeTrigger.image_threshold": () => t("The picture has changed when more of its pixels than this have."),
  "ChangeTrigger.pixel_threshold": () => t("A pixel has changed when its brightness differs by more than this."),
  "DemoSource.seed": () => t("Another number, other parts."),
  "Device.name": () => t("For people; its name in topics when left out."),
  "FileSource.pace": () => "",
  "FolderSource.interval_ms": () => t("0: as fast as possible, none is left out."),
  "LoggerOptions.keep_mb": () => t("The oldest rows go first when the database is larger."),
  "MjpegSource.certificate": () => t("Of an https:// address."),
  "RollbackOptions.errors": () => t("Rolled back after so many."),
  "RollbackOptions.min_share_of_frames": () =>
    t("Rolled back when it gets through less than this share of the frames that the one before got through: it is too slow for the cameras."),
  "RollbackOptions.minutes": () => "",
  "RtspSource.transport": () => "",
  "ShadowOptions.frames": () => t("A trial ends after so many ..."),
  "ShadowOptions.max_slowdown": () => t("... and a run takes no more times as long, or the box keeps up all the same."),
  "ShadowOptions.min_agreement": () => t("Promoted by itself when at least so many frames show the same ..."),
  "ShadowOptions.minutes": () => t("... or after so long; one without a single frame goes on."),
  "StillSource.certificate": () => t("Of an https:// address."),
  "UpdateOptions.artefact": () => t("float32 is exact everywhere; int8 is smaller, and faster on boards without a large CPU."),
  "UpdateOptions.policy": () => "",
  "UpdateOptions.poll_s": () => t("About so long between two looks."),
  "V4l2Source.device": () => t("A name below /dev/v4l/by-id/ survives replugging; /dev/video0 may be another camera tomorrow."),
  "Watchdog.frozen_timeout_s": () => t("0: never. A still scene without noise is no fault."),
  "Watchdog.open_timeout_s": () => t("Cheap cameras need 3 to 6 s to start a stream."),
  "Watchdog.picture_timeout_s": () => t("Data come, but no picture: 10 s are possible between two whole pictures."),
  "Watchdog.read_timeout_s": () => "",
};

const CHOICES = {
  "certificate.any": () => t("Take any; most cameras sign their own"),
  "certificate.verify": () => t("Check it"),
  "pace.fast": () => t("Every picture, as fast as possible"),
  "pace.realtime": () => t("At its own speed; the newest picture counts"),
  "policy.import": () => t("Fetch and test it"),
  "policy.off": () => t("Nobody looks"),
  "policy.offer": () => t("Tell of it"),
  "policy.promote": () => t("Try it, and put it in force when it does well"),
  "policy.shadow": () => t("Try it beside the one in force"),
  "resize_quality.exact": () => t("As in training"),
  "resize_quality.fast": () => t("Fast, with averages"),
  "transport.auto": () => t("TCP first, UDP where that is refused"),
  "transport.tcp": () => "TCP",
  "transport.udp": () => "UDP",
};

/** What an option is called: `update_every_s` of no known name is "Update every (s)". */
export function labelOf(name, part = "") {
  const known = LABELS[`${part}.${name}`] ?? LABELS[name];
  if (known) return known();
  const unit = /_(s|ms|mb)$/.exec(name)?.[1];
  const words = name.replace(/_(s|ms|mb)$/, "").replaceAll("_", " ");
  return `${words[0].toUpperCase()}${words.slice(1)}${unit ? ` (${unit === "mb" ? "MB" : unit})` : ""}`;
}

/** What a part of the settings, or one option of it, is about. */
export function aboutOf(whole, part, name) {
  const own = HELPS[name ? `${part}.${name}` : part];
  const shape = name ? whole.$defs[part].properties[name] : whole.$defs[part];
  return own ? own() : (shape.description ?? "");
}

const refOf = (shape) => shape.$ref?.split("/").pop();

function resolve(whole, shape) {
  // "number or null": null is what is left out.
  const [one, ...more] = (shape.anyOf ?? []).filter(({ type }) => type !== "null");
  if (one && more.length === 0) return resolve(whole, { ...shape, anyOf: undefined, ...one });
  return shape.$ref ? { ...whole.$defs[refOf(shape)], ...shape } : shape;
}

/**
 * {whole (schema), part (its name), value, path (of the part in the file), onChange(path, value), disabled,
 * errors: (path text) => reasons, skip: [names], helps: {name: text in place of its own},
 * live (each letter is taken over, not the whole when it is left)}
 */
export function SchemaForm({ whole, part, value = {}, path, onChange, disabled, errors, skip = [], helps = {}, live = false }) {
  const shape = whole.$defs[part];
  const isGroup = ([, one]) => Boolean(resolve(whole, one).properties);
  const shown = Object.entries(shape.properties).filter(([name]) => !skip.includes(name));
  return html`<div class="schema-form">
    ${[...shown.filter((one) => !isGroup(one)), ...shown.filter(isGroup)]
      .map(([name, one]) => html`<${Property} key=${name} ...${{ whole, part, name, shape: one, value: value?.[name], path: [...path, name], onChange, disabled, errors, live, help: helps[name], required: shape.required?.includes(name) }} />`)}
  </div>`;
}

function Property({ whole, part, name, shape: given, value, path, onChange, disabled, errors, live, help, required }) {
  const shape = resolve(whole, given);
  const where = path.join(".");
  const fallback = given.default;
  const about = help ?? aboutOf(whole, part, name);
  const shared = { label: labelOf(name, part), help: about, error: errors(where), disabled };
  const set = (next) => onChange(path, next);
  if (shape.properties) {
    return html`<fieldset class="schema-form__group">
      <legend class="schema-form__legend">${labelOf(name, part)}</legend>
      ${about && html`<p class="field__help">${about}</p>`}
      <${SchemaForm} ...${{ whole, part: refOf(given), value: value ?? {}, path, onChange, disabled, errors, live }} />
    </fieldset>`;
  }
  if (shape.type === "boolean") return html`<div class="schema-form__wide"><${Switch} ...${shared} checked=${value ?? fallback} onInput=${set} /></div>`;
  if (shape.enum) {
    const options = shape.enum.map((one) => ({ value: one, label: CHOICES[`${name}.${one}`]?.() ?? one }));
    return html`<${Select} ...${shared} class=${cls(live && "schema-form__wide")} value=${value ?? fallback} options=${options} onInput=${set} />`;
  }
  if (shape.type === "number" || shape.type === "integer") {
    const limits = { min: shape.minimum ?? shape.exclusiveMinimum, max: shape.maximum, step: shape.type === "integer" ? 1 : "any" };
    return html`<${Typed} ...${shared} type="number" ...${limits} value=${value} placeholder=${String(fallback ?? "")} onCommit=${(n) => set(n === null ? undefined : n)} />`;
  }
  if (shape.type === "string") {
    return html`<${Typed} ...${shared} class=${cls(live && "schema-form__wide")} live=${live} required=${required} value=${value} placeholder=${fallback ?? ""} maxlength=${shape.maxLength} onCommit=${(text) => set(text === "" ? undefined : text)} />`;
  }
  return null; // lists and unions are edited as text
}

/** Typed in peace, taken over when it is left. */
function Typed({ value, onCommit, live, ...rest }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const onInput = (next) => {
    setTyped(next);
    if (live) onCommit(next);
  };
  return html`<${Field} value=${typed} onInput=${onInput} onCommit=${(next) => next !== value && onCommit(next)} ...${rest} />`;
}
