// The worker's part of widget_vectors.js: the tokens whose vectors point in the most similar directions.
//
// As in the chapter on vectors, the mean of all tokens is taken away first: what all have in common tells nothing of any.

import { END_OF_TEXT } from "./chat.js";
import { visible } from "./pieces.js";
import { highest } from "./sampling.js";

const SHOWN = 12;
const TURN = 64; // tokens that are read before messages are let in

const tables = new WeakMap(); // model -> promise of its tables, one for the embedding and one for each layer

/**
 * The nearest tokens of a word.
 * @param {{ model: import("./engine.js").GPT, tokenizer: import("./tokenizer.js").Tokenizer }} stage
 * @param {{ word?: string, id?: number, layer: number }} request a word, or a token's id; 0 is the embedding, otherwise
 *   the vector after so many layers, of a text that holds this token alone
 * @param {() => Promise<void>} pause
 * @returns {Promise<{ pieces: { id: number, piece: string }[], near: { id: number, piece: string, cosine: number }[],
 *   nLayer: number }>} the word's tokens; where it is one, those near it
 */
export async function nearest({ model, tokenizer }, { word, id, layer }, pause) {
  const named = (id) => ({ id, piece: visible(tokenizer.tokenBytes(id)) });
  const ids = id === undefined ? idsOf(word, tokenizer) : [id];
  const { nLayer } = model.shape;
  const pieces = ids.map(named);
  if (ids.length !== 1) return { pieces, near: [], nLayer };
  const directions = layer ? (await afterLayers(model, tokenizer, pause))[layer] : embedding(model);
  const cosines = directions.map((direction) => dot(direction, directions[ids[0]]));
  const order = highest(cosines, SHOWN + 1).filter((other) => other !== ids[0]).slice(0, SHOWN);
  return { pieces, near: order.map((id) => ({ ...named(id), cosine: cosines[id] })), nLayer };
}

/** A word stands behind a space in a text, so that is how it is looked up; "" has no token. */
function idsOf(word, tokenizer) {
  return word.trim() ? tokenizer.encode(` ${word.trim()}`) : [];
}

function embedding(model) {
  const { embedTokens } = model.decoder;
  const { vocabSize, dModel } = model.shape;
  const row = (_, id) => embedTokens.subarray(id * dModel, (id + 1) * dModel);
  return directionsOf(Array.from({ length: vocabSize }, row));
}

/** The vector of every token after each layer, as the only one behind the mark of a text's beginning. */
function afterLayers(model, tokenizer, pause) {
  if (!tables.has(model)) tables.set(model, readAll(model, tokenizer.specialTokens.get(END_OF_TEXT), pause));
  return tables.get(model);
}

async function readAll(model, first, pause) {
  const { nLayer, vocabSize } = model.shape;
  const vectors = Array.from({ length: nLayer + 1 }, () => []);
  const cache = model.newCache();
  model.decoder.read([first], cache);
  for (let id = 0; id < vocabSize; id++) {
    cache.length = 1; // forget the token before
    model.decoder.read([id], cache, { hidden: (layer, vector) => vectors[layer].push(vector.slice()) });
    if (id % TURN === 0) await pause();
  }
  return vectors.map(directionsOf);
}

/** Each vector minus the mean of all, with length 1. */
function directionsOf(vectors) {
  const mean = vectors[0].map((_, i) => vectors.reduce((sum, vector) => sum + vector[i], 0) / vectors.length);
  return vectors.map((vector) => {
    const centred = vector.map((x, i) => x - mean[i]);
    const length = Math.sqrt(dot(centred, centred)) || 1;
    return centred.map((x) => x / length);
  });
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
