"""The steps of FineWeb's cleaning, on the engine that made it, for the small web of `minillm.data.web`.

The engine is `datatrove`. A step takes documents and gives documents; an executor sends them through a list of steps,
here in this process, on a cluster as many jobs. After each step a writer notes what is left, so that it can be judged.
Two things are ours: the words that the rules count (the engine's own splitter is spaCy, which is large), and a simple
test for English (the engine's is a model that would have to be downloaded).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minillm.data.warc import read_warc
from minillm.data.web import BAD_HOSTS, BAD_WORDS, Question

__all__ = [
    "PACKAGES",
    "STEPS",
    "clean_web",
    "document_steps",
    "is_english",
    "pages_after",
    "read_pages",
    "word_splitter",
]

# What each step is meant to remove: kinds of pages.
STEPS: dict[str, tuple[str, ...]] = {
    "URL list": ("spam",),
    "extraction": ("links",),
    "language": ("foreign",),
    "repetition": ("spam",),
    "quality": ("advert", "list", "gibberish", "salad"),
    "copies": ("copy",),
    "personal data": (),
    "test questions": ("exam",),
}
PACKAGES = (  # the extra `web`
    "datatrove",
    "fasteners",
    "lxml-html-clean",
    "orjson",
    "pyahocorasick",
    "tldextract",
    "tokenizers",
    "trafilatura",
    "warcio",
)
LEAST_WORDS, LEAST_SENTENCES = 20, 2  # of a page; for real pages the rules say 50 and 5
QUESTION_WORDS = 8  # in a row that a page may not share with a question of a test
_ENGLISH = frozenset(
    "the a an and or but of to in on at for from with by is are was were be been has have had do did not no it its he "
    "she they we you i his her their my your this that there then so as all one who what when where if out up".split()
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*[\"'”]?\s*")


def is_english(text: str, at_least: float = 0.2) -> bool:
    """Whether enough of the words are among the sixty or so that every English text uses."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return bool(words) and sum(word in _ENGLISH for word in words) >= at_least * len(words)


def word_splitter() -> Any:
    """How the rules of the engine are to split text into words and sentences: an object of its kind."""
    base: Any = _datatrove("utils.word_tokenizers").WordTokenizer
    texts = _datatrove("utils.text")

    class Splitter(base):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [sentence.strip() for sentence in _SENTENCE.findall(text) if sentence.strip()]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [match.span() for match in _SENTENCE.finditer(text)]

    texts.split_into_parts.cache_clear()
    return Splitter()


def read_pages(path: Path) -> list[Any]:
    """The pages of a WARC file as documents of the engine, with the address of each."""
    document = _datatrove("data").Document
    return [document(text=page.html, id=page.id, metadata={"url": page.url}) for page in read_warc(path)]


def document_steps() -> dict[str, list[Any]]:
    """The steps that look at one page at a time, by name."""
    filters, words = _datatrove("pipeline.filters"), word_splitter()
    addresses = filters.URLFilter(extra_domains=BAD_HOSTS, banned_words=BAD_WORDS, use_integrated_lists=False)
    addresses.tldextractor = _tld_extract()
    extractor = _datatrove("pipeline.extractors").Trafilatura(deduplicate=False, timeout=120)
    return {
        "URL list": [addresses],
        "extraction": [extractor],
        "language": [filters.LambdaFilter(lambda document: is_english(document.text))],
        "repetition": [filters.GopherRepetitionFilter(language=words)],
        "quality": [
            filters.GopherQualityFilter(min_doc_words=LEAST_WORDS, language=words),
            filters.C4QualityFilter(
                filter_no_terminal_punct=False, min_num_sentences=LEAST_SENTENCES, language=words
            ),
            filters.FineWebQualityFilter(language=words),
        ],
    }


def clean_web(warc: Path, folder: Path, questions: Sequence[Question]) -> None:
    """Send a crawl through all steps; what is left after each is written below the folder (see `pages_after`).

    Args:
        warc: the crawl.
        folder: an empty folder.
        questions: of the test that must not be in the text.
    Raises:
        ValueError: `datatrove` or `warcio` is missing.
        ImportError: a package that one of the engine's steps needs is; the engine names it.
    """
    writer = _datatrove("pipeline.writers").JsonlWriter
    steps: list[Any] = [read_pages(warc)]
    for name, parts in document_steps().items():
        steps += [*parts, writer(str(folder / name))]
    _run(folder / "logs" / "documents", steps)
    removed = _find_copies(folder / "quality", folder / "minhash")
    reader = _datatrove("pipeline.readers").JsonlReader(str(folder / "quality"))
    _write_index(questions, folder / "index")
    questions_step = _datatrove("pipeline.decont").NGramsDecontFilter(
        str(folder / "index"), config=_question_config(), language=word_splitter()
    )
    last = [
        reader,
        _datatrove("pipeline.dedup").MinhashDedupFilter(str(removed)),
        writer(str(folder / "copies")),
        _datatrove("pipeline.formatters").PIIFormatter(),
        writer(str(folder / "personal data")),
        questions_step,
        writer(str(folder / "test questions")),
    ]
    _run(folder / "logs" / "last", last)


def pages_after(folder: Path, step: str) -> dict[str, str]:
    """Address and text of the pages that are left after a step of `clean_web`, in their order."""
    return {line["metadata"]["url"]: line["text"] for line in _lines(folder / step)}


def _find_copies(source: Path, folder: Path) -> Path:
    """The three steps that find near copies; the folder with the numbers of those to remove."""
    dedup, readers = _datatrove("pipeline.dedup"), _datatrove("pipeline.readers")
    config = dedup.minhash.MinhashConfig(hash_config=_hashes())
    signatures, pairs, removed = (str(folder / name) for name in ("signatures", "pairs", "removed"))
    words = word_splitter()
    sign = dedup.MinhashDedupSignature(signatures, config=config, language=words)
    _run(folder / "logs1", [readers.JsonlReader(str(source)), sign])
    _run(folder / "logs2", [dedup.MinhashDedupBuckets(signatures, pairs, config=config)], config.num_buckets)
    _run(folder / "logs3", [dedup.MinhashDedupCluster(pairs, removed, config=config)])
    return Path(removed)


def _question_config() -> Any:
    return _datatrove("pipeline.decont").NGramsDecontConfig(n_grams=QUESTION_WORDS, hash_config=_hashes())


def _hashes() -> Any:
    """Hashes from Python's own library; those that the engine takes else want another package."""
    return _datatrove("utils.hashing").HashConfig(hash_fc="sha1")


def _write_index(questions: Sequence[Question], folder: Path) -> None:
    """Hashes of all runs of words of the questions, in the form that the engine's filter reads."""
    import numpy as np

    config, texts = _question_config(), _datatrove("utils.text")
    hash_of = _datatrove("utils.hashing").create_hash_func(config.hash_config)
    words = word_splitter()
    runs = {
        " ".join(run)
        for question in questions
        for run in texts.ngrams(words.word_tokenize(texts.simplify_text(question.told)), config.n_grams)
    }
    folder.mkdir(parents=True)
    hashes = np.array(sorted(map(hash_of, runs)), dtype=config.hash_config.np_descr)
    (folder / "exam.index.hashes").write_bytes(hashes.tobytes())


def _run(logs: Path, steps: list[Any], tasks: int = 1) -> None:
    """Run steps in this process; what the engine logs goes into the folder of logs alone."""
    executor = _datatrove("executor").LocalPipelineExecutor(
        steps, tasks=tasks, workers=1, logging_dir=str(logs)
    )
    with (
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        executor.run()


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def _datatrove(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"datatrove.{module}")
    except ImportError as error:
        raise ValueError(
            f"cleaning a web needs the package `{error.name}`: python -m pip install {' '.join(PACKAGES)}"
        ) from None


def _tld_extract() -> Any:
    """What finds the domain in an address, without asking the network for the newest list of domains."""
    from tldextract import TLDExtract

    return TLDExtract(suffix_list_urls=(), cache_dir=None)
