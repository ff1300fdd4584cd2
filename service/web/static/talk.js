// Questions about a video and their answers, each of which is a run that others can watch.
import { access, call, words } from "./api.js";
import { AnswerText } from "./answer.js";
import { atEnd, h } from "./dom.js";
import { cancel, FanlightError, start } from "./fanlight.js";
import { Run } from "./run.js";
import { LiveObject, verdict } from "./schema.js";

const MOST_ANSWER = 1500;
const MOST_TOLD = 6000;
const ENDED = { completed: "Done", length: "Cut: the longest answer was reached", truncated: "Broke off", failed: "Failed", cancelled: "Cancelled" };

export class Talk {
  /** @param {HTMLElement} box @param {{seek: Function, selected: (run: ?Run) => void, embedded: () => boolean}} on */
  constructor(box, on) {
    Object.assign(this, { box, on });
    this.turns = [];
  }

  clear() {
    for (const turn of this.turns) for (const run of turn.runs) run.leave();
    this.turns = [];
    this.box.replaceChildren();
  }

  /** Ask, and show the answer as it comes. @param {string} asset @param {string} question @param {?object} schema */
  async ask(asset, question, schema = null) {
    const request = { prompt: this.prompt(question), video: { type: "asset_id", asset_id: asset } };
    if (schema) request.response_format = { type: "json_schema", json_schema: schema };
    const turn = this.turn(question, schema, () => this.ask(asset, question, schema));
    turn.request = request;
    try {
      const stream = await start(request, access());
      // Another video may have taken this one's place meanwhile.
      if (!this.turns.includes(turn)) return null;
      this.follow(turn, stream);
      return stream;
    } catch (error) {
      if (this.turns.includes(turn)) this.failed(turn, error);
      return null;
    }
  }

  /** Show a run that somebody has started. @param {string} stream @param {object} request */
  join(stream, request) {
    const question = request.prompt.split("\n\n").at(-1);
    this.follow(this.turn(question, request.response_format?.json_schema ?? null, null), stream);
  }

  /** What was said before goes along, oldest first cut off. */
  prompt(question) {
    const lines = [];
    let room = MOST_TOLD;
    for (const { question: asked, text } of [...this.turns].reverse()) {
      if (!text) continue;
      const told = `User: ${asked}\nAssistant: ${text.length > MOST_ANSWER ? `${text.slice(0, MOST_ANSWER - 1)}…` : text}`;
      if ((room -= told.length) < 0) break;
      lines.unshift(told);
    }
    return lines.length ? `Conversation so far:\n${lines.join("\n")}\n\n${question}` : question;
  }

  turn(question, schema, again) {
    const body = h("div", { class: "answer" });
    // How it stands is told above the text, which grows without moving it.
    const state = h("div", { class: "state", role: "status" }, h("span", { class: "running" }, "Starting…"));
    const node = h("article", { class: "turn", "aria-label": question }, h("p", { class: "asked", dir: "auto" }, question), state, body);
    const turn = { question, schema, again, body, state, node, text: "", runs: [], live: schema ? new LiveObject((draw) => this.following(draw)) : null };
    turn.shown = turn.live ? null : new AnswerText(body, { seek: this.on.seek, marks: this.on.embedded() });
    if (turn.live) body.append(turn.live.box);
    this.turns.push(turn);
    this.box.append(node);
    this.box.scrollTop = this.box.scrollHeight;
    return turn;
  }

  follow(turn, stream) {
    turn.stream = stream;
    const main = new Run(stream, { told: (message) => this.told(turn, message), changed: () => this.on.selected(main) });
    turn.runs = [main];
    if (turn.live) {
      turn.runs.push(new Run(stream, { view: "patch", told: (message) => message.kind === "reset" ? turn.live.clear() : message.kind === "patch" && turn.live.grown(message.tree) }));
      turn.runs.push(new Run(stream, { view: "json", told: (message) => message.kind === "element" && turn.live.judge(message.pointer, message.valid) }));
    }
    for (const run of turn.runs) run.over.catch((error) => run.wasCut === false && error.name !== "AbortError" && this.failed(turn, error));
    turn.node.addEventListener("focusin", () => this.on.selected(main));
    turn.node.addEventListener("click", () => this.on.selected(main));
    this.on.selected(main);
  }

  /** Do what lets the conversation grow, and stay at its end where it is read there. */
  following(work) {
    const stay = atEnd(this.box);
    work();
    if (stay) this.box.scrollTop = this.box.scrollHeight;
  }

  told(turn, message) {
    this.following(() => this.show(turn, message));
  }

  show(turn, message) {
    switch (message.kind) {
      case "attached":
        if (!turn.ended) this.tell(turn, h("span", { class: "running" }, "Running"), this.stopper(turn));
        break;
      case "lost":
        this.tell(turn, "Connection lost, coming back…");
        break;
      case "delta":
        turn.text += message.text;
        turn.shown?.add(message.text);
        break;
      case "reset":
        turn.text = "";
        turn.shown?.clear();
        break;
      case "violation":
        turn.violation ??= h("p", { class: "bad" }, "First proved wrong at ", h("code", {}, message.pointer || "/"), `: ${message.message}.`);
        turn.live?.judge(message.pointer, false);
        turn.body.append(turn.violation);
        break;
      case "end":
        this.ended(turn, message);
    }
  }

  stopper(turn) {
    const stop = async () => {
      try {
        await cancel(turn.stream, access());
      } catch (error) {
        this.tell(turn, words(error).happened);
      }
    };
    return h("button", { type: "button", onclick: stop }, "Cancel");
  }

  ended(turn, message) {
    turn.ended = true;
    turn.shown?.over();
    for (const error of message.validation?.errors ?? []) turn.live?.judge(error.pointer, false);
    const judged = verdict(message.validation);
    if (judged) turn.body.append(judged);
    if (turn.shown?.sources.size) turn.body.append(turn.shown.legend());
    const badly = !["completed", "length"].includes(message.status);
    if (badly) this.bad(turn, message.error ?? { code: message.status, message: ENDED[message.status] }, this.again(turn));
    if (message.error?.code === "upstream_refused") this.why(turn, message.error.upstream_status);
    const tokens = message.usage?.output_tokens;
    this.tell(turn, h("span", { class: badly ? "bad" : "good" }, ENDED[message.status] ?? message.status), tokens ? `${tokens} tokens` : null);
  }

  /** The ending says that the upstream refused; the same call in its own dialect says why. It costs nothing here. */
  async why(turn, status) {
    if (!this.on.embedded() || !turn.request || !(status >= 400 && status < 500)) return;
    const error = await call("POST", "v1.3/analyze", { ...turn.request, stream: false }).catch((error) => error);
    if (!(error instanceof FanlightError)) return;
    turn.body.querySelector(".ended-badly")?.remove();
    this.bad(turn, error, this.again(turn));
  }

  again(turn) {
    return turn.again && h("button", { type: "button", onclick: turn.again }, "Ask again");
  }

  failed(turn, error) {
    turn.shown?.over();
    this.bad(turn, error, this.again(turn));
    this.tell(turn, h("span", { class: "bad" }, "Failed"));
    this.box.scrollTop = this.box.scrollHeight;
  }

  bad(turn, error, again) {
    const { happened, todo } = words(error);
    turn.body.querySelector(".ended-badly")?.remove(); // once for a turn, however many of its readers failed
    turn.body.append(h("div", { class: "ended-badly" }, h("p", {}, happened), h("p", { class: "quiet" }, todo), again));
  }

  tell(turn, ...parts) {
    turn.state.replaceChildren(...parts.filter(Boolean).map((part) => (typeof part === "string" ? h("span", {}, part) : part)));
  }
}
