// The page: a video, what is found in it, and what is asked about it.
import { address, call, fileLink, ready, useKey, words } from "./api.js";
import { $, atEnd, bytes, clock, h } from "./dom.js";
import { CueSheet } from "./elements.js";
import { VideoMap } from "./map.js";
import { EXAMPLES } from "./schema.js";
import { makeSearchable, Search } from "./search.js";
import { Stage, Thumbnails } from "./stage.js";
import { Talk } from "./talk.js";
import { Timeline } from "./timeline.js";
import { Underneath } from "./underneath.js";
import { keepFile, keptFile, Upload } from "./upload.js";

const SAMPLE = { file: "static/sample.mp4", name: "The Webb telescope, in its clean room (NASA)" };
const IDEAS = ["Summarize this video with chapters.", "Write down what is said, with times.", "How does it look?", "How does it sound?"];

const stage = new Stage({ video: $("video"), captions: $("captions"), looks: $("looks"), unseen: $("unseen") });
const thumbnails = new Thumbnails($("video"));
const cues = new CueSheet();
const found = new Map();
const now = { asset: null, embedded: true };

const seek = (seconds) => stage.seek(seconds);
const timeline = new Timeline($("timeline"), { seek, thumbnail: (seconds) => thumbnails.at(seconds) });
const talk = new Talk($("talk"), { seek, selected: (run) => under.show(run), embedded: () => now.embedded });
const under = new Underneath($("underneath"), $("under"), { link: (stream) => `#${new URLSearchParams({ video: now.asset, run: stream })}` });
const map = new VideoMap({ caption, track, until: (seconds) => timeline.until(seconds), state: mapState });
const search = new Search({ list: $("found"), state: $("found-state"), here: everythingHere, thumbnail: (seconds) => thumbnails.at(seconds), seek, open: openAsset });

// -- what is shown

const HEADS = { welcome: "promise", sending: "sending-name", studio: "name" };

function show(name) {
  const before = Object.keys(HEADS).find((id) => !$(id).hidden);
  for (const id of Object.keys(HEADS)) $(id).hidden = id !== name;
  $("again").hidden = name === "welcome";
  // What had the focus may be gone; the next key should begin at what came in its place.
  const { activeElement } = document;
  if (before && before !== name && (activeElement === document.body || !activeElement.checkVisibility())) $(HEADS[name]).focus();
}

let noticeTimer;
function notice(error) {
  if (error.code === "stopped" || error.name === "AbortError") return;
  if (error.code === "unauthenticated") return login();
  const { happened, todo } = words(error);
  $("notice").replaceChildren(h("strong", {}, happened), h("span", {}, todo));
  $("notice").hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => ($("notice").hidden = true), 12_000);
}

const guarded = (work) => (...given) => Promise.resolve(work(...given)).catch(notice);

// -- a video comes

let upload = null;

async function send(file, name = file.name) {
  show("sending");
  $("sending-name").textContent = name;
  $("sending-retry").hidden = true;
  upload?.stop();
  const mine = (upload = new Upload(file, (sent, all) => {
    $("sending-bar").value = sent / all;
    $("sending-sent").textContent = `${bytes(sent)} of ${bytes(all)}`;
    if (sent === all) $("sending-state").textContent = "Looking at it…";
  }));
  $("sending-sent").textContent = `0 bytes of ${bytes(file.size)}`;
  $("sending-bar").value = 0;
  $("sending-retry").onclick = guarded(() => finish(mine, file, name));
  return finish(mine, file, name);
}

async function finish(mine, file, name) {
  $("sending-retry").hidden = true;
  $("sending-pause").hidden = !mine.chunked;
  $("sending-pause").textContent = "Pause";
  $("sending-stop").textContent = "Stop";
  $("sending-state").textContent = "";
  $("sending-state").classList.remove("bad");
  try {
    const asset = await mine.run();
    await keepFile(asset, file);
    if (mine !== upload) return null;
    await open(asset, name, file);
    return asset;
  } catch (error) {
    if (mine !== upload) return null; // another one took its place
    if (error.code === "stopped") return welcome();
    const { happened, todo } = words(error);
    $("sending-state").textContent = `${happened} ${todo}`;
    $("sending-state").classList.add("bad");
    $("sending-pause").hidden = true;
    $("sending-retry").hidden = false;
    $("sending-stop").textContent = "Choose another";
    if (error.code === "unauthenticated") login();
    return null;
  }
}

async function sample() {
  const answer = await fetch(address(SAMPLE.file));
  if (!answer.ok) throw Object.assign(new Error("The sample is not in this installation."), { code: "not_found" });
  const file = new File([await answer.blob()], "webb.mp4", { type: "video/mp4" });
  const known = localStorage.getItem("fanlight-sample");
  const there = known && (await ready(known).catch(() => null));
  if (there) return open(known, SAMPLE.name, file);
  const asset = await send(file, SAMPLE.name);
  if (asset) localStorage.setItem("fanlight-sample", asset);
}

async function openAsset(asset, name, at = 0) {
  if (asset !== now.asset) await open(asset, name, (await keptFile(asset)) ?? (asset === localStorage.getItem("fanlight-sample") ? address(SAMPLE.file).href : null));
  seek(at);
}

/** Everything about one video. @param {string} asset @param {string} name @param {?Blob|string} source */
async function open(asset, name, source) {
  now.asset = asset;
  map.leave();
  talk.clear();
  cues.take({ kind: "reset" });
  $("captions").clear();
  found.clear();
  timeline.clear(now.embedded ? ["things"] : []); // which it sees only with weights: the row is shown once it holds one
  under.show(null);
  drawTranscript();
  $("name").textContent = name;
  stage.show(source, "This browser does not hold the file. Captions, times and answers are here all the same.");
  show("studio");
  history.replaceState(null, "", `#${new URLSearchParams({ video: asset })}`); // unlike location.replace this is no hashchange
  $("map").hidden = now.embedded;
  $("ideas").hidden = false;
  if (now.embedded) {
    // Without a price; the map itself is shown whether or not the index can be had.
    await mapIt();
    makeSearchable(asset).catch(() => {});
  } else mapState("", null);
}

async function mapIt() {
  $("map").hidden = true;
  try {
    const stream = await map.begin(now.asset);
    if (!stream) return;
    $("transcript-files").replaceChildren(
      ...["vtt", "srt"].map((kind) => fileLink(kind.toUpperCase(), `v1/streams/${stream}/captions.${kind}`, `captions.${kind}`)),
      h("a", { href: address(`captions?stream=${stream}`), target: "_blank", title: "The latest lines on nothing, for OBS or a second screen" }, "Bar"),
    );
  } catch (error) {
    mapState("error", error);
    if (error.code === "unauthenticated") login();
  }
}

function mapState(status, error, heard = true) {
  const told = { starting: "Looking…", running: "Listening and looking…", completed: "Looked at", idle: "", "": "" }[status];
  $("map-state").textContent = told ?? "Could not be looked at";
  $("map-state").dataset.kind = told === undefined ? "bad" : status === "completed" ? "good" : "";
  if (status === "completed") timeline.until(Infinity);
  if (status === "completed" && !cues.all().length)
    drawTranscript(heard ? "No words were understood." : "Nothing here can hear yet. Type: fanlight models fetch speech, and start again.");
  if (told !== undefined) return;
  const { happened, todo } = words(error ?? { code: status });
  $("map").hidden = false;
  if (!cues.all().length) drawTranscript(`${happened} ${todo}`);
}

// -- what is found

function caption(message) {
  stage.mirror(message);
  $("captions").take(message);
  if (!cues.take(message)) return;
  const last = cues.all().at(-1);
  timeline.set("speech", cues.all().map((cue) => ({ start: cue.start, end: cue.end ?? cue.start + 1, text: cue.text })));
  if (last) timeline.until(last.end ?? last.start);
  drawTranscript();
}

function track(id, items) {
  found.set(id, items);
  if (id !== "speech") timeline.set(id, items);
  if ($("video").hidden) timeline.lasts(Math.max(timeline.duration, ...items.map((item) => item.end)));
}

const lines = new Map();

function drawTranscript(nothing = "Words appear here as they are understood.") {
  const box = $("transcript");
  const stay = atEnd(box);
  const all = cues.all();
  if (!all.length) {
    lines.clear();
    return box.replaceChildren(h("p", { class: "none" }, nothing));
  }
  box.querySelector(".none")?.remove();
  for (const [id, line] of lines) if (!cues.cues.has(id)) line.remove(), lines.delete(id);
  all.forEach((cue, n) => {
    let line = lines.get(cue.id);
    if (!line) {
      line = h("p", {}, h("button", { type: "button", class: "time" }, clock(cue.start)), h("span", { dir: "auto" }));
      lines.set(cue.id, line);
    }
    line.firstChild.onclick = () => seek(cue.start);
    line.lastChild.textContent = cue.speaker ? `${cue.speaker}: ${cue.text}` : cue.text;
    line.classList.toggle("partial", cue.state === "partial");
    if (box.children[n] !== line) box.insertBefore(line, box.children[n] ?? null);
  });
  if (stay) box.scrollTop = box.scrollHeight;
}

function everythingHere() {
  const kinds = { texts: "on the screen", shots: "shot", moves: "movement", sounds: "sound" };
  const rest = Object.entries(kinds).flatMap(([id, kind]) => (found.get(id) ?? []).map((item) => ({ ...item, kind })));
  return [...cues.all().map((cue) => ({ start: cue.start, text: cue.text, kind: "said" })), ...rest].sort((one, other) => one.start - other.start);
}

function followTime() {
  const at = $("video").currentTime;
  timeline.at(at);
  const saying = new Set(cues.at(at).map((cue) => cue.id));
  for (const [id, line] of lines) {
    if (saying.has(id) === line.hasAttribute("aria-current")) continue;
    line.toggleAttribute("aria-current", saying.has(id));
    if (saying.has(id) && !$("video").paused) $("transcript").scrollTop = line.offsetTop - $("transcript").offsetTop - 60;
  }
}

// -- questions

let schemaFault = null;

function readSchema() {
  if (!$("shape").open) return null;
  try {
    const schema = JSON.parse($("schema").value);
    schemaFault = typeof schema === "object" && schema !== null && !Array.isArray(schema) ? null : "A schema is an object.";
    return schema;
  } catch (error) {
    schemaFault = error.message;
    return null;
  } finally {
    $("schema-state").textContent = schemaFault ?? "";
    $("schema-state").classList.toggle("bad", Boolean(schemaFault));
  }
}

async function ask(question) {
  const schema = readSchema();
  if (!question || ($("shape").open && schemaFault)) return;
  $("question").value = "";
  $("ideas").hidden = true;
  const stream = await talk.ask(now.asset, question, schema);
  if (stream) history.replaceState(null, "", `#${new URLSearchParams({ video: now.asset, run: stream })}`);
}

function tab(name, focus = false) {
  for (const each of ["ask", "find"]) {
    const chosen = each === name;
    $(each).hidden = !chosen;
    $(`tab-${each}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${each}`).tabIndex = chosen ? 0 : -1;
  }
  if (focus) $(name === "ask" ? "question" : "words").focus();
}

// -- the beginning

async function welcome() {
  upload?.stop();
  upload = null;
  map.leave();
  talk.clear();
  now.asset = null;
  show("welcome");
  history.replaceState(null, "", location.pathname);
  const { data } = await call("GET", "v1.3/assets?page_limit=12");
  const usable = data.filter((asset) => asset.status === "ready");
  $("recent").hidden = !usable.length;
  $("assets").replaceChildren(
    ...usable.map((asset) =>
      h("li", {}, h("button", { type: "button", onclick: guarded(() => openAsset(asset._id, asset.filename ?? asset._id)) }, h("b", {}, asset.filename ?? asset._id), h("span", { class: "quiet" }, new Date(asset.created_at).toLocaleString()))),
    ),
  );
}

/** What the address names: a video, and a run that somebody has started. */
async function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const run = asked.get("run");
  const resource = run && (await call("GET", `v1/streams/${encodeURIComponent(run)}`));
  const asset = asked.get("video") ?? resource?.request?.video?.asset_id;
  if (!asset) return welcome();
  const { filename } = await ready(asset);
  await openAsset(asset, asset === localStorage.getItem("fanlight-sample") ? SAMPLE.name : (filename ?? asset));
  if (!resource) return;
  $("ideas").hidden = true;
  history.replaceState(null, "", `#${asked}`);
  talk.join(run, resource.request);
}

/** What answers here. An engine that starts with the service may take a moment longer. */
async function upstream() {
  for (let left = 80; ; left--) {
    const state = await fetch(address("readyz")).then((answer) => answer.json()).catch(() => null);
    if (state?.upstream?.kind !== "embedded" || state.upstream.ready || !left) return state;
    $("upstream").textContent = "The engine is starting…";
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function begin() {
  const state = await upstream();
  now.embedded = state?.upstream?.kind !== "cloud" && state?.upstream?.kind !== "other";
  $("upstream").textContent = { cloud: "TwelveLabs cloud: each analysis costs money", other: "A server of your own answers" }[state?.upstream?.kind] ?? "Embedded engine: no key, no network, no cost";
  await fromAddress().catch(async (error) => {
    notice(error);
    if (error.code !== "unauthenticated") await welcome().catch(notice);
  });
}

// -- keys

const KEYS = { "Space": "play and pause", "← →": "5 seconds back and on", "J L": "10 seconds back and on", "F": "full screen", "C": "how captions look", "/": "ask", "S": "search", "T": "dark or light", "?": "these keys" };
const DO = {
  " ": () => stage.toggle(),
  k: () => stage.toggle(),
  ArrowLeft: () => seek($("video").currentTime - 5),
  ArrowRight: () => seek($("video").currentTime + 5),
  j: () => seek($("video").currentTime - 10),
  l: () => seek($("video").currentTime + 10),
  f: () => (document.fullscreenElement ? document.exitFullscreen() : $("picture").requestFullscreen()),
  c: () => $("look").click(),
  "/": () => tab("ask", true),
  s: () => tab("find", true),
  t: () => $("theme").click(),
  "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, select, dialog")) return;
  // Where a button, a tab or the player takes the key itself, it is not ours.
  if (event.key === " " && target.closest("button, summary, a, video")) return;
  if (event.key.startsWith("Arrow") && target.closest("[role=tablist], [role=log], .tree, video, .talk")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!(key in DO) || ($("studio").hidden && key !== "?" && key !== "t")) return;
  event.preventDefault();
  DO[key]();
});

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
}

function login() {
  if (!$("login").open) $("login").showModal();
}

// -- wiring

$("choose").onclick = () => $("file").click();
$("file").onchange = guarded(() => {
  const [file] = $("file").files;
  $("file").value = ""; // the same one may be chosen again
  return file && send(file);
});
$("sample").onclick = guarded(sample);
$("again").onclick = guarded(welcome);
$("map").onclick = guarded(mapIt);
$("sending-stop").onclick = guarded(welcome);
$("sending-pause").onclick = () => {
  const paused = !upload.paused;
  $("sending-pause").textContent = paused ? "Go on" : "Pause";
  $("sending-state").textContent = paused ? "Paused" : "";
  paused ? upload.pause() : upload.resume();
};
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    const [file] = (kind === "drop" && event.dataTransfer?.files) || [];
    if (file) guarded(send)(file);
  });
$("look").onclick = () => {
  $("looks").hidden = !$("looks").hidden;
  $("look").setAttribute("aria-expanded", String(!$("looks").hidden));
};
for (const kind of ["timeupdate", "seeking", "loadedmetadata"]) $("video").addEventListener(kind, followTime);
$("video").addEventListener("durationchange", () => Number.isFinite($("video").duration) && timeline.lasts($("video").duration));
$("video").addEventListener("loadeddata", () => thumbnails.work());
$("form").onsubmit = (event) => {
  event.preventDefault();
  guarded(ask)($("question").value.trim());
};
$("question").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("form").requestSubmit();
};
$("schema").oninput = readSchema;
$("shape").ontoggle = readSchema;
for (const name of Object.keys(EXAMPLES)) $("examples").append(h("option", {}, name));
$("examples").onchange = () => {
  $("schema").value = JSON.stringify(EXAMPLES[$("examples").value], null, 2);
  readSchema();
};
$("examples").onchange();
$("ideas").append(...IDEAS.map((idea) => h("button", { type: "button", onclick: guarded(() => ask(idea)) }, idea)));
$("search").onsubmit = (event) => {
  event.preventDefault();
  if ($("words").value.trim()) guarded(() => search.run($("words").value.trim()))();
};
for (const name of ["ask", "find"]) {
  $(`tab-${name}`).onclick = () => tab(name);
  $(`tab-${name}`).onkeydown = (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = name === "ask" ? "find" : "ask";
    tab(other);
    $(`tab-${other}`).focus();
  };
}
$("help").onclick = () => $("keys").showModal();
for (const [key, does] of Object.entries(KEYS)) $("keys").querySelector("dl").append(h("dt", {}, ...key.split(" ").flatMap((each) => [h("kbd", {}, each), " "])), h("dd", {}, does));
$("theme").onclick = () => {
  const dark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  theme(dark ? "light" : "dark");
  localStorage.setItem("fanlight-theme", dark ? "light" : "dark");
};
theme(localStorage.getItem("fanlight-theme"));
$("login-form").onsubmit = (event) => {
  event.preventDefault();
  useKey($("key").value.trim());
  call("GET", "v1/streams?limit=1").then(
    () => ($("login").close(), begin()),
    (error) => ($("login-state").textContent = words(error).happened),
  );
};
window.addEventListener("hashchange", guarded(fromAddress));

// Who comes by a link does not see the welcome first.
if (location.hash.length > 1) $("welcome").hidden = true;
begin();
