// A model that is loaded, with what a conversation needs of it.

import { modelOf } from "./engine.js";
import { readTensors } from "./safetensors.js";
import { Tokenizer } from "./tokenizer.js";

/**
 * @param {object} config content of config.json
 * @param {object} tokenizer content of tokenizer.json
 * @param {ArrayBuffer} weights content of model.safetensors
 * @returns what worker.js keeps: `cache` holds the tokens `read`, `last` is the promise of what is being done
 */
export function assistantOf(config, tokenizer, weights) {
  const tensors = readTensors(weights);
  const model = modelOf(config, tensors);
  return { model, tensors, tokenizer: Tokenizer.fromJSON(tokenizer), cache: model.newCache(), read: [], last: null };
}
