// Reads model.safetensors: eight bytes with the length of a JSON header, the header, then the numbers of all tensors.
// The header says of each tensor its type, its shape, and where its numbers begin and end behind the header.

/** @typedef {{ shape: number[], data: Float32Array }} Tensor */

const READERS = { F32: readFloats, F16: readHalves, BF16: readBrains };
const BYTES = { F32: 4, F16: 2, BF16: 2 };

/**
 * All tensors of a file, as 32-bit numbers whatever they are stored in.
 * @param {ArrayBuffer} buffer the whole file
 * @returns {Map<string, Tensor>}
 */
export function readTensors(buffer) {
  const { header, start } = readHeader(buffer);
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") tensors.set(name, readTensor(buffer, start, name, entry));
  }
  return tensors;
}

function readHeader(buffer) {
  try {
    const bytes = Number(new DataView(buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, bytes)));
    if (header?.constructor === Object) return { header, start: 8 + bytes };
  } catch {
    // said below
  }
  throw new Error("model.safetensors is damaged or not a safetensors file; load it again");
}

function readTensor(buffer, start, name, entry) {
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  if (!Object.hasOwn(READERS, dtype)) {
    throw new Error(`${name} is stored as ${dtype}; the page reads ${Object.keys(READERS).join(", ")}`);
  }
  const length = Array.isArray(shape) ? shape.reduce((product, size) => product * size, 1) : NaN;
  const [begin, end] = Array.isArray(offsets) ? offsets : [];
  if (!(Number.isInteger(begin) && begin >= 0 && end - begin === length * BYTES[dtype] && start + end <= buffer.byteLength)) {
    throw new Error(`model.safetensors is damaged at ${name}; load it again`);
  }
  return { shape, data: READERS[dtype](buffer, start + begin, length) };
}

function readFloats(buffer, start, length) {
  // An array of four-byte numbers must begin at a multiple of four; elsewhere a copy does.
  if (start % 4) return new Float32Array(buffer.slice(start, start + 4 * length));
  return new Float32Array(buffer, start, length);
}

/** fp16: a sign, 5 bits of exponent, 10 of fraction. There are only 65,536 of them, so a table has them all. */
function readHalves(buffer, start, length) {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToNumber(bits));
  const bits = new Uint16Array(buffer.slice(start, start + 2 * length));
  return Float32Array.from(bits, (pattern) => halves[pattern]);
}

let halves;

function halfToNumber(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  let size = (1 + fraction) * 2 ** (exponent - 15);
  if (exponent === 0) size = fraction * 2 ** -14;
  if (exponent === 31) size = fraction ? NaN : Infinity;
  return bits & 0x8000 ? -size : size;
}

/** bf16 is the upper half of a 32-bit number. */
function readBrains(buffer, start, length) {
  const halves = new Uint16Array(buffer.slice(start, start + 2 * length));
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}
