// Files on their way to the service: small ones in one piece, large ones in a session of chunks that can pause.
import { access, address, call, fault, ready } from "./api.js";
import { FanlightError } from "./fanlight.js";

const CHUNKED_FROM = 8 << 20;
const TRIES = 4;
const REPORT_EVERY = 8;

/** One upload: `run()` gives the asset's id; `pause`, `resume` and `stop` at any time; `run()` again goes on. */
export class Upload {
  /** @param {File} file @param {(sent: number, all: number) => void} progress */
  constructor(file, progress) {
    this.file = file;
    this.progress = progress;
    this.session = null;
    this.sent = new Map(); // chunks that are there, and the proof of it
    this.reported = new Set();
    this.control = new AbortController();
    this.paused = false;
    this.wake = () => {};
  }

  get chunked() {
    return this.file.size > CHUNKED_FROM;
  }

  pause() {
    this.paused = true;
    this.control.abort(new FanlightError("paused"));
  }

  resume() {
    this.paused = false;
    this.wake();
  }

  stop() {
    this.stopped = true;
    this.control.abort(new FanlightError("stopped", "The upload was stopped."));
    this.wake();
  }

  async run() {
    for (;;) {
      if (this.stopped) throw new FanlightError("stopped", "The upload was stopped.");
      this.control = new AbortController();
      try {
        const id = await (this.chunked ? this.chunks() : this.whole());
        return (await ready(id, this.control.signal))._id;
      } catch (error) {
        if (error.code !== "paused" || this.stopped) throw error;
        // It may have been told to go on already.
        if (this.paused) await new Promise((resolve) => (this.wake = resolve));
      }
    }
  }

  async whole() {
    const form = new FormData();
    form.append("method", "direct");
    form.append("filename", this.file.name);
    form.append("file", this.file);
    return JSON.parse(await this.send("POST", address("v1.3/assets"), form, 0))._id;
  }

  async chunks() {
    const type = this.file.type.startsWith("audio/") ? "audio" : "video";
    const begin = { filename: this.file.name, type, total_size: this.file.size };
    const session = (this.session ??= await call("POST", "v1.3/assets/multipart-uploads", begin, this.control.signal));
    const path = `v1.3/assets/multipart-uploads/${session.upload_id}`;
    const urls = new Map(session.upload_urls.map((each) => [each.chunk_index, each.url]));
    // A cloud's storage is another host, to which this page does not speak: through the service it goes in one piece.
    if (session.upload_urls.some((each) => new URL(each.url).origin !== location.origin)) return this.whole();
    for (let index = 1; index <= session.total_chunks; index++) {
      if (this.sent.has(index)) continue;
      if (!urls.has(index)) {
        const more = await call("POST", `${path}/presigned-urls`, { start: index, count: 20 }, this.control.signal);
        for (const each of more.upload_urls) urls.set(each.chunk_index, each.url);
      }
      const from = (index - 1) * session.chunk_size;
      const piece = this.file.slice(from, Math.min(this.file.size, from + session.chunk_size));
      const proof = await this.patiently(() => this.send("PUT", new URL(urls.get(index)), piece, from));
      this.sent.set(index, { chunk_index: index, proof, proof_type: "etag", chunk_size: piece.size });
      if (this.sent.size - this.reported.size >= REPORT_EVERY) await this.report(path);
    }
    await this.report(path);
    return session.asset_id;
  }

  async report(path) {
    const proofs = [...this.sent.values()].filter((each) => !this.reported.has(each.chunk_index));
    if (!proofs.length) return;
    await call("POST", path, { completed_chunks: proofs }, this.control.signal);
    for (const each of proofs) this.reported.add(each.chunk_index);
  }

  /** A chunk is tried again by itself: a network that comes and goes is no failure. */
  async patiently(attempt) {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (this.control.signal.aborted || tries === TRIES || error.code !== "unreachable") throw error;
        await this.rest(500 * 2 ** tries);
      }
    }
  }

  /** Wait, but for no longer than until a pause or the stop. */
  async rest(milliseconds) {
    const { signal } = this.control;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
    signal.throwIfAborted();
  }

  /** One request that tells how far it is, which fetch cannot; gives the answer's text, or the ETag of a chunk. */
  send(method, url, body, before) {
    const { signal } = this.control;
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const stop = () => request.abort();
      const { key } = access();
      request.open(method, url);
      if (key && method === "POST") request.setRequestHeader("x-api-key", key);
      request.upload.onprogress = (event) => this.progress(Math.min(this.file.size, before + event.loaded), this.file.size);
      request.onload = () => {
        if (request.status < 300) return resolve(method === "PUT" ? request.getResponseHeader("ETag") : request.responseText);
        let told = null;
        try {
          told = JSON.parse(request.responseText);
        } catch {
          // a page of a proxy, whose status says enough
        }
        reject(fault(request.status, told));
      };
      request.onerror = () => reject(new FanlightError("unreachable", "The connection broke while the file was sent."));
      request.onabort = () => reject(signal.reason);
      request.onloadend = () => signal.removeEventListener("abort", stop);
      signal.addEventListener("abort", stop);
      request.send(body);
    });
  }
}

const CACHE = "fanlight-videos";
const MOST_KEPT = 500 << 20;

/** Keep a file in this browser, so that another tab can show it, too: the service gives no files back. */
export async function keepFile(id, file) {
  if (globalThis.caches && file.size <= MOST_KEPT)
    await (await caches.open(CACHE)).put(`/${id}`, new Response(file, { headers: { "Content-Type": file.type || "video/mp4" } })).catch(() => {});
}

/** @returns {Promise<?Blob>} */
export async function keptFile(id) {
  const found = await globalThis.caches?.match(`/${id}`, { cacheName: CACHE }).catch(() => null);
  return found ? found.blob() : null;
}
