import os
import subprocess
import sys
import textwrap
import tracemalloc
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

import minillm
from minillm.text import chunks
from minillm.text.chunks import SPLIT_PATTERN, check_text, compile_pattern, count_chunks, split_text
from minillm.text.tokenizer import Tokenizer

TEXTS = [f"Tomas has {n} cats, and they'll sleep.\n\n  She  doesn't!\r\n" * 3 for n in range(40)] + [
    "",
    "鸟 birds",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello world", ["Hello", " world"]),
        ("I'm HE'LL don't", ["I", "'m", " HE", "'LL", " don", "'t"]),
        ("1234567", ["123", "456", "7"]),
        ("a  b", ["a", " ", " b"]),
        ("a   ", ["a", "   "]),
        ("a \n\n b", ["a", " \n\n", " b"]),
        ("end.\nNext", ["end", ".\n", "Next"]),
        ("(yes)", ["(yes", ")"]),
        ("x_1", ["x", "_", "1"]),
        ("你好，世界", ["你好", "，世界"]),
        ("<|endoftext|>", ["<|", "endoftext", "|>"]),
        ("\t\tif", ["\t", "\tif"]),
        ("e\u0301", ["e", "\u0301"]),
        ("", []),
    ],
)
def test_split_examples(text, expected):
    assert split_text(text) == expected


GPT4 = (  # as OpenAI first published it
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@given(st.one_of(st.text(), st.text(alphabet="aS1! \n\r\t'ls字\u3000", max_size=15)))
def test_the_chunks_are_those_of_gpt4(text):
    assert split_text(text) == regex.findall(GPT4, text)


@given(st.text())
def test_chunks_joined_are_the_text(text):
    assert "".join(split_text(text)) == text


def test_training_and_encoding_split_alike_at_every_character():
    """Merges across each possible border show where tiktoken cuts; the plain encoder cuts with ``regex``."""
    tokenizer = Tokenizer([(left, bytes([byte])) for left in (b"a", b"1", b"!") for byte in range(256)])
    n_characters = 0
    for first in range(0, sys.maxunicode + 1, 0x10000):
        pieces = []
        for code in range(first, first + 0x10000):
            category = unicodedata.category(chr(code))
            # Ideographs, syllables, private use, and planes that are all unassigned: one in sixteen will do.
            many = category in ("Lo", "Co") or 4 <= code >> 16 <= 13
            if category != "Cs" and not (many and code % 16):
                pieces.append(f"a{chr(code)}\n1{chr(code)}\n!{chr(code)}\n")
        text = "".join(pieces)
        assert tokenizer.encode(text) == tokenizer.encode_plain(text), f"from U+{first:04X}"
        n_characters += len(pieces)
    assert n_characters > 200_000


def test_a_letter_that_only_regex_knows_is_no_letter():
    """Regression: the plain encoder, and so every text with much white space, gave it other ids."""
    tokenizer = Tokenizer.from_merges([(b"a", b"\xd5")], ())
    assert tokenizer.encode("a\u0558") == tokenizer.encode_plain("a\u0558") == [97, 213, 152]
    assert tokenizer.encode("a\u0558" + " " * 600_000)[:3] == [97, 213, 152]
    # In training too: a merge across a border that encoding makes could never be used.
    assert count_chunks(["a\u0558b 1\u0558"]) == {
        b"a": 1,
        "\u0558b".encode(): 1,
        b" ": 1,
        b"1": 1,
        "\u0558".encode(): 1,
    }


def test_a_pattern_that_asks_for_unassigned_characters_splits_alike():
    pattern = r"\p{L}+|\p{Cn}+|[\s\S]"
    tokenizer = Tokenizer([(b"\xd5", b"\x98"), (b"\xd5\x98", b"\xd5\x98")], (), pattern)
    assert tokenizer.encode("\u0558\u0558") == tokenizer.encode_plain("\u0558\u0558") == [257]


def test_count_chunks_counts_the_chunks_of_all_texts():
    expected = Counter(chunk.encode() for text in TEXTS for chunk in split_text(text))
    counted = count_chunks(iter(TEXTS))
    assert counted == expected
    assert list(counted) == list(expected)  # in the order of first occurrence


@pytest.mark.parametrize("batch_characters", [1, 500, 10**9])
def test_two_processes_count_the_same(batch_characters):
    one, two = (
        count_chunks(iter(TEXTS), workers=workers, batch_characters=batch_characters) for workers in (1, 2)
    )
    assert list(one.items()) == list(two.items())


def test_a_long_text_is_counted_like_a_short_one(monkeypatch):
    expected = count_chunks(TEXTS)
    monkeypatch.setattr(chunks, "_LONG_TEXT", 10)
    assert count_chunks(TEXTS) == expected


def test_memory_does_not_grow_with_the_number_of_texts():
    def peak(n_texts):
        tracemalloc.start()
        count_chunks(
            ("the same words again and again, " * 500 for _ in range(n_texts)), batch_characters=30_000
        )
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)  # compiled patterns stay in memory
    assert peak(60) < 1.5 * peak(6)


def test_a_script_without_main_guard_is_told_so(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
            from minillm.text.chunks import count_chunks
            count_chunks(["some text"] * 4, workers=2, batch_characters=1)
        """),
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": str(Path(minillm.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, encoding="utf-8", env=environment, timeout=120
    )
    assert done.returncode != 0
    # multiprocessing's resource tracker, another process, may complain after the error
    errors = [line for line in done.stderr.splitlines() if line.startswith("RuntimeError: the 2 counting")]
    assert errors
    assert "if __name__ == '__main__'" in errors[-1]


def test_an_error_in_a_process_arrives():
    with pytest.raises(ValueError, match="skips 1 of 3 characters"):
        count_chunks(["abc", "ab1", "abc"], "[a-z]+", workers=2, batch_characters=1)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("one string", TypeError, r"texts must be an iterable of str, got one str; pass \[text\]"),
        (b"bytes", TypeError, "got one bytes"),
        (["good", b"bad"], TypeError, "text must be a str, got bytes"),
        (["good", None], TypeError, "got NoneType"),
        (["ab\ud800c"], ValueError, r"lone surrogate '\\ud800' at position 2"),
    ],
)
def test_wrong_texts(texts, error, message):
    with pytest.raises(error, match=message):
        count_chunks(texts)


def test_wrong_workers():
    with pytest.raises(ValueError, match="workers=0 is not a number of processes"):
        count_chunks(["text"], workers=0)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[a-z", "not a valid regular expression"),
        ("(a|b)+|.", r"capture groups; write \(\?:...\)"),
        (r"\p{L}*", "matches the empty string"),
        (r"\b|[\s\S]", "matches the empty string"),  # a panic inside tiktoken otherwise
    ],
)
def test_wrong_patterns(pattern, message):
    with pytest.raises(ValueError, match=message):
        compile_pattern(pattern)


def test_a_pattern_with_gaps_is_refused():
    with pytest.raises(ValueError, match=r"skips 2 of 9 characters of a text; .*ending it with \|\[\\s\\S\]"):
        split_text("two words"[:3] + "  " + "word", r"\p{L}+")
    assert split_text("two word", r"\p{L}+|[\s\S]") == ["two", " ", "word"]


def test_the_default_pattern_is_accepted():
    assert compile_pattern(SPLIT_PATTERN).pattern == SPLIT_PATTERN


def test_check_text_accepts_every_character():
    check_text("plain")
    check_text("é 字 \U0001f426 \x00 \uffff")
