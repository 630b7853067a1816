// The reward model of minillm/model/heads.py: one number for a whole conversation, read where its answer has ended.
// To its own opinion it may add how probable an assistant, which stays as it is, finds the answer.

import { linear, weightOf } from "./decoder.js";
import { logProbs } from "./sampling.js";

const GAINS = [10, 2.5, 5]; // what the three numbers of `surpriseMarks` are multiplied with, beside their weights
const FEW = 3; // tokens

/** Scores conversations. Only differences between answers to one prompt mean something; 0 is the average answer. */
export class RewardModel {
  /**
   * @param {import("./decoder.js").Decoder} decoder the body
   * @param {Map<string, import("./safetensors.js").Tensor>} tensors all weights
   * @param {import("./engine.js").GPT | null} assistant the model that is asked
   * @param {number} [answerMark] id of the token behind which an answer begins
   */
  constructor(decoder, tensors, assistant, answerMark) {
    this.shape = decoder.shape;
    this.decoder = decoder;
    this.score = weightOf(tensors, "score.weight", 1, this.shape.dModel);
    this.mean = tensors.has("mean") ? weightOf(tensors, "mean")[0] : 0;
    this.assistant = assistant;
    this.answerMark = answerMark;
    this.surpriseWeight = assistant && weightOf(tensors, "surprise_weight", GAINS.length);
  }

  /** A cache for the body alone. */
  newCache() {
    return this.decoder.newCache();
  }

  /**
   * The score of a conversation.
   * @param {number[]} ids with the answer's end token; with an assistant the whole conversation, without a cache
   * @returns {Float32Array} (1)
   */
  forward(ids, cache = this.newCache()) {
    const own = linear(new Float32Array(1), this.score, this.decoder.read(ids, cache));
    return Float32Array.of(own[0] - this.mean + (this.assistant ? this.opinion(ids) : 0));
  }

  /** What the assistant's surprise at the answer adds to the score. */
  opinion(ids) {
    const begin = Math.max(1, ids.lastIndexOf(this.answerMark) + 1); // a text's first token has none before it
    const marks = surpriseMarks(logProbs(this.assistant, ids, begin));
    return marks.reduce((sum, mark, i) => sum + mark * this.surpriseWeight[i] * GAINS[i], 0);
  }
}

/** The mean log-probability of an answer's tokens, the least one, and the mean of the three least ones. */
export function surpriseMarks(logProbs) {
  if (!logProbs.length) return [0, 0, 0];
  const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  const least = logProbs.toSorted?.((a, b) => a - b) ?? [...logProbs].sort((a, b) => a - b);
  return [mean(logProbs), least[0], mean(least.slice(0, FEW))];
}
