"""Token documents become fixed-shape training batches: no word is lost, no document sees another.

The control token end-of-text (eot) stands at both ends of a document: with tokens t1..tn the model reads
`[eot, t1, ..., tn]` and predicts `[t1, ..., tn, eot]`, so it learns how documents start and when they are
over. The documents lie in one flat array and share the boundaries between them, `eot doc eot doc eot`; a
segment is a window of it, and its targets are the same window moved by one.

Several short segments share a row of `context_length` columns. `document_ids` tells attention which columns
belong together; padding has document id -1 and target `IGNORE_INDEX`. Which lengths share a row follows from
the lengths alone (best fit, longest first), so every epoch has the same number of rows; which documents take
those places, and the order of the rows, are shuffled from (seed, epoch). `batch(step)` is therefore a pure
function of the step: the position in the data is the step, and nothing else has to be saved. A batch
is that of all processes together; `fit` shares out its rows.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch

from minillm import checks
from minillm.model.loss import IGNORE_INDEX
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "IGNORE_INDEX",
    "Batch",
    "InTurn",
    "PackedDocuments",
    "TokenDocuments",
    "plan_rows",
    "tokenize",
    "whole_documents",
]

PADDING_DOCUMENT = -1
_ENCODED_AT_ONCE = 2_000  # documents


def tokenize(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """The token ids of each text, encoded many at a time."""
    texts = iter(texts)
    while some := list(islice(texts, _ENCODED_AT_ONCE)):
        yield from tokenizer.encode_batch(some)


@dataclass(frozen=True)
class Batch:
    """One batch of token rows.

    Attributes:
        ids: int64 (batch, time), what the model reads.
        targets: int64 (batch, time), what it must predict at each column; `IGNORE_INDEX` on padding.
        document_ids: int64 (batch, time), equal within a document, -1 on padding; None when no row holds more
            than one document, so that plain causal attention is already right.
    """

    ids: torch.Tensor
    targets: torch.Tensor
    document_ids: torch.Tensor | None = None

    @property
    def n_targets(self) -> int:
        """Number of predictions in the batch (tokens)."""
        return int((self.targets != IGNORE_INDEX).sum())


class TokenDocuments:
    """Tokenized documents in one flat array `eot doc eot doc eot`, 2 bytes a token while the ids allow it.

    Args:
        token_documents: token ids of each document, without the end-of-text tokens around it.
        end_of_text_id: id of the control token between documents.
        loss_masks: for each document, which of its tokens and of the end-of-text token after them are predicted
            (n + 1 booleans for n tokens); None: all.

    Attributes:
        flat: uint16 or uint32 (tokens + documents + 1,).
        offsets: int64 (documents + 1,), where each document's leading eot stands.
        is_target: bool (tokens + documents + 1,), which places of `flat` are predicted; None: all but the first.
    """

    def __init__(
        self,
        token_documents: Iterable[list[int]],
        end_of_text_id: int,
        loss_masks: Iterable[Sequence[bool]] | None = None,
    ):
        flat, offsets = array("I", [end_of_text_id]), array("q", [0])
        for number, tokens in enumerate(token_documents):
            try:
                flat.extend(tokens)
            except (OverflowError, TypeError) as error:
                message = f"document {number} is not a list of token ids from 0 to 2^32 - 1: {error}"
                raise ValueError(message) from None
            flat.append(end_of_text_id)
            offsets.append(len(flat) - 1)
        if len(offsets) == 1:
            raise ValueError("there are no documents to train on; give a corpus with at least one document")
        wide = np.frombuffer(flat, dtype=np.uint32)
        self.flat = wide.astype(np.uint16) if wide.max() <= np.iinfo(np.uint16).max else wide
        self.offsets = np.frombuffer(offsets, dtype=np.int64)
        self.end_of_text_id = end_of_text_id
        self.is_target = None if loss_masks is None else self._joined(loss_masks)

    @classmethod
    def from_arrays(cls, flat: Any, offsets: np.ndarray, end_of_text_id: int) -> TokenDocuments:
        """Documents whose arrays are there already, such as those of `minillm.data.shards`.

        Args:
            flat: whole numbers (tokens + documents + 1,), an array or what can be sliced as one.
            offsets: int64 (documents + 1,).
            end_of_text_id: id of the control token between documents.
        """
        documents = cls.__new__(cls)
        documents.flat, documents.offsets = flat, offsets
        documents.end_of_text_id, documents.is_target = end_of_text_id, None
        return documents

    def _joined(self, loss_masks: Iterable[Sequence[bool]]) -> np.ndarray:
        """The masks of all documents one after another, as long as `flat`."""
        masks = [np.zeros(1, dtype=bool), *(np.asarray(mask, dtype=bool) for mask in loss_masks)]
        lengths = [len(mask) for mask in masks[1:]]
        if lengths != np.diff(self.offsets).tolist():
            raise ValueError(
                "loss_masks do not fit the documents; give one mask for each document, with an entry for each token "
                "and one for the end-of-text token after them"
            )
        return np.concatenate(masks)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_predictions(self) -> int:
        """Tokens to predict: by default every token of every document and one end token each."""
        return len(self.flat) - 1 if self.is_target is None else int(self.is_target.sum())

    def segments(self, context_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Cut the documents into windows of at most `context_length` columns.

        Returns:
            starts, lengths: int64 (segments,). A document that fits is one segment. A longer one becomes
            consecutive pieces: each starts with the last token of the one before, only the last ends in eot.
        """
        checks.whole_number("context_length", context_length, at_least=1)
        predictions = np.diff(self.offsets)
        pieces = -(-predictions // context_length)
        document = np.repeat(np.arange(len(self)), pieces)
        first_piece = np.repeat(np.cumsum(pieces) - pieces, pieces)
        skipped = (np.arange(len(document)) - first_piece) * context_length
        return self.offsets[document] + skipped, np.minimum(predictions[document] - skipped, context_length)


def plan_rows(lengths: Iterable[int], context_length: int) -> list[tuple[tuple[int, ...], int]]:
    """Pack lengths into rows by best fit, the longest first (best-fit decreasing).

    Rows with the same lengths in them are counted, not listed, so the cost grows with the number of different
    lengths and hardly with the number of documents.

    Args:
        lengths: segment lengths (columns), each from 1 to context_length.
    Returns:
        (lengths in the row, number of such rows) pairs.

    >>> plan_rows([3, 3, 5, 2, 2], context_length=5)
    [((5,), 1), ((3, 2), 2)]
    """
    # open_rows[space][row]: how many rows of these lengths have `space` columns left
    open_rows: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(context_length + 1)]
    for length, waiting in sorted(Counter(lengths).items(), reverse=True):
        if not 1 <= length <= context_length:
            raise ValueError(
                f"a segment has {length} columns; allowed are 1 to context_length={context_length}"
            )
        for space in range(length, context_length + 1):
            for row, n_rows in sorted(open_rows[space].items(), reverse=True):
                waiting = _place(open_rows, space, row, n_rows, length, waiting)
        _place(open_rows, context_length, (), waiting, length, waiting)
    return [(row, n) for rows in open_rows for row, n in sorted(rows.items(), reverse=True) if n > 0]


def _place(
    open_rows: list[Counter[tuple[int, ...]]],
    space: int,
    row: tuple[int, ...],
    n_rows: int,
    length: int,
    waiting: int,
) -> int:
    """Fill up to `n_rows` rows of one kind with segments of one length, row by row; how many still wait."""
    each = space // length
    full_rows = min(n_rows, waiting // each)
    rest = waiting - full_rows * each if full_rows < n_rows else 0  # for a last row, fewer than `each`
    for copies, rows in ((each, full_rows), (rest, 1)):
        if copies and rows:
            open_rows[space][row] -= rows if row else 0  # there are always more empty rows
            open_rows[space - copies * length][row + (length,) * copies] += rows
            waiting -= copies * rows
    if not open_rows[space][row]:
        del open_rows[space][row]
    return waiting


class PackedDocuments:
    """Training batches of one constant shape from documents of any length: `batch(step)`, step = 0, 1, 2, ...

    In each epoch every token of every document, and its end token, is predicted exactly once. Where the rows
    of an epoch do not fill its last batch, the empty rows are spread over the epoch, so that no batch is much
    smaller than another.

    Args:
        token_documents: token ids of each document, without control tokens; or `TokenDocuments`.
        end_of_text_id: id of the control token between documents.
        context_length: columns of a row (tokens).
        rows: rows of a batch.
        seed: decides the order of the documents.
    """

    def __init__(
        self,
        token_documents: Iterable[list[int]] | TokenDocuments,
        end_of_text_id: int,
        context_length: int,
        rows: int,
        seed: int = 0,
    ):
        checks.whole_number("rows", rows, at_least=1)
        if not isinstance(token_documents, TokenDocuments):
            token_documents = TokenDocuments(token_documents, end_of_text_id)
        self.documents, self.context_length = token_documents, context_length
        self.rows, self.seed = rows, seed
        self._starts, self._lengths = self.documents.segments(context_length)
        plan = plan_rows(self._lengths.tolist(), context_length)
        places_in_row = np.repeat([len(row) for row, _ in plan], [n for _, n in plan])
        self._first_place = np.concatenate([[0], np.cumsum(places_in_row)])  # (rows of the epoch + 1,)
        place_lengths = np.concatenate([np.tile(row, n) for row, n in plan])
        self._places_by_length = np.argsort(place_lengths, kind="stable")
        self._epoch = lru_cache(maxsize=2)(self._shuffle)

    @property
    def rows_per_epoch(self) -> int:
        """Rows that hold every document once."""
        return len(self._first_place) - 1

    @property
    def batches_per_epoch(self) -> int:
        """Steps until every document has been seen once."""
        return -(-self.rows_per_epoch // self.rows)

    @property
    def tokens_per_epoch(self) -> int:
        """Predictions in one epoch (tokens)."""
        return self.documents.n_predictions

    @property
    def fill_share(self) -> float:
        """Share of the columns that carry a prediction (0-1); the rest is padding."""
        return self.tokens_per_epoch / (self.batches_per_epoch * self.rows * self.context_length)

    def _shuffle(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Which segment takes which place in an epoch, and the order of its rows."""
        random = np.random.default_rng([self.seed, epoch])
        mixed = random.permutation(len(self._starts))
        mixed = mixed[np.argsort(self._lengths[mixed], kind="stable")]  # equal lengths stay in random order
        segment_at = np.empty(len(mixed), dtype=np.int64)
        segment_at[self._places_by_length] = mixed
        return segment_at, random.permutation(self.rows_per_epoch)

    def batch(self, step: int) -> Batch:
        """The batch of a step (0, 1, 2, ...): the same whenever it is asked for."""
        if step < 0:
            raise ValueError(f"step is {step}; steps count from 0")
        epoch, index = divmod(step, self.batches_per_epoch)
        segment_at, row_order = self._epoch(epoch)
        edges = [self.rows_per_epoch * i // self.batches_per_epoch for i in (index, index + 1)]
        rows: list[list[tuple[int, int]]] = [[] for _ in range(self.rows)]
        for row, source in enumerate(row_order[edges[0] : edges[1]]):
            segments = segment_at[self._first_place[source] : self._first_place[source + 1]]
            rows[row] = [(self._starts[s], self._lengths[s]) for s in segments]
        return _fill_rows(self.documents, rows, self.context_length)


@dataclass(frozen=True)
class InTurn:
    """The batches of one source for the first steps, then those of another."""

    first: PackedDocuments  # the source that is read at the start
    steps: int  # for which `first` is read
    then: PackedDocuments  # the source that is read after it

    def batch(self, step: int) -> Batch:
        """The batch of a step (0, 1, 2, ...): the same whenever it is asked for."""
        return self.first.batch(step) if step < self.steps else self.then.batch(step - self.steps)


def _fill_rows(documents: TokenDocuments, rows: list[list[tuple[int, int]]], width: int) -> Batch:
    """Write segments, given as (start, length) in the flat array, into rows of `width` columns."""
    ids = np.full((len(rows), width), documents.end_of_text_id, dtype=np.int64)
    targets = np.full((len(rows), width), IGNORE_INDEX, dtype=np.int64)
    document_ids = np.full((len(rows), width), PADDING_DOCUMENT, dtype=np.int64)
    for row, segments in enumerate(rows):
        column = 0
        for number, (start, length) in enumerate(segments):
            span = slice(column, column + length)
            ids[row, span] = documents.flat[start : start + length]
            targets[row, span] = documents.flat[start + 1 : start + length + 1]
            if documents.is_target is not None:
                targets[row, span][~documents.is_target[start + 1 : start + length + 1]] = IGNORE_INDEX
            document_ids[row, span] = number
            column += length
    alone = all(len(segments) <= 1 for segments in rows)
    return Batch(
        torch.from_numpy(ids), torch.from_numpy(targets), None if alone else torch.from_numpy(document_ids)
    )


def whole_documents(
    token_documents: Iterable[list[int]] | TokenDocuments,
    end_of_text_id: int,
    context_length: int,
    tokens_per_batch: int = 4096,
) -> Iterator[Batch]:
    """Every document exactly once, a row each, for evaluation: sorted by length, so that little is padding.

    A document longer than the context is cut as in training, each piece predicted from itself only.

    Args:
        context_length: columns of a row at most (tokens).
        tokens_per_batch: rows x columns of a batch at most; a batch has one row at least.
    """
    if not isinstance(token_documents, TokenDocuments):
        token_documents = TokenDocuments(token_documents, end_of_text_id)
    starts, lengths = token_documents.segments(context_length)
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        width = int(lengths[order[first]])
        chosen = order[first : first + max(1, tokens_per_batch // width)]
        yield _fill_rows(token_documents, [[(starts[s], lengths[s])] for s in chosen], width)
        first += len(chosen)
