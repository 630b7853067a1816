// What every widget with a question has: a field, buttons that send and stop, examples to click, and a line that says
// what happens.

import { button, form, make, sender } from "./dom.js";
import { Loading } from "./loading.js";

export class Asking extends Loading {
  /**
   * @param {(text: string, signal: AbortSignal) => Promise<void>} act what a question leads to
   * @param {{ prompts?: string, label: string, send: string }} words examples (a JSON list), the field's name, the button's
   * @param {string} [stage] the model that `ready` loads
   */
  constructor(act, { prompts = "[]", label, send }, stage) {
    super(stage);
    this.act = act;
    this.input = make("textarea", { rows: 1, placeholder: label, "aria-label": label });
    this.send = sender(send);
    this.stop = button("Stop", () => this.abort(), { disabled: true });
    this.form = form(() => this.ask(this.input.value.trim()), this.input, this.send, this.stop);
    const examples = JSON.parse(prompts).map((text) => button(text, () => this.ask(text)));
    this.prompts = make("div", { className: "prompts" }, ...examples);
    this.input.addEventListener("keydown", (event) => this.key(event));
  }

  /** The widget around it, in which Escape stops. */
  within(...content) {
    const root = make("div", {}, ...content);
    root.addEventListener("keydown", (event) => event.key === "Escape" && this.abort());
    return root;
  }

  /** Enter sends, Shift and Enter begin a line; a key that completes a Chinese word does neither. */
  key(event) {
    const composes = event.isComposing || event.keyCode === 229; // Safari ends the composition before it tells of the key
    if (event.key !== "Enter" || event.shiftKey || composes) return;
    event.preventDefault();
    this.ask(this.input.value.trim());
  }

  abort() {
    this.running?.abort();
  }

  /** Does nothing while an answer is being written; `done` is the promise of the last question. */
  ask(text) {
    if (text && !this.running) this.done = this.answered(text);
    return this.done;
  }

  async answered(text) {
    this.running = new AbortController();
    const { signal } = this.running;
    this.offer(this.stop, this.send);
    try {
      await this.act(text, signal);
    } catch (error) {
      this.failed(error);
    }
    this.running = null;
    this.offer(this.send, this.stop);
  }

  /** Of the two buttons one can be pressed. It takes the focus from the other, which would lose it, and Escape with it. */
  offer(one, other) {
    one.disabled = false;
    if (document.activeElement === other) one.focus({ preventScroll: true }); // who reads on below stays there
    other.disabled = true;
  }
}
