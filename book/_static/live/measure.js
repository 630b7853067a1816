// What models say of an answer that one of them has written: the learned reward, and the distance from where it began.

import { answerPieces, promptOf } from "./chat.js";
import { logProbs } from "./sampling.js";

/**
 * Measure an answer.
 * @param {Map<string, Promise<object>>} stages the assistants that are loaded
 * @param {object} request
 * @param {string} request.stage whose answer it is
 * @param {string | null} request.reference what its tokens are compared with; null: nothing
 * @param {string | null} request.judge the reward model; null: none
 * @param {import("./chat.js").Message[]} request.messages what is answered
 * @param {number[]} request.ids the answer's tokens, with the one that ends it if it came
 * @returns {Promise<{ pieces: string[], logRatios: number[] | null, reward: number | null }>} the text of each token;
 *   of each log p(token), in nats, less what the reference says, at temperature 1; the score of the conversation
 */
export async function measure(stages, { stage, reference, judge, messages, ids }) {
  const { model, tokenizer } = await stages.get(stage);
  const { ids: prompt } = promptOf(messages, tokenizer, model.shape.contextLength);
  const whole = [...prompt, ...ids];
  const own = logProbs(model, whole, prompt.length);
  const theirs = reference && logProbs((await stages.get(reference)).model, whole, prompt.length);
  return {
    pieces: [...answerPieces(ids, tokenizer)].slice(0, ids.length),
    logRatios: theirs && own.map((logProb, i) => logProb - theirs[i]),
    reward: judge && score((await stages.get(judge)).model, whole),
  };
}

/** As in training, of a conversation that fills the context the token behind it is not read. */
function score(rewardModel, ids) {
  return rewardModel.forward(ids.slice(0, rewardModel.shape.contextLength))[0];
}
