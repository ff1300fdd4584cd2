// Answers as JSON: schemas to begin with, and an object that fills in with its parts judged as they close.
import { h, soon } from "./dom.js";

const object = (properties, required = Object.keys(properties)) => ({ type: "object", properties, required });
const list = (items) => ({ type: "array", items });
const number = { type: "number" };
const string = { type: "string" };

export const EXAMPLES = {
  Chapters: object({ title: string, chapters: list(object({ start: number, end: number, title: string, summary: string })) }),
  Captions: object({ language: string, segments: list(object({ start: number, end: number, text: string })) }, ["segments"]),
  Overview: object({ summary: string, keywords: list(string), number_of_scenes: { type: "integer" }, scenes: list(object({ start: number, end: number, description: string })) }),
};

const MOST_NODES = 1500;
const child = (pointer, key) => `${pointer}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;

export class LiveObject {
  /** @param {(work: () => void) => void} drawn does the work of drawing, which changes how much there is to see */
  constructor(drawn) {
    this.box = h("div", { class: "tree", tabIndex: 0, role: "region", "aria-label": "The answer as JSON" });
    this.tree = undefined;
    this.judged = new Map();
    this.draw = soon(() => drawn(() => this.redraw()));
  }

  grown(tree) {
    this.tree = tree;
    this.draw();
  }

  judge(pointer, valid) {
    if (valid !== null) this.judged.set(pointer, valid);
    this.draw();
  }

  clear() {
    this.tree = undefined;
    this.judged.clear();
    this.draw();
  }

  redraw() {
    this.left = MOST_NODES;
    this.box.replaceChildren(...(this.tree === undefined ? [] : this.lines(this.tree, "", null, "")));
  }

  /** A value as lines; beyond so many the rest is one line. */
  lines(value, pointer, key, comma) {
    if (--this.left < 0) return this.left === -1 ? [h("div", {}, "…")] : [];
    const name = key === null ? [] : [h("span", { class: "key" }, JSON.stringify(key)), ": "];
    const valid = this.judged.get(pointer);
    const mark = valid === undefined ? "" : valid ? "valid" : "invalid";
    const say = valid === undefined ? [] : [h("span", { class: "sr" }, valid ? "valid: " : "not valid: ")];
    if (typeof value !== "object" || value === null) return [h("div", { class: mark }, ...say, ...name, JSON.stringify(value) ?? "", comma)];
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    const entries = Object.entries(value);
    const inner = entries.flatMap(([each, one], n) =>
      this.lines(one, child(pointer, each), Array.isArray(value) ? null : each, n + 1 < entries.length ? "," : ""),
    );
    if (!entries.length) return [h("div", { class: mark }, ...say, ...name, open, close, comma)];
    return [h("div", { class: mark }, ...say, ...name, open), h("div", { class: "in" }, ...inner), h("div", {}, close, comma)];
  }
}

/** What the verdict says, for people. */
export function verdict(validation) {
  if (!validation) return null;
  if (validation.valid) return h("p", { class: "good" }, "Valid: every part keeps the schema.");
  if (validation.repaired_valid) return h("p", { class: "good" }, `Valid, once ${validation.repaired.join(", ").replaceAll("_", " ")} is taken away.`);
  const items = validation.errors.map((error) => h("li", {}, h("code", {}, error.pointer || "/"), ` ${error.message}`));
  return h("div", {}, h("p", { class: "bad" }, `Not valid: ${validation.error_count} ${validation.error_count === 1 ? "place" : "places"}.`), h("ul", { class: "verdict" }, ...items));
}
