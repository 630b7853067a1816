// Makes a model of the two files of a stage, config.json and model.safetensors: a language model, or a reward model.

import { Decoder, linear, weightOf } from "./decoder.js";
import { RewardModel } from "./reward.js";
import { readTensors } from "./safetensors.js";

const HEAD_WIDTH_UNTOLD = 128; // of Qwen3, where config.json does not say; Hugging Face's default
const LARGEST = 2 ** 24;
const SIZES = ["vocab_size", "max_position_embeddings", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
  "hidden_size", "intermediate_size"];

/**
 * Make a model of the two files of a stage.
 * @param {object} config content of config.json, Llama or Qwen3
 * @param {ArrayBuffer} weights content of model.safetensors
 * @returns {Promise<GPT | RewardModel>}
 */
export async function loadModel(config, weights) {
  return modelOf(config, readTensors(weights));
}

/** The same with tensors that are read already; the model computes with these very arrays. */
export function modelOf(config, tensors) {
  const shape = shapeOf(config);
  const isReward = String(config.architectures?.[0]).endsWith("ForSequenceClassification");
  const gpt = (prefix) => new GPT(shape, new Decoder(shape, tensors, prefix), tensors, prefix);
  if (!isReward) return gpt("");
  const assistant = config.answer_mark == null ? null : gpt("assistant.");
  return new RewardModel(new Decoder(shape, tensors, ""), tensors, assistant, config.answer_mark);
}

/** The numbers of config.json that decide the computation, under the names of GPTConfig. */
export function shapeOf(config) {
  const layout = config.model_type;
  if (layout !== "llama" && layout !== "qwen3") {
    throw new Error(`config.json has model_type ${layout}; only llama and qwen3 can be loaded`);
  }
  const rope = config.rope_parameters ?? config.rope_scaling ?? {};
  if ((rope.rope_type ?? rope.type ?? "default") !== "default" || (config.hidden_act ?? "silu") !== "silu") {
    throw new Error("config.json asks for other rotary positions or another activation than the page has");
  }
  if (config.attention_bias || config.mlp_bias || config.use_sliding_window) {
    throw new Error("config.json asks for biases or a sliding window, which the page does not have");
  }
  const plainWidth = layout === "qwen3" ? HEAD_WIDTH_UNTOLD : config.hidden_size / config.num_attention_heads;
  const shape = {
    vocabSize: config.vocab_size,
    contextLength: config.max_position_embeddings,
    nLayer: config.num_hidden_layers,
    nHead: config.num_attention_heads,
    nKvHead: config.num_key_value_heads,
    dModel: config.hidden_size,
    dFf: config.intermediate_size,
    headWidth: config.head_dim ?? plainWidth,
    ropeTheta: rope.rope_theta ?? config.rope_theta ?? 10000,
    normEps: config.rms_norm_eps,
    qkNorm: layout === "qwen3",
    tieEmbeddings: config.tie_word_embeddings,
  };
  checkShape(config, shape);
  return shape;
}

function checkShape(config, { nHead, nKvHead, headWidth, ropeTheta, normEps }) {
  for (const key of SIZES) {
    const size = config[key];
    if (!(Number.isInteger(size) && size >= 1 && size <= LARGEST)) {
      throw new Error(`config.json has ${key}=${size}; it must be a whole number from 1 to ${LARGEST}`);
    }
  }
  if (nHead % nKvHead || headWidth % 2 || !(headWidth > 0) || !(ropeTheta > 0) || !(normEps >= 0)) {
    throw new Error("config.json has heads that do not fit together, or no proper rope_theta or rms_norm_eps");
  }
}

/** A language model: token ids in, a score for every possible next token out. */
export class GPT {
  constructor(shape, decoder, tensors, prefix) {
    this.shape = shape;
    this.decoder = decoder;
    const { vocabSize, dModel } = shape;
    this.head = shape.tieEmbeddings
      ? decoder.embedTokens
      : weightOf(tensors, `${prefix}lm_head.weight`, vocabSize, dModel);
  }

  newCache() {
    return this.decoder.newCache();
  }

  /**
   * The logits of the token that follows the last one.
   * @param {ArrayLike<number>} ids one or more tokens
   * @param {import("./decoder.js").KVCache} [cache] holds the tokens before `ids`, and gets those of `ids`
   * @param {import("./decoder.js").Look} [look] what to see, or to switch off, on the way
   * @returns {Float32Array} (vocabSize)
   */
  forward(ids, cache = this.newCache(), look) {
    const hidden = this.decoder.read(ids, cache, look);
    return linear(new Float32Array(this.shape.vocabSize), this.head, hidden);
  }
}

