// Search: within the video that is shown at once, over all videos by the upstream's index.
import { call } from "./api.js";
import { clock, h } from "./dom.js";

const INDEX = "fanlight-page";
const MODEL = { model_name: "marengo3.0", model_options: ["visual", "audio"] };

/** The index that this page keeps; made where there is none. */
async function index() {
  const found = await call("GET", `v1.3/indexes?index_name=${INDEX}`);
  const mine = found.data.find((each) => each.index_name === INDEX);
  return mine?._id ?? (await call("POST", "v1.3/indexes", { index_name: INDEX, models: [MODEL], addons: ["thumbnail"] }))._id;
}

/** Put an asset into the page's index, once. */
export async function makeSearchable(asset) {
  const id = await index();
  const there = await call("GET", `v1.3/indexes/${id}/indexed-assets?page_limit=50`);
  if (!there.data.some((each) => each.asset_id === asset)) await call("POST", `v1.3/indexes/${id}/indexed-assets`, { asset_id: asset });
}

export class Search {
  /** @param {{list: HTMLElement, state: HTMLElement, here: () => Array<{start: number, text: string, kind: string}>, thumbnail: Function, seek: Function, open: Function}} parts */
  constructor(parts) {
    Object.assign(this, parts);
  }

  async run(words) {
    const mine = (this.mine = Symbol(words));
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const here = this.here().filter((item) => wanted.every((word) => item.text.toLowerCase().includes(word))).slice(0, 20);
    this.list.replaceChildren();
    if (here.length) this.list.append(h("li", {}, h("h3", {}, "In this video")), ...here.map((item) => this.hit(item)));
    this.state.textContent = "Searching all videos…";
    try {
      const { hits, total } = await this.everywhere(words);
      if (mine !== this.mine) return;
      if (hits.length) this.list.append(h("li", {}, h("h3", {}, "In all videos")), ...hits.map((item) => this.hit(item)));
      const count = here.length + hits.length;
      this.state.textContent = `${count} ${count === 1 ? "place" : "places"}; ${total} ${total === 1 ? "video" : "videos"} searched.${count ? "" : " Try a word that was said or written, a colour, or a kind of sound."}`;
    } catch (error) {
      if (mine === this.mine) this.state.textContent = `All videos could not be searched: ${error.message}`;
    }
  }

  async everywhere(words) {
    const id = await index();
    const form = new FormData();
    form.append("index_id", id);
    form.append("query_text", words);
    for (const option of ["visual", "audio", "transcription"]) form.append("search_options", option);
    const [found, indexed] = await Promise.all([call("POST", "v1.3/search", form), call("GET", `v1.3/indexes/${id}/indexed-assets?page_limit=50`)]);
    const videos = new Map(indexed.data.map((each) => [each._id, each]));
    const hits = found.data.map((hit) => {
      const video = videos.get(hit.video_id);
      return { start: hit.start, end: hit.end, text: hit.transcription ?? "", kind: video?.system_metadata?.filename ?? "", picture: hit.thumbnail_url, asset: video?.asset_id };
    });
    return { hits, total: found.search_pool?.total_count ?? videos.size };
  }

  hit(item) {
    const picture = item.picture ? h("img", { src: item.picture, alt: "", loading: "lazy" }) : (this.thumbnail(item.start) ?? h("span", { class: "blank" }));
    const go = () => (item.asset ? this.open(item.asset, item.kind, item.start) : this.seek(item.start));
    const told = h("span", {}, h("b", {}, clock(item.start)), item.kind ? ` · ${item.kind}` : "", h("br"), item.text || "looks or sounds like it");
    return h("li", {}, h("button", { type: "button", onclick: go }, picture, told));
  }
}
