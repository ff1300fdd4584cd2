// What can be placed in the time of a video: one run with a schema, read as captions and as elements.
import { access } from "./api.js";
import { start } from "./fanlight.js";
import { Run } from "./run.js";

const rows = (words) => ({
  type: "array",
  items: { type: "object", properties: { start: { type: "number" }, end: { type: "number" }, [words]: { type: "string" } }, required: ["start", "end"] },
});

// What is said comes first: its captions are shown while the rest is looked at.
const WANTED = { speech: "text", on_screen_text: "text", shots: "description", things: "name", motions: "description", tones: "description" };
const SCHEMA = { type: "object", properties: Object.fromEntries(Object.entries(WANTED).map(([name, words]) => [name, rows(words)])) };
const TRACK = { speech: "speech", on_screen_text: "texts", shots: "shots", things: "things", motions: "moves", tones: "sounds" };

export class VideoMap {
  /** @param {{caption: (message: object) => void, track: (id: string, items: object[]) => void, until: (seconds: number) => void, state: (status: string, error: ?object, heard?: boolean) => void}} on */
  constructor(on) {
    this.on = on;
    this.runs = [];
  }

  /** @param {string} asset */
  async begin(asset) {
    this.leave();
    this.on.state("starting", null);
    const request = {
      prompt: "Everything in this video that has a time: what is said, what is written on the screen, and the shots.",
      video: { type: "asset_id", asset_id: asset },
      response_format: { type: "json_schema", json_schema: SCHEMA },
      fanlight: { join: "replay", captions: { pointer: "/speech", start: "start", end: "end", text: "text" } },
    };
    const mine = (this.mine = Symbol(asset));
    const stream = await start(request, access());
    if (mine !== this.mine) return null;
    this.tracks = new Map();
    this.heard = false;
    const captions = new Run(stream, { view: "captions", told: (message) => this.on.caption(message) });
    const elements = new Run(stream, { view: "json", told: (message) => this.element(message) });
    this.runs = [captions, elements];
    for (const run of this.runs) run.over.catch((error) => mine === this.mine && this.on.state("error", error));
    return stream;
  }

  element(message) {
    if (message.kind === "attached") this.on.state(message.status === "starting" ? "starting" : "running", null);
    if (message.kind === "reset") this.tracks.clear();
    // An engine without ears leaves what is said out; one that heard nothing says so by an empty list.
    if (message.kind === "element" && message.pointer.startsWith("/speech")) this.heard = true;
    if (message.kind === "end") this.on.state(message.status, message.error, this.heard);
    if (message.kind !== "element") return;
    const [, member, index] = message.pointer.split("/");
    const words = WANTED[member];
    if (!words || index === undefined || message.pointer.split("/").length !== 3) return;
    const { start: from, end, [words]: text } = message.value;
    if (typeof from !== "number") return;
    const items = this.tracks.get(member) ?? [];
    items[Number(index)] = { start: from, end: typeof end === "number" ? end : from, text: typeof text === "string" ? text : "" };
    this.tracks.set(member, items);
    this.on.track(TRACK[member], items.filter(Boolean));
    this.on.until(Math.max(...items.filter(Boolean).map((item) => item.end)));
  }

  leave() {
    this.mine = null;
    for (const run of this.runs) {
      run.over.catch(() => {});
      run.leave();
    }
    this.runs = [];
  }
}
