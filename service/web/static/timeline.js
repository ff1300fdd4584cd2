// The time of a video as tracks: what was found where, how far it was looked at, and where the picture stands.
import { clock, h, soon } from "./dom.js";

const TRACKS = [
  { id: "shots", label: "Shots", pictures: true },
  { id: "speech", label: "Speech" },
  { id: "texts", label: "On screen" },
  { id: "things", label: "Things" },
  { id: "moves", label: "Movement" },
  { id: "sounds", label: "Sounds" },
];

export class Timeline {
  /** @param {HTMLElement} box @param {{seek: (seconds: number) => void, thumbnail: (seconds: number) => Node}} on */
  constructor(box, on) {
    this.on = on;
    this.duration = 0;
    this.reached = 0;
    this.items = new Map();
    this.seen = h("div", { class: "seen" });
    this.ticks = h("div");
    this.ruler = h("div", { class: "ruler", tabIndex: 0, role: "slider", "aria-label": "Time", "aria-valuemin": "0" }, this.seen, this.ticks);
    this.head = h("div", { class: "head" });
    this.tracks = h("div", { class: "tracks" }, this.ruler, this.head);
    this.rows = new Map();
    for (const { id, label, pictures } of TRACKS) {
      const row = h("div", { class: pictures ? "track pictures" : "track", role: "group", "aria-label": label }, h("b", {}, label));
      row.style.setProperty("--kind", `var(--${id})`);
      this.rows.set(id, row);
      this.tracks.append(row);
    }
    box.replaceChildren(this.tracks);
    this.draw = soon(() => this.redraw());
    this.ruler.addEventListener("pointerdown", (event) => this.drag(event));
    this.ruler.addEventListener("keydown", (event) => this.key(event));
    this.tracks.addEventListener("keydown", (event) => this.walk(event));
  }

  /** Begin anew. Every track has its place before anything is found: nothing moves later. @param {string[]} without */
  clear(without = []) {
    this.items.clear();
    this.duration = 0;
    this.until(0);
    this.at(0);
    for (const [id, row] of this.rows) row.hidden = without.includes(id);
    this.draw();
  }

  /** @param {number} seconds */
  lasts(seconds) {
    if (!(seconds > 0) || seconds === this.duration) return;
    this.duration = seconds;
    this.until(this.reached);
    this.draw();
  }

  /** What a track holds, anew. @param {string} id @param {Array<{start: number, end: ?number, text: string}>} items */
  set(id, items) {
    this.items.set(id, items);
    if (items.length) this.rows.get(id).hidden = false;
    this.draw();
  }

  /** How far the video was looked at. @param {number} seconds */
  until(seconds) {
    this.reached = seconds;
    this.seen.style.inlineSize = this.duration ? `${Math.min(100, (100 * seconds) / this.duration)}%` : "0";
  }

  /** Where the picture stands. @param {number} seconds */
  at(seconds) {
    const share = this.duration ? Math.min(1, seconds / this.duration) : 0;
    this.head.style.insetInlineStart = `${share * 100}%`;
    this.ruler.setAttribute("aria-valuenow", seconds.toFixed(1));
    this.ruler.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.duration)}`);
    this.now = seconds;
  }

  redraw() {
    this.ruler.setAttribute("aria-valuemax", this.duration.toFixed(1));
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800];
    const step = steps.find((each) => this.duration / each <= 8) ?? 3600;
    const marks = [];
    for (let at = 0; this.duration && at < this.duration - step * 0.6; at += step) marks.push(this.placed(h("span", { class: "tick" }, clock(at)), at));
    this.ticks.replaceChildren(...marks);
    for (const { id, label, pictures } of TRACKS) {
      const row = this.rows.get(id);
      const items = this.items.get(id) ?? [];
      if (!this.duration) {
        row.replaceChildren(row.firstChild);
        continue;
      }
      // What stands there already stays: a picture is not drawn twice.
      const kept = new Map([...row.querySelectorAll("button")].map((button) => [button.dataset.key, button]));
      const buttons = items.map((item, n) => {
        const key = `${item.start} ${item.end} ${item.text}`;
        const button = kept.get(key) ?? this.block(item, key, label, pictures);
        button.tabIndex = n ? -1 : 0;
        return this.placed(button, item.start, item.end);
      });
      row.replaceChildren(row.firstChild, ...buttons);
    }
  }

  block(item, key, label, pictures) {
    const title = `${label}, ${clock(item.start)}${item.text ? `: ${item.text}` : ""}`;
    const button = h("button", { type: "button", title, "aria-label": title, data: { key } });
    button.append(pictures ? this.on.thumbnail((item.start + (item.end ?? item.start)) / 2) : item.text);
    button.onclick = () => this.go(item.start);
    return button;
  }

  placed(node, start, end = null) {
    node.style.insetInlineStart = `${(100 * start) / this.duration}%`;
    if (end !== null) node.style.inlineSize = `${Math.max(0, (100 * (end - start)) / this.duration)}%`;
    return node;
  }

  drag(event) {
    const go = (where) => {
      const box = this.ruler.getBoundingClientRect();
      const share = (where.clientX - box.left) / box.width;
      const forward = getComputedStyle(this.ruler).direction === "rtl" ? 1 - share : share;
      this.go(Math.max(0, Math.min(1, forward)) * this.duration);
    };
    go(event);
    this.ruler.setPointerCapture(event.pointerId);
    this.ruler.onpointermove = go;
    this.ruler.onpointerup = () => (this.ruler.onpointermove = null);
  }

  key(event) {
    const steps = { ArrowLeft: -5, ArrowRight: 5, ArrowDown: -1, ArrowUp: 1, PageDown: -30, PageUp: 30 };
    const now = this.now ?? 0;
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.duration : event.key in steps ? now + steps[event.key] : null;
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(Math.max(0, Math.min(this.duration, to)));
  }

  /** The video says later where it is; the next key may come before. */
  go(seconds) {
    this.at(seconds);
    this.on.seek(seconds);
  }

  /** Left and right go from one block of a track to the next. */
  walk(event) {
    const way = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[event.key];
    if (!way || !event.target.matches(".track button")) return;
    event.preventDefault();
    event.stopPropagation();
    const next = event.target[way];
    if (next?.matches("button")) next.focus();
  }
}
