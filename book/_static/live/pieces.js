// How a token is shown, as by minillm/figures/text.py: spaces as dots, line ends as arrows, half characters in hexadecimal.

/** @param {Uint8Array} bytes of a token */
export function visible(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.replaceAll(" ", "·").replaceAll("\n", "↵");
  } catch {
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(" ");
  }
}
