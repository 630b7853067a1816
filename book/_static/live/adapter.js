// LoRA in the page: a model whose weights are W + share * scaling * B A, where the reader chooses the share.

import { assistantOf } from "./assistant.js";
import { fetchFiles, filesOf, readManifest } from "./models.js";
import { readTensors } from "./safetensors.js";

const FILES = ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"];
const PREFIX = "base_model.model."; // of PEFT's names
const A = ".lora_A.weight", B = ".lora_B.weight";

/** An adapter beside the weights of a model: 0 leaves them as they were, 1 is what was trained. */
export class Adapter {
  /**
   * @param {{ peft_type: string, r: number, lora_alpha: number }} config content of adapter_config.json
   * @param {Map<string, import("./safetensors.js").Tensor>} tensors content of adapter_model.safetensors
   * @param {Map<string, import("./safetensors.js").Tensor>} base the model's weights, which `blend` writes over
   */
  constructor(config, tensors, base) {
    const { peft_type: kind, r: rank, lora_alpha: alpha } = config;
    if (kind !== "LORA" || config.use_dora || config.use_rslora || !(rank >= 1 && alpha > 0)) {
      throw new Error("adapter_config.json describes no plain LoRA adapter");
    }
    this.scaling = alpha / rank;
    const names = [...tensors.keys()].filter((name) => name.endsWith(A)).map((name) => name.slice(0, -A.length));
    this.layers = names.map((name) => {
      const [a, b] = [tensors.get(name + A), tensors.get(name + B)];
      const weight = base.get(`${name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name}.weight`);
      const [outputs, inputs] = weight?.shape ?? [];
      if (String(a.shape) !== `${rank},${inputs}` || String(b?.shape) !== `${outputs},${rank}`) {
        throw new Error(`the adapter does not fit the model at ${name}`);
      }
      return { weight: weight.data, plain: weight.data.slice(), delta: product(b.data, a.data, inputs, this.scaling) };
    });
  }

  /** Put a share of the adapter into the weights. */
  blend(share) {
    for (const { weight, plain, delta } of this.layers) {
      for (let i = 0; i < weight.length; i++) weight[i] = plain[i] + share * delta[i];
    }
  }
}

/** scaling * B A, of B (outputs, rank) and A (rank, inputs). */
function product(b, a, inputs, scaling) {
  const rank = a.length / inputs;
  const delta = new Float32Array((b.length / rank) * inputs);
  for (let i = 0; i < delta.length; i++) {
    const row = Math.floor(i / inputs) * rank, column = i % inputs;
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += b[row + k] * a[k * inputs + column];
    delta[i] = scaling * sum;
  }
  return delta;
}

/**
 * Load the model that a stage's adapter was trained on, with the adapter beside it.
 * @returns {Promise<{ stage: string, base: string, scaling: number }>} the name to chat with, and the model's stage
 */
export async function adapt(stages, { stage }, onProgress) {
  const manifest = await readManifest();
  const files = filesOf(manifest, stage, FILES);
  const [[base, key] = []] = Object.entries(manifest.stages.find((entry) => entry.stage === stage).parents);
  if (!manifest.stages.some((entry) => entry.stage === base && entry.key === key)) {
    throw new Error(`The model that ${stage} was trained on is not beside this site.`);
  }
  const [config, tokenizer, weights, form, matrices] = await fetchFiles([...filesOf(manifest, base), ...files], onProgress);
  const assistant = assistantOf(config, tokenizer, weights);
  assistant.adapter = new Adapter(form, readTensors(matrices), assistant.tensors);
  const name = `${base} + ${stage}`;
  stages.set(name, Promise.resolve(assistant));
  return { stage: name, base, scaling: assistant.adapter.scaling };
}

/** Change the share, once the answer that is being written is done. */
export async function blend(stages, { stage, share }) {
  const assistant = await stages.get(stage);
  return (assistant.last = Promise.resolve(assistant.last).then(() => {
    assistant.adapter.blend(share);
    assistant.read = []; // what the cache holds was computed with other weights
  }));
}
