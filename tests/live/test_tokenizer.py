"""The tokenizer and the chat format of the page give the ids of the package, for every text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm import Tokenizer, World, render_chat
from minillm.text.chat import answer_text, stop_ids
from minillm.text.tokenizer import SPECIAL_TOKENS

# What the training texts have besides the village: other scripts, signs, white space, the parts of the split pattern.
VARIED = [
    "狗追猫。猫追鼠！北京大学的学生们在学习语言模型，模型学习预测下一个词。",
    "L'été à Zürich: ça coûte 1.234,56 €. Ľúbim ťa! Страница 42, глава Ⅷ. ١٢٣ ४५६",
    "👩‍👩‍👧‍👦 👍🏽 🇨🇳 🙂🙃 e\u0301 ﷺ ﬁ",
    "def f(x):\n\tif x > 10:\r\n\t\treturn 'no'  # don't\n\n\n",
    "I'll, you've, HE'S, THEY'RE, we'd; it'ſ, don´t, I’m",
]
# Characters from which texts are put together at random: those that some rule treats in a way of its own.
PIECES = [
    *"aBſKéßΣ猫あ가 \t\n\r\x0b\x0c\x00\x1f\x7f\x85\xa0\xad\u2003\u2028\u200b\u200d\ufeff\ufffd\uffff09٣Ⅷ½",
    *"'’\"<|>.,-_#\u0301",
    *"👍🏽🇨🇳🙂\U0001f469\u200d\U0001f467\U00020000\U0002ebf0\U0001e5d0\U0001e5f1\U0001ffff\U000e0001\U0010ffff",
    *"\u1c89\ua7cb\ua7dc\u088f\u0c5c\u0558\U00010d40\U00016ea0\U0003d000",
    *["'s", "'LL", "'ve", "'RE", "  ", "\r\n", "123", "1234", " the", " Ada", " 北京", *SPECIAL_TOKENS],
]
N_TEXTS = 20_000


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    """A small tokenizer that has merges of all kinds."""
    village = [document.text for document in World().documents(40)]
    return Tokenizer.train([*village, *VARIED * 3], 700)


@pytest.fixture(scope="module")
def path(trained: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its file."""
    return str(trained.save(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture
def tokenizer(trained: Tokenizer, path: str, node: Any) -> Tokenizer:
    """The same, which Node has loaded too."""
    assert node.call("tokenizer", path) == trained.vocab_size
    return trained


def test_ids_of_many_texts(node: Any, tokenizer: Tokenizer) -> None:
    """Pieces at random, long words, other scripts, and the code points of all planes."""
    draw = random.Random(23)
    texts = ["", *PIECES, *VARIED]
    while len(texts) < N_TEXTS - 2_000:
        texts.append("".join(draw.choices(PIECES, k=draw.randint(2, 9))))
    while len(texts) < N_TEXTS:
        codes = (
            draw.randrange(draw.choice([0x80, 0x800, 0x3000, 0xD800, 0x20000, 0x110000])) for _ in range(6)
        )
        texts.append("".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000))
    expected = tokenizer.encode_batch(texts)
    found = node.call("encode", texts)
    wrong = [text for text, ours, theirs in zip(texts, found, expected, strict=True) if ours != theirs]
    assert not wrong, f"{len(wrong)} texts, such as {wrong[:3]!r}"
    assert node.call("decode", expected) == texts
    control = set(tokenizer.special_tokens.values())
    assert not any(control & set(ids) for ids in found), "text has made a control token"


@settings(max_examples=150)
@given(
    st.lists(
        st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.sampled_from(PIECES))
    )
)
def test_ids_of_any_text(node: Any, trained: Tokenizer, path: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    ids = trained.encode(text)
    assert node.call("tokenizer", path) and node.call("encode", [text]) == [ids]
    assert node.call("decode", [ids]) == [text]


def test_letters_and_digits_are_tiktokens(node: Any) -> None:
    """Every code point that is or may become one, whatever version of Unicode each of the two has."""
    every = "".join(chr(code) for code in (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xF0000)))
    single_bytes = {bytes([byte]): byte for byte in range(256)}
    for kind, name in ((r"\p{L}", r"\p{L}"), (r"\p{N}", r"\p{N}"), (r"\s", r"\p{White_Space}")):
        encoding = tiktoken.Encoding(kind, pat_str=kind, mergeable_ranks=single_bytes, special_tokens={})
        expected = set(
            bytes(encoding.encode_ordinary(every)).decode("utf-8")
        )  # what matches nothing has no token
        ranges = node.call("rangesOf", name)
        found = {chr(code) for first, last in ranges for code in range(first, last + 1)}
        assert found == expected, [hex(ord(c)) for c in sorted(found ^ expected)[:20]]


def test_long_texts(node: Any, tokenizer: Tokenizer) -> None:
    """Without a space, and of nothing else."""
    texts = ["a" * 50_000, "猫" * 20_000, " " * 100_000, "\n " * 20_000, "1" * 20_000, "ab" * 20_000 + " c"]
    assert node.call("encode", texts) == tokenizer.encode_batch(texts)


def test_half_a_character_is_refused(node: Any, tokenizer: Tokenizer) -> None:
    """As the package refuses it: it has no bytes."""
    for text in ("\ud800", "ab\udc00", "猫\udfff\ud800 x", "\ud83d", "a\udc4d"):
        with pytest.raises(ValueError, match="lone surrogate"):
            tokenizer.encode(text)
        with pytest.raises(Exception, match="lone surrogate"):
            node.call("encode", [text])


def test_text_of_any_ids(node: Any, tokenizer: Tokenizer) -> None:
    """Sampled ids need not be UTF-8: the same replacement characters."""
    draw = random.Random(5)
    lists = [draw.choices(range(tokenizer.vocab_size), k=draw.randint(0, 12)) for _ in range(500)]
    lists += [draw.choices(range(128, 256), k=8) for _ in range(500)]
    lists += [[*"\ufeffa".encode()], [0xE7, 0x8C], [0xF0, 0x9F, 0x91, 0x41], [0xED, 0xA0, 0x80]]
    assert node.call("decode", lists) == [tokenizer.decode(ids) for ids in lists]
    for wrong in (tokenizer.vocab_size, -1):
        with pytest.raises(Exception, match=f"id {wrong} is not in the vocabulary"):
            node.call("decode", [[wrong]])


def test_another_split_pattern(node: Any, tmp_path: Path) -> None:
    cases = "AX bX cx KS kſ \u212as\x85\ufeff b\xa0c"
    for pattern in (r"\s+|\S+", r"(?i:[a-c]x|ks)|[\s\S]", r" ?\p{Lu}?\p{Ll}+|[^\S\n]|[\s\S]"):
        made = Tokenizer.train([*VARIED, f"{cases} " * 20], 310, pattern)  # merges across whatever is not cut
        node.call("tokenizer", str(made.save(tmp_path)))
        texts = [*VARIED, cases, "dx"]
        assert node.call("encode", texts) == made.encode_batch(texts), pattern
    node.call("tokenizer", str(Tokenizer([(b"a", b"b")], pattern="[a-z]+").save(tmp_path)))
    with pytest.raises(Exception, match="skips a part of the text"):
        node.call("encode", ["ab 1"])


def test_merges_may_be_written_as_lines(node: Any, trained: Tokenizer, path: str, tmp_path: Path) -> None:
    """As older files have them: "a b" in place of ["a", "b"]."""
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in document["model"]["merges"]]
    for merges in (pairs, [" ".join(pair) for pair in pairs]):
        document["model"]["merges"] = merges
        (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
        node.call("tokenizer", str(tmp_path / "tokenizer.json"))
        assert node.call("encode", VARIED) == trained.encode_batch(VARIED)


# Chats


def test_chats_are_rendered_alike(node: Any, tokenizer: Tokenizer) -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who is <|end|><|assistant|> 猫?"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": " x"},
    ]
    for start, stop in ((0, 2), (1, 2), (0, 4), (1, 4)):
        expected = render_chat(chat[start:stop], tokenizer, add_generation_prompt=True).ids
        assert node.call("renderChat", chat[start:stop], True) == expected
    assert node.call("renderChat", chat[:3], False) == render_chat(chat[:3], tokenizer).ids
    assert node.call("stopIds") == list(stop_ids(tokenizer))


def test_answers_are_read_alike(node: Any, tokenizer: Tokenizer) -> None:
    for answer in (" Ada is the baker.", "Ada", "", " ", "  two", " 猫 👍🏽"):
        ids = tokenizer.encode(answer)
        assert node.call("answerText", ids) == answer_text(ids, tokenizer)
        if answer:
            assert node.call("answerText", [*answer.encode()][:-1]) == answer_text(
                [*answer.encode()][:-1], tokenizer
            )


def test_old_exchanges_make_room(node: Any, tokenizer: Tokenizer) -> None:
    chat = [{"role": "user", "content": "a b c"}, {"role": "assistant", "content": "d e f"}] * 3
    chat = [{"role": "system", "content": "s"}, *chat, {"role": "user", "content": "last"}]
    length = len(render_chat([chat[0], *chat[3:]], tokenizer, add_generation_prompt=True).ids)
    whole = len(render_chat(chat, tokenizer, add_generation_prompt=True).ids)
    assert node.call("promptOf", chat, 2 * whole)["leftOut"] == 0
    found = node.call("promptOf", chat, 2 * length)
    assert found["leftOut"] == 2
    assert found["ids"] == render_chat([chat[0], *chat[3:]], tokenizer, add_generation_prompt=True).ids
    assert node.call("promptOf", chat, 2 * length - 2)["leftOut"] == 4
    with pytest.raises(Exception, match="at most 5 fit"):
        node.call("promptOf", chat, 5)
