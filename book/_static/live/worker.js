// The thread in which models are loaded and run, so that the page never stalls. Messages in, each with the number of its
// job: { job, do: "load", stage }, { job, do: "chat", stage, messages, sampling }, { job, do: "stop" } for a running one,
// and { job, do, stage, ... } for the actions of other modules.
// Messages out: { job, progress: [loaded, total] }, { job, piece }, and at the end { job, result } or { job, error: { name, message } }.

import { lookBack } from "./attention.js";
import { answerPieces, promptOf, stopIds } from "./chat.js";
import { loadModel } from "./engine.js";
import { fetchStage, readManifest } from "./models.js";
import { nearest } from "./nearest.js";
import { seededRandom, stream } from "./sampling.js";
import { Tokenizer } from "./tokenizer.js";

const BREATH = 15; // milliseconds of work before the thread looks whether it shall stop

const stages = new Map(); // name -> promise of { model, tokenizer, cache, read }
const stopped = new Set(); // jobs
const actions = { load, chat, lookBack: on(lookBack), nearest: on(nearest) };

addEventListener("message", async ({ data: { job, do: name, ...request } }) => {
  if (name === "stop") return stopped.add(job);
  try {
    postMessage({ job, result: await actions[name](job, request) });
  } catch (error) {
    postMessage({ job, error: { name: error.name, message: error.message } });
  }
  stopped.delete(job);
});

/** An action from a module of its own: it gets the loaded stage, the request, and what it awaits to let messages in. */
function on(action) {
  return async (job, { stage, ...request }) => action(await stages.get(stage), request, breath);
}

async function load(job, { stage }) {
  if (!stages.has(stage)) {
    stages.set(stage, fetched(stage, (...progress) => postMessage({ job, progress })));
    stages.get(stage).catch(() => stages.delete(stage)); // so that it can be tried again
  }
  const { model } = await stages.get(stage);
  return { contextLength: model.shape.contextLength };
}

async function fetched(stage, onProgress) {
  const { config, tokenizer, weights } = await fetchStage(await readManifest(), stage, onProgress);
  const model = await loadModel(config, weights);
  return { model, tokenizer: Tokenizer.fromJSON(tokenizer), cache: model.newCache(), read: [], last: null };
}

/** One answer of a stage after the other, because they share its cache. */
async function chat(job, { stage, messages, sampling }) {
  const state = await stages.get(stage);
  const answer = Promise.resolve(state.last).then(() => write(job, state, messages, sampling));
  state.last = answer.catch(() => {});
  return answer;
}

/** Write an answer piece by piece; tells how many tokens it has and why it ended. */
async function write(job, state, messages, { seed, ...sampling }) {
  const { model, tokenizer, cache } = state;
  const { contextLength } = model.shape;
  const { ids: prompt, leftOut } = promptOf(messages, tokenizer, contextLength);
  rewind(state, prompt);
  const options = { random: seededRandom(seed), stop: stopIds(tokenizer), maxNewTokens: contextLength, cache };
  const ids = [...prompt];
  const begin = performance.now();
  let since = begin;
  for (const piece of answerPieces(noted(stream(model, prompt, { ...sampling, ...options }), ids), tokenizer)) {
    if (piece) postMessage({ job, piece });
    if (performance.now() - since < BREATH) continue;
    await breath();
    since = performance.now();
    if (stopped.has(job)) break;
  }
  state.read = ids.slice(0, cache.length);
  const tokens = ids.length - prompt.length;
  return { tokens, seconds: (performance.now() - begin) / 1000, leftOut, isFull: ids.length > contextLength };
}

function* noted(ids, list) {
  for (const id of ids) {
    list.push(id);
    yield id;
  }
}

/** Keep what the cache holds of the prompt's beginning: the conversation so far is not read again. */
function rewind(state, prompt) {
  let same = 0;
  while (same < prompt.length - 1 && prompt[same] === state.read[same]) same++;
  state.cache.length = same;
  state.read = [];
}

/** Let waiting messages in. A timer would wait four milliseconds each time. */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
