import inspect
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.text.hf_format import from_document, to_document, visible
from minillm.text.tokenizer import SPECIAL_TOKENS, Tokenizer

hf = pytest.importorskip("tokenizers")

TEXTS = [
    inspect.getsource(textwrap),
    "Numbers 1 22 333 4444 55555, and 3.14 or 1,000,000.",
    "  white \t space\n\n\n  and \r\n line\rends   ",
    "Größe, naïve café, Привет",
    "在村子里，有一只小鸟。 ありがとう 안녕 שלום 🐦👩‍👩‍👧 e\u0301 \u200b\u3000\x00\x1f",
    "I'm, HE'LL, don't, we've; 'twas, x'y, ''",
    " " * 3000 + "x" * 3000,
    "",
]


@pytest.fixture(scope="module")
def ours():
    return Tokenizer.train(TEXTS[:6], 900)


@pytest.fixture(scope="module")
def theirs(ours, tmp_path_factory):
    return hf.Tokenizer.from_file(str(ours.save(tmp_path_factory.mktemp("saved"))))


@pytest.fixture(scope="module")
def literal(ours, tmp_path_factory):
    """Their tokenizer with special tokens read as plain text, as ours reads them."""
    tokenizer = hf.Tokenizer.from_file(str(ours.save(tmp_path_factory.mktemp("literal"))))
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_ids_and_texts(ours, theirs, text):
    ids = ours.encode(text)
    assert theirs.encode(text).ids == ids
    assert theirs.decode(ids) == text


# Characters without a category in Python's tables may have one in the newer tables of ``regex``: test_chunks.
@given(st.text(st.one_of(st.characters(exclude_categories=("Cs", "Cn")), st.sampled_from(" \n'es1字"))))
def test_the_same_ids_for_any_text(ours, literal, text):
    assert literal.encode(text).ids == ours.encode(text)


def test_the_same_vocabulary(ours, theirs):
    assert theirs.get_vocab_size() == ours.vocab_size
    for token_id, token in ours.vocab.items():
        special = token_id >= ours.end_of_text_id
        assert theirs.id_to_token(token_id) == (token.decode() if special else visible(token))


def test_special_tokens_are_added_tokens_with_the_same_ids(ours, theirs):
    added = theirs.get_added_tokens_decoder()
    assert {token.content: token_id for token_id, token in added.items()} == ours.special_tokens
    assert all(token.special and not token.normalized for token in added.values())
    assert [theirs.token_to_id(text) for text in SPECIAL_TOKENS] == list(ours.special_tokens.values())
    ids = [ours.end_of_text_id, *ours.encode("Hi"), ours.special_tokens["<|end|>"]]
    assert theirs.decode(ids, skip_special_tokens=False) == ours.decode(ids) == "<|endoftext|>Hi<|end|>"
    assert theirs.decode(ids) == "Hi"


def test_special_tokens_in_text(ours, theirs, literal):
    """By its own convention ``tokenizers`` reads names of special tokens in a text as the tokens."""
    text = "Hi<|end|> there<|endoftext|>"
    assert ours.special_tokens["<|end|>"] in theirs.encode(text).ids
    assert literal.encode(text).ids == ours.encode(text)


def test_a_file_saved_by_tokenizers_is_read_back(ours, theirs, tmp_path):
    theirs.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(tmp_path) == ours


def test_a_file_of_another_tokenizer_is_refused(tmp_path):
    other = hf.ByteLevelBPETokenizer()
    other.train_from_iterator(TEXTS, vocab_size=300, show_progress=False)
    other.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="not a tokenizer written by minillm"):
        Tokenizer.load(tmp_path)


def test_transformers_reads_the_file(ours, tmp_path):
    transformers = pytest.importorskip("transformers")
    path = ours.save(tmp_path)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="<|endoftext|>")
    assert len(fast) == ours.vocab_size and fast.eos_token_id == ours.end_of_text_id
    for text in TEXTS:
        assert fast(text)["input_ids"] == ours.encode(text)


def test_reading_is_the_inverse_of_writing(ours):
    document = to_document(ours.merges, ours.special_tokens, ours.pattern)
    assert from_document(document) == (ours.merges, list(ours.special_tokens), ours.pattern)
