// What a user of `watch` holds, and programs that tests/js/test_client.py runs:
//   node folding.mjs resume URL STREAM VIEW     resume at each message in turn; prints those that then differ
//   node folding.mjs watch URL STREAM...        watch them all at once; prints what each has seen
import { watch } from "../../clients/js/fanlight.js";

const nothing = () => ({ text: "", elements: {}, captions: {}, tree: null, events: [], resets: 0 });

function fold(seen, message) {
  switch (message.kind) {
    case "reset":
      return { ...nothing(), resets: seen.resets + 1 };
    case "delta":
      return { ...seen, text: seen.text + message.text };
    case "element":
      return { ...seen, elements: { ...seen.elements, [message.pointer]: message.value } };
    case "caption":
      return { ...seen, captions: { ...seen.captions, [message.id]: [message.text, message.state] } };
    case "patch":
      return { ...seen, tree: structuredClone(message.tree) };
    case "event":
      return { ...seen, events: [...seen.events, message.n] };
    case "end":
      return { ...seen, status: message.status };
  }
  return seen;
}

async function all(stream, options) {
  const told = [];
  for await (const message of watch(stream, options)) told.push(structuredClone(message));
  return told;
}

async function resume(base, stream, view) {
  const told = await all(stream, { base, view });
  const whole = JSON.stringify({ ...told.reduce(fold, nothing()), resets: 0 });
  for (const [n, { cursor }] of told.entries()) {
    const before = told.slice(0, n + 1).reduce(fold, nothing());
    const after = (await all(stream, { base, view, cursor })).reduce(fold, before);
    if (JSON.stringify({ ...after, resets: 0 }) !== whole) console.log(n, cursor, JSON.stringify(after));
  }
  console.log(told.length);
}

async function watchAll(base, streams) {
  const options = { base, attempts: 50 };
  for (const told of await Promise.all(streams.map((stream) => all(stream, options)))) {
    const { text, status } = told.reduce(fold, nothing());
    console.log(JSON.stringify({ text, status, lost: told.filter(({ kind }) => kind === "lost").length }));
  }
}

// Pauses between connections take no time in tests.
Math.random = () => 0;
const [what, base, ...rest] = process.argv.slice(2);
await (what === "resume" ? resume(base, ...rest) : watchAll(base, rest));
