// The thread in which models are loaded and run, so that the page never stalls. Messages in, each with the number of its
// job: { job, do: "load", stage, step }, { job, do: "chat", stage, messages, sampling }, { job, do: "stop" } for a running one,
// and { job, do, stage, ... } for the actions of other modules.
// Messages out: { job, progress: [loaded, total] }, { job, piece }, and at the end { job, result } or { job, error: { name, message } }.

import { adapt, blend } from "./adapter.js";
import { assistantOf } from "./assistant.js";
import { lookBack } from "./attention.js";
import { answerPieces, promptOf, stopIds } from "./chat.js";
import { measure } from "./measure.js";
import { fetchFiles, filesOf, modelFiles, readManifest, trainingOf } from "./models.js";
import { nearest } from "./nearest.js";
import { read } from "./next.js";
import { adopt } from "./own.js";
import { seededRandom, stream } from "./sampling.js";

const BREATH = 15; // milliseconds of work before the thread looks whether it shall stop

/** Name, or name@step -> promise of an assistant (assistant.js). */
class Loaded extends Map {
  get(name) {
    if (!this.has(name)) throw new Error("The thread of the model broke down; the new one has no model. Load this page again.");
    return super.get(name);
  }
}

const stages = new Loaded();
const stopped = new Set(); // jobs
const actions = {
  load, chat,
  lookBack: on(lookBack), nearest: on(nearest), read: on(read),
  measure: among(measure), adapt: among(adapt), blend: among(blend), adopt: among(adopt),
};

addEventListener("message", async ({ data: { job, do: name, ...request } }) => {
  if (name === "stop") return stopped.add(job);
  try {
    postMessage({ job, result: await actions[name](job, request) });
  } catch (error) {
    postMessage({ job, error: { name: error.name, message: error.message } });
  }
  stopped.delete(job);
});

/** An action of another module: it gets the loaded stage, the request, and what it awaits to let messages in. */
function on(action) {
  return async (job, { stage, step, ...request }) => action(await stages.get(nameOf(stage, step)), request, breath);
}

/** One that needs several stages, or makes one: it gets all that are loaded, the request, and what to tell of loading. */
function among(action) {
  return (job, request) => action(stages, request, progressOf(job));
}

function progressOf(job) {
  return (...progress) => postMessage({ job, progress });
}

function nameOf(stage, step) {
  return step === undefined ? stage : `${stage}@${step}`;
}

async function load(job, { stage, step }) {
  const name = nameOf(stage, step);
  if (!stages.has(name)) {
    stages.set(name, fetched(stage, step, progressOf(job)));
    stages.get(name).catch(() => stages.delete(name)); // so that it can be tried again
  }
  const { model, training } = await stages.get(name);
  return { contextLength: model.shape.contextLength, ...training };
}

async function fetched(stage, step, onProgress) {
  const manifest = await readManifest();
  const files = await fetchFiles(filesOf(manifest, stage, modelFiles(step)), onProgress);
  return { ...assistantOf(...files), training: trainingOf(manifest, stage) };
}

/** One answer of a stage after the other, because they share its cache. */
async function chat(job, { stage, messages, sampling }) {
  const state = await stages.get(stage);
  const answer = Promise.resolve(state.last).then(() => write(job, state, messages, sampling));
  state.last = answer.catch(() => {});
  return answer;
}

/** Write an answer piece by piece; tells its tokens, with the one that ends it if it came, and why it ended. */
async function write(job, state, messages, { seed, ...sampling }) {
  const { model, tokenizer, cache } = state;
  const { contextLength } = model.shape;
  const { ids: prompt, leftOut } = promptOf(messages, tokenizer, contextLength);
  rewind(state, prompt);
  const options = { random: seededRandom(seed), stop: stopIds(tokenizer), cache };
  const ids = [...prompt];
  const begin = performance.now();
  let since = begin;
  const drawn = noted(stream(model, prompt, { maxNewTokens: contextLength, ...sampling, ...options }), ids);
  for (const piece of answerPieces(drawn, tokenizer)) {
    if (piece) postMessage({ job, piece });
    if (performance.now() - since < BREATH) continue;
    await breath();
    since = performance.now();
    if (stopped.has(job)) break;
  }
  state.read = ids.slice(0, cache.length);
  const tokens = ids.length - prompt.length;
  const isFull = ids.length > contextLength;
  const answer = ids.slice(prompt.length).concat(ids.end ?? []);
  return { tokens, ids: answer, seconds: (performance.now() - begin) / 1000, leftOut, isFull };
}

/** Note in a list what comes, and as its `end` the token that ended it. */
function* noted(ids, list) {
  for (;;) {
    const { value, done } = ids.next();
    if (done) return void (list.end = value);
    list.push(value);
    yield value;
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
