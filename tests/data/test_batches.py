"""Packing: nothing lost, nothing twice, nothing leaked, and the same batch whenever it is asked for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.batches import (
    IGNORE_INDEX,
    Batch,
    PackedDocuments,
    TokenDocuments,
    plan_rows,
    whole_documents,
)

EOT = 99
ragged = st.lists(st.lists(st.integers(0, 9), max_size=17), min_size=1, max_size=30)


def numbered(lengths: list[int]) -> list[list[int]]:
    """Documents in which every token of the whole corpus is different."""
    first, documents = 1000, []
    for length in lengths:
        documents.append(list(range(first, first + length)))
        first += length
    return documents


def predictions(batches: list[Batch]) -> Counter:
    """How often each (input, target) pair is predicted."""
    pairs: Counter = Counter()
    for batch in batches:
        valid = batch.targets != IGNORE_INDEX
        pairs.update(zip(batch.ids[valid].tolist(), batch.targets[valid].tolist(), strict=True))
    return pairs


def expected_predictions(documents: list[list[int]]) -> Counter:
    return Counter(pair for tokens in documents for pair in zip([EOT, *tokens], [*tokens, EOT], strict=True))


def one_epoch(packed: PackedDocuments, epoch: int = 0) -> list[Batch]:
    return [packed.batch(epoch * packed.batches_per_epoch + i) for i in range(packed.batches_per_epoch)]


@settings(deadline=None, max_examples=150)
@given(documents=ragged, context_length=st.integers(1, 12), rows=st.integers(1, 5), epoch=st.integers(0, 3))
def test_every_token_and_end_token_is_predicted_once_per_epoch(documents, context_length, rows, epoch):
    packed = PackedDocuments(documents, EOT, context_length, rows, seed=3)
    batches = one_epoch(packed, epoch)
    assert predictions(batches) == expected_predictions(documents)
    assert sum(batch.n_targets for batch in batches) == packed.tokens_per_epoch
    assert all(batch.ids.shape == batch.targets.shape == (rows, context_length) for batch in batches)
    columns = rows * context_length * packed.batches_per_epoch
    assert packed.fill_share == pytest.approx(packed.tokens_per_epoch / columns)


@settings(deadline=None, max_examples=100)
@given(documents=ragged, context_length=st.integers(1, 12), tokens_per_batch=st.integers(1, 40))
def test_evaluation_sees_every_document_once_with_little_padding(documents, context_length, tokens_per_batch):
    batches = list(whole_documents(documents, EOT, context_length, tokens_per_batch))
    assert predictions(batches) == expected_predictions(documents)
    widths = [batch.ids.shape[1] for batch in batches]
    assert widths == sorted(widths, reverse=True) and max(widths) <= context_length
    for batch in batches:
        assert batch.document_ids is None  # one document a row: plain causal attention
        assert batch.ids.numel() <= tokens_per_batch or len(batch.ids) == 1


def test_segments_are_whole_documents_between_two_ends():
    documents = numbered([3, 1, 4])
    packed = PackedDocuments(documents, EOT, context_length=11, rows=1, seed=0)
    assert packed.batches_per_epoch == 1 and packed.fill_share == 1.0
    batch = packed.batch(0)
    ids, targets, numbers = batch.ids[0], batch.targets[0], batch.document_ids[0]
    found = [(ids[numbers == n].tolist(), targets[numbers == n].tolist()) for n in range(3)]
    assert sorted(found) == sorted(([EOT, *tokens], [*tokens, EOT]) for tokens in documents)


@pytest.mark.parametrize("n_tokens, pieces", [(1, [2]), (5, [6]), (6, [6, 1]), (7, [6, 2]), (17, [6, 6, 6])])
def test_a_long_document_becomes_consecutive_pieces(n_tokens, pieces):
    # context_length is 6 columns: 5 tokens with the leading end token fill it exactly
    tokens = numbered([n_tokens])[0]
    starts, lengths = TokenDocuments([tokens], EOT).segments(6)
    assert lengths.tolist() == pieces
    packed = PackedDocuments([tokens], EOT, 6, rows=len(pieces), seed=0)
    batch = packed.batch(0)
    read = [ids[valid].tolist() for ids, valid in zip(batch.ids, batch.targets != IGNORE_INDEX, strict=True)]
    read.sort(key=lambda row: (row[0] != EOT, row))  # the first piece first
    assert [token for row in read for token in row] == [EOT, *tokens]
    ends = [t for row in batch.targets.tolist() for t in row if t == EOT]
    assert ends == [EOT]  # the end of text is learned at the end only, not at the end of each piece


def test_a_single_short_document_is_padded():
    batch = PackedDocuments([[7, 8]], EOT, context_length=6, rows=2).batch(0)
    assert sorted(batch.targets.tolist()) == sorted([[7, 8, EOT, -100, -100, -100], [-100] * 6])
    assert batch.document_ids is None


def test_document_ids_are_none_exactly_when_no_row_is_shared():
    assert PackedDocuments([list(range(50))], EOT, 8, rows=2).batch(0).document_ids is None
    assert PackedDocuments(numbered([5, 5]), EOT, 8, rows=2).batch(0).document_ids is None
    assert PackedDocuments(numbered([3, 2]), EOT, 8, rows=2).batch(0).document_ids is not None


def test_document_ids_give_the_block_diagonal_mask():
    documents = numbered([3, 2, 7, 1, 1, 4, 2])
    owner = {token: number for number, tokens in enumerate(documents) for token in tokens}
    packed = PackedDocuments(documents, EOT, context_length=9, rows=2, seed=1)
    for batch in one_epoch(packed):
        for ids, targets, numbers in zip(batch.ids, batch.targets, batch.document_ids, strict=True):
            assert torch.equal(numbers == -1, targets == IGNORE_INDEX)
            assert (ids[numbers == -1] == EOT).all()
            # a column belongs to the document of its token, or of its target where it reads the end token
            owners = [
                owner[t if i == EOT else i] if t != IGNORE_INDEX else None
                for i, t in zip(ids.tolist(), targets.tolist(), strict=True)
            ]
            brute = torch.tensor([[a is not None and a == b for b in owners] for a in owners])
            mask = (numbers[:, None] == numbers[None, :]) & (numbers != -1)[:, None]
            assert torch.equal(mask, brute)


def test_batch_is_a_pure_function_of_the_step():
    documents = numbered([4, 9, 2, 6, 30, 1, 1, 5])
    first = PackedDocuments(documents, EOT, 10, rows=2, seed=5)
    second = PackedDocuments(documents, EOT, 10, rows=2, seed=5)
    steps = 5 * first.batches_per_epoch
    forward = [first.batch(step) for step in range(steps)]
    for step in reversed(range(steps)):
        again = second.batch(step)
        assert torch.equal(forward[step].ids, again.ids) and torch.equal(forward[step].targets, again.targets)


def test_epochs_and_seeds_change_the_order_but_not_the_number_of_batches():
    documents = numbered([n % 13 + 1 for n in range(60)])
    packed = PackedDocuments(documents, EOT, 16, rows=4, seed=0)
    other_seed = PackedDocuments(documents, EOT, 16, rows=4, seed=1)
    first, second, third = (
        torch.cat([b.ids for b in batches])
        for batches in (one_epoch(packed), one_epoch(packed, 1), one_epoch(other_seed))
    )
    assert first.shape == second.shape and not torch.equal(first, second) and not torch.equal(first, third)


def test_missing_rows_are_spread_over_the_batches_of_an_epoch():
    packed = PackedDocuments(numbered([9] * 17), EOT, context_length=10, rows=4)  # 17 rows in 5 batches of 4
    filled = [int((batch.targets != IGNORE_INDEX).any(dim=1).sum()) for batch in one_epoch(packed)]
    assert packed.batches_per_epoch == 5 and sum(filled) == 17 and min(filled) >= 3


@settings(deadline=None, max_examples=200)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_plan_is_best_fit_decreasing(lengths):
    spaces: list[int] = []
    rows: list[list[int]] = []
    for length in sorted(lengths, reverse=True):  # the definition, one segment at a time
        fitting = [r for r, space in enumerate(spaces) if space >= length]
        if not fitting:
            spaces.append(20)
            rows.append([])
        best = min(fitting, key=lambda r: spaces[r]) if fitting else len(rows) - 1
        spaces[best] -= length
        rows[best].append(length)
    plan = plan_rows(lengths, 20)
    assert all(n > 0 and sum(row) <= 20 for row, n in plan)
    assert Counter(length for row, n in plan for length in row * n) == Counter(lengths)
    assert sorted(20 - sum(row) for row, n in plan for _ in range(n)) == sorted(spaces)


def test_packing_wastes_little():
    lengths = np.random.default_rng(0).integers(5, 140, 5000)
    packed = PackedDocuments([[1] * n for n in lengths.tolist()], EOT, 256, rows=16)
    assert packed.fill_share > 0.98


def test_small_ids_take_two_bytes_and_large_ones_four():
    assert TokenDocuments([[1, 65535]], 0).flat.dtype == np.uint16
    wide = PackedDocuments([[1, 70000]], 0, 4, rows=1)
    assert wide.documents.flat.dtype == np.uint32 and 70000 in wide.batch(0).targets


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([], EOT, 8, 1), "no documents"),
        (([[1]], EOT, 0, 1), "context_length is 0"),
        (([[1]], EOT, 8, 0), "rows is 0"),
        (([[1], [-4]], EOT, 8, 1), "document 1 is not a list of token ids"),
        (([["a"]], EOT, 8, 1), "document 0 is not a list of token ids"),
    ],
)
def test_bad_input_names_the_value_and_the_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        PackedDocuments(*arguments)


def test_negative_step_is_refused():
    with pytest.raises(ValueError, match="step is -1"):
        PackedDocuments([[1]], EOT, 8, 1).batch(-1)
