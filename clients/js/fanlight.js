/**
 * Watch Fanlight streams from a browser: no dependencies, resumes by itself, exact or loud.
 *
 *   import { watch } from "/static/fanlight.js";
 *   for await (const message of watch(streamId)) {
 *     if (message.kind === "delta") show(message.text);
 *     if (message.kind === "reset") clear();
 *     if (message.kind === "end") done(message.status);
 *   }
 *
 * A lost connection is taken up again with the cursor; where WebSockets do not get
 * through, Server-Sent Events do.
 *
 * @module
 */

/**
 * @typedef {{kind: "delta", text: string, from: number, to: number}} Delta   append `text`
 * @typedef {{kind: "reset", gen: number, reason: string}} Reset              drop everything shown
 * @typedef {{kind: "element", at: number, pointer: string, value: any, valid: ?boolean}} Element
 * @typedef {{kind: "patch", at: number, ops: Array<Op>, tree: any}} Patch    `tree` is the whole, patched in place
 * @typedef {{op: "add"|"append", path: string, value: any}} Op
 * @typedef {{kind: "caption", id: string, rev: number, state: string, start: number, end: ?number, text: string}} Caption
 * @typedef {{kind: "violation", at: number, position: ?number, pointer: string, keyword: string, message: string}} Violation   `position`: index into the text shown
 * @typedef {{kind: "event", at: number, n: number, event: Object}} RawEvent
 * @typedef {{kind: "end", status: string, validation: ?Object, usage: ?Object, error: ?Object, sha256: string}} End
 * @typedef {Delta|Reset|Element|Patch|Caption|Violation|RawEvent|End} Message
 * @typedef {{base?: string, view?: string, cursor?: string, signal?: AbortSignal, transport?: "websocket"|"sse", attempts?: number}} Options
 */

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
// Closed like this, asking again is in vain.
const FINAL = new Set([1008, 4401, 4403, 4404]);

/** The service refused, or broke its own contract. */
export class FanlightError extends Error {
  /** @param {string} code @param {string} [message] */
  constructor(code, message = code) {
    super(message);
    this.code = code;
  }
}

/**
 * Yield what a stream tells, in order and without gap, up to its end.
 *
 * @param {string} stream the stream's id
 * @param {Options} [options]
 * @returns {AsyncGenerator<Message>}
 * @throws {FanlightError} `not_found`, `unauthenticated`, `inexact`, `unreachable`
 */
export async function* watch(stream, options = {}) {
  const place = new Place(options.view ?? "text", options.cursor ?? null);
  const attempts = options.attempts ?? 20;
  const base = new URL(options.base ?? globalThis.location.href);
  let failures = 0;
  let transport = options.transport ?? (globalThis.WebSocket ? "websocket" : "sse");
  for (;;) {
    const before = place.cursor;
    const connection = (transport === "websocket" ? openSocket : openEvents)(base, stream, place, options.signal);
    let pause = null;
    try {
      for await (const wire of connection) {
        if (wire.type === "draining") pause = wire.retry_after_ms;
        for (const message of place.take(wire)) {
          yield message;
          if (message.kind === "end") {
            await place.check(message);
            return;
          }
        }
      }
    } finally {
      connection.close();
    }
    if (options.signal?.aborted) throw options.signal.reason;
    if (connection.final) throw new FanlightError(connection.final);
    failures = place.cursor === before ? failures + 1 : 0;
    if (failures >= attempts) throw new FanlightError("unreachable");
    // A proxy that lets no WebSocket through often lets events through.
    if (!options.transport && !connection.opened && failures >= 2) transport = transport === "sse" ? "websocket" : "sse";
    await sleep(pause ?? Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures), options.signal);
  }
}

/**
 * Start a stream; returns its id.
 *
 * @param {Object} request the analyze request, with an optional `fanlight` member
 * @param {{base?: string}} [options]
 * @returns {Promise<string>}
 */
export async function start(request, options = {}) {
  const url = new URL("/v1/streams", options.base ?? globalThis.location.href);
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  const body = await answer.json();
  if (!answer.ok) throw new FanlightError(body.code, body.message);
  return body.id;
}

/**
 * Show a stream's captions on a video, as they come.
 *
 * Cues go onto a TextTrack: a partial one grows in place, a retracted one is removed.
 *
 * @param {HTMLVideoElement} video
 * @param {string} stream
 * @param {Options & {label?: string, language?: string}} [options]
 * @returns {Promise<End>} the stream's end
 */
export async function attachCaptions(video, stream, options = {}) {
  const track = video.addTextTrack("captions", options.label ?? "Captions", options.language ?? "en");
  track.mode = "showing";
  /** @type {Map<string, VTTCue>} */
  const cues = new Map();
  for await (const message of watch(stream, { ...options, view: "captions" })) {
    if (message.kind === "end") return message;
    if (message.kind === "reset") {
      for (const cue of cues.values()) track.removeCue(cue);
      cues.clear();
    }
    if (message.kind !== "caption") continue;
    const shown = cues.get(message.id);
    if (shown) track.removeCue(shown);
    cues.delete(message.id);
    if (message.state === "retracted") continue;
    // An open cue is shown until it is told when it ends.
    const cue = new VTTCue(message.start, message.end ?? message.start + 7, escapeCue(message.text));
    cue.id = message.id;
    track.addCue(cue);
    cues.set(message.id, cue);
  }
  throw new FanlightError("inexact");
}

/** @param {string} text */
function escapeCue(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** How far a reader has come, and what each message means to it. */
class Place {
  constructor(view, cursor) {
    this.view = view;
    this.cursor = cursor;
    // A user who brings a cursor holds what lies before it, and a snapshot would replace that.
    const [, gen, at] = /^(\d+)\.(\d+)/.exec(cursor ?? "") ?? [null, 0, 0];
    this.gen = Number(gen);
    this.at = Number(at);
    this.shown = cursor !== null;
    this.whole = cursor === null;
    this.parts = [];
    this.tree = null;
  }

  /** @returns {Message[]} */
  take(wire) {
    switch (wire.type) {
      case "attached":
        return this.attached(wire);
      case "delta":
        return [this.delta(wire)];
      case "reset":
        this.restart(wire.gen);
        this.cursor = `${wire.gen}.0${this.view === "raw" ? "r" : ""}`;
        return [{ kind: "reset", gen: wire.gen, reason: wire.reason }];
      case "event":
        this.cursor = `${this.gen}.${wire.n + 1}r`;
        this.shown = true;
        return [{ ...wire, kind: "event" }];
      case "patch":
        for (const op of wire.ops) this.tree = applyOp(this.tree, op);
        return [{ ...this.moved(wire), tree: this.tree }];
      case "element":
      case "caption":
        return [this.moved(wire)];
      case "violation":
        return [{ ...wire, kind: "violation", position: this.position(wire.at) }];
      case "end":
        return [{ ...wire, kind: "end" }];
      default:
        return []; // clients ignore what they do not know
    }
  }

  moved(wire) {
    // Messages of one place belong together, and only a later place shows that all have come. A patch is
    // alone in its place.
    if (wire.type === "patch") this.cursor = `${this.gen}.${wire.at}`;
    else if (wire.at > this.at) this.cursor = `${this.gen}.${this.at}`;
    this.at = wire.at;
    this.shown = true;
    return { ...wire, kind: wire.type };
  }

  attached(wire) {
    const told = [];
    if (wire.mode === "snapshot") {
      if (this.shown) told.push({ kind: "reset", gen: wire.gen, reason: "snapshot" });
      this.restart(wire.gen);
    } else if (this.gen && this.view === "text" && (wire.gen !== this.gen || wire.from !== this.at)) {
      throw new FanlightError("inexact");
    }
    this.gen = wire.gen;
    this.at = wire.from;
    if (this.view === "text") {
      if (wire.text) told.push(this.delta(wire));
    } else {
      this.at = wire.to;
      told.push(...this.state(wire));
    }
    this.cursor = `${this.gen}.${this.at}${this.view === "raw" ? "r" : ""}`;
    return told;
  }

  /** What stood there on attaching, as the messages that would have told it. */
  state(wire) {
    if (wire.state === undefined || wire.state === null) return [];
    this.shown = true;
    if (this.view === "patch") {
      this.tree = wire.state;
      return [{ kind: "patch", at: wire.to, ops: [{ op: "add", path: "", value: wire.state }], tree: this.tree }];
    }
    return wire.state.map((item) => ({ ...item, kind: this.view === "json" ? "element" : "caption" }));
  }

  delta(wire) {
    const bytes = new TextEncoder().encode(wire.text);
    if (wire.from !== this.at || wire.from + bytes.length !== wire.to) throw new FanlightError("inexact");
    if (this.whole) this.parts.push(bytes);
    this.at = wire.to;
    this.shown = true;
    this.cursor = `${this.gen}.${this.at}`;
    return { kind: "delta", text: wire.text, from: wire.from, to: wire.to };
  }

  /** Where a byte offset stands in the text shown so far, as an index into a string; null where that is not known. */
  position(at) {
    if (this.view !== "text" || !this.whole) return null;
    let left = at;
    let index = 0;
    for (const part of this.parts) {
      if (left <= 0) break;
      index += new TextDecoder().decode(part.subarray(0, left)).length;
      left -= part.length;
    }
    return index;
  }

  restart(gen) {
    this.gen = gen;
    this.at = 0;
    this.shown = false;
    this.whole = true;
    this.parts = [];
    this.tree = null;
  }

  /** The text that came is the text of the ending. */
  async check(end) {
    // Digests are to be had on secure pages only (and on loopback).
    if (this.view !== "text" || !this.whole || !globalThis.crypto?.subtle) return;
    const bytes = new Uint8Array(await new Blob(this.parts).arrayBuffer());
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== end.sha256 || bytes.length !== end.to) throw new FanlightError("inexact");
  }
}

/**
 * Apply one operation of view `patch` to a tree; returns the tree.
 *
 * @param {any} tree @param {Op} op
 */
export function applyOp(tree, op) {
  if (op.path === "") return op.op === "append" ? tree + op.value : op.value;
  const keys = op.path.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = keys.pop();
  let parent = tree;
  for (const key of keys) parent = parent[Array.isArray(parent) ? Number(key) : key];
  const key = Array.isArray(parent) ? Number(last) : last;
  const value = op.op === "append" ? parent[key] + op.value : op.value;
  // A member called __proto__ is a member like any other.
  Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
  return tree;
}

/** A connection as messages: iterate it; `final` names a refusal for good, `opened` says that it ever was. */
class Connection {
  constructor() {
    this.queue = [];
    this.over = false;
    this.opened = false;
    this.final = null;
    this.wake = () => {};
    this.close = () => {};
  }

  push(message) {
    this.queue.push(message);
    this.wake();
  }

  finish() {
    this.over = true;
    this.wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      // All at once: taking one off the front moves the rest.
      while (this.queue.length) yield* this.queue.splice(0);
      if (this.over) return;
      await new Promise((resolve) => (this.wake = resolve));
    }
  }
}

function openSocket(base, stream, place, signal) {
  const url = address(base, stream, "ws", place);
  url.protocol = url.protocol.replace("http", "ws");
  const connection = new Connection();
  const socket = new WebSocket(url);
  socket.onopen = () => (connection.opened = true);
  socket.onmessage = (event) => connection.push(JSON.parse(event.data));
  socket.onclose = (event) => {
    if (FINAL.has(event.code)) connection.final = event.reason || String(event.code);
    connection.finish();
  };
  connection.close = () => socket.close();
  signal?.addEventListener("abort", connection.close, { once: true });
  return connection;
}

function openEvents(base, stream, place, signal) {
  const connection = new Connection();
  const source = new EventSource(address(base, stream, "events", place));
  source.onopen = () => (connection.opened = true);
  source.onmessage = (event) => connection.push(JSON.parse(event.data));
  source.onerror = async () => {
    // Reconnecting is ours: the place knows better than Last-Event-ID.
    source.close();
    if (!connection.opened) connection.final = await refusal(base, stream);
    connection.finish();
  };
  connection.close = () => {
    source.close();
    connection.finish();
  };
  signal?.addEventListener("abort", connection.close, { once: true });
  return connection;
}

/** Why a stream cannot be read, null where that may pass: a page is not told the status of an EventSource. */
async function refusal(base, stream) {
  try {
    const answer = await fetch(new URL(`/v1/streams/${encodeURIComponent(stream)}`, base));
    return [401, 403, 404].includes(answer.status) ? (await answer.json()).code : null;
  } catch {
    return null;
  }
}

function address(base, stream, kind, place) {
  const url = new URL(`/v1/streams/${encodeURIComponent(stream)}/${kind}`, base);
  url.searchParams.set("view", place.view);
  if (place.cursor !== null) url.searchParams.set("cursor", place.cursor);
  return url;
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
