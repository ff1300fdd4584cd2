/** A text as pieces, of which times have `seconds`. @param {string} text @returns {Array<{text: string, seconds?: number}>} */
export function withTimes(text: string): Array<{
    text: string;
    seconds?: number;
}>;
/** The cues of a stream, by their times. */
export class CueSheet {
    /** @type {Map<string, Caption>} */
    cues: Map<string, Caption>;
    /** @type {?Array<Caption>} */
    sorted: Array<Caption> | null;
    /** Take a message of view `captions`; whether it changed what is shown. @param {Message} message */
    take(message: Message): boolean;
    /** In the order of their times. */
    all(): import("./fanlight.js").Caption[];
    /** Those to be seen at a time. @param {number} seconds */
    at(seconds: number): import("./fanlight.js").Caption[];
}
/**
 * `<fanlight-captions>`: captions as they come, at the time of a media element, or the latest ones without it.
 *
 * `for` and `mode="overlay"` (the usual one): lies over the media element where both are in one positioned box.
 * `mode="bar"`: a live text bar with the latest lines. Set `--fanlight-size` (1 is usual), `--fanlight-color`,
 * `--fanlight-background`, `--fanlight-font`, `--fanlight-lines` (2). Parts: `box`, `line`.
 */
export class FanlightCaptions extends Reader {
    sheet: CueSheet;
    box: HTMLDivElement;
    /** @type {Array<{id: string, text: string}>} */
    shown: Array<{
        id: string;
        text: string;
    }>;
    show(): void;
}
/**
 * `<fanlight-answer>`: a text as it grows, with its times as buttons that seek the media element (or send
 * `fanlight-seek`, `detail.seconds`); with `view="patch"` the JSON of a structured answer. Custom properties
 * `--fanlight-color`, `--fanlight-accent`, `--fanlight-font`. Parts: `text`, `time`, `note`.
 */
export class FanlightAnswer extends Reader {
    text: HTMLDivElement;
    note: HTMLParagraphElement;
    rest: string;
    drawing: boolean;
    /** @type {any} */
    tree: any;
    tail: HTMLSpanElement;
    /** A tree as it stands before the next picture, however many changes come until then. @param {any} tree */
    draw(tree: any): void;
    /** Lines that are whole stand as they are; only the last one is made anew. @param {string} text */
    grow(text: string): void;
    /** @param {string} line */
    pieces(line: string): (Text | HTMLButtonElement)[];
    /** @param {number} seconds */
    seek(seconds: number): void;
}
export type Caption = import("./fanlight.js").Caption;
export type Message = import("./fanlight.js").Message;
/** What both elements have in common: an address, a media element, and reading for as long as they are in a page. */
declare class Reader extends HTMLElement {
    static observedAttributes: string[];
    static view: string;
    static css: CSSStyleSheet;
    /** @type {?AbortController} */
    control: AbortController | null;
    /**
     * In place of the attribute: a ticket, or a function that gives one; set it before the element is in a page.
     * @type {import("./fanlight.js").Ticket|undefined}
     */
    ticket: import("./fanlight.js").Ticket | undefined;
    shadow: ShadowRoot;
    connectedCallback(): void;
    disconnectedCallback(): void;
    attributeChangedCallback(): void;
    /** The media element that `for` names. @returns {?HTMLMediaElement} */
    get media(): HTMLMediaElement | null;
    restart(): void;
    /** @param {AbortSignal} signal */
    begin(signal: AbortSignal): void;
    /** @param {AbortSignal} signal */
    read(signal: AbortSignal): Promise<void>;
    /** @param {string} stream @param {Record<string, any>} options */
    follow(stream: string, options: Record<string, any>): Promise<void>;
    /** @param {Message} message */
    take(message: Message): void;
    clear(): void;
    /** @param {any} error */
    fail(error: any): void;
    /** @param {string} status @param {?Error} error */
    state(status: string, error?: Error | null): void;
}
export {};
