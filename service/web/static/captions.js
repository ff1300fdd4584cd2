// The caption bar: /captions?channel=NAME or ?stream=st_…, with size, lines, color, background and font; nothing
// behind the letters, so that it lies over whatever a mixer such as OBS puts below.
import "./elements.js";

const asked = new URLSearchParams(location.search);
const bar = document.querySelector("fanlight-captions");
const why = document.querySelector("#why");

for (const name of ["size", "lines", "color", "background", "font"])
  if (asked.has(name)) bar.style.setProperty(`--fanlight-${name}`, asked.get(name));
if (asked.has("ground")) document.documentElement.dataset.ground = asked.get("ground");
bar.addEventListener("fanlight-state", ({ detail: { status, error } }) => {
  why.textContent = error ? error.message : "";
  if (status === "idle") why.textContent = "Say which: /captions?channel=NAME or /captions?stream=st_…";
});
for (const name of ["stream", "channel", "ticket"]) if (asked.has(name)) bar.setAttribute(name, asked.get(name));
