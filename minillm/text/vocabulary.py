"""Which merges and special tokens make a vocabulary: the checks, and the numbering of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from minillm.text.chunks import check_text
from minillm.text.hf_format import visible

__all__ = ["merge_tables", "special_ids"]

Pair = tuple[int, int]


def merge_tables(
    merges: Sequence[tuple[bytes, bytes]],
) -> tuple[dict[bytes, int], dict[Pair, int]]:
    """Return the id of each token's bytes, and the id that each pair of ids is joined to.

    A merge is refused when it could never happen, because an earlier merge breaks its pair up. Then the plain
    encoder and tiktoken, which looks for joined bytes and not for pairs, are the same on every text.
    """
    ids = {bytes([byte]): byte for byte in range(256)}
    merge_ids: dict[Pair, int] = {}
    parts = [(byte, byte) for byte in range(256)]
    for index, (left, right) in enumerate(merges):
        where = f"merge {index}, {left!r} + {right!r},"
        for part in (left, right):
            if not isinstance(part, bytes):
                raise TypeError(f"{where} has a part of type {type(part).__name__}; tokens are bytes")
            if part not in ids:
                raise ValueError(f"{where} uses {part!r}, which no earlier merge makes; check the order")
        if left + right in ids:
            raise ValueError(f"{where} makes the token {left + right!r} a second time; remove one of the two")
        if not _stay_apart(ids[left], ids[right], merge_ids, parts):
            raise ValueError(f"{where} can never happen: earlier merges break that pair up; remove it")
        ids[left + right] = 256 + index
        merge_ids[ids[left], ids[right]] = 256 + index
        parts.append((ids[left], ids[right]))
    return ids, merge_ids


def _stay_apart(left: int, right: int, merge_ids: Mapping[Pair, int], parts: Sequence[Pair]) -> bool:
    """Whether the bytes of two tokens, side by side, become these two and nothing else.

    A merge across the border comes first if it is earlier than the one that made the token on either side of it. So
    both tokens are taken apart at the border, the later one first: as many looks as they have merges there, however
    long they are. `parts` are the two tokens of each id, for a byte twice itself.
    """
    before = len(parts)  # ids below this one are merged before the token last taken apart
    while merge_ids.get((left, right), before) >= before:
        if max(left, right) < 256:
            return True
        if left > right:
            before, left = left, parts[left][1]
        else:  # of two that are equal the left one is made first, so the right one comes apart first
            before, right = right + 1, parts[right][0]
    return False


def special_ids(special_tokens: Iterable[str], ids: dict[bytes, int]) -> dict[str, int]:
    """Number the special tokens after the tokens in `ids`.

    A name that is an ordinary token, or is written like one in Hugging Face's format, is refused: there the
    two would become one, and text could forge the special token.
    """
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens must be several strings, got one str; pass ({special_tokens!r},)")
    numbered: dict[str, int] = {}
    taken = {visible(token) for token in ids}
    for text in special_tokens:
        check_text(text)
        if not text or text in numbered:
            raise ValueError(f"special token {text!r} is empty or named twice; name each once")
        if text.encode("utf-8") in ids or text in taken:
            raise ValueError(f"special token {text!r} is also an ordinary token; name it <|{text}|>, say")
        numbered[text] = len(ids) + len(numbered)
    return numbered
