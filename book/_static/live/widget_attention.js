// Where a token looks: a text as a row of tokens, one of which is chosen; those before it are shaded by the weight that
// it gives them in one head. Heads can be switched off, and what the model expects next changes.

import { ask } from "./client.js";
import { button, fillShares, form, make, sender } from "./dom.js";
import { Loading } from "./loading.js";

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -Infinity, End: Infinity };
const NAMED = 3; // weights that the sentence below tells
const START = "start"; // how the mark of a text's beginning is shown
const HINT = "The first click loads the model, about 4 MB. It runs in this page.";

/**
 * @param {HTMLElement} element its data-stage names the model, data-text a text; data-layer and data-head say which head is
 *   shown first
 */
export function start(element) {
  const { stage = "base", text = "", layer = 0, head = 0 } = element.dataset;
  const still = make("div", {}, ...element.childNodes);
  const widget = new AttentionWidget(stage, text, [Number(layer), Number(head)], still);
  element.replaceChildren(still, widget.root);
}

class AttentionWidget {
  constructor(stage, text, head, still) {
    this.stage = stage;
    this.still = still;
    this.loading = new Loading(stage);
    this.begin = head;
    this.off = new Set(); // "layer,head"
    this.asked = 0;
    this.build(text);
    this.loading.tell(HINT);
  }

  build(text) {
    this.input = make("input", { type: "text", value: text, autocomplete: "off", "aria-label": "Text" });
    this.form = form(() => this.read(), this.input, sender("Look"));
    this.input.oninput = () => this.result && this.read();
    this.layer = make("select", { onchange: () => this.show() });
    this.head = make("select", { onchange: () => this.show() });
    this.on = make("input", { type: "checkbox", checked: true, onchange: () => this.turn() });
    this.all = button("All heads on", () => this.turnAll());
    this.settings = make("div", { className: "settings" }, make("label", {}, "Layer ", this.layer),
      make("label", {}, "Head ", this.head), make("label", {}, this.on, " on"), this.all);
    this.tokens = make("div", { className: "tiles", role: "radiogroup", "aria-label": "The token that looks" });
    this.tokens.addEventListener("keydown", (event) => this.key(event));
    this.tokens.addEventListener("pointerleave", () => this.show());
    this.next = make("table", { className: "shares" });
    this.found = [this.tokens, this.settings, this.next];
    for (const part of this.found) part.hidden = true;
    const { bar, status } = this.loading;
    this.root = make("div", {}, this.form, bar, this.tokens, status, this.settings, this.next);
  }

  /** Ask for weights and predictions; of several answers the one to the last question counts. */
  async read() {
    const asked = ++this.asked;
    try {
      await this.loading.ready();
      const off = [...this.off].map((name) => name.split(",").map(Number));
      const result = await ask({ do: "lookBack", stage: this.stage, text: this.input.value, off });
      if (asked !== this.asked) return;
      if (!this.result) this.arrive(result);
      const isSame = String(this.result?.pieces) === String(result.pieces);
      this.result = result;
      if (!isSame) this.lay();
      this.show();
      this.predict();
    } catch (error) {
      this.loading.failed(error);
    }
  }

  /** The first answer: only now it is known how many layers and heads there are. */
  arrive({ weights }) {
    const choices = (count) => Array.from({ length: count }, (_, i) => make("option", {}, String(i)));
    this.layer.append(...choices(weights.length));
    this.head.append(...choices(weights[0].length));
    [this.layer.value, this.head.value] = this.begin;
    this.still.remove();
    for (const part of this.found) part.hidden = false;
  }

  /** A row of new tokens; the last one looks. */
  lay() {
    const tiles = this.result.pieces.map((piece, i) => {
      const name = make("span", {}, i ? piece : START);
      const tile = make("button", { type: "button", role: "radio" }, name, make("small"));
      tile.onclick = () => this.choose(i);
      tile.onpointerenter = (event) => event.pointerType === "mouse" && this.show(i);
      return tile;
    });
    this.tokens.replaceChildren(...tiles);
    this.chosen = tiles.length - 1;
  }

  choose(position) {
    this.chosen = position;
    this.show();
    this.tokens.children[position].focus();
  }

  key(event) {
    if (!(event.key in STEPS) || event.altKey || event.ctrlKey || event.metaKey) return; // Alt and an arrow: page back
    event.preventDefault();
    const last = this.result.pieces.length - 1;
    this.choose(Math.min(Math.max(this.chosen + STEPS[event.key], 0), last));
  }

  /** Shade the tokens by what the one at `looks` gives them, in the head that is set. */
  show(looks = this.chosen) {
    const row = this.result.weights[this.layer.value][this.head.value][looks]; // none if the head is off
    [...this.tokens.children].forEach((tile, i) => {
      tile.setAttribute("aria-checked", i === this.chosen);
      tile.tabIndex = i === this.chosen ? 0 : -1;
      tile.className = i === looks ? "looks" : i > looks ? "unseen" : "";
      tile.style.setProperty("--share", row?.[i] ?? 0);
      tile.lastChild.textContent = row && i <= looks ? row[i].toFixed(2) : "";
    });
    this.on.checked = !this.off.has(this.setHead());
    this.mark();
    this.loading.tell(this.sentence(looks, row));
  }

  /** Say in the lists which heads are off. */
  mark() {
    for (const option of this.layer.options) {
      const count = [...this.off].filter((name) => name.startsWith(`${option.value},`)).length;
      option.label = option.value + (count ? ` (${count} off)` : "");
    }
    for (const option of this.head.options) {
      option.label = option.value + (this.off.has(`${this.layer.value},${option.value}`) ? " (off)" : "");
    }
  }

  setHead() {
    return `${this.layer.value},${this.head.value}`;
  }

  sentence(looks, row) {
    const where = `Layer ${this.layer.value}, head ${this.head.value}`;
    if (!row) return `${where} is off.`;
    const name = (i) => (i === looks ? "itself" : i ? `“${this.result.pieces[i]}”` : "the start");
    const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, NAMED);
    const parts = order.map((i) => `${row[i].toFixed(2)} from ${name(i)}`);
    return `${where}: ${looks ? `“${this.result.pieces[looks]}”` : "the start"} takes ${parts.join(", ")}.`;
  }

  /** Switch the head that is set off, or on again. */
  turn() {
    if (this.on.checked) this.off.delete(this.setHead());
    else this.off.add(this.setHead());
    this.read();
  }

  turnAll() {
    this.off.clear();
    this.read();
  }

  /** The likeliest next tokens, also with all heads on if some are off. */
  predict() {
    const isWhole = this.off.size === 0;
    if (isWhole && document.activeElement === this.all) this.on.focus(); // a disabled button loses it
    this.all.disabled = isWhole;
    const without = `${this.off.size} head${this.off.size > 1 ? "s" : ""} off`;
    const columns = ["token", "all heads on", ...(isWhole ? [] : [without])];
    const told = (share) => [`${(100 * share).toFixed(1)} %`, share];
    const rows = this.result.next.map(({ piece, whole, now }) => [piece, ...(isWhole ? [whole] : [whole, now]).map(told)]);
    fillShares(this.next, "The token that comes after the text", columns, rows);
  }
}
