// A conversation with a stage that answers. The model loads on the first click and runs in this page's worker.

import { Asking } from "./asking.js";
import { chat } from "./client.js";
import { button, make, slider } from "./dom.js";

const hintOf = (size) => `The first message loads the model, about ${size}. It runs in this page: what you write stays here.`;
const TOP_P = 0.95; // as `minillm chat`
const TEMPERATURE = 0.3; // facts want the likeliest words

/** @param {HTMLElement} element its data-stage names the model, -size says how large it is, -prompts (JSON) has messages */
export function start(element) {
  const { stage, prompts, size = "4 MB" } = element.dataset;
  element.replaceChildren(new ChatWidget(stage, prompts, hintOf(size)).root);
}

export class ChatWidget {
  constructor(stage, prompts, hint) {
    Object.assign(this, { stage, hint, seed: 0 });
    const act = (text, signal) => this.say(text, signal);
    this.asking = new Asking(act, { prompts, label: "Your message", send: "Send" }, stage);
    this.log = make("div", { className: "log", role: "log", tabIndex: 0, "aria-label": "Conversation" });
    this.heat = slider("Temperature", { min: 0, max: 1.5, step: 0.1, value: TEMPERATURE });
    const anew = button("New conversation", () => this.clear());
    const settings = make("div", { className: "settings" }, this.heat.label, anew);
    const { prompts: examples, form, bar, status } = this.asking;
    this.root = this.asking.within(this.log, examples, form, settings, bar, status);
    this.clear();
  }

  clear() {
    this.asking.abort();
    this.messages = [];
    this.log.replaceChildren();
    this.asking.tell(this.hint);
  }

  async say(text, signal) {
    await this.asking.ready();
    if (signal.aborted) this.asking.tell("Stopped.");
    else await this.answer(text, signal);
  }

  async answer(text, signal) {
    const { input } = this.asking;
    const conversation = this.messages;
    const question = { role: "user", content: text };
    const sampling = { temperature: Number(this.heat.input.value), topP: TOP_P, seed: this.seed++ };
    const asked = this.show("You", text);
    const written = this.show("Assistant", "");
    const onPiece = (piece) => {
      written.append(piece);
      this.log.scrollTop = this.log.scrollHeight;
    };
    this.asking.tell("Writing. Escape stops.");
    this.log.setAttribute("aria-busy", "true"); // so that an answer is read aloud once it is whole
    try {
      const result = await chat(this.stage, [...conversation, question], sampling, onPiece, signal);
      if (input.value.trim() === text) input.value = "";
      if (written.textContent) conversation.push(question, { role: "assistant", content: written.textContent });
      if (conversation === this.messages) this.asking.tell(summary(result, signal.aborted));
    } catch (error) {
      for (const shown of [asked, written]) shown.parentNode.remove();
      throw error;
    } finally {
      this.log.removeAttribute("aria-busy");
    }
  }

  /** Add a message to the log; gives the element of its text. */
  show(who, text) {
    const content = make("div", { className: "text", dir: "auto" }, text);
    this.log.append(make("div", { className: who.toLowerCase() }, make("div", { className: "who" }, who), content));
    this.log.scrollTop = this.log.scrollHeight;
    return content;
  }
}

function summary({ tokens, seconds, leftOut, isFull }, isStopped) {
  const speed = seconds ? `, ${Math.round(tokens / seconds)} a second` : ""; // 0 where a browser's clock is coarse
  const parts = [isStopped ? "Stopped." : "", `${tokens} tokens${speed}.`];
  if (isFull) parts.push("The model's context is full: the answer was cut off.");
  if (leftOut) parts.push("The oldest messages no longer fit and are left out.");
  return parts.filter(Boolean).join(" ");
}
