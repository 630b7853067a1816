// What a widget talks to: one worker for the whole page, started when it is first needed.

let worker;
let count = 0;
const jobs = new Map(); // number -> what to do with its messages

/**
 * Load a stage's model.
 * @param {string} stage
 * @param {(loaded: number, total: number) => void} [onProgress] bytes
 * @param {number} [step] of its training, whose weights were kept; left out: the end
 * @returns {Promise<{ contextLength: number, snapshots: number[], lastStep?: number }>} with the steps that were kept
 */
export function load(stage, onProgress = () => {}, step) {
  return ask({ do: "load", stage, step }, { onProgress });
}

/**
 * Let a loaded stage answer the last message of a conversation.
 * @param {string} stage
 * @param {import("./chat.js").Message[]} messages
 * @param {import("./sampling.js").Sampling & { seed: number, maxNewTokens?: number }} sampling
 * @param {(piece: string) => void} onPiece gets the answer's text as it is written
 * @param {AbortSignal} [signal] stops it
 * @returns {Promise<{ tokens: number, ids: number[], seconds: number, leftOut: number, isFull: boolean }>}
 */
export function chat(stage, messages, sampling, onPiece, signal) {
  return ask({ do: "chat", stage, messages, sampling }, { onPiece }, signal);
}

/**
 * Let the worker do one of its actions; resolves with its result.
 * @param {{ do: string, stage: string }} request with what else the action wants
 */
export function ask(request, listeners = {}, signal) {
  worker ??= startWorker();
  const job = ++count;
  const stop = () => worker?.postMessage({ job, do: "stop" });
  worker.postMessage({ job, ...request });
  if (signal?.aborted) stop(); // its event came before, and does not come again
  signal?.addEventListener("abort", stop, { once: true });
  return new Promise((resolve, reject) => jobs.set(job, { ...listeners, resolve, reject }));
}

function startWorker() {
  const started = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  started.onmessage = ({ data }) => {
    const job = jobs.get(data.job);
    if (!job) return; // it has failed, and others of its files are still on the line
    if ("progress" in data) return job.onProgress(...data.progress);
    if ("piece" in data) return job.onPiece(data.piece);
    jobs.delete(data.job);
    if ("error" in data) return job.reject(Object.assign(new Error(), data.error));
    job.resolve(data.result);
  };
  started.onerror = () => {
    started.terminate();
    worker = undefined; // the next job tries again; this thread would never answer it
    for (const { reject } of jobs.values()) reject(new Error("This browser cannot start the thread of the model."));
    jobs.clear();
  };
  return started;
}
