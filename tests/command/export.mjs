// Prints what JavaScript's automerge reads in a file: node export.mjs MODULE FILE
import { readFileSync } from "node:fs";

const { load } = await import(process.argv[2]);

function plain(value) {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  const kind = value.constructor?.name;
  if (kind === "Counter") return plain(value.value);
  if (kind === "RawString" || kind === "ImmutableString") return value.val;
  return Object.fromEntries(Object.entries(value).map(([key, below]) => [key, plain(below)]));
}

console.log(JSON.stringify(plain(load(readFileSync(process.argv[3])))));
