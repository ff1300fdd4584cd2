/**
 * Watch Fanlight streams: pages, workers and Node; no dependencies, resumes by itself, exact or loud.
 *
 *   import { watch } from "fanlight";            // or from "/static/fanlight.js" of a service
 *   for await (const message of watch(streamId)) {
 *     if (message.kind === "delta") show(message.text);
 *     if (message.kind === "reset") clear();
 *     if (message.kind === "end") done(message.status);
 *   }
 *
 * A connection that is lost, or open and dead, is taken up again with the cursor. Pages and workers read over
 * WebSocket, and over Server-Sent Events where no socket gets through; Node reads events.
 *
 * @module
 */

/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 *
 * @typedef {{kind: "attached", stream: string, gen: number, mode: "snapshot"|"suffix"|"live", status: string, cursor: ?string}} Attached
 * @typedef {{kind: "lost", failures: number, cursor: ?string}} Lost   the connection went; another one is tried
 * @typedef {{kind: "delta", text: string, from: number, to: number, cursor: ?string}} Delta   append `text`
 * @typedef {{kind: "reset", gen: number, reason: string, cursor: ?string}} Reset   drop everything shown
 * @typedef {{kind: "element", at: number, pointer: string, value: any, valid: ?boolean, cursor: ?string}} Element
 * @typedef {{kind: "patch", at: number, ops: Array<Op>, tree: any, cursor: ?string}} Patch   `tree` is the whole, patched in place
 * @typedef {{op: "add"|"append", path: string, value: any}} Op
 * @typedef {{kind: "caption", at: number, id: string, rev: number, state: "partial"|"final"|"retracted", start: number, end: ?number, text: string, speaker?: string, pointer?: string, cursor: ?string}} Caption
 * @typedef {{kind: "violation", at: number, position: ?number, pointer: string, schema_pointer: string, keyword: string, message: string, cursor: ?string}} Violation   `position`: index into the text shown
 * @typedef {{kind: "event", at: number, n: number, event: Record<string, any>, cursor: ?string}} RawEvent
 * @typedef {{kind: "end", gen: number, to: number, status: string, finish_reason: ?string, usage: ?Record<string, any>, validation: ?Record<string, any>, error: ?{code: string, message: string, retryable: boolean}, sha256: string, cursor: ?string}} End
 * @typedef {Attached|Lost|Delta|Reset|Element|Patch|Caption|Violation|RawEvent|End} Message
 *
 * Where the service is, and by what right it is asked. `base` is its address, a path in it is kept; left out it is
 * where this file was served from, else the page's origin. `key` is for servers: a page would show it to everybody.
 * `ticket` may be a function that gives one: it is asked for each connection and call, and when one is about to expire.
 * @typedef {string | (() => string|Promise<string>)} Ticket
 * @typedef {{base?: string|URL, key?: string, ticket?: Ticket, signal?: AbortSignal}} Access
 *
 * `attempts`: connections in a row without progress before `unreachable` (20). `silence`: milliseconds without a sign
 * of life after which a connection is dead (36,000).
 * @typedef {{view?: "text"|"json"|"patch"|"captions"|"raw"|"end", cursor?: ?string, transport?: "websocket"|"events", attempts?: number, silence?: number}} Reading
 * @typedef {Access & Reading} Options
 */

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
// What a service asks for is waited for, within reason.
const LONGEST_ASKED_PAUSE_MS = 60_000;
const SILENCE_MS = 36_000;
// For the answer to a call, and for each kilobyte that it sends.
const CALL_MS = 30_000;
const CALL_KILOBYTE_MS = 20;
const ATTEMPTS = 20;
const PROTOCOL = "fanlight.v1";
// Closed like this, asking again is in vain.
const FINAL_CLOSES = new Set([1008, 4401, 4403, 4404]);
// Of the statuses from 400 to 499 these may pass.
const PASSING = new Set([408, 425, 429]);
const NAMES = { 204: "ended", 400: "invalid_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 410: "gone" };

/** The service refused, or broke its own contract. */
export class FanlightError extends Error {
  /** @param {string} code @param {string} [message] */
  constructor(code, message = code) {
    super(message);
    this.name = "FanlightError";
    this.code = code;
  }
}

/**
 * Yield what a stream tells, in order and without gap, up to its end.
 *
 * `return()` of what this returns, which leaving a `for await` calls, stops at once; so does the signal, whose reason
 * is thrown. After either nothing more is yielded.
 *
 * @param {string} stream the stream's id
 * @param {Options} [options]
 * @returns {AsyncGenerator<Message, void, void>}
 * @throws {FanlightError} `not_found`, `unauthenticated`, `forbidden`, `ended` (a cursor behind the end), `inexact`
 *   (what came is not this service's, or does not join), `unreachable`
 */
export function watch(stream, options = {}) {
  const stop = new Stop(options.signal);
  return stoppable(told(stream, options, stop), stop);
}

/**
 * Yield the streams that are started under a channel's name, as they are announced; one that runs already comes first.
 *
 * @param {string} name
 * @param {Options} [options]
 * @returns {AsyncGenerator<{stream: string, status: string}, void, void>}
 * @throws {FanlightError} as `watch`
 */
export function announced(name, options = {}) {
  const stop = new Stop(options.signal);
  return stoppable(startedUnder(name, options, stop), stop);
}

/**
 * Start a stream, or join the equal one that runs; returns its id.
 *
 * @param {Record<string, any>} request the analyze request, with an optional `fanlight` member
 * @param {Access & {idempotencyKey?: string}} [options]
 * @returns {Promise<string>}
 * @throws {FanlightError} the service's own code, `unreachable`, or `inexact` where something else answers
 */
export async function start(request, options = {}) {
  /** @type {Record<string, string>} */
  const headers = options.idempotencyKey === undefined ? {} : { "Idempotency-Key": options.idempotencyKey };
  const told = await call("POST", "v1/streams", options, { headers, json: request });
  if (typeof told?.id !== "string") throw strange();
  return told.id;
}

/**
 * Cancel a stream: its ending says so to every reader. One that has ended stays as it is.
 *
 * @param {string} stream
 * @param {Access & {force?: boolean}} [options] `force`: also where others have started it, too
 * @throws {FanlightError} as `start`
 */
export async function cancel(stream, options = {}) {
  await call("DELETE", `v1/streams/${encodeURIComponent(stream)}${options.force ? "?force=true" : ""}`, options);
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
  throw strange();
}

/** @param {string} text */
function escapeCue(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// -- reading, connection after connection

/** @param {string} stream @param {Options} options @param {Stop} stop */
async function* told(stream, options, stop) {
  const place = new Place(options.view ?? "text", options.cursor ?? null);
  const asked = () => ({ view: place.view, ...(place.cursor !== null && { cursor: place.cursor }) });
  for await (const wire of wires(`v1/streams/${encodeURIComponent(stream)}`, asked, options, stop)) {
    for (const message of place.understood(wire)) {
      if (message.kind === "end") await place.check(message);
      if (stop.due()) return;
      yield message;
      if (message.kind === "end") return;
    }
  }
}

/** @param {string} name @param {Options} options @param {Stop} stop */
async function* startedUnder(name, options, stop) {
  const known = new Set();
  let heard = 0;
  const asked = () => ({ view: "end" });
  for await (const wire of wires(`v1/channels/${encodeURIComponent(name)}`, asked, options, stop, () => heard)) {
    if (wire.type !== "attached") continue;
    heard += 1;
    if (typeof wire.stream !== "string" || known.has(wire.stream)) continue;
    known.add(wire.stream);
    if (stop.due()) return;
    yield { stream: wire.stream, status: wire.status };
  }
}

/**
 * Yield what the service says, over one connection after the other; between two of them a message `lost`.
 *
 * @param {string} path of what is read
 * @param {() => Record<string, string>} asked the query of the next connection
 * @param {Options} options
 * @param {Stop} stop
 * @param {() => any} progress what has changed where a connection brought something
 */
async function* wires(path, asked, options, stop, progress = () => asked().cursor) {
  const base = home(options.base);
  const attempts = options.attempts ?? ATTEMPTS;
  let transport = options.transport ?? usualTransport(options);
  for (let failures = 0; !stop.due(); ) {
    const before = progress();
    const url = new URL(`${path}/${transport === "websocket" ? "ws" : "events"}`, base);
    for (const [name, value] of Object.entries(asked())) url.searchParams.set(name, value);
    const right = await granted(options, stop);
    const connection = (right === null ? openNothing : transport === "websocket" ? openSocket : openEvents)(url, right ?? {});
    try {
      for (let wire; (wire = await connection.next(stop)) !== null; ) {
        if (wire.type === "draining") connection.askedPause(wire.retry_after_ms);
        if (wire.type === "expiring") renew(connection, options);
        if (wire.type === "error") connection.refuse(wire);
        else yield wire;
      }
    } finally {
      connection.close();
    }
    // A page is not told why a handshake was refused; the stream's resource tells. A channel has none.
    const untold = !connection.opened && !connection.fault && transport === "websocket";
    if (!stop.asked && right && untold && path.startsWith("v1/streams/"))
      connection.fault = await refusal(new URL(path, base), right, stop);
    if (stop.due()) return;
    if (typeof options.ticket === "function" && connection.fault?.code === "ticket_expired") connection.fault = null;
    if (connection.fault) throw connection.fault;
    // One that said something for a while was none in vain: a proxy may give connections so long to live.
    failures = progress() === before && connection.spoke < LONGEST_PAUSE_MS ? failures + 1 : 0;
    if (failures >= attempts) throw new FanlightError("unreachable", `no connection to ${base.origin} in ${failures} attempts`);
    // A proxy that lets no WebSocket through often lets events through.
    if (!options.transport && !connection.opened && failures >= 2 && usualTransport(options) === "websocket")
      transport = transport === "events" ? "websocket" : "events";
    yield { type: "lost", failures };
    await stop.sleep(connection.pause ?? Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures));
  }
}

/** A generator whose `return` need not wait until it yields. */
function stoppable(messages, stop) {
  const ended = async (asked) => {
    stop.now();
    const result = await asked();
    stop.over();
    return result;
  };
  return {
    async next() {
      stop.listen();
      try {
        const result = await messages.next();
        if (result.done) stop.over();
        return result;
      } catch (error) {
        stop.over();
        throw error;
      }
    },
    return: (value) => ended(() => messages.return(value)),
    throw: (error) => ended(() => messages.throw(error)),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** The caller's wish that reading stops: what waits is woken, once and at once. */
class Stop {
  /** @param {AbortSignal} [signal] */
  constructor(signal) {
    this.signal = signal;
    this.asked = false;
    this.wake = () => {};
    this.now = () => {
      this.asked = true;
      this.wake();
    };
  }

  listen() {
    if (this.signal?.aborted) this.now();
    // One that is there already is not added again.
    else this.signal?.addEventListener("abort", this.now);
  }

  /** Leave no listener behind. */
  over() {
    this.signal?.removeEventListener("abort", this.now);
    this.signal = undefined;
  }

  /** Whether to stop now; throws the signal's reason where that asked for it. */
  due() {
    if (this.asked) this.signal?.throwIfAborted();
    return this.asked;
  }

  /** Wait, but for no longer than until the stop. @param {(wake: () => void) => void} begin */
  wait(begin) {
    return new Promise((resolve) => {
      this.wake = () => resolve(undefined);
      begin(this.wake);
      if (this.asked) resolve(undefined);
    });
  }

  /** @param {number} milliseconds */
  async sleep(milliseconds) {
    let timer;
    await this.wait((wake) => (timer = setTimeout(wake, milliseconds)));
    clearTimeout(timer);
  }
}

// -- one connection

/** A connection as messages; `fault` names what is final about its end, `opened` says that it ever was. */
class Connection {
  /** @param {number} [silence] */
  constructor(silence = SILENCE_MS) {
    this.queue = [];
    this.taken = 0;
    this.over = false;
    this.opened = false;
    /** @type {?FanlightError} */
    this.fault = null;
    /** @type {?number} */
    this.pause = null;
    this.wake = () => {};
    this.ask = () => {};
    this.leave = (/** @type {boolean} */ dead) => {};
    this.renew = (/** @type {string} */ ticket) => {};
    // Over a socket an error answers what was sent; in a body it says why that ends.
    this.refuse = (/** @type {any} */ wire) => {};
    this.quiet = 0;
    this.begun = Date.now();
    /** Milliseconds from its beginning to its last sign of life. */
    this.spoke = 0;
    // A third of the silence in vain: ask. Another third: dead.
    this.pulse = setInterval(() => this.look(), silence / 3);
  }

  look() {
    this.quiet += 1;
    if (this.quiet === 2) this.ask();
    if (this.quiet === 3) this.close(true);
  }

  /** It lives. */
  sign() {
    this.quiet = 0;
    this.spoke = Date.now() - this.begun;
  }

  /** A message as it came. @param {any} data */
  hear(data) {
    if (this.over) return;
    this.sign();
    try {
      const wire = JSON.parse(data);
      if (typeof wire?.type !== "string") throw strange();
      this.queue.push(wire);
      this.wake();
    } catch {
      this.fault = strange();
      this.close();
    }
  }

  /** The next message, null at the end. @param {Stop} stop */
  async next(stop) {
    while (!stop.asked) {
      if (this.taken < this.queue.length) return this.queue[this.taken++];
      this.queue = [];
      this.taken = 0;
      if (this.over) break;
      await stop.wait((wake) => (this.wake = wake));
    }
    return null;
  }

  /** Wait so long before the next one. @param {any} milliseconds */
  askedPause(milliseconds) {
    if (milliseconds >= 0) this.pause = Math.min(LONGEST_ASKED_PAUSE_MS, milliseconds);
  }

  /** Over, whatever the other side does; what has come is still to be had. `dead`: nobody answers. */
  close(dead = false) {
    if (this.over) return;
    this.over = true;
    clearInterval(this.pulse);
    this.leave(dead);
    this.wake();
  }
}

/** The options with a ticket for now; null where none can be had. @param {Options} options @param {Stop} stop */
async function granted(options, stop) {
  const { ticket } = options;
  if (typeof ticket !== "function") return options;
  let given = null;
  let timer;
  await stop.wait((wake) => {
    timer = setTimeout(wake, CALL_MS);
    ticketOf(ticket).then((found) => (given = { ...options, ticket: found }), () => {}).then(wake);
  });
  clearTimeout(timer);
  return given;
}

/** What gives tickets is asked for one, until the signal. @param {() => string|Promise<string>} give @param {AbortSignal} [signal] @returns {Promise<string>} */
async function ticketOf(give, signal) {
  return new Promise((resolve, fail) => {
    signal?.addEventListener("abort", () => fail(signal.reason));
    Promise.resolve(give()).then(resolve, fail);
  });
}

/** Go on with another ticket; where none can be had the connection ends with its own. @param {Connection} connection @param {Options} options */
function renew(connection, options) {
  if (typeof options.ticket === "function") ticketOf(options.ticket).then(connection.renew, () => {});
}

/** @param {URL} url @param {Options} options */
function openNothing(url, options) {
  const connection = new Connection(options.silence);
  connection.close();
  return connection;
}

/** @param {URL} url @param {Options} options */
function openSocket(url, options) {
  url.protocol = url.protocol.replace("http", "ws");
  const connection = new Connection(options.silence);
  try {
    const socket = new WebSocket(url, options.ticket === undefined ? [] : [PROTOCOL, `ticket.${options.ticket}`]);
    socket.onopen = () => (connection.opened = true);
    socket.onmessage = (event) => connection.hear(event.data);
    socket.onclose = (event) => {
      if (FINAL_CLOSES.has(event.code)) connection.fault = new FanlightError(event.reason || `close_${event.code}`);
      connection.close();
    };
    // Node 20 tells a failed handshake by this alone; elsewhere the close that follows says no more.
    socket.onerror = () => connection.close();
    const say = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
    connection.ask = () => say({ type: "ping" });
    connection.renew = (ticket) => say({ type: "ticket", ticket });
    connection.leave = (dead) => {
      // A peer that never answers the close is not waited for.
      socket.onmessage = socket.onclose = socket.onerror = null;
      // Closed before it is open, a socket is complained of in a page's console; one that is dead would stand in the
      // way of the next, for browsers open one at a time.
      socket.onopen = () => socket.close();
      if (dead || socket.readyState !== WebSocket.CONNECTING) socket.close();
    };
  } catch {
    connection.close(); // a page may be forbidden to open this one
  }
  return connection;
}

/** @param {URL} url @param {Options} options */
function openEvents(url, options) {
  const connection = new Connection(options.silence);
  connection.refuse = (wire) => (connection.fault = refused(401, wire));
  const control = new AbortController();
  connection.leave = () => control.abort();
  // EventSource hides keep-alives and statuses, and repeats by itself; this does none of it.
  readEvents(url, options, connection, control.signal)
    .catch(() => {})
    .then(() => connection.close());
  return connection;
}

/** @param {URL} url @param {Options} options @param {Connection} connection @param {AbortSignal} signal */
async function readEvents(url, options, connection, signal) {
  const headers = { Accept: "text/event-stream", ...rights(options) };
  const answer = await fetch(url, { headers, signal, cache: "no-store", redirect: "error" });
  if (answer.status !== 200 || !answer.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    connection.fault = await fault(answer);
    connection.askedPause(Number(answer.headers.get("Retry-After") ?? NaN) * 1000);
    return;
  }
  connection.opened = true;
  const decoder = new TextDecoder();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
  let rest = "";
  let data = [];
  for (let piece; !(piece = await reader.read()).done; ) {
    connection.sign();
    // Only what is new is searched: a line may be many pieces long.
    const lines = decoder.decode(piece.value, { stream: true }).split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(5));
      else if (line.trim() === "" && data.length) connection.hear(data.splice(0).join("\n"));
    }
  }
}

/** Why a stream cannot be read, null where that may pass. @param {URL} url @param {Options} options @param {Stop} stop */
async function refusal(url, options, stop) {
  const control = new AbortController();
  const asked = fetch(url, { headers: rights(options), signal: control.signal, cache: "no-store", redirect: "error" })
    .then(fault)
    .catch(() => null);
  let timer;
  let why = null;
  await stop.wait((wake) => {
    timer = setTimeout(wake, (options.silence ?? SILENCE_MS) / 3);
    asked.then((told) => ((why = told), wake()));
  });
  clearTimeout(timer);
  control.abort();
  return why;
}

/** What is final about an answer, null where it may pass. @param {Response} answer */
async function fault(answer) {
  const { status } = answer;
  if (status !== 204 && (status < 400 || status > 499 || PASSING.has(status))) return null;
  const told = await answer.json().catch(() => null);
  return refused(status, told);
}

/** @param {number} status @param {any} told */
function refused(status, told) {
  const code = typeof told?.code === "string" ? told.code : (NAMES[status] ?? `http_${status}`);
  return new FanlightError(code, typeof told?.message === "string" ? told.message : code);
}

function strange() {
  return new FanlightError("inexact", "what came is no message of this service");
}

// -- calls

/** One JSON call. @param {string} method @param {string} path @param {Access} options @param {{headers?: Record<string, string>, json?: any}} [body] */
async function call(method, path, options, body = {}) {
  const { signal } = options;
  const url = new URL(path, home(options.base));
  signal?.throwIfAborted();
  const control = new AbortController();
  const stop = () => control.abort(signal?.reason);
  const json = body.json && JSON.stringify(body.json);
  const patience = CALL_MS + (CALL_KILOBYTE_MS * (json?.length ?? 0)) / 1024;
  const timer = setTimeout(() => control.abort(new FanlightError("unreachable", "no answer in time")), patience);
  signal?.addEventListener("abort", stop);
  try {
    const { ticket } = options;
    const right = typeof ticket === "function" ? { ...options, ticket: await ticketOf(ticket, control.signal) } : options;
    const headers = { ...rights(right), ...body.headers, ...(json && { "Content-Type": "application/json" }) };
    const answer = await fetch(url, { method, headers, body: json, signal: control.signal, redirect: "error" });
    const words = await answer.text();
    let told = null;
    try {
      told = words && JSON.parse(words);
    } catch {
      if (answer.ok) throw strange(); // a captive portal's page, say
    }
    if (!answer.ok) throw refused(answer.status, told);
    return told;
  } catch (/** @type {any} */ error) {
    control.signal.throwIfAborted();
    throw error instanceof FanlightError ? error : new FanlightError("unreachable", String(error.message));
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** @param {Access} options @returns {Record<string, string>} */
function rights(options) {
  return {
    ...(options.key !== undefined && { "x-api-key": options.key }),
    ...(options.ticket !== undefined && { Authorization: `Bearer ${options.ticket}` }),
  };
}

/** @param {string|URL} [base] */
function home(base) {
  const own = new URL(import.meta.url);
  const usual = own.pathname.endsWith("/static/fanlight.js") ? new URL("..", own) : globalThis.location?.origin;
  const url = new URL(base ?? usual, globalThis.location?.href);
  if (!url.protocol.startsWith("http")) throw new TypeError(`no address of a service: ${url}`);
  url.search = url.hash = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** Sockets in pages and workers. Elsewhere they cannot be broken off, nor do they carry a key. @param {Options} options */
function usualTransport(options) {
  return globalThis.location && globalThis.WebSocket && options.key === undefined ? "websocket" : "events";
}

// -- what a message means

/** How far a reader has come, and what each message means to it. */
class Place {
  /** @param {string} view @param {?string} cursor */
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

  /**
   * What a message means to the user.
   *
   * @returns {Message[]}
   * @throws {FanlightError} `inexact`
   */
  understood(wire) {
    try {
      return this.take(wire).map((message) => ({ ...message, cursor: message.cursor ?? this.cursor }));
    } catch (error) {
      throw error instanceof FanlightError ? error : strange();
    }
  }

  take(wire) {
    switch (wire.type) {
      case "attached":
        return this.attached(wire);
      case "delta":
        return [this.delta(wire)];
      case "reset":
        this.restart(offset(wire.gen));
        this.cursor = this.told(0);
        return [{ kind: "reset", gen: wire.gen, reason: wire.reason }];
      case "event":
        this.cursor = `${this.gen}.${offset(wire.n) + 1}r`;
        this.shown = true;
        return [{ ...wire, kind: "event" }];
      case "patch":
        for (const op of wire.ops) this.tree = applyOp(this.tree, op);
        return [{ ...this.moved(wire), tree: this.tree }];
      case "element":
      case "caption":
        return [this.moved(wire)];
      case "violation":
        return [{ ...wire, kind: "violation", position: this.position(offset(wire.at)) }];
      case "end":
        if (typeof wire.status !== "string") throw strange();
        return [{ ...wire, kind: "end" }];
      case "lost":
        return [{ kind: "lost", failures: wire.failures }];
      default:
        return []; // clients ignore what they do not know
    }
  }

  /** The cursor at a position. @param {number} at */
  told(at) {
    return `${this.gen}.${at}${this.view === "raw" ? "r" : ""}`;
  }

  moved(wire) {
    // Messages of one place belong together, and only a later place shows that all have come. A patch is
    // alone in its place.
    if (wire.type === "patch") this.cursor = this.told(offset(wire.at));
    else if (offset(wire.at) > this.at) this.cursor = this.told(this.at);
    this.at = wire.at;
    this.shown = true;
    return { ...wire, kind: wire.type };
  }

  attached(wire) {
    const told = [];
    if (wire.mode === "snapshot") {
      const held = this.shown;
      this.restart(offset(wire.gen));
      if (held) told.push({ kind: "reset", gen: wire.gen, reason: "snapshot", cursor: this.told(0) });
    } else if (this.gen && (wire.gen !== this.gen || (this.view === "text" && wire.from !== this.at))) {
      throw new FanlightError("inexact", `resumed at ${wire.gen}.${wire.from}, not at ${this.gen}.${this.at}`);
    }
    this.gen = offset(wire.gen);
    this.at = offset(wire.from);
    const before = this.told(this.at);
    const { stream, gen, mode, status } = wire;
    const state = this.view === "text" ? (wire.text === "" ? [] : [this.delta(wire)]) : this.state(wire);
    if (this.view !== "text") this.at = offset(wire.to);
    this.cursor = this.told(this.at);
    const all = [...told, { kind: "attached", stream, gen, mode, status }, ...state];
    // Only behind the last of what stood there is nothing of it left to be told.
    return all.map((message, n) => ({ cursor: n + 1 < all.length ? before : this.cursor, ...message }));
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
    if (typeof wire.text !== "string") throw strange();
    const bytes = new TextEncoder().encode(wire.text);
    if (wire.from !== this.at || wire.from + bytes.length !== wire.to)
      throw new FanlightError("inexact", `a piece from ${wire.from} to ${wire.to} of ${bytes.length} bytes, at ${this.at}`);
    if (this.whole) this.parts.push(bytes);
    this.at = wire.to;
    this.shown = true;
    this.cursor = this.told(this.at);
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
    if (this.view !== "text" || !this.whole) return;
    const wrong = new FanlightError("inexact", "the text that came is not the text of the ending");
    if (this.at !== end.to) throw wrong;
    // Digests are to be had on secure pages only (and on loopback).
    if (!globalThis.crypto?.subtle) return;
    const bytes = new Uint8Array(await new Blob(this.parts).arrayBuffer());
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== end.sha256) throw wrong;
  }
}

/** @param {any} value a position of the contract */
function offset(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw strange();
  return value;
}

/**
 * Apply one operation of view `patch` to a tree; returns the tree.
 *
 * @param {any} tree @param {Op} op
 * @throws {FanlightError} `inexact`: there is no such place
 */
export function applyOp(tree, op) {
  if (op.path === "") return op.op === "append" ? grown(tree, op.value) : op.value;
  const keys = op.path.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = keys.pop() ?? "";
  let parent = tree;
  for (const key of keys) parent = child(parent, key);
  if (typeof parent !== "object" || parent === null) throw strange();
  // A new item is the next one; a member called __proto__ is a member like any other.
  const next = Array.isArray(parent) && last === String(parent.length);
  if (Array.isArray(parent) && !next) child(parent, last);
  const value = op.op === "append" ? grown(child(parent, last), op.value) : op.value;
  Object.defineProperty(parent, last, { value, writable: true, enumerable: true, configurable: true });
  return tree;
}

/** What stands in a tree under a key, and in nothing that a tree inherits. @param {any} parent @param {string} key */
function child(parent, key) {
  if (typeof parent !== "object" || parent === null || !Object.hasOwn(parent, key)) throw strange();
  if (Array.isArray(parent) && key === "length") throw strange();
  return parent[key];
}

/** @param {any} text @param {any} more */
function grown(text, more) {
  if (typeof text !== "string" || typeof more !== "string") throw strange();
  return text + more;
}
