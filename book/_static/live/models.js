// Brings a stage's files from the folder of published models, which its manifest.json describes.

/** Where the site keeps them: models/ beside its pages. */
export const MODELS = new URL("../../models/", import.meta.url).href;

const WEIGHTS = "model.safetensors";
const SNAPSHOT = /\/snapshots\/step-(\d+)\.safetensors$/; // the weights of a step of the training, in half precision

/**
 * The content of manifest.json.
 * @param {string} [folder] address, ending with a slash
 */
export async function readManifest(folder = MODELS) {
  const response = await fetch(new URL("manifest.json", folder)).catch(() => lost("The list of the models"));
  if (!response.ok) throw Object.assign(new Error("There are no models beside this site."), { name: "NoModels" });
  const manifest = await response.json();
  if (manifest.format !== 1) throw new Error(`The models are of format ${manifest.format}; this page reads format 1.`);
  return manifest;
}

/** A connection that failed, which each browser tells in words of its own. */
function lost(what) {
  throw new Error(`${what} cannot be loaded: there is no connection. Try again.`);
}

/** The names of a model's files, with the weights of the end of the training or of one of its steps. */
export function modelFiles(step) {
  const weights = step === undefined ? WEIGHTS : `snapshots/step-${String(step).padStart(6, "0")}.safetensors`;
  return ["config.json", "tokenizer.json", weights];
}

/** What the page needs of a stage: the paths, sizes and checksums of some files. */
export function filesOf(manifest, stage, names = modelFiles()) {
  const entry = manifest.stages.find((candidate) => candidate.stage === stage);
  if (!entry) throw new Error(`The models beside this site have no stage "${stage}".`);
  return names.map((name) => {
    const all = entry.files.filter(({ path }) => path.endsWith(`/${name}`));
    all.sort((a, b) => a.path.length - b.path.length); // a folder inside the stage's may hold others of that name
    if (!all.length) throw new Error(`The stage "${stage}" has no ${name}.`);
    return all[0];
  });
}

/** Of a stage's training: the steps whose weights were kept, in order, and the number of all steps where it is known. */
export function trainingOf(manifest, stage) {
  const { files, figures } = manifest.stages.find((candidate) => candidate.stage === stage);
  const snapshots = files.map(({ path }) => path.match(SNAPSHOT)?.[1]).filter(Boolean).map(Number);
  return { snapshots: snapshots.sort((a, b) => a - b), lastStep: figures?.steps };
}

/** How many bytes these files have together. */
export function sizeOf(files) {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * The content of files, each of the length and checksum that the manifest says: JSON read, others as ArrayBuffer.
 * @param {ReturnType<typeof filesOf>} files
 * @param {(loaded: number, total: number) => void} onProgress bytes
 */
export async function fetchFiles(files, onProgress, folder = MODELS) {
  let loaded = 0;
  const count = (bytes) => onProgress((loaded += bytes), sizeOf(files));
  const contents = await Promise.all(files.map((file) => fetchFile(file, folder, count)));
  return contents.map((bytes, i) => (files[i].path.endsWith(".json") ? asJSON(bytes, files[i].path) : bytes.buffer));
}

/** What stands in a JSON file. */
export function asJSON(bytes, name) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error(`${name} is no JSON file.`);
  }
}

async function fetchFile({ path, bytes, sha256 }, folder, count) {
  const url = new URL(path, folder);
  if (!url.href.startsWith(folder)) throw new Error(`The manifest names ${path}, which is not in its folder.`);
  const response = await fetch(url).catch(() => lost(path));
  if (!response.ok) throw new Error(`${path} cannot be loaded (${response.status}).`);
  const content = new Uint8Array(bytes);
  let length = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read().catch(() => lost(path));
    if (done) break;
    if (length + value.length > bytes) throw new Error(`${path} is longer than the manifest says.`);
    content.set(value, length);
    length += value.length;
    count(value.length);
  }
  if (length !== bytes || !(await hasChecksum(content, sha256))) {
    throw new Error(`${path} is not what the manifest describes; load the page again.`);
  }
  return content;
}

/** Browsers compute checksums on https and localhost only; elsewhere the length must do. */
async function hasChecksum(content, sha256) {
  if (!globalThis.crypto?.subtle) return true;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}
