// The worker's part of widget_attention.js: where each token of a text looks, and what the model expects after it.

import { asText } from "./chat.js";
import { softmax } from "./decoder.js";
import { attentionWeights, withoutHeads } from "./inspect.js";
import { visible } from "./pieces.js";
import { highest } from "./sampling.js";

const SHOWN = 6; // likeliest tokens, at most
const LEAST = 0.001; // of them all but the first have at least this

/**
 * Read a text, with some heads switched off.
 * @param {{ model: import("./engine.js").GPT, tokenizer: import("./tokenizer.js").Tokenizer }} stage
 * @param {{ text: string, off: [number, number][] }} request `off`: layer and head of those that add nothing
 * @returns {{ pieces: string[], weights: Float32Array[][][], next: { piece: string, whole: number, now: number }[] }}
 *   the tokens, the mark of a text's beginning in front; the weights [layer][head][position], none of a head that is off;
 *   and the likeliest next tokens with their probabilities, for the whole model and without these heads
 */
export function lookBack({ model, tokenizer }, { text, off }) {
  const ids = asText(text, tokenizer, model.shape.contextLength);
  const rest = withoutHeads(off);
  const whole = softmax(model.forward(ids));
  const now = softmax(model.forward(ids, model.newCache(), rest));
  const shown = [...new Set([...likeliest(whole), ...likeliest(now)])];
  const piece = (id) => visible(tokenizer.tokenBytes(id));
  return {
    pieces: ids.map(piece),
    weights: attentionWeights(model, ids, rest),
    next: shown.map((id) => ({ piece: piece(id), whole: whole[id], now: now[id] })),
  };
}

function likeliest(probs) {
  return highest(probs, SHOWN).filter((id, rank) => rank === 0 || probs[id] >= LEAST);
}
