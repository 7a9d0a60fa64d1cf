// Ids made of names: what topics and addresses take.

/** "Front door" -> "front-door"; `otherwise` where nothing of the name is left. */
export const slug = (name, otherwise) =>
  name
    .toLowerCase()
    .replaceAll("ß", "ss")
    .normalize("NFKD")
    .replace(/\p{Mark}/gu, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 60) || otherwise;

/** The id, or with a number where there is one already. */
export function free(wanted, known) {
  let id = wanted;
  for (let n = 2; known.includes(id); n += 1) id = `${wanted}-${n}`;
  return id;
}
