// Calls of the page, by the key of this tab where there is one; what fails says what happened and what to do.
import { h } from "./dom.js";
import { FanlightError } from "./fanlight.js";

const home = new URL("..", import.meta.url);
const KEY = "fanlight-key";

/** How everything here reaches the service. */
export function access() {
  return { base: home, key: sessionStorage.getItem(KEY) ?? undefined };
}

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

export const address = (path) => new URL(path, home);

/** One JSON call. `body` is sent as it is where it is a form, else as JSON. */
export async function call(method, path, body, signal) {
  const { key } = access();
  const headers = { ...(key && { "x-api-key": key }) };
  const form = body instanceof FormData;
  if (body && !form) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address(path), { method, headers, body: body && !form ? JSON.stringify(body) : body, signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new FanlightError("unreachable", error.message);
  }
  const told = await answer.json().catch(() => null);
  if (!answer.ok) throw fault(answer.status, told);
  return told;
}

/** What an answer says went wrong; under /v1.3/ a key that is missing has another name. */
export function fault(status, told) {
  const code = told?.code ?? `http_${status}`;
  return new FanlightError(code === "api_key_invalid" ? "unauthenticated" : code, told?.message ?? `HTTP ${status}`);
}

/** A link to a file. It carries no key: where one is needed, the file is fetched with it. */
export function fileLink(name, path, download, more = {}) {
  const link = h("a", { href: address(path), download, ...more }, name);
  if (access().key) link.onclick = (event) => (event.preventDefault(), save(link));
  return link;
}

async function save(link) {
  const answer = await fetch(link.href, { headers: { "x-api-key": access().key } });
  const url = URL.createObjectURL(await answer.blob());
  h("a", { href: url, download: link.download }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Wait until an asset may be analysed. */
export async function ready(id, signal) {
  for (;;) {
    const asset = await call("GET", `v1.3/assets/${id}`, undefined, signal);
    if (asset.status === "ready") return asset;
    if (asset.status === "failed") throw new FanlightError(asset.error?.code ?? "asset_failed", asset.error?.message ?? "The upstream cannot use this file.");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

const TODO = {
  unreachable: "Is the service running? Start it with make run, then try again.",
  upstream_unreachable: "The model's server does not answer. It may be starting; try again in a moment.",
  upstream_truncated: "The model's server stopped in the middle. What is shown is not the whole answer; ask again.",
  upstream_broken: "The connection to the model's server broke. What is shown is not the whole answer; ask again.",
  upstream_timeout_idle: "The model's server fell silent. Ask again, or ask for less at once.",
  upstream_timeout_first_event: "The model's server took too long to begin. Try again later.",
  upstream_error: "The model could not do it. Ask in another way, or try again.",
  schema_invalid: "Correct the schema: the place is named above.",
  parameter_invalid: "The model cannot ground a part of what the schema requires; make that part optional, or take it out.",
  limit_reached: "Wait for what is running, or cancel it.",
  overloaded: "The service has much to do. Try again in a moment.",
  draining: "The service is being restarted. Try again in a moment.",
  not_found: "It is no longer kept, or it never was here. Start anew.",
  unauthenticated: "Give a valid key.",
  forbidden: "This key, or this page's address, may not do that.",
  video_duration_too_short: "Take a video of 4 seconds or more.",
  video_duration_too_long: "Take a shorter video.",
  video_resolution_too_low: "Take a video of at least 360 by 360.",
  video_file_broken: "Try another one, or convert it to MP4.",
  usage_limit_exceeded: "The disk is full. Delete videos that are not needed.",
  inexact: "Something between this page and the service changes what is sent. Reload the page.",
};

/** What happened, and what to do about it. */
export function words(error) {
  return { happened: error.message && error.message !== error.code ? error.message : `It failed (${error.code ?? error}).`, todo: TODO[error.code] ?? "" };
}
