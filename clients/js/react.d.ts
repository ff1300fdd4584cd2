/**
 * Start analyses and show the text of the one that was started last, or of `stream`.
 *
 * Unmounting leaves the analysis to go on: cancel it where nobody else should pay for it.
 *
 * @param {Omit<Options, "view"|"cursor"|"signal"> & {stream?: ?string}} [options]
 * @returns {Analysis}
 */
export function useAnalysis(options?: Omit<Options, "view" | "cursor" | "signal"> & {
    stream?: string | null;
}): Analysis;
/**
 * The captions of a stream as they come, in the order of their times.
 *
 * @param {?string|undefined} stream nothing is read where it is null
 * @param {Omit<Options, "view"|"cursor"|"signal">} [options]
 * @returns {Watched & {cues: Caption[]}}
 */
export function useCaptions(stream: (string | undefined) | null, options?: Omit<Options, "view" | "cursor" | "signal">): Watched & {
    cues: Caption[];
};
export type Options = import("./fanlight.js").Options;
export type Message = import("./fanlight.js").Message;
export type Caption = import("./fanlight.js").Caption;
/**
 * `idle` before there is a stream; `connecting`, also where a connection was lost; `starting` and `running`; then the
 * ending's own word (`completed`, `length`, `truncated`, `failed`, `cancelled`), or `error` where this client gave up.
 */
export type End = import("./fanlight.js").End;
export type Status = "idle" | "connecting" | "starting" | "running" | "error" | (string & {});
export type Watched = {
    status: Status;
    end: End | null;
    error: Error | null;
};
export type Analysis = Watched & {
    text: string;
    stream: string | null;
    start: (request: Record<string, any>) => Promise<string | null>;
    cancel: () => Promise<void>;
};
