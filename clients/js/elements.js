/**
 * Captions and answers of Fanlight streams as custom elements: one tag, no code.
 *
 *   <script type="module" src="https://fanlight.example/static/elements.js"></script>
 *   <video id="clip" src="clip.mp4" controls></video>
 *   <fanlight-captions for="clip" stream="st_…"></fanlight-captions>
 *   <fanlight-answer for="clip" stream="st_…"></fanlight-answer>
 *
 * Attributes of both: `stream` or `channel` (each stream that is started under that name takes the place of the one
 * before), `src` (the service's address; left out it is where this file came from), `ticket`, `for` (the id of a
 * media element). Both send `fanlight-state` (`detail.status`) and `fanlight-end` (`detail` is the ending). Parts and
 * custom properties are named beside each element.
 *
 * @module
 */
import { announced, watch } from "./fanlight.js";

/** @typedef {import("./fanlight.js").Caption} Caption */
/** @typedef {import("./fanlight.js").Message} Message */

// An open cue is shown until it is told when it ends, or so long.
const OPEN_CUE_S = 7;

/** The cues of a stream, by their times. */
export class CueSheet {
  constructor() {
    /** @type {Map<string, Caption>} */
    this.cues = new Map();
    /** @type {?Array<Caption>} */
    this.sorted = null;
  }

  /** Take a message of view `captions`; whether it changed what is shown. @param {Message} message */
  take(message) {
    if (message.kind === "reset") this.cues.clear();
    else if (message.kind !== "caption") return false;
    else if (message.state === "retracted") this.cues.delete(message.id);
    else this.cues.set(message.id, message);
    this.sorted = null;
    return true;
  }

  /** In the order of their times. */
  all() {
    return (this.sorted ??= [...this.cues.values()].sort((one, other) => one.start - other.start));
  }

  /** Those to be seen at a time. @param {number} seconds */
  at(seconds) {
    return this.all().filter((cue) => cue.start <= seconds && seconds < (cue.end ?? cue.start + OPEN_CUE_S));
  }
}

/** @param {string} css */
function sheet(css) {
  const made = new CSSStyleSheet();
  made.replaceSync(css);
  return made;
}

/** What both elements have in common: an address, a media element, and reading for as long as they are in a page. */
class Reader extends HTMLElement {
  static observedAttributes = ["stream", "channel", "src", "ticket", "view", "for", "mode"];
  static view = "text";
  static css = sheet("");

  constructor() {
    super();
    /** @type {?AbortController} */
    this.control = null;
    /**
     * In place of the attribute: a ticket, or a function that gives one; set it before the element is in a page.
     * @type {import("./fanlight.js").Ticket|undefined}
     */
    this.ticket = undefined;
    this.shadow = this.attachShadow({ mode: "open" });
    this.shadow.adoptedStyleSheets = [/** @type {typeof Reader} */ (this.constructor).css];
  }

  connectedCallback() {
    this.restart();
  }

  disconnectedCallback() {
    this.control?.abort();
    this.control = null;
  }

  attributeChangedCallback() {
    if (this.isConnected) this.restart();
  }

  /** The media element that `for` names. @returns {?HTMLMediaElement} */
  get media() {
    const id = this.getAttribute("for");
    const root = /** @type {Document|ShadowRoot} */ (this.getRootNode());
    return id ? /** @type {?HTMLMediaElement} */ (root.getElementById(id)) : null;
  }

  restart() {
    this.control?.abort();
    const control = (this.control = new AbortController());
    // Attributes that change together are one change.
    queueMicrotask(() => {
      if (control.signal.aborted) return;
      this.begin(control.signal);
      this.read(control.signal).catch((error) => control.signal.aborted || this.fail(error));
    });
  }

  /** @param {AbortSignal} signal */
  begin(signal) {
    this.state("connecting");
  }

  /** @param {AbortSignal} signal */
  async read(signal) {
    const stream = this.getAttribute("stream");
    const channel = this.getAttribute("channel");
    const options = { base: this.getAttribute("src") ?? undefined, ticket: this.ticket ?? this.getAttribute("ticket") ?? undefined };
    if (stream) return this.follow(stream, { ...options, signal });
    if (!channel) return this.state("idle");
    this.state("waiting");
    let latest = new AbortController();
    signal.addEventListener("abort", () => latest.abort(), { once: true });
    for await (const started of announced(channel, { ...options, signal })) {
      latest.abort();
      const mine = (latest = new AbortController());
      this.clear();
      this.follow(started.stream, { ...options, signal: mine.signal }).catch((error) => mine.signal.aborted || this.fail(error));
    }
  }

  /** @param {string} stream @param {Record<string, any>} options */
  async follow(stream, options) {
    const { view } = /** @type {typeof Reader} */ (this.constructor);
    const wanted = /** @type {any} */ (this.getAttribute("view") ?? view);
    for await (const message of watch(stream, { ...options, view: wanted })) {
      if (message.kind === "attached") this.state(message.status);
      if (message.kind === "lost") this.state("connecting");
      this.take(message);
      if (message.kind !== "end") continue;
      this.state(message.status);
      this.dispatchEvent(new CustomEvent("fanlight-end", { detail: message, bubbles: true, composed: true }));
    }
  }

  /** @param {Message} message */
  take(message) {}

  clear() {}

  /** @param {any} error */
  fail(error) {
    this.state("error", error);
  }

  /** @param {string} status @param {?Error} error */
  state(status, error = null) {
    if (this.dataset.status === status) return;
    this.dataset.status = status;
    this.dispatchEvent(new CustomEvent("fanlight-state", { detail: { status, error }, bubbles: true, composed: true }));
  }
}

/**
 * `<fanlight-captions>`: captions as they come, at the time of a media element, or the latest ones without it.
 *
 * `for` and `mode="overlay"` (the usual one): lies over the media element where both are in one positioned box.
 * `mode="bar"`: a live text bar with the latest lines. Set `--fanlight-size` (1 is usual), `--fanlight-color`,
 * `--fanlight-background`, `--fanlight-font`, `--fanlight-lines` (2). Parts: `box`, `line`.
 */
export class FanlightCaptions extends Reader {
  static view = "captions";
  static css = sheet(`
    :host { display: block; container-type: inline-size; pointer-events: none; }
    :host([hidden]) { display: none; }
    :host(:not([mode="bar"])) { position: absolute; inset-inline: 4%; inset-block-end: max(8%, 4.6rem); }
    :host([mode="overlay"][place="top"]) { inset-block: 5% auto; }
    .box { display: flex; flex-direction: column; justify-content: flex-end; align-items: center; overflow: hidden;
      max-block-size: calc(var(--fanlight-lines, 2) * 1.4em);
      font: 500 calc(clamp(14px, 3.6cqi, 40px) * var(--fanlight-size, 1))/1.4 var(--fanlight-font, system-ui, sans-serif);
      color: var(--fanlight-color, #fff); text-align: center; text-wrap: balance; }
    :host([mode="bar"]) .box { align-items: stretch; text-align: start; text-wrap: pretty; block-size: calc(var(--fanlight-lines, 2) * 1.4em); }
    .line { background: var(--fanlight-background, rgb(0 0 0 / 78%)); padding-inline: .35em; border-radius: .15em;
      box-decoration-break: clone; -webkit-box-decoration-break: clone; overflow-wrap: anywhere; }
    p { margin: 0; flex: none; }
  `);

  constructor() {
    super();
    this.sheet = new CueSheet();
    this.box = document.createElement("div");
    this.box.part.add("box");
    this.box.className = "box";
    this.shadow.append(this.box);
    /** @type {Array<{id: string, text: string}>} */
    this.shown = [];
  }

  /** @param {AbortSignal} signal */
  begin(signal) {
    super.begin(signal);
    this.clear();
    const { media } = this;
    const bar = this.getAttribute("mode") === "bar";
    if (bar) Object.assign(this.box, { role: "log", ariaLabel: "Captions" });
    else this.box.role = null;
    if (!media || bar) return;
    const show = () => this.show();
    for (const kind of ["timeupdate", "seeked", "emptied"]) media.addEventListener(kind, show, { signal });
    // Four times a second is too seldom for words.
    let frame = 0;
    const run = () => {
      this.show();
      if (!media.paused && !signal.aborted) frame = requestAnimationFrame(run);
    };
    media.addEventListener("play", run, { signal });
    signal.addEventListener("abort", () => cancelAnimationFrame(frame), { once: true });
    if (!media.paused) run();
  }

  clear() {
    this.sheet.take(/** @type {any} */ ({ kind: "reset" }));
    this.show();
  }

  /** @param {Message} message */
  take(message) {
    if (this.sheet.take(message)) this.show();
  }

  show() {
    const { media } = this;
    const bar = this.getAttribute("mode") === "bar" || !media;
    const cues = bar ? this.sheet.all().slice(-4) : this.sheet.at(media.currentTime);
    if (cues.length === this.shown.length && cues.every((cue, n) => cue.id === this.shown[n].id && cue.text === this.shown[n].text)) return;
    this.shown = cues.map(({ id, text }) => ({ id, text }));
    this.box.replaceChildren(
      ...cues.map((cue) => {
        const row = document.createElement("p");
        const line = document.createElement("span");
        line.part.add("line");
        line.className = "line";
        line.dir = "auto";
        line.textContent = cue.speaker ? `${cue.speaker}: ${cue.text}` : cue.text;
        row.append(line);
        return row;
      }),
    );
  }
}

// 1:02:03, 02:03 and [02:03], but neither 12:345 nor 1.02:03.
const TIMES = /(?<![\d:.])(?:(\d{1,2}):)?([0-5]?\d):([0-5]\d)(?:[.,](\d{1,3}))?(?![\d:])/g;

/** A text as pieces, of which times have `seconds`. @param {string} text @returns {Array<{text: string, seconds?: number}>} */
export function withTimes(text) {
  const pieces = [];
  let last = 0;
  for (const found of text.matchAll(TIMES)) {
    const [whole, hours = "0", minutes, seconds, fraction = "0"] = found;
    if (found.index > last) pieces.push({ text: text.slice(last, found.index) });
    pieces.push({ text: whole, seconds: Number(hours) * 3600 + Number(minutes) * 60 + Number(`${seconds}.${fraction}`) });
    last = found.index + whole.length;
  }
  if (last < text.length) pieces.push({ text: text.slice(last) });
  return pieces;
}

/**
 * `<fanlight-answer>`: a text as it grows, with its times as buttons that seek the media element (or send
 * `fanlight-seek`, `detail.seconds`); with `view="patch"` the JSON of a structured answer. Custom properties
 * `--fanlight-color`, `--fanlight-accent`, `--fanlight-font`. Parts: `text`, `time`, `note`.
 */
export class FanlightAnswer extends Reader {
  static css = sheet(`
    :host { display: block; color: var(--fanlight-color, inherit); font-family: var(--fanlight-font, inherit); }
    :host([hidden]) { display: none; }
    .text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55; }
    .note { margin: .5em 0 0; font-size: .9em; opacity: .8; }
    .note:empty { display: none; }
    button { font: inherit; font-variant-numeric: tabular-nums; color: var(--fanlight-accent, #2457c5); background: none; border: 0;
      padding: 0; cursor: pointer; text-decoration: underline dotted; text-underline-offset: .2em; }
  `);

  constructor() {
    super();
    this.text = document.createElement("div");
    this.text.part.add("text");
    this.text.className = "text";
    this.text.dir = "auto";
    this.note = document.createElement("p");
    this.note.part.add("note");
    this.note.className = "note";
    this.note.role = "status";
    this.shadow.append(this.text, this.note);
    this.rest = ""; // of a line that grows
    this.drawing = false;
    /** @type {any} */
    this.tree = null;
    this.tail = document.createElement("span");
  }

  /** @param {AbortSignal} signal */
  begin(signal) {
    super.begin(signal);
    this.clear();
  }

  clear() {
    this.rest = "";
    this.note.textContent = "";
    this.tail = document.createElement("span");
    this.text.replaceChildren(this.tail);
  }

  /** @param {Message} message */
  take(message) {
    if (message.kind === "delta") this.grow(message.text);
    if (message.kind === "reset") this.clear();
    if (message.kind === "patch") this.draw(message.tree);
    if (message.kind === "end" && message.error) this.note.textContent = message.error.message;
    if (message.kind === "end" && message.status === "length") this.note.textContent = "The answer is cut: it came to its longest length.";
  }

  /** A tree as it stands before the next picture, however many changes come until then. @param {any} tree */
  draw(tree) {
    if (!this.drawing) requestAnimationFrame(() => ((this.drawing = false), (this.tail.textContent = JSON.stringify(this.tree, null, 2))));
    this.drawing = true;
    this.tree = tree;
  }

  /** @param {any} error */
  fail(error) {
    super.fail(error);
    this.note.textContent = error.message;
  }

  /** Lines that are whole stand as they are; only the last one is made anew. @param {string} text */
  grow(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      this.tail.replaceChildren(...this.pieces(line + "\n"));
      this.tail = document.createElement("span");
      this.text.append(this.tail);
    }
    this.tail.replaceChildren(...this.pieces(this.rest));
  }

  /** @param {string} line */
  pieces(line) {
    return withTimes(line).map(({ text, seconds }) => {
      if (seconds === undefined) return document.createTextNode(text);
      const time = document.createElement("button");
      time.type = "button";
      time.part.add("time");
      time.textContent = text;
      time.onclick = () => this.seek(seconds);
      return time;
    });
  }

  /** @param {number} seconds */
  seek(seconds) {
    const { media } = this;
    if (media) media.currentTime = seconds;
    else this.dispatchEvent(new CustomEvent("fanlight-seek", { detail: { seconds }, bubbles: true, composed: true }));
  }
}

customElements.define("fanlight-captions", FanlightCaptions);
customElements.define("fanlight-answer", FanlightAnswer);
