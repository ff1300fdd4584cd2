// Servers and sockets that behave as a test says, and a count of what a client leaves behind.
import { createServer } from "node:http";

/** A server whose answers are functions of (request, response), one for each request; the last one goes on. */
export async function serving(...answers) {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push(request);
    (answers.length > 1 ? answers.shift() : answers[0])(request, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    seen,
    base: `http://127.0.0.1:${server.address().port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Says messages as events; then ends, cuts, or stays and says nothing. */
export function events(messages, then = "stay") {
  return (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    const said = messages.map((message) => `data: ${JSON.stringify(message)}\n\n`).join("");
    if (then === "end") response.end(said);
    else if (said) response.write(said, () => then === "cut" && setImmediate(() => request.socket.destroy()));
    else if (then === "cut") request.socket.destroy();
  };
}

export const page = (status, words = "<html>", type = "text/html", headers = {}) => (request, response) => {
  response.writeHead(status, { "Content-Type": type, ...headers });
  response.end(words);
};

export const attached = (text = "", gen = 1) => ({
  type: "attached", stream: "st_1", gen, mode: "snapshot", from: 0, to: text.length, text, status: "running", view: "text",
});
export const suffix = (from) => ({ ...attached(), mode: "live", from, to: from });
export const delta = (from, text) => ({ type: "delta", stream: "st_1", from, to: from + text.length, text });

/** A signal that counts the listeners on it. */
export function counted(signal) {
  const here = new Set();
  const { addEventListener, removeEventListener } = signal;
  let most = 0;
  signal.addEventListener = (kind, listener, ...rest) => {
    here.add(listener);
    most = Math.max(most, here.size);
    addEventListener.call(signal, kind, listener, ...rest);
  };
  signal.removeEventListener = (kind, listener, ...rest) => {
    here.delete(listener);
    removeEventListener.call(signal, kind, listener, ...rest);
  };
  return { left: () => here.size, most: () => most };
}

export const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;

/** What a reader was told before it stopped, and why it did. */
export async function collected(messages, until = () => false) {
  const told = [];
  try {
    for await (const message of messages) {
      told.push(message);
      if (until(message)) break;
    }
    return { told, error: null };
  } catch (error) {
    return { told, error };
  }
}

export const kinds = (told) => told.map((message) => message.kind);

/** WebSocket as a test plays it: `opened` are those that were made. */
export function fakeSockets(play) {
  const opened = [];
  globalThis.WebSocket = class {
    static CONNECTING = 0;
    static OPEN = 1;
    readyState = 0;
    sent = [];
    closed = false;
    constructor(url, protocols) {
      Object.assign(this, { url: String(url), protocols });
      opened.push(this);
      setImmediate(() => play(this, opened.length - 1));
    }
    open() {
      this.readyState = 1;
      this.onopen?.({});
    }
    say(message) {
      this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
    }
    send(data) {
      this.sent.push(JSON.parse(data));
    }
    close() {
      this.closed = true; // and nobody ever answers it
    }
  };
  return { opened, [Symbol.dispose]: () => delete globalThis.WebSocket };
}
