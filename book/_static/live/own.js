// A model of the reader's own: three files of a stage's folder. They are read here, and go nowhere.

import { assistantOf } from "./assistant.js";
import { renderChat } from "./chat.js";
import { asJSON } from "./models.js";
import { RewardModel } from "./reward.js";

const MOST = { "config.json": 1e6, "tokenizer.json": 64e6, "model.safetensors": 2e9 }; // bytes

/**
 * Keep the reader's model under a name.
 * @param {Map<string, Promise<object>>} stages the assistants that are loaded
 * @param {{ stage: string, files: Record<string, Blob> }} request the name, and the three files
 * @throws what is wrong with them, in one line
 */
export async function adopt(stages, { stage, files }) {
  const assistant = checked(...(await Promise.all(Object.keys(MOST).map((name) => read(files[name], name)))));
  stages.set(stage, Promise.resolve(assistant));
}

async function read(file, name) {
  if (!file) throw new Error(`${name} is missing in this folder.`);
  if (file.size > MOST[name]) throw new Error(`${name} has ${file.size} bytes; the page reads up to ${MOST[name]}.`);
  const bytes = await file.arrayBuffer().catch(() => {
    throw new Error(`${name} cannot be read; choose the folder again.`);
  });
  return name.endsWith(".json") ? asJSON(bytes, name) : bytes;
}

/** An assistant of files that may hold anything. */
export function checked(config, tokenizer, weights) {
  if (config?.constructor !== Object) throw new Error("config.json is no JSON object.");
  try {
    const assistant = assistantOf(config, tokenizer, weights);
    checkWriting(assistant);
    return assistant;
  } catch (error) {
    if (error.constructor === Error) throw error; // it says what is wrong
    throw new Error("tokenizer.json or model.safetensors is damaged, or not of a model of this course.");
  }
}

/** A word must be read and lead to probabilities. */
function checkWriting({ model, tokenizer }) {
  if (model instanceof RewardModel) throw new Error("This is a reward model: it scores, and does not write.");
  const ids = renderChat([{ role: "user", content: "a" }], tokenizer);
  const { vocabSize } = model.shape;
  if (tokenizer.vocabSize > vocabSize || ids.includes(undefined)) {
    const told = `it has ${tokenizer.vocabSize} tokens and the model ${vocabSize}, or it lacks the marks of a chat`;
    throw new Error(`tokenizer.json does not belong to this model: ${told}.`);
  }
  if (!model.forward(ids.slice(0, model.shape.contextLength)).every(Number.isFinite)) {
    throw new Error("The model computes numbers that are not finite: its weights are damaged.");
  }
}
