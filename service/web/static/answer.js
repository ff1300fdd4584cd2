// A text as it grows: its times are buttons, and its sentences say where they come from.
import { h } from "./dom.js";
import { withTimes } from "./elements.js";

// The embedded engine's sentences, by what they speak of; another model's stay unmarked.
const SOURCES = [
  ["heard", /\b(voice|says|speech|said|words?)\b/i],
  ["read", /\b(on the screen|reads|written|text)\b/i],
  ["measured", /\b(sound(?! track)|silent|silence|tone|loud|dB|decibels?)\b/i],
  ["seen", /\b(picture|shot|cut|moves|motion|dark|bright|lit|colours?)\b/i],
];
const LEGEND = { heard: "heard", read: "read on the screen", measured: "measured in the sound", seen: "seen in the picture" };

function sourceOf(sentence) {
  return SOURCES.find(([, words]) => words.test(sentence))?.[0];
}

export class AnswerText {
  /** @param {HTMLElement} box @param {{seek: (seconds: number) => void, marks: boolean}} options */
  constructor(box, { seek, marks }) {
    Object.assign(this, { box, seek, marks });
    this.sources = new Set();
    this.clear();
  }

  clear() {
    this.rest = "";
    this.sources.clear();
    this.line = h("p", { dir: "auto" });
    this.box.replaceChildren(this.line);
  }

  add(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines) {
      this.fill(this.line, line);
      this.line = h("p", { dir: "auto" });
      this.box.append(this.line);
    }
    this.fill(this.line, this.rest);
  }

  over() {
    if (!this.rest) this.line.remove();
  }

  fill(line, text) {
    line.classList.toggle("preface", this.marks && /^Measured by /.test(text));
    if (!this.marks || line.classList.contains("preface")) return line.replaceChildren(...this.pieces(text));
    line.replaceChildren(
      ...text.split(/(?<=[.!?”])\s+(?=[A-Z“])/).flatMap((sentence, n) => {
        const source = sourceOf(sentence);
        if (source) this.sources.add(source);
        const span = h("span", { class: "sentence", data: source ? { source } : {} }, ...this.pieces(sentence));
        return n ? [" ", span] : [span];
      }),
    );
  }

  pieces(text) {
    return withTimes(text).map(({ text: words, seconds }) =>
      seconds === undefined ? words : h("button", { type: "button", class: "time", onclick: () => this.seek(seconds), title: "Show this moment" }, words),
    );
  }

  legend() {
    const named = Object.keys(LEGEND).filter((source) => this.sources.has(source));
    return h("p", { class: "sources" }, ...named.map((source) => h("span", { data: { source } }, h("i"), LEGEND[source])));
  }
}
