// The chat format of minillm/text/chat.py: messages to ids. Only this file places control tokens; what a message says
// is encoded as ordinary text, so a user who types <|end|> ends nothing.

export const END_OF_TEXT = "<|endoftext|>";
const END = "<|end|>";
const MARKS = { system: [], user: ["<|user|>"], assistant: ["<|assistant|>"] };
const BEFORE_CONTENT = " ";

/** @typedef {{ role: "system" | "user" | "assistant", content: string }} Message */

/**
 * A conversation as ids, ending with the assistant's mark, so that a model goes on with the answer.
 * @param {Message[]} messages
 * @param {import("./tokenizer.js").Tokenizer} tokenizer
 * @param {boolean} [addGenerationPrompt] false: without that mark
 */
export function renderChat(messages, tokenizer, addGenerationPrompt = true) {
  const special = (name) => tokenizer.specialTokens.get(name);
  const ids = [special(END_OF_TEXT)];
  for (const { role, content } of messages) {
    ids.push(...MARKS[role].map(special), ...tokenizer.encode(BEFORE_CONTENT + content), special(END));
  }
  return addGenerationPrompt ? [...ids, special(MARKS.assistant[0])] : ids;
}

/** The ids that end an answer: the end token, and the end of the text for a model that has not learned it. */
export function stopIds(tokenizer) {
  return [END, END_OF_TEXT].map((name) => tokenizer.specialTokens.get(name));
}

/**
 * The ids to answer. Where less than half of the context would be free for the answer, the oldest exchanges are left out.
 * @param {Message[]} messages the last one is the user's
 * @returns {{ ids: number[], leftOut: number }} with the number of messages that are left out
 */
export function promptOf(messages, tokenizer, contextLength) {
  const system = messages[0].role === "system" ? [messages[0]] : [];
  const turns = messages.slice(system.length);
  let ids = [];
  let leftOut = 0;
  for (; leftOut < turns.length; leftOut += 2) {
    ids = renderChat([...system, ...turns.slice(leftOut)], tokenizer);
    if (ids.length <= contextLength / 2 || leftOut + 1 === turns.length) break;
  }
  checkLength("message", ids.length, contextLength);
  return { ids, leftOut };
}

/** A text as in the training: behind the mark of a text's beginning; `taken` are further ids at its end. */
export function asText(text, tokenizer, contextLength, taken = []) {
  const ids = [...tokenizer.encode(text), ...taken];
  checkLength("text", ids.length, contextLength - 1);
  return [tokenizer.specialTokens.get(END_OF_TEXT), ...ids];
}

function checkLength(what, length, most) {
  if (length > most) throw new RangeError(`The ${what} has ${length} tokens, at most ${most} fit. Make it shorter.`);
}

/** The text of ids as they come, whole characters at a time, without the space in front. */
export function* answerPieces(ids, tokenizer) {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let isFirst = true;
  for (const id of ids) {
    const piece = decoder.decode(tokenizer.tokenBytes(id), { stream: true });
    yield isFirst && piece.startsWith(BEFORE_CONTENT) ? piece.slice(BEFORE_CONTENT.length) : piece;
    isFirst &&= !piece;
  }
  yield decoder.decode();
}
