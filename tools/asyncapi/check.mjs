// Reads an AsyncAPI document with the official parser; prints what it says of it, one JSON a line.
// Exit 1 when it says anything at all.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const path = process.argv[2];
const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"), {
  source: path,
});
for (const { severity, code, message, path: where } of diagnostics) {
  console.log(JSON.stringify({ severity, code, message, where: where.join("/") }));
}
process.exit(document && diagnostics.length === 0 ? 0 : 1);
