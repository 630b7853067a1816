import inspect
import json
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.text.chat import save_chat_format
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


@pytest.fixture(scope="module")
def exported(ours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    ours.save(folder)
    save_chat_format(folder, ours, context_length=64)
    return folder


@pytest.mark.parametrize("name", ["AutoTokenizer", "PreTrainedTokenizerFast"])
def test_a_folder_saved_again_by_transformers_is_read(ours, exported, tmp_path, name):
    """Regression: it adds a post-processor that adds nothing, and the file was refused for it."""
    loader = getattr(pytest.importorskip("transformers"), name)
    loader.from_pretrained(exported).save_pretrained(tmp_path)
    assert Tokenizer.load(tmp_path) == ours
    again = loader.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again") == ours
    for text in TEXTS:
        assert again(text)["input_ids"] == ours.encode(text)


def test_a_folder_saved_by_transformers_after_padding_and_cutting_is_read(ours, exported, tmp_path):
    loaded = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(exported)
    loaded(TEXTS, padding="max_length", max_length=8, truncation=True)
    loaded.save_pretrained(tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert document["padding"] and document["truncation"]
    assert Tokenizer.load(tmp_path) == ours


def test_further_control_tokens_of_transformers_are_read(ours, exported, tmp_path):
    loaded = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(exported)
    loaded.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    loaded.save_pretrained(tmp_path)
    assert Tokenizer.load(tmp_path) == Tokenizer(ours.merges, (*SPECIAL_TOKENS, "<|tool|>"))


def test_a_word_added_in_transformers_is_refused(exported, tmp_path):
    """Its ids stand in running text, which encode would not know."""
    loaded = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(exported)
    loaded.add_tokens(["birdsong"])
    loaded.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="its part 'added_tokens' is not what minillm writes"):
        Tokenizer.load(tmp_path)


def with_strings(document):
    document["model"]["merges"] = [" ".join(merge) for merge in document["model"]["merges"]]


def as_older_versions_save(document):
    for name in ("byte_fallback", "ignore_merges"):
        del document["model"][name]
    for name in ("truncation", "padding", "normalizer", "post_processor"):
        del document[name]
    with_strings(document)


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}
OFFSETS = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
FIRST_TOKEN = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}


@pytest.mark.parametrize(
    "change",
    [
        with_strings,
        as_older_versions_save,
        lambda d: d["model"].update(dropout=0.0, continuing_subword_prefix="", end_of_word_suffix=""),
        lambda d: d["model"].update(unk_token="A", fuse_unk=True, byte_fallback=True, ignore_merges=True),
        lambda d: d["model"]["vocab"].update({token["content"]: token["id"] for token in d["added_tokens"]}),
        lambda d: d.update(normalizer={"type": "Sequence", "normalizers": []}),
        lambda d: d.update(post_processor=TEMPLATE),
        lambda d: d.update(post_processor=OFFSETS),
        lambda d: d.update(post_processor={"type": "Sequence", "processors": [OFFSETS, TEMPLATE]}),
        lambda d: d.update(decoder=OFFSETS),
        lambda d: d["pre_tokenizer"]["pretokenizers"][1].update(trim_offsets=False),
    ],
)
def test_other_words_for_the_same_are_read(ours, tmp_path, change):
    document = to_document(ours.merges, ours.special_tokens, ours.pattern)
    change(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    assert Tokenizer.load(tmp_path) == ours
    theirs = hf.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXTS:
        assert theirs.encode(text).ids == ours.encode(text)
    theirs.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(tmp_path) == ours


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("model", lambda d: d["model"].update(dropout=0.1)),
        ("model", lambda d: d["model"].update(end_of_word_suffix="</w>")),
        ("model", lambda d: d["model"]["vocab"].update({"<|endoftext|>": 7})),
        ("normalizer", lambda d: d.update(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]})),
        (
            "post_processor",
            lambda d: d.update(post_processor=TEMPLATE | {"single": [FIRST_TOKEN, *TEMPLATE["single"]]}),
        ),
        ("decoder", lambda d: d.update(decoder={"type": "Metaspace", "replacement": "_"})),
        ("pre_tokenizer", lambda d: d["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True)),
        ("pre_tokenizer", lambda d: d["pre_tokenizer"]["pretokenizers"][1].update(use_regex=True)),
        ("pre_tokenizer", lambda d: d["pre_tokenizer"]["pretokenizers"][0].update(behavior="Removed")),
        ("added_tokens", lambda d: d["added_tokens"][0].update(lstrip=True)),
        ("added_tokens", lambda d: d["added_tokens"].reverse()),
    ],
)
def test_what_means_something_else_is_refused(ours, tmp_path, part, change):
    document = to_document(ours.merges, ours.special_tokens, ours.pattern)
    change(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match=f"its part '{part}' is not what minillm writes") as error:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(error.value)


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
