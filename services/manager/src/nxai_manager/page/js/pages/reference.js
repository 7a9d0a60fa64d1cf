// The REST interface, drawn from the OpenAPI document that the server makes of what it checks.
import { API, ask } from "../api.js";
import { Button } from "../components/button.js";
import { Field } from "../components/field.js";
import { JsonView } from "../components/json_view.js";
import { Markdown } from "../components/markdown.js";
import { Badge, Copyable, EmptyState, ErrorNote, Loaded } from "../components/panels.js";
import { t, tn } from "../i18n.js";
import { go, to } from "../router.js";
import { can, resource } from "../store.js";
import { html, useEffect, useMemo, useRef, useState } from "../view.js";

const document_ = resource("openapi.json");
const METHODS = ["get", "post", "put", "patch", "delete"];

export default function Reference({ path: [chosen] }) {
  return html`<div class="page reference">
    <header class="page__head">
      <div>
        <h1>${t("API reference")}</h1>
        <p class="page__lead">${t("Everything that this page does, programs can do, too.")}</p>
      </div>
      <${Button} icon="download" href=${`${API}openapi.json`} download="openapi.json">${t("OpenAPI document")}<//>
    </header>
    <${Loaded} of=${document_}>${(openapi) => html`<${Whole} openapi=${openapi} chosen=${chosen} />`}<//>
  </div>`;
}

/** [{tag, operations: [{id, method, path, ...operation}]}] */
function grouped(openapi, wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map(openapi.tags.map(({ name }) => [name, []]));
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const method of METHODS.filter((one) => one in methods)) {
      const operation = { ...methods[method], id: methods[method].operationId, method, path };
      const text = `${method} ${path} ${operation.summary} ${operation.description ?? ""}`.toLowerCase();
      if (words.every((word) => text.includes(word))) groups.get(operation.tags[0])?.push(operation);
    }
  }
  return [...groups].map(([tag, operations]) => ({ tag, operations })).filter(({ operations }) => operations.length);
}

function Whole({ openapi, chosen }) {
  const [wanted, setWanted] = useState("");
  const groups = useMemo(() => grouped(openapi, wanted), [openapi, wanted]);
  const count = groups.reduce((sum, { operations }) => sum + operations.length, 0);
  return html`
    <${Begin} openapi=${openapi} />
    <div class="reference__search">
      <${Field} type="search" label=${t("Search")} hideLabel icon="search" placeholder=${t("Search, e.g. cameras still")} value=${wanted} onInput=${setWanted} />
      <span class="small soft" role="status">${tn(count, "{n} operation", "{n} operations")}</span>
    </div>
    <div class="reference__body">
      <nav class="reference__tags" aria-label=${t("Groups")}>
        <ul>
          ${groups.map(({ tag, operations }) => html`<li><button type="button" onClick=${() => show(tag)}>${tag}<span class="faint number">${operations.length}</span></button></li>`)}
        </ul>
      </nav>
      <div class="stack">
        ${count === 0 && html`<${EmptyState} icon="search" title=${t("Nothing of that kind")}>${t("No operation has all these words.")}<//>`}
        ${groups.map(
          ({
            tag,
            operations,
          }) => html`<section key=${tag} id=${`tag-${tag}`} class="reference__group" tabindex="-1" aria-label=${tag}>
            <h2>${tag}</h2>
            <ul>
              ${operations.map((one) => html`<li key=${one.id}><${Operation} ...${{ openapi, operation: one, chosen: one.id === chosen }} /></li>`)}
            </ul>
          </section>`,
        )}
      </div>
    </div>
  `;
}

function show(tag) {
  const section = document.getElementById(`tag-${tag}`);
  section.scrollIntoView({ block: "start" });
  section.focus({ preventScroll: true });
}

const base = () => new URL(API, document.baseURI).href;

const Begin = ({ openapi }) => html`<section class="reference__begin stack">
  <${Markdown} text=${openapi.info.description} />
  <div class="row">
    <span class="soft small">${t("Address")}</span>
    <${Copyable}>${base()}<//>
  </div>
  <p class="small soft">
    ${t("The examples read the token from NXAI_TOKEN.")} <a href=${to("settings", "accounts")}>${t("Make a token")}</a>
  </p>
</section>`;

function Operation({ openapi, operation, chosen }) {
  const { id, method, path, summary } = operation;
  const [open, setOpen] = useState(chosen);
  const ref = useRef(null);
  useEffect(() => {
    if (!chosen) return;
    setOpen(true);
    ref.current.scrollIntoView({ block: "start" });
  }, [chosen]);
  return html`<details
    class="operation"
    ref=${ref}
    open=${open}
    onToggle=${(event) => {
      setOpen(event.currentTarget.open);
      if (event.currentTarget.open && !chosen) go(to("reference", id), { replace: true });
    }}
  >
    <summary>
      <span class=${`method method--${method}`}>${method.toUpperCase()}</span>
      <span class="operation__path code">${path}</span>
      <span class="operation__summary soft">${coded(summary)}</span>
    </summary>
    ${open && html`<${Details} ...${{ openapi, operation }} />`}
  </details>`;
}

function Details({ openapi, operation }) {
  const { description, parameters = [], requestBody, responses } = operation;
  const scope = operation["x-scope"];
  const [good, problems] = [
    Object.entries(responses).filter(([code]) => code < "400"),
    Object.entries(responses).filter(([code]) => code >= "400"),
  ];
  const body = requestBody && Object.entries(requestBody.content)[0];
  return html`<div class="operation__details stack">
    ${description && html`<${Markdown} text=${description} />`}
    <p class="small">
      ${scope ? html`${t("Needs the right")} <${Badge} tone="info">${scope}<//>` : html`<${Badge}>${t("Needs no login")}<//>`}
    </p>
    ${
      parameters.length > 0 &&
      html`<div>
      <h3>${t("Parameters")}</h3>
      <${Properties} openapi=${openapi} items=${parameters.map((one) => ({ name: one.name, schema: { description: one.description, ...one.schema }, required: one.required, note: one.in === "path" ? t("in the address") : "" }))} />
    </div>`
    }
    ${
      body &&
      html`<div>
      <h3>${t("Body")} <span class="small soft code">${body[0]}</span></h3>
      <${Shape} openapi=${openapi} schema=${body[1].schema} />
    </div>`
    }
    ${good.map(([code, response]) => {
      const content = response.content && Object.entries(response.content)[0];
      return html`<div>
        <h3>${t("Answer")} ${code} ${content && html`<span class="small soft code">${content[0]}</span>`}</h3>
        <p class="small soft">${coded(response.description)}</p>
        ${content && /json/.test(content[0]) && html`<${Shape} openapi=${openapi} schema=${content[1].schema} answer />`}
      </div>`;
    })}
    <details class="small">
      <summary>${t("When it fails")}</summary>
      <dl class="operation__errors">
        ${problems.map(([code, { description: why }]) => html`<div><dt class="number">${code}</dt><dd>${coded(why)}</dd></div>`)}
      </dl>
    </details>
    <div>
      <h3>${t("Example")}</h3>
      <${Copyable} block label=${t("Copy the command")}>${curl(openapi, operation)}<//>
    </div>
    <${Try} operation=${operation} />
  </div>`;
}

// -- schemas -------------------------------------------------------------------------------------

function resolved(openapi, schema) {
  if (!schema?.$ref) return schema ?? {};
  const { $ref, ...rest } = schema;
  return { ...openapi.components.schemas[$ref.split("/").pop()], ...rest };
}

const nullable = ({ anyOf = [] }) => anyOf.some(({ type }) => type === "null");
const withoutNull = (schema) => {
  const members = schema.anyOf?.filter(({ type }) => type !== "null");
  return members?.length === 1
    ? { ...members[0], ...(schema.description ? { description: schema.description } : {}) }
    : schema;
};

/** What a value is, in words. */
function words(openapi, schema) {
  const bare = withoutNull(schema);
  const suffix = nullable(schema) ? ` ${t("or null")}` : "";
  return bareWords(openapi, bare) + suffix;
}

function bareWords(openapi, schema) {
  const members = schema.anyOf ?? schema.oneOf;
  if (members) return members.map((one) => words(openapi, one)).join(` ${t("or")} `);
  const real = resolved(openapi, schema);
  if (real.enum) return real.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in real) return JSON.stringify(real.const);
  if (real.type === "array")
    return t("list of {what}", { what: real.items ? words(openapi, real.items) : t("anything") });
  if (real.type === "object") return real.title && schema.$ref ? real.title : t("object");
  const kinds = {
    string: t("text"),
    integer: t("whole number"),
    number: t("number"),
    boolean: t("true or false"),
    null: "null",
  };
  const limits = [real.minimum ?? real.exclusiveMinimum, real.maximum ?? real.exclusiveMaximum];
  const range = limits.some((one) => one !== undefined) ? ` ${limits[0] ?? ""}…${limits[1] ?? ""}` : "";
  return (kinds[real.type] ?? t("anything")) + (real.format === "date-time" ? ` (${t("time")})` : "") + range;
}

/** The schema behind a value that has properties of its own, if any: the object, or that of its list. */
function inner(openapi, schema) {
  let real = resolved(openapi, withoutNull(schema));
  while (real.type === "array") real = resolved(openapi, withoutNull(real.items ?? {}));
  return real.properties || real.oneOf || real.anyOf?.some((one) => one.$ref) ? real : null;
}

function Shape({ openapi, schema, answer }) {
  const real = inner(openapi, schema);
  if (!real) return html`<p class="small code">${words(openapi, schema)}</p>`;
  if (!real.properties) {
    const members = (real.oneOf ?? real.anyOf).filter((one) => one.$ref);
    return html`<ul class="stack">
      ${members.map((one) => html`<li><${Nested} title=${words(openapi, one)} openapi=${openapi} schema=${one} answer=${answer} /></li>`)}
    </ul>`;
  }
  const items = Object.entries(real.properties).map(([name, one]) => ({
    name,
    schema: one,
    required: !answer && real.required?.includes(name),
  }));
  return html`<${Properties} ...${{ openapi, items, answer }} />`;
}

const Properties = ({ openapi, items, answer }) =>
  html`<ul class="properties">
    ${items.map(({ name, schema, required, note }) => {
      const real = resolved(openapi, schema);
      const deeper = inner(openapi, schema);
      return html`<li>
        <div class="properties__head">
          <code class="strong">${name}</code>
          <span class="small soft">${words(openapi, schema)}</span>
          ${required && html`<span class="tiny properties__needed">${t("required")}</span>`}
          ${note && html`<span class="tiny faint">${note}</span>`}
          ${schema.default !== undefined && schema.default !== null && !required && html`<span class="tiny faint">${t("left out")}: <code>${JSON.stringify(schema.default)}</code></span>`}
        </div>
        ${(schema.description ?? real.description) && html`<p class="small">${coded(schema.description ?? real.description)}</p>`}
        ${deeper && html`<${Nested} title=${deeper.title ?? t("Fields")} openapi=${openapi} schema=${deeper} answer=${answer} />`}
      </li>`;
    })}
  </ul>`;

function Nested({ title, openapi, schema, answer }) {
  const [open, setOpen] = useState(false);
  return html`<details class="properties__nested" open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary class="small">${title}</summary>
    ${open && html`<${Shape} ...${{ openapi, schema, answer }} />`}
  </details>`;
}

/** A value that fits a schema: what must be there, as simple as it can be. */
function sample(openapi, schema, depth = 0) {
  const real = resolved(openapi, withoutNull(schema));
  if (real.default !== undefined && real.default !== null) return real.default;
  if (real.examples?.length) return real.examples[0];
  if ("const" in real) return real.const;
  if (real.enum) return real.enum[0];
  const members = real.oneOf ?? real.anyOf;
  if (members) return sample(openapi, members[0], depth);
  switch (real.type) {
    case "object": {
      if (depth > 4 || !real.properties) return {};
      const all = Object.entries(real.properties);
      const needed = all.filter(([name]) => real.required?.includes(name));
      return Object.fromEntries(
        (needed.length ? needed : all.slice(0, 1)).map(([name, one]) => [name, sample(openapi, one, depth + 1)]),
      );
    }
    case "array":
      return real.minItems ? [sample(openapi, real.items ?? {}, depth + 1)] : [];
    case "boolean":
      return true;
    case "integer":
    case "number":
      return real.minimum ?? (real.exclusiveMinimum ?? 0) + 1;
    case "string":
      return real.format === "date-time" ? new Date().toISOString().slice(0, 19) + "Z" : "...";
    default:
      return null;
  }
}

/** Text in which `this` is code. */
const coded = (text) => text.split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(openapi, { method, path, security, requestBody, parameters = [], responses }) {
  const query = parameters.filter((one) => one.in === "query" && one.required).map(({ name }) => `${name}=...`);
  const url = base().replace(/\/$/, "") + path + (query.length ? `?${query.join("&")}` : "");
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${quoted(url)}`];
  if (security?.length) lines.push(`-H "Authorization: Bearer $NXAI_TOKEN"`);
  if (requestBody) {
    const [kind, { schema }] = Object.entries(requestBody.content)[0];
    lines.push(`-H ${quoted(`Content-Type: ${kind}`)}`);
    lines.push(/json/.test(kind) ? `-d ${quoted(JSON.stringify(sample(openapi, schema)))}` : "--data-binary @file");
  }
  const [, answer] = Object.entries(responses).find(([code]) => code < "300") ?? [];
  if (answer?.content && !Object.keys(answer.content).some((kind) => /json/.test(kind))) lines.push("-o answer");
  return lines.join(" \\\n  ");
}

/** Ask it now, for questions that change nothing. */
function Try({ operation }) {
  const { method, path, parameters = [], responses } = operation;
  const [answer, setAnswer] = useState(undefined);
  const [error, setError] = useState(null);
  const [given, setGiven] = useState({});
  const answersJson = Object.entries(responses).some(
    ([code, { content }]) => code < "300" && content && /json/.test(Object.keys(content)[0]),
  );
  if (method !== "get" || !answersJson) return null;
  const asked = parameters.filter((one) => one.in === "path" || one.required);
  const scope = operation["x-scope"];
  async function run() {
    setError(null);
    try {
      const where = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(given[name] ?? ""));
      const query = Object.fromEntries(
        asked.filter((one) => one.in === "query").map(({ name }) => [name, given[name]]),
      );
      setAnswer(await ask("GET", where, { query }));
    } catch (reason) {
      setAnswer(undefined);
      setError(reason);
    }
  }
  return html`<form class="stack" onSubmit=${(event) => (event.preventDefault(), run())}>
    <div class="row row--end-bottom">
      ${asked.map(({ name }) => html`<${Field} label=${name} value=${given[name]} onInput=${(value) => setGiven({ ...given, [name]: value })} code required />`)}
      <${Button} type="submit" size="s" icon="play" disabled=${scope && !can(scope)} why=${t("You may not do this.")}>${t("Ask now")}<//>
    </div>
    <${ErrorNote} error=${error} />
    ${answer !== undefined && html`<${JsonView} value=${answer} label=${t("Answer")} height="20rem" />`}
  </form>`;
}
