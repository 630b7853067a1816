// One model, and a slider that blends an adapter into its weights: 0 leaves the model as it was, 1 is what was trained.

import { Asking } from "./asking.js";
import { ask, chat } from "./client.js";
import { make, slider } from "./dom.js";

const MOST = 1.5, STEP = 0.05;
const MAX_NEW_TOKENS = 100;

/** @param {HTMLElement} element its data-stage names the adapter's stage, -size says how large it is, -prompts (JSON) */
export function start(element) {
  const { stage = "lora", prompts, size = "4 MB" } = element.dataset;
  const widget = new LoraWidget(stage, prompts);
  widget.asking.tell(`The first question loads a model and its adapter, about ${size}. They run in this page.`);
  element.replaceChildren(widget.root);
}

class LoraWidget {
  constructor(stage, prompts) {
    this.stage = stage;
    const act = (text, signal) => this.answer(text, signal);
    this.asking = new Asking(act, { prompts, label: "Your question", send: "Ask" });
    const range = { min: 0, max: MOST, step: STEP, value: 1 };
    this.share = slider("Share of the adapter", range, () => this.moved());
    this.question = make("div", { className: "asked who" });
    this.text = make("div", { className: "text", dir: "auto", role: "status" });
    this.note = make("p", { className: "note" });
    const { prompts: examples, form, bar, status } = this.asking;
    const settings = make("div", { className: "settings" }, this.share.label);
    this.root = this.asking.within(examples, form, settings, this.question, this.text, this.note, bar, status);
  }

  /** The slider has been moved: answer the same question again, with what it says when the running answer has ended. */
  async moved() {
    if (!this.wanted || this.isWaiting) return;
    this.isWaiting = true;
    this.asking.abort();
    while (this.asking.running) await this.asking.done;
    this.isWaiting = false;
    await this.asking.ask(this.wanted);
  }

  async answer(text, signal) {
    this.wanted = text;
    const adapted = (onProgress) => ask({ do: "adapt", stage: this.stage }, { onProgress });
    if (!this.model) this.model = await this.asking.during(adapted);
    if (!signal.aborted && text !== this.asked) await this.ends(text, signal);
    if (signal.aborted) return this.asking.tell("Stopped.");
    this.question.textContent = text;
    this.text.textContent = "";
    const share = this.share.input.value;
    this.text.setAttribute("aria-busy", "true");
    const written = await this.write(text, Number(share), signal, (piece) => this.text.append(piece));
    this.text.removeAttribute("aria-busy");
    if (signal.aborted) return this.asking.tell("Stopped.");
    this.note.textContent = this.compared(written);
    this.asking.tell(`W + ${share} · ${this.model.scaling} · B A in every adapted layer, temperature 0.`);
  }

  /** The answers to a question without the adapter and with the whole of it. */
  async ends(text, signal) {
    this.asked = null;
    const found = [await this.write(text, 0, signal), await this.write(text, 1, signal)];
    if (signal.aborted) return;
    [this.without, this.whole] = found;
    this.asked = text;
  }

  async write(text, share, signal, onPiece = () => {}) {
    const { stage } = this.model;
    let written = "";
    await ask({ do: "blend", stage, share });
    const sampling = { temperature: 0, seed: 0, maxNewTokens: MAX_NEW_TOKENS };
    await chat(stage, [{ role: "user", content: text }], sampling, (piece) => onPiece(piece, (written += piece)), signal);
    return written;
  }

  compared(written) {
    const { base } = this.model;
    if (this.without === this.whole) return `To this question ${base} answers alike with the adapter and without it.`;
    if (written === this.without) return `The same answer as ${base} without the adapter.`;
    if (written === this.whole) return "The same answer as with the whole adapter, share 1.";
    return "Neither the answer without the adapter nor the one with the whole of it.";
  }
}
