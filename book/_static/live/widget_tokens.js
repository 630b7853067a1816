// Cuts a text into tokens while it is written. Only the tokenizer's table is loaded, and it is quick enough for the page's
// own thread, because the text is short.

import { button, make, slider, tokenList } from "./dom.js";
import { Loading } from "./loading.js";
import { fetchFiles, filesOf, readManifest } from "./models.js";
import { visible } from "./pieces.js";
import { Tokenizer } from "./tokenizer.js";

const LONGEST = 1000; // characters

/**
 * @param {HTMLElement} element its data-stage names the stage whose table it is, data-text what stands in the box at
 *   first, and data-examples (JSON) further texts, each [text, what to say about it]
 */
export function start(element) {
  const { stage = "tokenizer", text = "", examples = "[]" } = element.dataset;
  const widget = new TokensWidget(stage, text, JSON.parse(examples), [...element.childNodes]);
  element.replaceChildren(widget.root);
}

class TokensWidget {
  constructor(stage, text, examples, still) {
    this.stage = stage;
    this.notes = new Map(examples);
    this.loading = new Loading();
    this.input = make("textarea", { rows: 2, maxLength: LONGEST, value: text, dir: "auto", "aria-label": "Your text" });
    this.input.oninput = () => this.update();
    this.button = button("Cut it into tokens", () => this.update());
    const prompts = examples.map(([text]) => button(text, () => this.take(text)));
    this.settings = make("div", { className: "settings", hidden: true });
    this.counts = make("p", { className: "note" });
    this.view = make("div", { className: "view" }, ...still);
    const { bar, status } = this.loading;
    this.root = make("div", {}, make("form", {}, this.input, this.button), make("div", { className: "prompts" }, ...prompts),
      this.settings, this.view, this.counts, bar, status);
    this.loading.tell("The table of merges, 0.1 MB, is loaded when you begin. What you write stays here.");
  }

  take(text) {
    this.input.value = text;
    return this.update();
  }

  async update() {
    try {
      await (this.ready ??= this.load());
    } catch (error) {
      this.ready = null;
      return this.loading.failed(error);
    }
    this.show();
  }

  async load() {
    const files = filesOf(await readManifest(), this.stage, ["tokenizer.json"]);
    const [table] = await this.loading.during((onProgress) => fetchFiles(files, onProgress));
    this.tokenizer = Tokenizer.fromJSON(table);
    const { nMerges } = this.tokenizer;
    const told = (count) => this.mergesTold(Number(count));
    this.merges = slider("Merges", { min: 0, max: nMerges, value: nMerges }, () => this.show(), told);
    this.settings.append(this.merges.label);
    this.settings.hidden = false;
    if (document.activeElement === this.button) this.merges.input.focus({ preventScroll: true }); // the button vanishes
    this.button.remove();
  }

  show() {
    const text = this.input.value;
    const tokenizer = this.tokenizer.withMerges(Number(this.merges.input.value));
    let ids;
    try {
      ids = tokenizer.encode(text);
    } catch (error) {
      return this.loading.failed(error);
    }
    this.view.replaceChildren(tokenList("Tokens", ids.map((id) =>
      make("li", {}, visible(tokenizer.tokenBytes(id)), make("small", {}, String(id))))));
    this.counts.textContent = countsTold(text, ids.length);
    this.loading.tell(this.notes.get(text) ?? "");
  }

  mergesTold(count) {
    if (!count) return "none: every token is one byte";
    const [left, right] = this.tokenizer.mergeParts(count - 1).map(visible);
    return `${count} of ${this.tokenizer.nMerges}; the last joins ${left} and ${right}`;
  }
}

/** How long a text is, in characters, bytes, words and tokens. */
function countsTold(text, tokens) {
  const words = wordsOf(text);
  const counted = { characters: [...text].length, bytes: new TextEncoder().encode(text).length, words, tokens };
  const parts = Object.entries(counted).map(([name, count]) => `${name}: ${count.toLocaleString("en")}`);
  if (words) parts.push(`tokens a word: ${(tokens / words).toFixed(2)}`);
  return parts.join(" · ");
}

/** The number of words; a browser with a dictionary finds those of Chinese too, which has no spaces. */
function wordsOf(text) {
  if (!Intl.Segmenter) return text.match(/\S+/g)?.length ?? 0;
  return [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)].filter((part) => part.isWordLike).length;
}
