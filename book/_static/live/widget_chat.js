// A conversation with a stage that answers. The model loads on the first click and runs in this page's worker.

import { chat } from "./client.js";
import { make } from "./dom.js";
import { Loading } from "./loading.js";

const TOP_P = 0.95; // as `minillm chat`
const TEMPERATURE = 0.3; // facts want the likeliest words

/** @param {HTMLElement} element its data-stage names the model, data-prompts (JSON) some messages to begin with */
export function start(element) {
  const { stage, prompts } = element.dataset;
  const widget = new ChatWidget(stage, JSON.parse(prompts ?? "[]"));
  element.replaceChildren(widget.root);
}

class ChatWidget {
  constructor(stage, prompts) {
    this.stage = stage;
    this.loading = new Loading(stage);
    this.messages = [];
    this.seed = 0;
    this.build(prompts);
    this.clear();
  }

  build(prompts) {
    this.log = make("div", { className: "log", role: "log", tabIndex: 0, "aria-label": "Conversation" });
    this.input = make("textarea", { rows: 1, placeholder: "Write a message", "aria-label": "Your message" });
    this.send = make("button", { type: "submit", className: "main" }, "Send");
    this.stop = make("button", { type: "button", disabled: true, onclick: () => this.answering?.abort() }, "Stop");
    const anew = make("button", { type: "button", onclick: () => this.clear() }, "New conversation");
    this.heat = make("input", { type: "range", min: 0, max: 1.5, step: 0.1, value: TEMPERATURE });
    const told = make("output", {}, String(TEMPERATURE));
    this.heat.oninput = () => (told.value = this.heat.value);
    this.form = make("form", {}, this.input, this.send, this.stop);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.say(this.input.value.trim());
    };
    this.prompts = make("div", { className: "prompts" }, ...prompts.map((text) =>
      make("button", { type: "button", onclick: () => this.say(text) }, text)));
    const settings = make("div", { className: "settings" }, make("label", {}, "Temperature ", this.heat, told), anew);
    this.root = make("div", {}, this.log, this.prompts, this.form, settings, this.loading.bar, this.loading.status);
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.answering?.abort());
  }

  /** Enter sends, Shift and Enter begin a line; a key that completes a Chinese word does neither. */
  key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.form.requestSubmit();
  }

  clear() {
    this.answering?.abort();
    this.messages = [];
    this.log.replaceChildren();
    this.loading.tell("The first message loads the model, about 4 MB. It runs in this page: what you write stays here.");
  }

  async say(text) {
    if (!text || this.answering) return;
    this.answering = new AbortController();
    const { signal } = this.answering;
    this.stop.disabled = false;
    this.send.disabled = true;
    try {
      await this.loading.ready();
      if (signal.aborted) this.loading.tell("Stopped.");
      else await this.answer(text, signal);
    } catch (error) {
      this.loading.failed(error);
    }
    this.answering = null;
    this.stop.disabled = true;
    this.send.disabled = false;
  }

  async answer(text, signal) {
    const conversation = this.messages;
    const question = { role: "user", content: text };
    const sampling = { temperature: Number(this.heat.value), topP: TOP_P, seed: this.seed++ };
    const asked = this.show("You", text);
    const written = this.show("Assistant", "");
    const onPiece = (piece) => {
      written.append(piece);
      this.log.scrollTop = this.log.scrollHeight;
    };
    this.loading.tell("Writing. Escape stops.");
    this.log.setAttribute("aria-busy", "true"); // so that an answer is read aloud once it is whole
    try {
      const result = await chat(this.stage, [...conversation, question], sampling, onPiece, signal);
      if (this.input.value.trim() === text) this.input.value = "";
      if (written.textContent) conversation.push(question, { role: "assistant", content: written.textContent });
      if (conversation === this.messages) this.loading.tell(summary(result, signal.aborted));
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
  const speed = `${tokens} tokens, ${Math.round(tokens / seconds)} a second.`;
  const parts = [isStopped ? "Stopped." : "", speed];
  if (isFull) parts.push("The model's context is full: the answer was cut off.");
  if (leftOut) parts.push("The oldest messages no longer fit and are left out.");
  return parts.filter(Boolean).join(" ");
}
