// The tokenizer of minillm/text/tokenizer.py: text to ids and back, from the same tokenizer.json.
//
// A text is cut into chunks by the split pattern. Each chunk begins as its bytes, and the merges join neighbours, the
// earliest merge first. Control tokens are never made from text: only code that builds ids itself can place one.

import { asTiktokenSees } from "./unicode.js";

const PAIR = 2 ** 24; // more than any id, so that left * PAIR + right tells the two apart
const LONE_SURROGATE = /\p{Cs}/u;

export class Tokenizer {
  /** @param {object} document content of tokenizer.json */
  static fromJSON(document) {
    const { vocab, merges } = document.model;
    const pairs = merges.map((merge) => (typeof merge === "string" ? merge.split(" ") : merge));
    const specialTokens = new Map(document.added_tokens.map(({ content, id }) => [content, id]));
    const pattern = document.pre_tokenizer.pretokenizers[0].pattern.Regex;
    return new Tokenizer(vocab, pairs, specialTokens, pattern);
  }

  /**
   * @param {Record<string, number>} vocab tokens, written in the alphabet of bytes, and their ids
   * @param {[string, string][]} merges pairs of tokens to join
   * @param {Map<string, number>} specialTokens control tokens and their ids
   * @param {string} pattern the split pattern
   */
  constructor(vocab, merges, specialTokens, pattern) {
    this.specialTokens = specialTokens;
    this.split = new RegExp(asJavaScript(pattern), "gu");
    this.tokens = []; // the bytes of each id
    for (const [token, id] of Object.entries(vocab)) this.tokens[id] = bytesOf(token);
    for (const [name, id] of specialTokens) this.tokens[id] = new TextEncoder().encode(name);
    this.byteIds = [...BYTE_ALPHABET].sort((a, b) => a[1] - b[1]).map(([character]) => vocab[character]);
    this.mergeIds = new Map(
      merges.map(([left, right]) => [vocab[left] * PAIR + vocab[right], vocab[left + right]]),
    );
  }

  get vocabSize() {
    return this.tokens.length;
  }

  get nMerges() {
    return this.mergeIds.size;
  }

  /** The same tokenizer with its first merges only, as it was when it had learned no more; 0: single bytes. */
  withMerges(count) {
    const mergeIds = new Map([...this.mergeIds].slice(0, count));
    return Object.assign(Object.create(Tokenizer.prototype), this, { mergeIds });
  }

  /** The bytes of the two tokens that a merge joins, the first merge being 0. */
  mergeParts(index) {
    const pair = [...this.mergeIds.keys()][index];
    return [Math.floor(pair / PAIR), pair % PAIR].map((id) => this.tokenBytes(id));
  }

  /** The ids of a text, never one of a control token. */
  encode(text) {
    return this.chunks(text).flatMap((chunk) => this.encodeChunk(new TextEncoder().encode(chunk)));
  }

  /** The pieces that no token crosses. */
  chunks(text) {
    const lone = text.search(LONE_SURROGATE);
    if (lone >= 0) throw new RangeError(`text holds half a character (a lone surrogate) at position ${lone}`);
    const chunks = [];
    let length = 0;
    for (const { 0: found, index } of asTiktokenSees(text).matchAll(this.split)) {
      chunks.push(text.slice(index, index + found.length));
      length += found.length;
    }
    if (length !== text.length) throw new RangeError("the split pattern skips a part of the text");
    return chunks;
  }

  /** The ids of a chunk's bytes: join the pair of the earliest merge wherever it stands, until no pair is left. */
  encodeChunk(bytes) {
    let ids = Array.from(bytes, (byte) => this.byteIds[byte]);
    for (;;) {
      const [pair, newId] = this.earliestMerge(ids);
      if (pair === undefined) return ids;
      ids = mergePair(ids, pair, newId);
    }
  }

  /** The smaller the id of a merge, the earlier it was learned. */
  earliestMerge(ids) {
    let pair, newId = Infinity;
    for (let i = 0; i + 1 < ids.length; i++) {
      const candidate = ids[i] * PAIR + ids[i + 1];
      const id = this.mergeIds.get(candidate);
      if (id < newId) [pair, newId] = [candidate, id];
    }
    return [pair, newId];
  }

  /** The text of ids; a control token is written as its name, bytes that are no character as U+FFFD. */
  decode(ids) {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return Array.from(ids, (id) => decoder.decode(this.tokenBytes(id), { stream: true })).join("") + decoder.decode();
  }

  /** The bytes of one id; a character may be spread over several. */
  tokenBytes(id) {
    const bytes = this.tokens[id];
    if (!bytes) throw new RangeError(`id ${id} is not in the vocabulary; ids are 0 to ${this.vocabSize - 1}`);
    return bytes;
  }
}

/** `ids` with every occurrence of a pair replaced, from left to right. */
function mergePair(ids, pair, newId) {
  const merged = [];
  for (let i = 0; i < ids.length; i++) {
    const isPair = i + 1 < ids.length && ids[i] * PAIR + ids[i + 1] === pair;
    merged.push(isPair ? newId : ids[i]);
    if (isPair) i++;
  }
  return merged;
}

/** In tokenizer.json a byte is written as a visible character: itself if it is one, else one from U+0100 on. */
const BYTE_ALPHABET = byteAlphabet();

function byteAlphabet() {
  const alphabet = new Map();
  let others = 256;
  for (let byte = 0; byte < 256; byte++) {
    const visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    alphabet.set(String.fromCharCode(visible ? byte : others++), byte);
  }
  return alphabet;
}

function bytesOf(token) {
  return Uint8Array.from(token, (character) => BYTE_ALPHABET.get(character));
}

/**
 * A split pattern in JavaScript's words. Older browsers know no (?i:...), so letters are written in both cases (the long
 * s, U+017F, is an s too); and by \s JavaScript means other characters than Unicode's white space.
 */
export function asJavaScript(pattern) {
  return pattern
    .replace(/\(\?i:((?:\\.|[^()\\])*)\)/g, (_, inside) => `(?:${inEitherCase(inside)})`)
    .replace(/\\./g, (escape) => ({ "\\s": "\\p{White_Space}", "\\S": "\\P{White_Space}" })[escape] ?? escape);
}

function inEitherCase(pattern) {
  const parts = pattern.match(/\[[^\]]*\]|\\.|./g) ?? [];
  const both = (letter) => letter.toLowerCase() + letter.toUpperCase() + ({ s: "ſ", k: "\u212a" }[letter.toLowerCase()] ?? "");
  return parts
    .map((part) => {
      if (part[0] === "[") return part.replace(/[a-z]/gi, both);
      return /^[a-z]$/i.test(part) ? `[${both(part)}]` : part;
    })
    .join("");
}
