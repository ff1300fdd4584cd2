// One stream as this page reads it: with what happened underneath, and a connection that may be cut to see it resume.
import { access } from "./api.js";
import { watch } from "./fanlight.js";

const CUT_MS = 1500;

export class Run {
  /**
   * @param {string} stream
   * @param {{view?: string, told: (message: object) => void, changed?: (run: Run) => void}} options
   */
  constructor(stream, { view = "text", told, changed = () => {} }) {
    Object.assign(this, { stream, view, told, changed });
    this.began = performance.now();
    this.facts = { pieces: 0, bytes: 0, cursor: null, firstMs: null, mode: null, resumed: [], end: null, violation: null };
    this.control = new AbortController();
    this.over = this.read();
  }

  async read() {
    for (;;) {
      this.wasCut = false;
      this.control = new AbortController();
      try {
        const options = { ...access(), view: this.view, cursor: this.facts.cursor, signal: this.control.signal };
        for await (const message of watch(this.stream, options)) {
          this.note(message);
          this.told(message);
          this.changed(this);
          if (message.kind === "end") return message;
        }
      } catch (error) {
        if (!this.wasCut) throw error;
        await new Promise((resolve) => setTimeout(resolve, CUT_MS));
        if (this.left) throw error;
      }
    }
  }

  note(message) {
    const { facts } = this;
    if (message.kind === "attached") {
      if (facts.mode !== null) facts.resumed.push({ at: facts.cursor, mode: message.mode });
      facts.mode = message.mode;
    }
    if (message.kind === "reset") facts.bytes = 0;
    if (message.kind === "violation") facts.violation = message;
    if (message.kind === "end") facts.end = message;
    if (message.kind === "delta") {
      facts.pieces += 1;
      facts.bytes = message.to;
      facts.firstMs ??= performance.now() - this.began;
    }
    facts.cursor = message.cursor ?? facts.cursor;
  }

  /** Break the connection off, as a network would, and come back with the cursor. */
  cut() {
    this.wasCut = true;
    this.control.abort();
  }

  /** Read no more. What runs goes on for the others. */
  leave() {
    this.left = true;
    this.wasCut = false;
    this.control.abort();
  }
}
