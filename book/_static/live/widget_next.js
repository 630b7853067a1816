// A text, what a model expects next, and how surprised it was so far; over the course of its training too.

import { ask, load } from "./client.js";
import { button, make, slider, tokenList } from "./dom.js";
import { Loading } from "./loading.js";
import { draw, samplingProbs } from "./sampling.js";

const NO_TOP_K = 51; // the right end of its slider: all tokens are kept
const STRONG = 6; // nats; a token that surprises so much has the strongest colour
const COLOURS = [[255, 255, 255], [230, 130, 60]];

/**
 * @param {HTMLElement} element its data-stage names the model, data-text what stands in the box at first, data-texts
 *   (JSON) further texts, data-floor the mean surprise of whoever knows the rules of the text, in nats a token
 */
export function start(element) {
  const { stage = "base", text = "", texts = "[]", floor } = element.dataset;
  const widget = new NextWidget(stage, text, JSON.parse(texts), floor === undefined ? null : Number(floor));
  widget.view.replaceChildren(...element.childNodes);
  element.replaceChildren(widget.root);
}

class NextWidget {
  constructor(stage, text, texts, floor) {
    Object.assign(this, { stage, floor, taken: [], loaded: new Set(), steps: [undefined] });
    this.loading = new Loading();
    this.build(text, texts);
    this.loading.tell("The model, about 4 MB, is loaded when you begin, and runs in this page: what you write stays here.");
  }

  build(text, texts) {
    this.input = make("textarea", { rows: 2, value: text, dir: "auto", "aria-label": "Your text" });
    this.input.oninput = () => this.begin();
    this.ask = button("Ask the model", () => this.update());
    const show = () => this.logits && this.showBars(); // there are none where the first text was too long
    this.temperature = slider("Temperature", { min: 0, max: 2, step: 0.1, value: 1 }, show);
    this.topK = slider("Top-k", { min: 1, max: NO_TOP_K, value: NO_TOP_K }, show, (k) => (k < NO_TOP_K ? k : "all"));
    this.topP = slider("Top-p", { min: 0.05, max: 1, step: 0.05, value: 1 }, show);
    this.training = slider("Training", { min: 0, max: 0, value: 0 }, () => {}, (i) => this.stepTold(this.steps[i]));
    this.training.input.onchange = () => this.update();
    this.die = button("Roll the die", () => this.logits && this.take(draw(this.probs(), Math.random)));
    this.undo = button("Undo", () => this.untake());
    this.view = make("div", { className: "view" });
    this.loss = make("p", { className: "note" });
    this.bars = make("ol", { className: "bars", role: "list", "aria-label": "The likeliest next tokens, to take" });
    this.more = make("div", { hidden: true }, this.training.label, this.loss,
      make("div", { className: "settings" }, this.temperature.label, this.topK.label, this.topP.label), this.bars,
      make("div", { className: "prompts" }, this.die, this.undo));
    const prompts = texts.map((other) => button(other, () => this.begin((this.input.value = other))));
    const { bar, status } = this.loading;
    this.root = make("div", {}, make("form", {}, this.input, this.ask), make("div", { className: "prompts" }, ...prompts),
      this.view, this.more, bar, status);
  }

  /** The text was changed: what was taken behind it no longer follows. */
  begin() {
    this.taken = [];
    return this.update();
  }

  take(id) {
    if (this.busy) return; // it was chosen from what followed an earlier text
    this.taken.push(id);
    return this.update();
  }

  untake() {
    this.taken.pop();
    return this.update();
  }

  get step() {
    return this.steps[this.training.input.value];
  }

  stepTold(step) {
    return step === undefined ? `the end${this.lastStep ? `, step ${this.lastStep}` : ""}` : `step ${step}`;
  }

  /** Ask the model; once more where something has changed meanwhile. */
  async update() {
    this.stale = true;
    if (this.busy) return;
    this.busy = true;
    while (this.stale) {
      this.stale = false;
      try {
        await this.read(this.step);
      } catch (error) {
        this.loading.failed(error);
      }
    }
    this.busy = false;
  }

  async read(step) {
    if (!this.loaded.has(step)) {
      const found = await this.loading.during((onProgress) => load(this.stage, onProgress, step));
      this.loaded.add(step);
      if (step === undefined) this.finish(found);
    }
    const { tokens, logits, likeliest } = await ask({ do: "read", stage: this.stage, step, text: this.input.value, taken: this.taken });
    Object.assign(this, { logits, likeliest });
    if (!this.taken.length && document.activeElement === this.undo) this.die.focus(); // a disabled button loses it
    this.undo.disabled = !this.taken.length;
    this.showTokens(tokens);
    this.showBars();
    this.loading.tell("");
  }

  /** The finished model is there, and with it the list of its snapshots. */
  finish({ snapshots, lastStep }) {
    this.lastStep = lastStep;
    this.steps = [...snapshots, undefined];
    Object.assign(this.training.input, { max: snapshots.length, value: snapshots.length });
    this.training.tell();
    this.training.label.hidden = !snapshots.length;
    this.more.hidden = false;
    if (document.activeElement === this.ask) this.temperature.input.focus({ preventScroll: true }); // the button vanishes
    this.ask.remove();
  }

  showTokens(tokens) {
    this.view.replaceChildren(tokenList("Tokens and their surprise in nats", tokens.map(({ piece, surprise }) => {
      const item = make("li", {}, piece, make("small", {}, surprise.toFixed(1)));
      item.title = `probability ${percent(Math.exp(-surprise))}`;
      item.style.background = `rgb(${mixed(Math.min(1, surprise / STRONG))})`;
      return item;
    })));
    const mean = tokens.reduce((sum, { surprise }) => sum + surprise, 0) / tokens.length;
    const floor = this.floor === null ? "" : ` Over all texts of the village nobody can do better than ${this.floor.toFixed(2)}.`;
    this.loss.textContent = tokens.length
      ? `Mean surprise, the loss: ${mean.toFixed(2)} nats a token (${tokens.length} tokens).${floor}`
      : "Nothing is written yet: these are the first tokens of a text.";
  }

  probs() {
    const topK = Number(this.topK.input.value);
    return samplingProbs(this.logits, {
      temperature: Number(this.temperature.input.value),
      topK: topK < NO_TOP_K ? topK : undefined,
      topP: Number(this.topP.input.value),
    });
  }

  showBars() {
    const probs = this.probs();
    const focused = [...this.bars.children].findIndex((item) => item.contains(document.activeElement));
    this.bars.replaceChildren(...this.likeliest.map(({ id, piece }) => {
      const bar = make("span", { className: "bar" });
      bar.style.width = `${100 * probs[id]}%`;
      const choice = button(make("span", {}, piece), () => this.take(id));
      choice.append(make("span", {}, bar), ` ${percent(probs[id])}`);
      return make("li", {}, choice);
    }));
    this.bars.children[focused]?.firstChild.focus();
    const others = 1 - this.likeliest.reduce((sum, { id }) => sum + probs[id], 0);
    this.bars.append(make("li", { className: "others" }, `All other tokens together: ${percent(Math.max(0, others))}`));
  }
}

/** A colour between the two of `COLOURS`. */
function mixed(share) {
  return COLOURS[0].map((from, i) => Math.round(from + share * (COLOURS[1][i] - from)));
}

function percent(share) {
  const [decimals, least] = [share < 0.0995 ? 1 : 0, 0.0005];
  return share > 0 && share < least ? "< 0.1 %" : `${(100 * share).toFixed(decimals)} %`;
}
