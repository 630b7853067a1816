// Which characters are letters and digits: those that `tiktoken` takes for such, whatever version of Unicode a browser has.
//
// `tiktoken` 0.12 to 0.14 know Unicode 16. The tables hold what is of another kind in one of the versions 14 to 18. As in
// minillm/text/characters.py, a character that everybody takes for the same is put in the place of each, and the text
// is cut where that one is.

const RANGES = {
  // letters that came after version 14
  letter: "1c89-1c8a a7cb-a7cd a7da-a7dc 105c0-105f3 10d4a-10d65 10d6f-10d85 10ec2-10ec4 1123f-11240 11380-11389 1138b " +
    "1138e 11390-113b5 113b7 113d1 113d3 11bc0-11be0 11f02 11f04-11f10 11f12-11f33 1342f 13441-13446 13460-143fa " +
    "16100-1611d 16d40-16d6c 18cff 1b132 1b155 1df25-1df2a 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 2b739 2ebf0-2ee5d " +
    "31350-323af",
  number: "10d40-10d49 116d0-116e3 11bf0-11bf9 11f50-11f59 16130-16139 16d70-16d79 1ccf0-1ccf9 1d2c0-1d2d3 1e4f0-1e4f9 " +
    "1e5f1-1e5fa",
  // what came after version 16, and so is a letter or a number to newer browsers only
  other: "558 58b-58c 88f c5c cdc 208f 209d-209f a7ce-a7cf a7d2 a7d4 a7dd-a7f1 ab6c-ab6d 107bb-107bf 10940-10959 " +
    "10ec5-10eee 11b0a 11db0-11df1 1246f-1247f 12550-12686 16ea0-16ed3 16ff2-16ff6 187f8-187ff 18cd6-18cda 18d09-191d2 " +
    "1b123-1b128 1b168 1d6a6 1df1f-1df24 1df2b-1dfff 1e6c0-1e6ff 2b73a-2b73f 2b81e 2cea2-2cead 323b0-3fc3f",
};

// Of each kind one that is as long in JavaScript: below U+10000, and above.
const STANDS_FOR = { letter: ["\u4e00", "\u{20000}"], number: ["\u0663", "\u{1d7ce}"], other: ["\uffff", "\u{1ffff}"] };

const CLASSES = Object.entries(RANGES).map(([kind, ranges]) => {
  const inside = ranges.replace(/[0-9a-f]+/g, (code) => `\\u{${code}}`).replaceAll(" ", "");
  return [STANDS_FOR[kind], new RegExp(`[${inside}]`, "gu")];
});

/** A text of the same length that this browser cuts where `tiktoken` cuts the given one; mostly the text itself. */
export function asTiktokenSees(text) {
  if (!/[^\0-\u0557]/.test(text)) return text;
  return CLASSES.reduce(
    (seen, [[short, long], characters]) => seen.replace(characters, (found) => (found.length === 1 ? short : long)),
    text,
  );
}
