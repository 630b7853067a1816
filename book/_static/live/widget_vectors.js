// The nearest words of a word, on the table of the model. A view of points on the same page (point_cloud.js) is told
// which word is chosen here, and tells which is chosen there, by an event of the document.

import { ask } from "./client.js";
import { button, fillShares, form, make, sender } from "./dom.js";
import { Loading } from "./loading.js";

const CHOSEN = "minillm-word"; // detail: the word
const HINT = "The first click loads the model, about 4 MB. It runs in this page.";

/** @param {HTMLElement} element its data-stage names the model, data-word a word to begin with */
export function start(element) {
  const { stage = "base", word = "" } = element.dataset;
  const still = make("div", {}, ...element.childNodes);
  const widget = new VectorsWidget(stage, word, still);
  element.replaceChildren(still, widget.root);
}

class VectorsWidget {
  constructor(stage, word, still) {
    this.stage = stage;
    this.still = still;
    this.loading = new Loading(stage);
    this.asked = 0;
    this.build(word);
    this.loading.tell(HINT);
    document.addEventListener(CHOSEN, ({ detail, target }) => target !== this.root && this.follow(detail));
  }

  build(word) {
    const plain = { autocomplete: "off", autocapitalize: "off" };
    this.input = make("input", { type: "text", value: word, ...plain, "aria-label": "Word" });
    this.form = form(() => this.find({ word: this.input.value }, true), this.input, sender("Find"));
    this.layer = make("select", { onchange: () => this.find(this.request) }, make("option", { value: 0 }, "embedding"));
    this.pieces = make("div", { className: "prompts" });
    this.near = make("table", { className: "shares", hidden: true });
    const settings = make("div", { className: "settings" }, make("label", {}, "Vectors ", this.layer));
    this.root = make("div", {}, this.form, settings, this.loading.bar, this.loading.status, this.pieces, this.near);
  }

  /** A word was chosen in the view of points. */
  follow(word) {
    this.input.value = word;
    if (this.request) this.find({ word });
  }

  /** @param {{ word: string } | { id: number }} request */
  async find(request, tell = false) {
    const asked = ++this.asked;
    this.request = request;
    const layer = Number(this.layer.value);
    try {
      await this.loading.ready();
      if (layer) this.loading.tell("Reading every token, which takes a moment the first time.");
      const result = await ask({ do: "nearest", stage: this.stage, layer, ...request });
      if (asked !== this.asked) return;
      this.show(result, layer);
      if (tell) this.root.dispatchEvent(new CustomEvent(CHOSEN, { bubbles: true, detail: this.input.value.trim() }));
    } catch (error) {
      this.loading.failed(error);
    }
  }

  show({ pieces, near, nLayer }, layer) {
    this.still.remove();
    const count = this.layer.options.length;
    for (let i = count; i <= nLayer; i++) this.layer.append(make("option", { value: i }, `after layer ${i - 1}`));
    const isOne = pieces.length === 1;
    this.pieces.replaceChildren(...(isOne ? [] : pieces.map((token) => this.choice(token))));
    this.near.hidden = !isOne;
    if (isOne) fillShares(this.near, `Nearest to “${pieces[0].piece}”`, ["token", "cosine"], this.rows(near));
    this.loading.tell(isOne ? told(pieces[0], near, layer) : several(pieces));
  }

  rows(near) {
    return near.map(({ cosine, ...token }) => [this.choice(token), [cosine.toFixed(2), Math.max(cosine, 0)]]);
  }

  /** A token to go on with; the focus goes back to the field, because the button vanishes. */
  choice({ id, piece }) {
    const go = () => {
      this.input.value = piece.replace(/^·/, "");
      this.input.focus();
      this.find({ id }, true);
    };
    return button(piece, go);
  }
}

function told({ piece }, near, layer) {
  const which = layer ? `After layer ${layer - 1}, read alone` : "In the embedding";
  return `${which}, “${piece}” is nearest to “${near[0].piece}” (cosine ${near[0].cosine.toFixed(2)}).`;
}

function several(pieces) {
  if (!pieces.length) return "Write a word.";
  return `This is ${pieces.length} tokens for the model, and each has a vector of its own. Choose one:`;
}
