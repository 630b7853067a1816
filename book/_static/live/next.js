// What a language model makes of a text: how surprised it is by each token, and what it expects next.

import { asText } from "./chat.js";
import { visible } from "./pieces.js";
import { highest, logSumExp } from "./sampling.js";

const SHOWN = 10; // of the likeliest next tokens

const memories = new WeakMap(); // model -> what it has read: its beginning need not be read again

/**
 * @param {{ model: import("./engine.js").GPT, tokenizer: import("./tokenizer.js").Tokenizer }} stage
 * @param {{ text: string, taken: number[] }} what a text, and ids that follow it
 * @returns what the text is made of, with -log p of each token in nats, the logits of the next token (vocabSize), and
 *   the likeliest ones; pieces as they are shown
 */
export function read({ model, tokenizer }, { text, taken }) {
  const [start, ...ids] = asText(text, tokenizer, model.shape.contextLength, taken);
  const { surprises, logits } = readOn(model, [start, ...ids]);
  const piece = (id) => visible(tokenizer.tokenBytes(id));
  return {
    tokens: ids.map((id, i) => ({ id, piece: piece(id), surprise: surprises[i] })),
    logits,
    likeliest: highest(logits, SHOWN).map((id) => ({ id, piece: piece(id) })),
  };
}

/** Read what follows the beginning that was read before. */
function readOn(model, ids) {
  if (!memories.has(model)) memories.set(model, { cache: model.newCache(), ids: [], surprises: [] });
  const memory = memories.get(model);
  let start = 0;
  while (start < ids.length && ids[start] === memory.ids[start]) start++;
  start = Math.max(0, start - 1); // the logits behind the last token that is the same are needed once more
  memory.cache.length = start;
  const surprises = memory.surprises.slice(0, start); // at i: of the token i + 1
  let logits;
  for (let i = start; i < ids.length; i++) {
    logits = model.forward([ids[i]], memory.cache);
    if (i + 1 < ids.length) surprises.push(logSumExp(logits) - logits[ids[i + 1]]);
  }
  Object.assign(memory, { ids, surprises });
  return { surprises, logits };
}
