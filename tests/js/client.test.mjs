// fanlight.js where the other side misbehaves. `node --test tests/js`; tests/js/test_client.py runs it with the suite.
import assert from "node:assert/strict";
import { test } from "node:test";

import { announced, applyOp, cancel, start, watch } from "../../clients/js/fanlight.js";
import { attached, collected, counted, delta, events, fakeSockets, kinds, page, serving, suffix, timers } from "./serving.mjs";

const never = () => {};
const END = { type: "end", gen: 1, to: 0, status: "completed", sha256: "", usage: null, error: null };
const using = async (server, body) => {
  try {
    return await body(server);
  } finally {
    await server[Symbol.asyncDispose]();
  }
};

test("a signal that is aborted already makes no connection", async () =>
  using(await serving(never), async ({ base, seen }) => {
    const { told, error } = await collected(watch("st_1", { base, signal: AbortSignal.abort("enough") }));
    assert.deepEqual([told, error, seen.length], [[], "enough", 0]);
  }));

for (const [where, answer] of [["is not answered", never], ["says nothing more", events([attached("one")])]])
  test(`a signal stops at once a connection that ${where}`, async () =>
    using(await serving(answer), async ({ base, seen }) => {
      const control = new AbortController();
      const listeners = counted(control.signal);
      const before = timers();
      const reading = collected(watch("st_1", { base, signal: control.signal }));
      while (!seen.length) await new Promise(setImmediate);
      await new Promise((resolve) => setTimeout(resolve, 20));
      control.abort("enough");
      const { error } = await reading;
      assert.deepEqual([error, listeners.left(), timers()], ["enough", 0, before]);
    }));

test("after the signal nothing more is yielded, though it has come", async () =>
  using(await serving(events([attached("one"), delta(3, "two"), delta(6, "six")])), async ({ base }) => {
    const control = new AbortController();
    const told = [];
    await assert.rejects(async () => {
      for await (const message of watch("st_1", { base, signal: control.signal })) {
        told.push(message.text);
        if (message.text === "two") control.abort(new Error("enough"));
      }
    }, /enough/);
    assert.deepEqual(told, [undefined, "one", "two"]);
  }));

test("a signal stops the pause between two connections", async () =>
  using(await serving(page(503, "{}", "application/json", { "Retry-After": "30" })), async ({ base }) => {
    const control = new AbortController();
    const before = timers();
    const reading = watch("st_1", { base, signal: control.signal });
    assert.equal((await reading.next()).value.kind, "lost");
    const next = reading.next();
    await new Promise(setImmediate);
    control.abort("enough");
    await assert.rejects(next, (reason) => reason === "enough");
    assert.equal(timers(), before);
  }));

test("a signal that comes after the end is no error", async () =>
  using(await serving(events([{ ...attached(), view: "end" }, END], "end")), async ({ base }) => {
    const control = new AbortController();
    const reading = watch("st_1", { base, view: "end", signal: control.signal });
    while ((await reading.next()).value.kind !== "end");
    control.abort("enough");
    assert.deepEqual(await reading.next(), { value: undefined, done: true });
  }));

test("many connections leave one listener on a signal, and none at the end", async () => {
  const cut = (n) => events([n ? suffix(n) : attached(), delta(n, "x")], "cut");
  const calm = Math.random;
  Math.random = () => 0;
  try {
    await using(await serving(...Array.from({ length: 40 }, (_, n) => cut(n)), events([suffix(40)])), async ({ base, seen }) => {
      const control = new AbortController();
      const listeners = counted(control.signal);
      const { told } = await collected(watch("st_1", { base, signal: control.signal }), () => seen.length === 41);
      assert.equal(told.filter((message) => message.kind === "delta").length, 40);
      assert.deepEqual([listeners.most(), listeners.left()], [1, 0]);
    });
  } finally {
    Math.random = calm;
  }
});

test("return ends a reader that waits", async () =>
  using(await serving(never), async ({ base, seen }) => {
    const before = timers();
    const reading = watch("st_1", { base });
    const waiting = reading.next();
    while (!seen.length) await new Promise(setImmediate);
    assert.deepEqual(await reading.return(), { value: undefined, done: true });
    assert.deepEqual(await waiting, { value: undefined, done: true });
    assert.equal(timers(), before);
  }));

test("a peer that never answers the close of a socket is not waited for", async () => {
  const sockets = fakeSockets((socket) => (socket.open(), socket.say(attached("one"))));
  try {
    const control = new AbortController();
    const options = { base: "http://127.0.0.1:9", transport: "websocket", signal: control.signal };
    const { told } = await collected(watch("st_1", options), (message) => message.kind === "delta");
    assert.deepEqual([kinds(told), sockets.opened[0].closed], [["attached", "delta"], true]);
    sockets.opened[0].say(delta(3, "late")); // into nobody's ear
  } finally {
    sockets[Symbol.dispose]();
  }
});

test("a socket that is silent is asked, and given up where it does not answer", async () => {
  const sockets = fakeSockets((socket, n) => {
    socket.open();
    socket.say(n ? suffix(3) : attached("one"));
  });
  try {
    const options = { base: "http://127.0.0.1:9", transport: "websocket", silence: 90 };
    const { told } = await collected(watch("st_1", options), (message) => message.mode === "live");
    assert.deepEqual(kinds(told), ["attached", "delta", "lost", "attached"]);
    assert.deepEqual(sockets.opened[0].sent, [{ type: "ping" }]);
    assert.match(sockets.opened[1].url, /cursor=1\.3$/);
  } finally {
    sockets[Symbol.dispose]();
  }
});

test("a handshake that fails by an error alone ends with what the resource says", async () =>
  using(await serving(page(404, '{"code":"not_found","message":"no such stream"}', "application/json")), async ({ base }) => {
    const sockets = fakeSockets((socket) => socket.onerror?.({}));
    try {
      const { error } = await collected(watch("st_1", { base, transport: "websocket" }));
      assert.deepEqual([error.code, error.message, sockets.opened.length], ["not_found", "no such stream", 1]);
    } finally {
      sockets[Symbol.dispose]();
    }
  }));

test("a close that is final ends with its name", async () => {
  const sockets = fakeSockets((socket) => (socket.open(), socket.onclose({ code: 4401, reason: "unauthenticated" })));
  try {
    const { error } = await collected(watch("st_1", { base: "http://127.0.0.1:9", transport: "websocket" }));
    assert.equal(error.code, "unauthenticated");
  } finally {
    sockets[Symbol.dispose]();
  }
});

test("an address with a path keeps it, for reading, starting and cancelling", async () =>
  using(await serving(page(404, "{}", "application/json")), async ({ base, seen }) => {
    for (const address of [`${base}/video`, `${base}/video/?a=1#b`]) {
      await collected(watch("st_1", { base: address }));
      await assert.rejects(start({}, { base: address }));
      await assert.rejects(cancel("st_1", { base: address, force: true }));
    }
    const asked = ["/video/v1/streams/st_1/events?view=text", "/video/v1/streams", "/video/v1/streams/st_1?force=true"];
    assert.deepEqual(seen.map((request) => request.url), [...asked, ...asked]);
    await assert.rejects(start({}, { base: "file:///tmp" }), TypeError);
  }));

test("calls tell by a name why they failed", async () =>
  using(await serving(never), async (silent) => {
    const code = async (answer) => using(await serving(answer), ({ base }) => start({}, { base }).catch((error) => error.code));
    assert.equal(await code(page(502)), "http_502");
    assert.equal(await code(page(200, "<html>Your room number?</html>")), "inexact");
    assert.equal(await code(page(201, "[]", "application/json")), "inexact");
    assert.equal(await code(page(429, '{"code":"limit_reached","message":"later"}')), "limit_reached");
    assert.equal(await start({}, { base: "http://127.0.0.1:9" }).catch((error) => error.code), "unreachable");
    const control = new AbortController();
    const starting = start({}, { base: silent.base, signal: control.signal });
    control.abort(new Error("enough"));
    await assert.rejects(starting, /enough/);
  }));

test("a key and a ticket are sent, and no redirect gets them", async () =>
  using(await serving(page(200)), async (other) =>
    using(await serving(page(307, "", "text/plain", { Location: other.base })), async ({ base, seen }) => {
      const { error } = await collected(watch("st_1", { base, key: "k", attempts: 1 }));
      await assert.rejects(start({}, { base, ticket: "t" }));
      assert.deepEqual([error.code, seen[0].headers["x-api-key"], seen[1].headers.authorization], ["unreachable", "k", "Bearer t"]);
      assert.equal(other.seen.length, 0);
    })));

test("a ticket goes with a socket as a subprotocol", async () => {
  const sockets = fakeSockets((socket) => socket.onclose?.({ code: 4404, reason: "not_found" }));
  try {
    await collected(watch("st_1", { base: "http://127.0.0.1:9", transport: "websocket", ticket: "t" }));
    assert.deepEqual(sockets.opened[0].protocols, ["fanlight.v1", "ticket.t"]);
  } finally {
    sockets[Symbol.dispose]();
  }
});

test("each stream of a channel is announced once", async () => {
  const waiting = { ...attached(), stream: null, gen: 0, status: "waiting", view: "end" };
  const first = { ...attached(), view: "end" };
  const second = { ...first, stream: "st_2" };
  await using(await serving(events([waiting, first], "cut"), events([waiting, first, second])), async ({ base, seen }) => {
    const { told } = await collected(announced("court-3", { base }), (one) => one.stream === "st_2");
    assert.deepEqual(told.map((one) => one.stream), ["st_1", "st_2"]);
    assert.equal(seen[0].url, "/v1/channels/court-3/events?view=end");
  });
});

test("an operation reaches only what the tree itself holds", () => {
  for (const op of [
    { op: "add", path: "/__proto__/polluted", value: 1 },
    { op: "add", path: "/constructor/prototype/polluted", value: 1 },
    { op: "add", path: "/list/2", value: 1 },
    { op: "add", path: "/list/-1", value: 1 },
    { op: "add", path: "/list/length", value: 1e9 },
    { op: "append", path: "/none", value: "a" },
    { op: "append", path: "/list", value: "a" },
    { op: "append", path: "", value: "a" },
  ])
    assert.throws(() => applyOp({ list: [1] }, op), { code: "inexact" }, op.path);
  assert.equal({}.polluted, undefined);
  assert.deepEqual(applyOp({ list: [1] }, { op: "add", path: "/list/1", value: 2 }), { list: [1, 2] });
});

test("a channel is read on where a handshake fails, for it has no resource that could tell why", async () =>
  using(await serving(page(404, "{}", "application/json")), async ({ base, seen }) => {
    const sockets = fakeSockets((socket, n) => (n ? (socket.open(), socket.say({ ...attached(), view: "end" })) : socket.onerror?.({})));
    const calm = Math.random;
    Math.random = () => 0;
    try {
      const { told, error } = await collected(announced("court-3", { base, transport: "websocket" }), () => true);
      assert.deepEqual([told.map((one) => one.stream), error, seen.length], [["st_1"], null, 0]);
    } finally {
      Math.random = calm;
      sockets[Symbol.dispose]();
    }
  }));

test("a ticket that is given by a function is asked for anew for each connection, and when one is about to expire", async () => {
  const sockets = fakeSockets(async (socket, n) => {
    socket.open();
    socket.say(n ? suffix(3) : attached("one"));
    if (n) return;
    socket.say({ type: "expiring", in_s: 30 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    socket.onclose({ code: 4401, reason: "ticket_expired" });
  });
  let given = 0;
  const ticket = async () => `t${given++}`;
  try {
    const options = { base: "http://127.0.0.1:9", transport: "websocket", ticket };
    const { told, error } = await collected(watch("st_1", options), (message) => message.mode === "live");
    assert.deepEqual([kinds(told), error], [["attached", "delta", "lost", "attached"], null]);
    assert.deepEqual(sockets.opened.map((socket) => socket.protocols[1]), ["ticket.t0", "ticket.t2"]);
    assert.deepEqual(sockets.opened[0].sent, [{ type: "ticket", ticket: "t1" }]);
  } finally {
    sockets[Symbol.dispose]();
  }
});

test("a ticket that was handed in and has expired ends the reading by its name", async () => {
  const sockets = fakeSockets((socket) => (socket.open(), socket.onclose({ code: 4401, reason: "ticket_expired" })));
  try {
    const { error } = await collected(watch("st_1", { base: "http://127.0.0.1:9", transport: "websocket", ticket: "t" }));
    assert.equal(error.code, "ticket_expired");
  } finally {
    sockets[Symbol.dispose]();
  }
});

const EXPIRED = { type: "error", code: "ticket_expired", message: "the ticket has expired", retryable: false };

test("events that end with their ticket are taken up again with another one", async () =>
  using(await serving(events([attached("one"), EXPIRED], "cut"), events([suffix(3)])), async ({ base, seen }) => {
    let given = 0;
    const { told } = await collected(watch("st_1", { base, ticket: () => `t${given++}` }), (message) => message.mode === "live");
    assert.deepEqual(kinds(told), ["attached", "delta", "lost", "attached"]);
    assert.deepEqual(seen.map((request) => request.headers.authorization), ["Bearer t0", "Bearer t1"]);
  }));

test("events that end with a ticket that was handed in say so", async () =>
  using(await serving(events([attached("one"), EXPIRED], "cut")), async ({ base }) => {
    const { error } = await collected(watch("st_1", { base, ticket: "t" }));
    assert.equal(error.code, "ticket_expired");
  }));

test("a function that gives no ticket is asked again, and in the end nobody can be reached", async () =>
  using(await serving(never), async ({ base, seen }) => {
    const ticket = () => Promise.reject(new Error("no"));
    const { told, error } = await collected(watch("st_1", { base, ticket, attempts: 2 }));
    assert.deepEqual([kinds(told), error.code, seen.length], [["lost"], "unreachable", 0]);
  }));

test("a signal stops a function that gives its ticket never", async () => {
  const control = new AbortController();
  const before = timers();
  const reading = collected(watch("st_1", { base: "http://127.0.0.1:9", ticket: () => new Promise(never), signal: control.signal }));
  const asking = start({}, { base: "http://127.0.0.1:9", ticket: () => new Promise(never), signal: control.signal });
  await new Promise(setImmediate);
  control.abort("enough");
  assert.equal((await reading).error, "enough");
  await assert.rejects(asking, (reason) => reason === "enough");
  assert.equal(timers(), before);
});
