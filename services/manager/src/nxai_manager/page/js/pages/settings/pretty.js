// settings.json as the box writes it: two spaces, lists of numbers in one line.
const WIDE = 96;

const flat = (value) => value === null || typeof value !== "object";

/** {"a": [1, 2]} as text. */
export function pretty(value, indent = "") {
  if (flat(value)) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    const short = value.every((one) => flat(one) || (Array.isArray(one) && one.every(flat)));
    const line = short ? `[${value.map((one) => (flat(one) ? JSON.stringify(one) : `[${one.map((x) => JSON.stringify(x)).join(", ")}]`)).join(", ")}]` : "";
    if (short && indent.length + line.length <= WIDE) return line;
    return `[\n${value.map((one) => inner + pretty(one, inner)).join(",\n")}\n${indent}]`;
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return "{}";
  const small = entries.length <= 4 && entries.every(([, one]) => flat(one));
  const line = small ? `{${entries.map(([key, one]) => `${JSON.stringify(key)}: ${JSON.stringify(one)}`).join(", ")}}` : "";
  if (small && indent && indent.length + line.length <= 72) return line;
  return `{\n${entries.map(([key, one]) => `${inner}${JSON.stringify(key)}: ${pretty(one, inner)}`).join(",\n")}\n${indent}}`;
}

/** The whole document as a file. */
export const written = (document) => `${pretty(document)}\n`;

/** The document with the value at a path changed; undefined takes it away. */
export function changed(document, [key, ...rest], value) {
  const copy = Array.isArray(document) ? [...document] : { ...document };
  const next = rest.length ? changed(copy[key] ?? {}, rest, value) : value;
  if (next === undefined) delete copy[key];
  else copy[key] = next;
  return copy;
}
