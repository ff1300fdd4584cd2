/**
 * Fanlight streams as React state.
 *
 *   import { useAnalysis, useCaptions } from "fanlight/react";
 *
 *   const { text, status, start, cancel } = useAnalysis({ base });
 *   const { cues } = useCaptions(stream, { base });
 *
 * @module
 */
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";

import { cancel as cancelStream, start as startStream, watch } from "./fanlight.js";

/**
 * @typedef {import("./fanlight.js").Options} Options
 * @typedef {import("./fanlight.js").Message} Message
 * @typedef {import("./fanlight.js").Caption} Caption
 * @typedef {import("./fanlight.js").End} End
 *
 * `idle` before there is a stream; `connecting`, also where a connection was lost; `starting` and `running`; then the
 * ending's own word (`completed`, `length`, `truncated`, `failed`, `cancelled`), or `error` where this client gave up.
 * @typedef {"idle"|"connecting"|"starting"|"running"|"error"|(string & {})} Status
 *
 * @typedef {{status: Status, end: ?End, error: ?Error}} Watched
 * @typedef {Watched & {text: string, stream: ?string, start: (request: Record<string, any>) => Promise<?string>, cancel: () => Promise<void>}} Analysis
 */

/** @type {Watched} */
const NOTHING = { status: "idle", end: null, error: null };

/**
 * Start analyses and show the text of the one that was started last, or of `stream`.
 *
 * Unmounting leaves the analysis to go on: cancel it where nobody else should pay for it.
 *
 * @param {Omit<Options, "view"|"cursor"|"signal"> & {stream?: ?string}} [options]
 * @returns {Analysis}
 */
export function useAnalysis(options = {}) {
  const [started, setStarted] = useState(/** @type {?string} */ (null));
  const [refused, setRefused] = useState(/** @type {?Error} */ (null));
  const [asking, setAsking] = useState(false);
  const stream = started ?? options.stream ?? null;
  const shown = useMessages(stream, { ...options, view: "text" }, addText, "");
  const latest = useRef(options);
  latest.current = options;
  // What was asked for before and is answered later must not take the place of what came after it.
  const turn = useRef(0);
  const unwanted = useRef(0);

  const start = useCallback(async (/** @type {Record<string, any>} */ request) => {
    const mine = ++turn.current;
    setRefused(null);
    setStarted(null);
    setAsking(true);
    try {
      const id = await startStream(request, latest.current);
      if (mine === turn.current) setStarted(id);
      if (mine === unwanted.current) await cancelStream(id, latest.current);
      return id;
    } catch (error) {
      if (mine === turn.current) setRefused(/** @type {Error} */ (error));
      return null;
    } finally {
      if (mine === turn.current) setAsking(false);
    }
  }, []);
  const shownStream = refused ? null : stream;
  const cancel = useCallback(async () => {
    // What is being started has no name yet: it is cancelled when that comes.
    if (asking) unwanted.current = turn.current;
    else if (shownStream !== null) await cancelStream(shownStream, latest.current);
  }, [asking, shownStream]);

  if (refused) return { ...NOTHING, text: "", stream: null, status: "error", error: refused, start, cancel };
  if (asking) return { ...NOTHING, text: "", stream: null, status: "connecting", start, cancel };
  return { text: shown.value, stream, status: shown.status, end: shown.end, error: shown.error, start, cancel };
}

/**
 * The captions of a stream as they come, in the order of their times.
 *
 * @param {?string|undefined} stream nothing is read where it is null
 * @param {Omit<Options, "view"|"cursor"|"signal">} [options]
 * @returns {Watched & {cues: Caption[]}}
 */
export function useCaptions(stream, options = {}) {
  const { value, ...rest } = useMessages(stream ?? null, { ...options, view: "captions" }, addCue, NO_CUES);
  const cues = useMemo(() => [...value.values()].sort((one, other) => one.start - other.start), [value]);
  return { cues, ...rest };
}

/** @type {Map<string, Caption>} */
const NO_CUES = new Map();

/** @param {string} text @param {Message} message */
function addText(text, message) {
  return message.kind === "delta" ? text + message.text : text;
}

/** @param {Map<string, Caption>} cues @param {Message} message */
function addCue(cues, message) {
  if (message.kind !== "caption") return cues;
  const next = new Map(cues);
  if (message.state === "retracted") next.delete(message.id);
  else next.set(message.id, message);
  return next;
}

/**
 * Watch a stream for as long as the component is there, folding its messages into a value.
 *
 * @template T
 * @param {?string} stream @param {Options} options @param {(value: T, message: Message) => T} add @param {T} empty
 * @returns {Watched & {value: T}}
 */
function useMessages(stream, options, add, empty) {
  const fold = (/** @type {Watched & {value: T}} */ seen, /** @type {any} */ message) => {
    switch (message.kind) {
      case "begin":
        return { ...NOTHING, value: empty, status: message.stream === null ? "idle" : "connecting" };
      case "fault":
        return { ...seen, status: "error", error: message.error };
      case "reset":
        return { ...seen, value: empty };
      case "lost":
        return { ...seen, status: "connecting" };
      case "attached":
        return { ...seen, status: message.status in RUNNING ? message.status : "running" };
      case "end":
        return { ...seen, status: message.status, end: message };
      default:
        return { ...seen, status: "running", value: add(seen.value, message) };
    }
  };
  const [seen, tell] = useReducer(fold, { ...NOTHING, value: empty });
  const { base, key, ticket, view, transport, attempts, silence } = options;
  const latest = useRef(ticket);
  latest.current = ticket;
  useEffect(() => {
    tell({ kind: "begin", stream });
    if (stream === null) return;
    const control = new AbortController();
    const read = async () => {
      const given = typeof ticket === "function" ? () => /** @type {() => string|Promise<string>} */ (latest.current)() : ticket;
      const reading = { base, key, ticket: given, view, transport, attempts, silence, signal: control.signal };
      for await (const message of watch(stream, reading)) tell(message);
    };
    read().catch((error) => control.signal.aborted || tell({ kind: "fault", error }));
    return () => control.abort();
    // A function is another one at each rendering: the latest is asked, and nothing is read anew.
  }, [stream, String(base), key, typeof ticket === "function" ? "asked" : ticket, view, transport, attempts, silence]);
  return seen;
}

const RUNNING = { starting: 1, running: 1 };
