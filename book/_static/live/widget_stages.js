// Several assistants answer one question side by side. The reader chooses the best answer; then it is shown what the
// reward model says, and how far each answer is from what SFT would have written. Where the vote is blind, who has
// written which answer is shown only then, too.

import { Asking } from "./asking.js";
import { ask, chat, load } from "./client.js";
import { button, make, megabytes, slider } from "./dom.js";
import { filesOf, readManifest, sizeOf } from "./models.js";

const REFERENCE = "sft", JUDGE = "reward";
const MAX_NEW_TOKENS = 100; // as in PPO's training
const TEMPERATURE = 0.8, TOP_P = 0.95;
const FULL_COLOUR = 2; // nats
const LEGEND = "Blue, underlined: a token that this model finds more probable than SFT does. Orange, dotted: less " +
  `probable. The full colour is ${FULL_COLOUR} nats or more. Rewards compare answers to one question only.`;

/**
 * @param {HTMLElement} element its data-stages (JSON) names the models, -size says how large they are, -prompts (JSON),
 *   -blind (JSON) whether their names are hidden until the vote
 */
export function start(element) {
  const { stages, prompts, size = "25 MB", blind = "false" } = element.dataset;
  const widget = new StagesWidget(JSON.parse(stages), prompts, JSON.parse(blind));
  widget.asking.tell(`The first question loads all models, about ${size}. They run in this page: what you write stays here.`);
  element.replaceChildren(widget.root);
}

class StagesWidget {
  constructor(stages, prompts, blind) {
    Object.assign(this, { stages, blind, seed: 0, loads: new Map(), votes: { all: 0, agreed: 0, blind: 0 } });
    const act = (text, signal) => this.answer(text, signal);
    this.asking = new Asking(act, { prompts, label: "Your question", send: "Ask all" });
    this.heat = slider("Temperature", { min: 0, max: 1.5, step: 0.1, value: TEMPERATURE });
    this.question = make("p", { className: "asked who" });
    this.cards = make("div", { className: "answers" });
    this.verdict = make("p", { className: "verdict", role: "status", tabIndex: -1 });
    this.legend = make("p", { className: "note", hidden: true }, LEGEND);
    const { prompts: examples, form, bar, status } = this.asking;
    const settings = make("div", { className: "settings" }, this.heat.label);
    this.root = this.asking.within(examples, form, settings, bar, status, this.question, this.cards, this.verdict, this.legend);
  }

  /** Find out which models there are. */
  async find() {
    const manifest = await readManifest();
    const isThere = (name) => manifest.stages.some(({ stage }) => stage === name);
    const leftOut = this.stages.filter((stage) => !isThere(stage));
    const there = this.stages.filter(isThere);
    if (!there.length) throw new Error(`The models beside this site have none of: ${leftOut.join(", ")}.`);
    this.stages = there;
    [this.reference, this.judge] = [REFERENCE, JUDGE].map((name) => (isThere(name) ? name : null));
    const names = [...new Set([...this.stages, this.reference, this.judge])].filter(Boolean);
    this.sizes = new Map(names.map((name) => [name, sizeOf(filesOf(manifest, name))]));
    const sizes = names.map((name) => `${name} ${megabytes(this.sizes.get(name))}`);
    const missing = [...leftOut, ...(this.judge ? [] : [JUDGE]), ...(this.reference ? [] : [REFERENCE])];
    this.told = `Models: ${sizes.join(", ")}.${missing.length ? ` Not there, so left out: ${missing.join(", ")}.` : ""}`;
  }

  /** Resolves when a model is there. */
  ready(name) {
    if (!this.loads.size) this.load();
    return this.loads.get(name);
  }

  /**
   * Load the models one after the other, so that the first answers while the next is on the line, and the reward model,
   * which is needed after the vote, comes last.
   */
  load() {
    const total = [...this.sizes.values()].reduce((sum, size) => sum + size, 0);
    let before = 0;
    let last = Promise.resolve();
    const all = this.asking.during((onProgress) => {
      for (const [name, size] of this.sizes) {
        last = last.then(() => load(name, (loaded) => onProgress(before + loaded, total))).then(() => (before += size));
        this.loads.set(name, last);
      }
      return last;
    });
    all.then(() => this.tell(this.state), () => {
      this.loads.clear(); // so that it can be tried again
      if (!this.state) this.tell(""); // the answers are done: nobody else takes the last number of the bar away
    });
  }

  tell(state) {
    this.state = state;
    this.asking.tell(`${state} ${this.told}`.trim());
  }

  async answer(text, signal) {
    if (!this.told) await this.find();
    if (signal.aborted) return this.asking.tell("Stopped.");
    this.state = "Writing. Escape stops.";
    const messages = [{ role: "user", content: text }];
    const temperature = Number(this.heat.input.value);
    const sampling = { temperature, topP: TOP_P, seed: this.seed++, maxNewTokens: MAX_NEW_TOKENS };
    const order = this.blind ? shuffled(this.stages) : this.stages;
    const answers = order.map((stage, i) => ({ stage, messages, ...card(this.blind ? `Answer ${i + 1}` : stage) }));
    this.cards.replaceChildren(...answers.map(({ root }) => root));
    this.question.textContent = text;
    this.verdict.replaceChildren();
    this.legend.hidden = true;
    await Promise.all(answers.map(async (answer) => {
      await this.ready(answer.stage);
      if (signal.aborted) return;
      this.tell(this.state);
      const onPiece = (piece) => answer.text.append(piece);
      const { ids, tokens } = await chat(answer.stage, messages, sampling, onPiece, signal);
      answer.ids = ids;
      if (tokens === ids.length && !signal.aborted) answer.note.textContent = `cut off after ${tokens} tokens`;
    }));
    this.tell(signal.aborted ? "Stopped." : "");
    if (!signal.aborted) await this.offer(answers);
  }

  /** Let the reader choose, if there is a choice. */
  async offer(answers) {
    if (new Set(answers.map(({ text }) => text.textContent)).size === 1) {
      await this.reveal(answers);
      this.verdict.textContent = "All answers are the same, so there is nothing to choose. A higher temperature varies them.";
      return;
    }
    for (const answer of answers) {
      const name = { "aria-label": `This is the best: ${answer.name.textContent}` };
      answer.root.append(button("This is the best", () => this.vote(answers, answer), name));
    }
    this.verdict.textContent = "Which answer is the best? Choose, and the rewards appear.";
  }

  async vote(answers, choice) {
    for (const { root } of answers) root.querySelector("button").remove();
    choice.note.textContent += " your choice";
    this.verdict.textContent = "Measuring.";
    this.verdict.focus(); // the button that had it is gone
    let told;
    try {
      await this.reveal(answers);
      told = this.judge ? this.compared(answers, choice) : "There is no reward model to compare with.";
    } catch (error) {
      told = error.message;
    }
    if (choice.root.isConnected) this.verdict.textContent = told; // otherwise the next question has been asked
  }

  /** Does the reward model agree? */
  compared(answers, choice) {
    const best = answers.reduce((a, b) => (b.reward > a.reward ? b : a));
    const isBest = ({ reward }) => reward === best.reward; // equal answers have equal rewards
    const { votes } = this;
    votes.all += 1;
    votes.agreed += isBest(choice) ? 1 : 0;
    votes.blind += answers.filter(isBest).length / answers.length;
    const opinion = isBest(choice)
      ? `The reward model agrees: it too scores ${choice.stage} highest (${signed(choice.reward)}).`
      : `The reward model disagrees: it scores ${best.stage} highest (${signed(best.reward)}), and your choice, ` +
        `${choice.stage}, ${signed(choice.reward)}.`;
    return `${opinion} Agreed so far: ${votes.agreed} of ${votes.all}; a random choice would agree in ` +
      `${votes.blind.toFixed(1)} of ${votes.all} on average.`;
  }

  async reveal(answers) {
    const { reference, judge } = this;
    for (const { root, name, stage } of answers) {
      name.textContent = stage;
      root.setAttribute("aria-label", stage);
    }
    await Promise.all([reference, judge].map((name) => this.ready(name)));
    await Promise.all(answers.map(async (answer) => {
      const { stage, messages, ids } = answer;
      const found = await ask({ do: "measure", stage, reference, judge, messages, ids });
      Object.assign(answer, found);
      if (judge) answer.numbers.append(make("div", {}, `Reward: ${signed(found.reward)}`));
      if (reference) showRatios(answer);
    }));
    if (answers[0].root.isConnected) this.legend.hidden = !reference;
  }
}

/** The same in another order, each order alike likely (Fisher and Yates). */
function shuffled(list) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

/** The place of one answer, under what it is called. */
function card(title) {
  const text = make("div", { className: "text", dir: "auto" });
  const note = make("span", {});
  const numbers = make("div", { className: "note" });
  const name = make("strong", {}, title);
  const root = make("div", { className: "answer", role: "group", "aria-label": title },
    make("div", { className: "who" }, name, " ", note), text, numbers);
  return { root, name, text, note, numbers };
}

/** Colour each token by its ratio; say the sum, and the tokens that were moved most, in words. */
function showRatios({ text, numbers, pieces, logRatios }) {
  text.replaceChildren(...pieces.map((piece, i) => {
    const ratio = logRatios[i];
    const token = make("span", { className: ratio < 0 ? "less" : "more", title: `${signed(ratio)} nats` }, piece);
    token.style.setProperty("--share", Math.min(1, Math.abs(ratio) / FULL_COLOUR));
    return token;
  }));
  const sum = logRatios.reduce((total, ratio) => total + ratio, 0);
  numbers.append(make("div", {}, `Log-probability ratio to SFT of this one answer: ${signed(sum)} nats`));
  const most = logRatios.map((ratio, i) => [ratio, pieces[i].trim()]).filter(([ratio]) => Math.abs(ratio) >= 0.005)
    .sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, 3);
  if (most.length) {
    numbers.append(make("div", {}, `Moved most: ${most.map(([ratio, piece]) => `“${piece}” ${signed(ratio)}`).join(", ")}`));
  }
}

/** 1.234 -> "+1.23". */
function signed(number) {
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
}
