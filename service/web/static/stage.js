// The picture: a video with captions drawn on it, how they look, and the same cues in a text track.
import { h } from "./dom.js";

const LOOKS = "fanlight-captions";

export class Stage {
  constructor({ video, captions, looks, unseen }) {
    Object.assign(this, { video, captions, looks, unseen });
    this.track = null;
    this.mirrored = new Map();
    this.url = null;
    this.wear(JSON.parse(localStorage.getItem(LOOKS) ?? "{}"));
    looks.addEventListener("change", () => this.chosen());
  }

  /** Show a file, or say why there is none. @param {?Blob|string} source @param {string} [why] */
  show(source, why = "") {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = source instanceof Blob ? URL.createObjectURL(source) : null;
    this.video.hidden = !source;
    this.unseen.hidden = Boolean(source);
    this.unseen.replaceChildren(why);
    this.video.replaceChildren();
    if (source) this.video.src = this.url ?? source;
    else this.video.removeAttribute("src");
    this.clear();
  }

  wear(looks) {
    for (const select of this.looks.querySelectorAll("select")) {
      if ([...select.options].some((option) => option.value === looks[select.name])) select.value = looks[select.name];
      this.put(select.name, select.value);
    }
  }

  chosen() {
    const looks = Object.fromEntries([...this.looks.querySelectorAll("select")].map((select) => [select.name, select.value]));
    localStorage.setItem(LOOKS, JSON.stringify(looks));
    this.wear(looks);
  }

  put(name, value) {
    if (name === "place") this.captions.setAttribute("place", value);
    else this.captions.style.setProperty(`--fanlight-${name}`, value);
  }

  /** The cues as the player's own, too: for full screen, picture in picture and assistive technology. */
  mirror(message) {
    this.track ??= this.video.addTextTrack("captions", "Fanlight", "en");
    if (message.kind === "reset") return this.clear();
    if (message.kind !== "caption") return;
    const shown = this.mirrored.get(message.id);
    if (shown) this.track.removeCue(shown);
    this.mirrored.delete(message.id);
    if (message.state === "retracted") return;
    const cue = new VTTCue(message.start, message.end ?? message.start + 7, message.text.replace(/[&<]/g, (sign) => (sign === "&" ? "&amp;" : "&lt;")));
    this.track.mode = "hidden";
    this.track.addCue(cue);
    this.mirrored.set(message.id, cue);
  }

  clear() {
    for (const cue of this.mirrored.values()) this.track.removeCue(cue);
    this.mirrored.clear();
  }

  seek(seconds) {
    this.video.currentTime = Math.max(0, Math.min(seconds, this.video.duration || seconds));
  }

  toggle() {
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }
}

const PICTURE_PATIENCE_MS = 8000;

/** Pictures out of a video that nobody sees, one after the other. */
export class Thumbnails {
  constructor(video) {
    this.source = video;
    this.queue = [];
    this.busy = false;
    this.shadow = h("video", { muted: true, preload: "auto", playsInline: true });
  }

  /** A canvas that is filled when its picture is there. @param {number} seconds */
  at(seconds) {
    const canvas = h("canvas", { width: 176, height: 99, role: "presentation" });
    this.queue.push({ canvas, seconds });
    this.work();
    return canvas;
  }

  async work() {
    if (this.busy || !this.source.src) return;
    this.busy = true;
    for (let next; (next = this.queue.shift()); ) await this.draw(next);
    this.busy = false;
  }

  async draw({ canvas, seconds }) {
    const { shadow, source } = this;
    if (shadow.src !== source.src) {
      shadow.src = source.src;
      await this.comes("loadeddata");
    }
    shadow.currentTime = seconds;
    await this.comes("seeked");
    if (shadow.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) await this.comes("canplay");
    canvas.getContext("2d")?.drawImage(shadow, 0, 0, canvas.width, canvas.height);
  }

  /** Wait for an event, or for the fault that keeps it away. */
  comes(name) {
    const control = new AbortController();
    const enough = setTimeout(() => control.abort(), PICTURE_PATIENCE_MS);
    return new Promise((resolve) => {
      for (const each of [name, "error"]) this.shadow.addEventListener(each, resolve, { signal: control.signal });
      control.signal.addEventListener("abort", resolve);
    }).finally(() => (clearTimeout(enough), control.abort()));
  }
}
