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
export function watch(stream: string, options?: Options): AsyncGenerator<Message, void, void>;
/**
 * Yield the streams that are started under a channel's name, as they are announced; one that runs already comes first.
 *
 * @param {string} name
 * @param {Options} [options]
 * @returns {AsyncGenerator<{stream: string, status: string}, void, void>}
 * @throws {FanlightError} as `watch`
 */
export function announced(name: string, options?: Options): AsyncGenerator<{
    stream: string;
    status: string;
}, void, void>;
/**
 * Start a stream, or join the equal one that runs; returns its id.
 *
 * @param {Record<string, any>} request the analyze request, with an optional `fanlight` member
 * @param {Access & {idempotencyKey?: string}} [options]
 * @returns {Promise<string>}
 * @throws {FanlightError} the service's own code, `unreachable`, or `inexact` where something else answers
 */
export function start(request: Record<string, any>, options?: Access & {
    idempotencyKey?: string;
}): Promise<string>;
/**
 * Cancel a stream: its ending says so to every reader. One that has ended stays as it is.
 *
 * @param {string} stream
 * @param {Access & {force?: boolean}} [options] `force`: also where others have started it, too
 * @throws {FanlightError} as `start`
 */
export function cancel(stream: string, options?: Access & {
    force?: boolean;
}): Promise<void>;
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
export function attachCaptions(video: HTMLVideoElement, stream: string, options?: Options & {
    label?: string;
    language?: string;
}): Promise<End>;
/**
 * Apply one operation of view `patch` to a tree; returns the tree.
 *
 * @param {any} tree @param {Op} op
 * @throws {FanlightError} `inexact`: there is no such place
 */
export function applyOp(tree: any, op: Op): any;
/** The service refused, or broke its own contract. */
export class FanlightError extends Error {
    /** @param {string} code @param {string} [message] */
    constructor(code: string, message?: string);
    code: string;
}
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type Attached = {
    kind: "attached";
    stream: string;
    gen: number;
    mode: "snapshot" | "suffix" | "live";
    status: string;
    cursor: string | null;
};
/**
 * the connection went; another one is tried
 */
export type Lost = {
    kind: "lost";
    failures: number;
    cursor: string | null;
};
/**
 * append `text`
 */
export type Delta = {
    kind: "delta";
    text: string;
    from: number;
    to: number;
    cursor: string | null;
};
/**
 * drop everything shown
 */
export type Reset = {
    kind: "reset";
    gen: number;
    reason: string;
    cursor: string | null;
};
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type Element = {
    kind: "element";
    at: number;
    pointer: string;
    value: any;
    valid: boolean | null;
    cursor: string | null;
};
/**
 * `tree` is the whole, patched in place
 */
export type Patch = {
    kind: "patch";
    at: number;
    ops: Array<Op>;
    tree: any;
    cursor: string | null;
};
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type Op = {
    op: "add" | "append";
    path: string;
    value: any;
};
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type Caption = {
    kind: "caption";
    at: number;
    id: string;
    rev: number;
    state: "partial" | "final" | "retracted";
    start: number;
    end: number | null;
    text: string;
    speaker?: string;
    pointer?: string;
    cursor: string | null;
};
/**
 * `position`: index into the text shown
 */
export type Violation = {
    kind: "violation";
    at: number;
    position: number | null;
    pointer: string;
    schema_pointer: string;
    keyword: string;
    message: string;
    cursor: string | null;
};
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type RawEvent = {
    kind: "event";
    at: number;
    n: number;
    event: Record<string, any>;
    cursor: string | null;
};
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type End = {
    kind: "end";
    gen: number;
    to: number;
    status: string;
    finish_reason: string | null;
    usage: Record<string, any> | null;
    validation: Record<string, any> | null;
    error: {
        code: string;
        message: string;
        retryable: boolean;
    } | null;
    sha256: string;
    cursor: string | null;
};
/**
 * Where the service is, and by what right it is asked. `base` is its address, a path in it is kept; left out it is
 * where this file was served from, else the page's origin. `key` is for servers: a page would show it to everybody.
 * `ticket` may be a function that gives one: it is asked for each connection and call, and when one is about to expire.
 */
export type Message = Attached | Lost | Delta | Reset | Element | Patch | Caption | Violation | RawEvent | End;
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type Ticket = string | (() => string | Promise<string>);
/**
 * `attempts`: connections in a row without progress before `unreachable` (20). `silence`: milliseconds without a sign
 * of life after which a connection is dead (36,000).
 */
export type Access = {
    base?: string | URL;
    key?: string;
    ticket?: Ticket;
    signal?: AbortSignal;
};
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type Reading = {
    view?: "text" | "json" | "patch" | "captions" | "raw" | "end";
    cursor?: string | null;
    transport?: "websocket" | "events";
    attempts?: number;
    silence?: number;
};
/**
 * Each message has `cursor`: handed to `watch` again, as after a reload, it goes on behind this message. Null where
 * nothing was told yet.
 */
export type Options = Access & Reading;
