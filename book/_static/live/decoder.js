// The body of the model in the page: the forward pass of minillm/model, one token at a time, in plain loops.
//
// A token becomes a vector (embedding). Each block adds to that vector what attention collects from earlier tokens, and
// what a feed-forward part makes of it. A head reads the vector behind the last block (engine.js, reward.js). Keys and
// values of earlier tokens stay in a cache, so each token is computed once.
//
// Vectors are Float32Arrays that are made once and written over for each token, because making them costs more than
// filling them. A matrix (rows, columns) is one long array, row after row.

/**
 * What may be seen of a forward pass. The arrays are written over later: copy what you keep.
 * @typedef {object} Look
 * @property {(layer: number, hidden: Float32Array) => void} [hidden] the vector, 0: embedding, 1: after the first block
 * @property {(layer: number, head: number, weights: Float32Array) => void} [attention] (positions so far), sum 1
 * @property {(layer: number, head: number) => boolean} [off] true: this head adds nothing
 */

/** Keys and values of the tokens read so far. Set `length` to less, and the tokens behind it are forgotten. */
export class KVCache {
  constructor(shape) {
    this.shape = shape;
    this.length = 0;
    this.capacity = 0;
    this.keys = new Array(shape.nLayer).fill(new Float32Array(0)); // of each layer: (capacity, nKvHead * headWidth)
    this.values = new Array(shape.nLayer).fill(new Float32Array(0));
  }

  /** Make room for so many tokens; twice as many as before, so that tokens are seldom moved. */
  reserve(length) {
    const { contextLength, nKvHead, headWidth } = this.shape;
    if (length > contextLength) {
      throw new RangeError(`${length} tokens are more than the model's contextLength=${contextLength}; use fewer`);
    }
    if (length <= this.capacity) return;
    this.capacity = Math.min(contextLength, Math.max(length, 2 * this.capacity, 64));
    const larger = (old) => {
      const array = new Float32Array(this.capacity * nKvHead * headWidth);
      array.set(old);
      return array;
    };
    this.keys = this.keys.map(larger);
    this.values = this.values.map(larger);
  }
}

/** Embedding, blocks and final norm: all of the model but the head. */
export class Decoder {
  constructor(shape, tensors, prefix) {
    const { vocabSize, dModel, nLayer, headWidth, ropeTheta } = shape;
    const name = `${prefix}model.`;
    this.shape = shape;
    this.embedTokens = weightOf(tensors, `${name}embed_tokens.weight`, vocabSize, dModel);
    this.norm = weightOf(tensors, `${name}norm.weight`, dModel);
    this.blocks = Array.from({ length: nLayer }, (_, layer) => blockOf(shape, tensors, `${name}layers.${layer}.`));
    this.frequencies = rotaryFrequencies(headWidth, ropeTheta);
    this.room = roomFor(shape);
  }

  newCache() {
    return new KVCache(this.shape);
  }

  /** Read tokens into the cache; the normalised vector of the last one, which a head reads. */
  read(ids, cache, look) {
    const { vocabSize, nLayer } = this.shape;
    if (cache.shape !== this.shape) throw new Error("the cache belongs to another model; use newCache of this one");
    if (!ids.length) throw new RangeError("there are no tokens to read; start with the end-of-text token");
    for (const id of ids) {
      if (!(Number.isInteger(id) && id >= 0 && id < vocabSize)) {
        throw new RangeError(`token id ${id} is outside the vocabulary 0 to ${vocabSize - 1}`);
      }
    }
    cache.reserve(cache.length + ids.length);
    for (const id of ids) {
      this.embed(id);
      this.turnTo(cache.length);
      look?.hidden?.(0, this.room.x);
      for (let layer = 0; layer < nLayer; layer++) {
        this.block(layer, cache, look);
        look?.hidden?.(layer + 1, this.room.x);
      }
      cache.length += 1;
    }
    return rmsNorm(this.room.normed, this.room.x, this.norm, this.shape.normEps);
  }

  embed(id) {
    const { dModel } = this.shape;
    this.room.x.set(this.embedTokens.subarray(id * dModel, (id + 1) * dModel));
  }

  /** By how much queries and keys are turned at a position, so that their product tells of the distance. */
  turnTo(position) {
    const { cos, sin } = this.room;
    this.frequencies.forEach((frequency, i) => {
      const angle = Math.fround(position * frequency);
      cos[i] = Math.cos(angle);
      sin[i] = Math.sin(angle);
    });
  }

  /** x + attention(norm(x)), then x + mlp(norm(x)). */
  block(layer, cache, look) {
    const { x, normed, mixed, product, added } = this.room;
    const weights = this.blocks[layer];
    rmsNorm(normed, x, weights.inputLayernorm, this.shape.normEps);
    this.attention(layer, cache, look);
    add(x, linear(added, weights.oProj, mixed));
    rmsNorm(normed, x, weights.postAttentionLayernorm, this.shape.normEps);
    this.mlp(weights);
    add(x, linear(added, weights.downProj, product));
  }

  /** Grouped-query attention: each key and value serves several query heads. */
  attention(layer, cache, look) {
    const { nHead, nKvHead, headWidth, qkNorm, normEps } = this.shape;
    const { normed, query, cos, sin, scores, mixed } = this.room;
    const { qProj, kProj, vProj, qNorm, kNorm } = this.blocks[layer];
    const width = nKvHead * headWidth;
    const here = cache.length * width;
    const key = cache.keys[layer].subarray(here, here + width);
    linear(query, qProj, normed);
    linear(key, kProj, normed);
    linear(cache.values[layer].subarray(here, here + width), vProj, normed);
    if (qkNorm) normHeads(query, qNorm, normEps);
    if (qkNorm) normHeads(key, kNorm, normEps);
    applyRotary(query, cos, sin);
    applyRotary(key, cos, sin);
    const seen = scores.subarray(0, cache.length + 1);
    mixed.fill(0);
    for (let head = 0; head < nHead; head++) {
      if (look?.off?.(layer, head)) continue;
      const from = head * headWidth;
      const shared = Math.floor((head * nKvHead) / nHead) * headWidth; // where its keys and values stand
      attentionWeights(seen, query, from, cache.keys[layer], shared, width, headWidth);
      look?.attention?.(layer, head, seen);
      collect(mixed, from, seen, cache.values[layer], shared, width, headWidth);
    }
  }

  /** SwiGLU: silu(gate(x)) * up(x), which `down` reads. */
  mlp({ gateProj, upProj }) {
    const { normed, gate, product } = this.room;
    linear(gate, gateProj, normed);
    linear(product, upProj, normed);
    for (let i = 0; i < gate.length; i++) product[i] *= gate[i] / (1 + Math.exp(-gate[i]));
  }
}

// The arithmetic. Each function writes into its first argument.

/** out = weight @ x. Four rows side by side: x is fetched once for them, and their sums need not wait for each other. */
export function linear(out, weight, x) {
  const columns = x.length;
  let row = 0;
  for (; row + 4 <= out.length; row += 4) {
    const first = row * columns, second = first + columns, third = second + columns, fourth = third + columns;
    let a = 0, b = 0, c = 0, d = 0;
    for (let i = 0; i < columns; i++) {
      a += weight[first + i] * x[i];
      b += weight[second + i] * x[i];
      c += weight[third + i] * x[i];
      d += weight[fourth + i] * x[i];
    }
    out[row] = a;
    out[row + 1] = b;
    out[row + 2] = c;
    out[row + 3] = d;
  }
  for (; row < out.length; row++) {
    let sum = 0;
    for (let i = 0; i < columns; i++) sum += weight[row * columns + i] * x[i];
    out[row] = sum;
  }
  return out;
}

function add(x, y) {
  for (let i = 0; i < x.length; i++) x[i] += y[i];
}

/** x / sqrt(mean(x^2) + eps) * weight. */
function rmsNorm(out, x, weight, eps) {
  let squares = 0;
  for (let i = 0; i < x.length; i++) squares += x[i] * x[i];
  const scale = 1 / Math.sqrt(squares / x.length + eps);
  for (let i = 0; i < x.length; i++) out[i] = x[i] * scale * weight[i];
  return out;
}

/** RMSNorm of each head's part of x, in place. */
function normHeads(x, weight, eps) {
  for (let from = 0; from < x.length; from += weight.length) {
    const head = x.subarray(from, from + weight.length);
    rmsNorm(head, head, weight, eps);
  }
}

/** Turn the pairs (i, i + half) of each head: (a cos - b sin, b cos + a sin). */
function applyRotary(x, cos, sin) {
  const half = cos.length;
  for (let from = 0; from < x.length; from += 2 * half) {
    for (let i = 0; i < half; i++) {
      const a = x[from + i], b = x[from + half + i];
      x[from + i] = a * cos[i] - b * sin[i];
      x[from + half + i] = b * cos[i] + a * sin[i];
    }
  }
}

/** softmax(query . key / sqrt(headWidth)) over all positions so far. `stride` leads from a position to the next. */
function attentionWeights(weights, query, from, keys, shared, stride, headWidth) {
  const scale = 1 / Math.sqrt(headWidth);
  for (let t = 0; t < weights.length; t++) {
    const at = t * stride + shared;
    let dot = 0;
    for (let i = 0; i < headWidth; i++) dot += query[from + i] * keys[at + i];
    weights[t] = dot * scale;
  }
  softmax(weights);
}

/** mixed += weights @ values, for one head. */
function collect(mixed, from, weights, values, shared, stride, headWidth) {
  for (let t = 0; t < weights.length; t++) {
    const weight = weights[t], at = t * stride + shared;
    for (let i = 0; i < headWidth; i++) mixed[from + i] += weight * values[at + i];
  }
}

/** exp(x) / sum(exp(x)), in place; the largest is subtracted first, so that nothing overflows. */
export function softmax(x) {
  let largest = -Infinity, sum = 0;
  for (let i = 0; i < x.length; i++) if (x[i] > largest) largest = x[i];
  for (let i = 0; i < x.length; i++) sum += x[i] = Math.exp(x[i] - largest);
  for (let i = 0; i < x.length; i++) x[i] /= sum;
  return x;
}

// Weights and room

/** A weight by its name, if it has the shape that config.json says. */
export function weightOf(tensors, name, ...shape) {
  const found = tensors.get(name);
  if (String(found?.shape) !== String(shape)) {
    const has = found ? `(${found.shape})` : "missing";
    throw new Error(`model.safetensors does not fit config.json: ${name} is ${has}, wanted is (${shape})`);
  }
  return found.data;
}

function blockOf(shape, tensors, name) {
  const { dModel, dFf, nHead, nKvHead, headWidth, qkNorm } = shape;
  const weight = (part, ...size) => weightOf(tensors, `${name}${part}.weight`, ...size);
  return {
    inputLayernorm: weight("input_layernorm", dModel),
    qProj: weight("self_attn.q_proj", nHead * headWidth, dModel),
    kProj: weight("self_attn.k_proj", nKvHead * headWidth, dModel),
    vProj: weight("self_attn.v_proj", nKvHead * headWidth, dModel),
    oProj: weight("self_attn.o_proj", dModel, nHead * headWidth),
    qNorm: qkNorm && weight("self_attn.q_norm", headWidth),
    kNorm: qkNorm && weight("self_attn.k_norm", headWidth),
    postAttentionLayernorm: weight("post_attention_layernorm", dModel),
    gateProj: weight("mlp.gate_proj", dFf, dModel),
    upProj: weight("mlp.up_proj", dFf, dModel),
    downProj: weight("mlp.down_proj", dModel, dFf),
  };
}

/** The pair i of a head turns by theta^(-2i / headWidth) radians a position. Single precision, as in PyTorch. */
function rotaryFrequencies(headWidth, theta) {
  return Float32Array.from({ length: headWidth / 2 }, (_, i) => theta ** Math.fround((-2 * i) / headWidth));
}

/** The vectors that each token is computed in. */
function roomFor({ dModel, dFf, nHead, headWidth, contextLength }) {
  const numbers = (length) => new Float32Array(length);
  return {
    x: numbers(dModel),
    normed: numbers(dModel),
    added: numbers(dModel),
    query: numbers(nHead * headWidth),
    mixed: numbers(nHead * headWidth),
    scores: numbers(contextLength),
    cos: numbers(headWidth / 2),
    sin: numbers(headWidth / 2),
    gate: numbers(dFf),
    product: numbers(dFf),
  };
}
