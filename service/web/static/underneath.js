// What is happening underneath a run, for those who build on it.
import { access, call, fileLink } from "./api.js";
import { bytes, h, soon } from "./dom.js";

const LANGUAGES = {
  curl: (base, id) => `curl -N ${base}/v1/streams/${id}/text`,
  Python: (base, id) => `from fanlight import Client, Delta\n\nasync with Client("${base}") as client:\n    async for message in client.watch("${id}"):\n        if isinstance(message, Delta):\n            print(message.text, end="", flush=True)`,
  JavaScript: (base, id) => `import { watch } from "${base}/static/fanlight.js";\n\nfor await (const message of watch("${id}"))\n  if (message.kind === "delta") document.body.append(message.text);`,
  SDK: (base, _id, request) =>
    `from twelvelabs import TwelveLabs\nfrom twelvelabs.types import VideoContext_AssetId\n\nclient = TwelveLabs(api_key="none needed", base_url="${base}/v1.3")\nfor event in client.analyze_stream(\n    video=VideoContext_AssetId(asset_id="${request?.video?.asset_id ?? "…"}"),\n    prompt=${JSON.stringify(request?.prompt ?? "…")},\n):\n    if event.event_type == "text_generation":\n        print(event.text, end="", flush=True)`,
};
const EVERY_MS = 2000;

/** How many read a stream, in whichever view. */
const readers = (resource) => Object.values(resource.subscribers).reduce((sum, count) => sum + count, 0);

export class Underneath {
  /** @param {HTMLDetailsElement} details @param {HTMLElement} box @param {{link: (stream: string) => string}} on */
  constructor(details, box, on) {
    Object.assign(this, { details, box, on });
    this.run = null;
    this.language = "curl";
    this.resource = null;
    this.draw = soon(() => this.redraw());
    details.addEventListener("toggle", () => this.tick());
  }

  show(run) {
    if (run !== this.run) this.resource = null;
    this.run = run;
    if (!this.details.open) return;
    this.draw();
    if (!this.resource) this.tick();
  }

  /** Readers and the like are the service's to tell, and asked for only while somebody looks. */
  async tick() {
    clearTimeout(this.timer);
    if (!this.details.open) return;
    if (!this.run) return this.draw();
    const { stream } = this.run;
    this.resource = await call("GET", `v1/streams/${stream}`).catch(() => this.resource);
    this.draw();
    if (this.resource?.ended_at == null || readers(this.resource)) this.timer = setTimeout(() => this.tick(), EVERY_MS);
  }

  redraw() {
    const { run } = this;
    if (!run) return this.box.replaceChildren(h("p", { class: "quiet" }, "Ask something first."));
    const { facts } = run;
    const { end } = facts;
    const rows = {
      Stream: run.stream,
      "First piece": facts.firstMs === null ? "not yet" : `${Math.round(facts.firstMs)} ms after the start`,
      Received: `${facts.pieces} ${facts.pieces === 1 ? "piece" : "pieces"}, ${bytes(facts.bytes)}`,
      Cursor: facts.cursor ?? "none yet",
      Joined: { snapshot: "from the beginning", suffix: "behind the cursor", live: "at the end" }[facts.mode] ?? "not yet",
      Resumed: facts.resumed.length ? facts.resumed.map(({ at, mode }) => `at ${at} (${mode})`).join(", ") : "never",
      "Readers of this run": this.resource ? String(readers(this.resource)) : "…",
      Ending: end ? `${end.status}${end.error ? `, ${end.error.code}` : ""}` : "not yet",
      Verdict: !end?.validation ? "no schema" : end.validation.valid ? "valid" : `${end.validation.error_count} violations`,
      "SHA-256": end?.sha256 ?? "at the end",
    };
    const list = h("dl", { class: "facts" });
    for (const [name, value] of Object.entries(rows)) list.append(h("dt", {}, name), h("dd", {}, value));
    const focus = document.activeElement?.dataset?.keep;
    this.box.replaceChildren(list, this.buttons(run), this.downloads(run), this.code(run));
    if (focus) this.box.querySelector(`[data-keep="${focus}"]`)?.focus();
  }

  buttons(run) {
    const cut = h("button", { type: "button", disabled: Boolean(run.facts.end), onclick: () => run.cut(), data: { keep: "cut" } }, "Cut my connection");
    const other = h("a", { href: this.on.link(run.stream), target: "_blank", data: { keep: "other" } }, "Open as another viewer");
    return h("div", { class: "row" }, cut, other);
  }

  downloads(run) {
    const files = { Text: "text", VTT: "captions.vtt", SRT: "captions.srt", "Cues (JSON)": "captions.json", "All (JSON)": "" };
    const path = `v1/streams/${run.stream}`;
    const links = Object.entries(files).map(([name, file]) => {
      const ending = { text: "txt", "": "json" }[file] ?? file.split(".").at(-1);
      return fileLink(name, file ? `${path}/${file}` : path, `${run.stream}.${ending}`, { data: { keep: name } });
    });
    return h("p", { class: "row downloads" }, h("span", {}, "Take away"), ...links);
  }

  code(run) {
    const base = String(access().base).replace(/\/$/, "");
    const words = LANGUAGES[this.language](base, run.stream, this.resource?.request);
    const choose = Object.keys(LANGUAGES).map((name) =>
      h("button", { type: "button", class: name === this.language ? "" : "plain", "aria-pressed": String(name === this.language), data: { keep: name }, onclick: () => ((this.language = name), this.redraw()) }, name),
    );
    const copy = h("button", { type: "button", class: "plain copy", data: { keep: "copy" }, onclick: async () => (await navigator.clipboard.writeText(words), (copy.textContent = "Copied")) }, "Copy");
    return h("div", {}, h("div", { class: "row", role: "group", "aria-label": "The same from code" }, ...choose, copy), h("div", { class: "code" }, h("pre", { tabIndex: 0 }, words)));
  }
}
