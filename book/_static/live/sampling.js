// From logits to the next token, as in minillm/model/sampling.py: temperature, top-k, top-p, and the draw.

import { softmax } from "./decoder.js";

/**
 * @typedef {object} Sampling
 * @property {number} [temperature] 0: always the most probable token; below 1 sharpens, above 1 flattens
 * @property {number} [topK] so many tokens are kept; left out: all
 * @property {number} [topP] the most probable tokens are kept until together they have this; left out: all
 */

/**
 * The distribution that tokens are drawn from. Among equal logits the lower id comes first.
 * @param {Float32Array} logits
 * @param {Sampling} [sampling]
 * @returns {Float64Array} probabilities, sum 1
 */
export function samplingProbs(logits, { temperature = 1, topK, topP = 1 } = {}) {
  checkSampling(temperature, topK, topP);
  const probs = new Float64Array(logits.length);
  if (temperature === 0 || topK === 1) {
    probs[argmax(logits)] = 1;
    return probs;
  }
  const all = softmax(Float64Array.from(logits, (logit) => logit / temperature));
  if (topP === 1 && !(topK < logits.length)) return all;
  const kept = mostProbable(all, topK, topP);
  const sum = kept.reduce((total, id) => total + all[id], 0);
  for (const id of kept) probs[id] = all[id] / sum;
  return probs;
}

/** The ids that top-k and top-p keep, the most probable first. */
function mostProbable(probs, topK, topP) {
  // Tokens below this bound have together less than top-p leaves out, so they need not be sorted.
  const bound = topK === undefined ? (1 - topP) / probs.length : 0;
  const ids = [];
  for (let id = 0; id < probs.length; id++) if (probs[id] >= bound) ids.push(id);
  ids.sort((a, b) => probs[b] - probs[a] || a - b);
  const first = ids.slice(0, topK);
  const wanted = topP * (topK === undefined ? 1 : first.reduce((sum, id) => sum + probs[id], 0));
  let before = 0; // what the more probable tokens have together
  const end = first.findIndex((id) => before >= wanted || ((before += probs[id]), false));
  return end < 0 ? first : first.slice(0, end);
}

/** Draw an id: walk along the probabilities until a random share of them is behind us. */
export function draw(probs, random) {
  let sum = 0;
  for (let id = 0; id < probs.length; id++) sum += probs[id];
  let rest = random() * sum;
  let last = 0;
  for (let id = 0; id < probs.length; id++) {
    if (probs[id] === 0) continue;
    if (rest < probs[id]) return id;
    rest -= probs[id];
    last = id;
  }
  return last;
}

/** Random numbers from 0 to below 1 that depend on the seed alone (mulberry32); other numbers than PyTorch's. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Continue a prompt, handing out each token as soon as it is drawn. It ends before the first stop token, after
 * `maxNewTokens`, or where the context is full; it returns that stop token.
 * @param {import("./engine.js").GPT} model
 * @param {number[]} prompt ids
 * @param {Sampling & { maxNewTokens: number, stop?: number[], random?: () => number, cache?: import("./decoder.js").KVCache }} options
 *   a cache may hold the beginning of the prompt already; what else it holds is forgotten
 */
export function* stream(model, prompt, { maxNewTokens, stop = [], random = seededRandom(0), cache, ...sampling }) {
  const room = Math.min(maxNewTokens, model.shape.contextLength + 1 - prompt.length);
  const known = cache ?? model.newCache();
  let unread = prompt.slice(known.length);
  for (let step = 0; step < room; step++) {
    const id = draw(samplingProbs(model.forward(unread, known), sampling), random);
    if (stop.includes(id)) return id;
    yield id;
    unread = [id];
  }
}

/** The log-probability, in nats, of each token from place `begin` on, given those before it. */
export function logProbs(model, ids, begin = 1) {
  const cache = model.newCache();
  let unread = ids.slice(0, begin);
  return Array.from(ids).slice(begin).map((next) => {
    const logits = model.forward(unread, cache);
    unread = [next];
    return logits[next] - logSumExp(logits);
  });
}

/** log(sum(exp(x))): what is subtracted from a logit to make it a log-probability. */
export function logSumExp(logits) {
  const largest = logits[argmax(logits)];
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}

/** The places of the largest numbers, the largest first, of equal ones the first. */
export function highest(numbers, count) {
  return Array.from(numbers.keys()).sort((a, b) => numbers[b] - numbers[a] || a - b).slice(0, count);
}

/** The place of the largest number, the first of equal ones. */
export function argmax(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i] > numbers[best]) best = i;
  return best;
}

function checkSampling(temperature, topK, topP) {
  if (!(temperature >= 0 && temperature < Infinity)) {
    throw new RangeError(`temperature=${temperature} is not allowed; use 0 or a number above it`);
  }
  if (topK !== undefined && !(topK >= 1)) throw new RangeError(`topK=${topK} keeps no token; use 1 or more`);
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`topP=${topP} is not allowed; use a share above 0 and up to 1`);
}
