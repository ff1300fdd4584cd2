// Watch a Fanlight stream with clients/js, as the cases want it (conformance/README.md):
//   node watch.mjs URL STREAM VIEW CURSOR
import { watch } from "../../../clients/js/fanlight.js";

const [base, stream, view, cursor] = process.argv.slice(2);
const { TRANSPORT: transport, SILENCE_MS, ATTEMPTS } = process.env;
const limits = { silence: SILENCE_MS && Number(SILENCE_MS), attempts: ATTEMPTS && Number(ATTEMPTS) };
const report = (line) => process.stdout.write(JSON.stringify(line) + "\n");

try {
  for await (const message of watch(stream, { base, view, cursor: cursor || null, transport, ...limits })) {
    if (message.kind !== "end") report(message);
    else report({ kind: "end", status: message.status, code: message.error?.code ?? null });
  }
} catch (error) {
  report({ kind: "error", code: error.code ?? String(error) });
  process.exitCode = 1;
}
