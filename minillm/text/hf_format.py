"""The file format of Hugging Face's `tokenizers`: `tokenizer.json`.

One file serves everybody: `Tokenizer.load` reads it back, and `tokenizers`, `transformers` and the
programs that understand their format give the same ids. Bytes are written as the visible characters of
`BYTE_ALPHABET`.

One convention differs there: `tokenizers` turns the text of a special token into that token unless told
otherwise (`encode_special_tokens = True`). `Tokenizer.encode` never does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minillm.text.bpe import BYTE_ALPHABET

__all__ = ["from_document", "from_visible", "to_document", "visible"]

_VERSION = "1.0"
_BYTE_OF = {character: byte for byte, character in BYTE_ALPHABET.items()}


def visible(token: bytes) -> str:
    """Write a token's bytes as visible characters, as Hugging Face's files do.

    >>> visible(b" the"), visible("é".encode())
    ('Ġthe', 'Ã©')
    """
    return "".join(map(BYTE_ALPHABET.__getitem__, token))


def from_visible(text: str) -> bytes:
    """Read what `visible` wrote.

    >>> from_visible("Ġthe")
    b' the'

    Raises:
        KeyError: a character stands for no byte.
    """
    return bytes(map(_BYTE_OF.__getitem__, text))


def to_document(
    merges: Sequence[tuple[bytes, bytes]], special_tokens: Mapping[str, int], pattern: str
) -> dict[str, Any]:
    """Return the content of tokenizer.json."""
    vocab = {visible(bytes([byte])): byte for byte in range(256)}
    vocab |= {visible(left + right): 256 + index for index, (left, right) in enumerate(merges)}
    return {
        "version": _VERSION,
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(text, token_id) for text, token_id in special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [[visible(left), visible(right)] for left, right in merges],
        },
    }


def from_document(document: object) -> tuple[list[tuple[bytes, bytes]], list[str], str]:
    """Read the merges, the special tokens and the split pattern back.

    Only what `to_document` writes is accepted, and what means the same: `tokenizers` and `transformers` save it
    in other words. Other files of this format may hold settings that change the ids (a normalizer, another order of
    the bytes), and reading those as if they were ours would be wrong without a word.

    Raises:
        ValueError: the content is of another version, or was not written by minillm, or was changed since.
    """
    version = document.get("version") if isinstance(document, dict) else None
    if version is not None and version != _VERSION:
        raise ValueError(
            f"format version {version!r} is not known, this minillm reads {_VERSION!r}; upgrade minillm"
        )
    try:
        given = _in_our_words(document)
        pattern = given["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
        merges = [(from_visible(left), from_visible(right)) for left, right in given["model"]["merges"]]
        special_tokens = [token["content"] for token in given["added_tokens"]]
        special_ids = {text: 256 + len(merges) + index for index, text in enumerate(special_tokens)}
        expected = to_document(merges, special_ids, pattern)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ValueError(
            "not a tokenizer written by minillm; train one, or use Tokenizer.from_merges"
        ) from None
    for name, part in expected.items():
        if given.get(name) != part:
            raise ValueError(
                f"its part {name!r} is not what minillm writes for these merges; the file comes from another "
                "program or was changed: train a tokenizer, or use Tokenizer.from_merges"
            )
    return merges, special_tokens, pattern


def _in_our_words(document: Any) -> dict[str, Any]:
    """The document with all that makes no difference to the ids of a text as `to_document` writes it.

    Padding and truncation are what the last call of a program asked for. A post-processor may add nothing, a
    `ByteLevel` one moves offsets only.
    """
    ours = to_document([], {}, "")
    given = {**ours, **document, "padding": None, "truncation": None}
    if _adds_nothing(given["post_processor"]):
        given["post_processor"] = None
    if given["normalizer"] == {"type": "Sequence", "normalizers": []}:
        given["normalizer"] = None
    if given["decoder"]["type"] == "ByteLevel":
        given["decoder"] = ours["decoder"]
    split, to_bytes = given["pre_tokenizer"]["pretokenizers"]
    given["pre_tokenizer"] = {"type": given["pre_tokenizer"]["type"]} | {
        "pretokenizers": [split, {**to_bytes, "trim_offsets": True}]
    }
    given["added_tokens"] = [{**token, "normalized": False} for token in document["added_tokens"]]
    given["model"] = _model_in_our_words(document["model"], ours["model"], given["added_tokens"])
    return given


def _model_in_our_words(
    model: dict[str, Any], ours: dict[str, Any], added_tokens: list[dict[str, Any]]
) -> dict[str, Any]:
    """All bytes are tokens, so no token is ever unknown; a token's bytes always become that token (merge_tables)."""
    never_used = ("unk_token", "fuse_unk", "byte_fallback", "ignore_merges")
    empty = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
    written = {name: ours[name] for name in (*never_used, *(name for name in empty if not model.get(name)))}
    added = {(token["content"], token["id"]) for token in added_tokens}
    vocab = {text: token_id for text, token_id in model["vocab"].items() if (text, token_id) not in added}
    merges = [merge.split(" ") if isinstance(merge, str) else list(merge) for merge in model["merges"]]
    return {**model, **written, "vocab": vocab, "merges": merges}


def _adds_nothing(processor: dict[str, Any] | None) -> bool:
    """Whether a post-processor leaves the ids of a single text as they are."""
    if processor is None or processor["type"] == "ByteLevel":
        return True
    if processor["type"] == "Sequence":
        return all(map(_adds_nothing, processor["processors"]))
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    return bool(processor["type"] == "TemplateProcessing" and processor["single"] == [sequence])


def _added_token(text: str, token_id: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token_id, "content": text, **flags}
