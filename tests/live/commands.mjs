// Runs the modules of the page for tests: a JSON array [name, arguments] a line in, {"result"} or {"error"} a line out.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const LIVE = process.argv[2];
const module = (name) => import(pathToFileURL(join(LIVE, `${name}.js`)));
const { loadModel } = await module("engine");
const { readTensors } = await module("safetensors");
const { draw, logProbs, samplingProbs, seededRandom, stream } = await module("sampling");
const { attentionWeights, withoutHeads } = await module("inspect");
const { lookBack } = await module("attention");
const { read } = await module("next");
const { nearest } = await module("nearest");
const { visible } = await module("pieces");
const { Tokenizer } = await module("tokenizer");
const { asTiktokenSees } = await module("unicode");
const { answerPieces, promptOf, renderChat, stopIds } = await module("chat");
const { assistantOf } = await module("assistant");
const { measure } = await module("measure");
const { Adapter, blend } = await module("adapter");
const { adopt } = await module("own");

let model, tokenizer, random;

function bytes(path) {
  const read = readFileSync(path);
  return read.buffer.slice(read.byteOffset, read.byteOffset + read.byteLength);
}

function json(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

function assistantIn(folder) {
  return assistantOf(json(join(folder, "config.json")), json(join(folder, "tokenizer.json")), bytes(join(folder, "model.safetensors")));
}

function adapterOf(folder, assistant) {
  const tensors = readTensors(bytes(join(folder, "adapter_model.safetensors")));
  return new Adapter(json(join(folder, "adapter_config.json")), tensors, assistant.tensors);
}

/** The logits behind each of the pieces that ids are read in. */
function inPieces(pieces, look) {
  const cache = model.newCache();
  return pieces.map((ids) => Array.from(model.forward(ids, cache, look)));
}

/** The residual stream: [0: embedding, 1: after the first block, ...][position] -> vector. */
function hiddenStates(ids) {
  const found = Array.from({ length: model.shape.nLayer + 1 }, () => []);
  model.decoder.read(ids, model.newCache(), { hidden: (layer, vector) => found[layer].push([...vector]) });
  return found;
}

/** The code points of a kind, as [first, last] ranges. */
function rangesOf(kind) {
  const pattern = new RegExp(kind, "u");
  const ranges = [];
  for (let code = 0; code < 0xf0000; code++) {
    if (code === 0x40000) code = 0xe0000; // the planes between are empty
    if ((code >= 0xd800 && code < 0xe000) || !pattern.test(asTiktokenSees(String.fromCodePoint(code)))) continue;
    if (ranges.at(-1)?.[1] === code - 1) ranges.at(-1)[1] = code;
    else ranges.push([code, code]);
  }
  return ranges;
}

const commands = {
  load: async (folder) => {
    model = await loadModel(json(join(folder, "config.json")), bytes(join(folder, "model.safetensors")));
    return model.shape;
  },
  forward: (ids) => Array.from(model.forward(ids)),
  inPieces,
  // What is forgotten leaves no trace.
  rewound: (first, kept, rest) => {
    const cache = model.newCache();
    model.forward(first, cache);
    cache.length = kept;
    return Array.from(model.forward(rest, cache));
  },
  stream: (prompt, options) => {
    if (options.seed !== undefined) options.random = seededRandom(options.seed);
    return [...stream(model, prompt, options)];
  },
  // With a cache that holds the first tokens of the prompt: what is drawn, the token that ends it, and the cache's length.
  ending: (prompt, known, options) => {
    const cache = model.newCache();
    if (known) model.forward(prompt.slice(0, known), cache);
    const drawn = stream(model, prompt, { ...options, cache });
    const ids = [];
    let next = drawn.next();
    for (; !next.done; next = drawn.next()) ids.push(next.value);
    return { ids, end: next.value ?? null, known: cache.length };
  },
  logProbs: (ids) => logProbs(model, ids),
  attentionWeights: (ids) => attentionWeights(model, ids).map((heads) => heads.map((rows) => rows.map((row) => [...row]))),
  hiddenStates,
  withoutHeads: (ids, heads) => Array.from(model.forward(ids, model.newCache(), withoutHeads(heads))),
  lookBack: (text, off) => {
    const { weights, ...found } = lookBack({ model, tokenizer }, { text, off });
    return { weights: weights.map((heads) => heads.map((rows) => rows.map((row) => [...row]))), ...found };
  },
  nearest: (request) => nearest({ model, tokenizer }, request, async () => {}),
  otherCache: async (folder, ids) => {
    const cache = model.newCache();
    await commands.load(folder);
    return model.forward(ids, cache).length;
  },
  tensors: (path) => Object.fromEntries([...readTensors(bytes(path))].map(([name, { data }]) => [name, Array.from(data, String)])),
  samplingProbs: (logits, sampling) => Array.from(samplingProbs(Float32Array.from(logits), sampling)),
  seed: (seed) => (random = seededRandom(seed)) && null,
  draws: (probs, count) => Array.from({ length: count }, () => draw(Float64Array.from(probs), random)),
  drawAt: (probs, share) => draw(Float64Array.from(probs), () => share),
  randoms: (count) => Array.from({ length: count }, random),
  tokenizer: (path) => (tokenizer = Tokenizer.fromJSON(json(path))).vocabSize,
  encode: (texts, merges = tokenizer.nMerges) => {
    const limited = tokenizer.withMerges(merges);
    return texts.map((text) => limited.encode(text));
  },
  mergeParts: (index) => tokenizer.mergeParts(index).map((bytes) => [...bytes]),
  visible: (bytes) => visible(Uint8Array.from(bytes)),
  decode: (lists) => lists.map((ids) => tokenizer.decode(ids)),
  read: (text, taken) => {
    const found = read({ model, tokenizer }, { text, taken });
    return { ...found, logits: Array.from(found.logits) };
  },
  rangesOf,
  renderChat: (messages, prompt) => renderChat(messages, tokenizer, prompt),
  promptOf: (messages, length) => promptOf(messages, tokenizer, length),
  answerText: (ids) => [...answerPieces(ids, tokenizer)].join(""),
  stopIds: () => stopIds(tokenizer),
  measure: (folders, request) => {
    const assistants = Object.entries(folders).map(([name, folder]) => [name, Promise.resolve(assistantIn(folder))]);
    return measure(new Map(assistants), request);
  },
  // The logits for one share after the other, in the same model.
  blended: async (base, folder, shares, ids) => {
    const assistant = assistantIn(base);
    assistant.adapter = adapterOf(folder, assistant);
    const found = [];
    for (const share of shares) {
      await blend(new Map([["a", assistant]]), { stage: "a", share });
      found.push(Array.from(assistant.model.forward(ids)));
    }
    return found;
  },
  adopt: async (folder) => {
    const stages = new Map();
    const names = readdirSync(folder);
    const files = Object.fromEntries(names.map((name) => [name, new Blob([readFileSync(join(folder, name))])]));
    await adopt(stages, { stage: "own", files });
    return Array.from((await stages.get("own")).model.forward([1]));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, args] = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await commands[name](...args)) ?? null };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
