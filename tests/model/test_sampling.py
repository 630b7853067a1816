from __future__ import annotations

import itertools
import math

import pytest
import torch

from minillm.model import sampling
from minillm.model.sampling import generate, sampling_probs, stream

transformers = pytest.importorskip("transformers")

PROMPTS = [[5, 9, 2], [7, 1, 3, 3, 8, 20, 14, 6], [11], [30, 31]]


def by_definition(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> list[float]:
    """The documented rule, one token at a time."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    kept = order[: top_k or len(order)]
    powers = {i: math.exp((logits[i] - logits[order[0]]) / temperature) for i in kept}
    total = sum(powers.values())
    nucleus, mass = [], 0.0
    for i in kept:
        if mass >= (top_p or 1.0):
            break
        nucleus.append(i)
        mass += powers[i] / total
    return [powers[i] / sum(powers[j] for j in nucleus) if i in nucleus else 0.0 for i in range(len(logits))]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 4, 9, 50])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.5, 0.9, 1.0])
def test_probabilities_equal_the_definition(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    logits = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(1)) * 2
    probs = sampling_probs(logits, temperature, top_k, top_p)
    expected = [[by_definition(row.tolist(), temperature, top_k, top_p) for row in rows] for rows in logits]
    torch.testing.assert_close(probs, torch.tensor(expected))
    assert probs.dtype == torch.float32


def test_equal_logits_keep_the_lower_ids() -> None:
    assert sampling_probs(torch.zeros(5), top_k=2).tolist() == [0.5, 0.5, 0, 0, 0]
    assert sampling_probs(torch.zeros(5), top_p=0.5).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0])
    assert sampling_probs(torch.zeros(5), temperature=0.0).tolist() == [1, 0, 0, 0, 0]


def test_temperature_0_is_the_limit() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0])
    assert sampling_probs(logits, temperature=0.0).tolist() == [0, 1, 0]
    assert sampling_probs(logits, temperature=1e-30).tolist() == [0, 1, 0]


def test_probabilities_of_bfloat16_and_infinite_logits() -> None:
    logits = torch.tensor([0.0, -torch.inf, 1.0]).bfloat16()
    assert sampling_probs(logits, 0.7)[1] == 0.0
    assert sampling_probs(logits, 0.7).sum().item() == pytest.approx(1.0)


def draw(logits, temperature: float, generator, top_k=None, top_p=None) -> torch.Tensor:
    """One token for each row."""
    rows = range(len(logits))
    return sampling._draw(
        logits, temperature, top_k, top_p, sampling._Draws(generator, len(rows), rows), rows
    )


@pytest.mark.parametrize(("top_k", "top_p"), [(None, None), (5, None), (None, 0.8), (6, 0.9)])
def test_drawn_frequencies_follow_the_probabilities(top_k: int | None, top_p: float | None) -> None:
    n = 40_000
    logits = torch.randn(12, generator=torch.Generator().manual_seed(2)) * 1.5
    probs = sampling_probs(logits, 0.8, top_k, top_p).double()
    draws = draw(logits.expand(n, 12), 0.8, torch.Generator().manual_seed(3), top_k, top_p)
    counts = torch.bincount(draws, minlength=12).double()
    assert not counts[probs == 0].any()
    kept = probs > 0
    chi_square = ((counts - n * probs)[kept].square() / (n * probs)[kept]).sum().item()
    freedom = int(kept.sum()) - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)  # four standard deviations


def test_the_ends_of_the_random_numbers_draw_possible_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.tensor([[-torch.inf, 0.1, 0.7, -torch.inf]]).repeat(2, 1)
    ends = torch.tensor([[0.0], [1.0 - 2**-24]])  # the least and greatest that torch.rand gives
    monkeypatch.setattr(sampling.torch, "rand", lambda *size, generator: ends)
    assert draw(logits, 1.0, torch.Generator()).tolist() == [1, 2]


def slow_greedy(model, prompt: list[int], n: int) -> list[int]:
    """Greedy continuation without a cache."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(n):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("qk_norm", [True, False])
def test_greedy_equals_transformers_and_the_model_without_a_cache(
    make_model, tmp_path, qk_norm: bool
) -> None:
    model = make_model(qk_norm=qk_norm)
    other = transformers.AutoModelForCausalLM.from_pretrained(model.save_pretrained(tmp_path))
    ours = generate(model, PROMPTS, 12, temperature=0.0)
    for prompt, new in zip(PROMPTS, ours):
        ids = torch.tensor([prompt])
        theirs = other.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
        assert new == theirs[0, len(prompt) :].tolist() == slow_greedy(model, prompt, 12)


def test_a_row_does_not_depend_on_the_others(make_model) -> None:
    model = make_model()
    alone = [generate(model, [prompt], 10, temperature=0.0)[0] for prompt in PROMPTS]
    assert generate(model, PROMPTS, 10, temperature=0.0) == alone


def test_same_seed_same_result(make_model) -> None:
    model = make_model()
    results = [
        generate(model, PROMPTS, 15, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert results[0] == results[1] != results[2]
    assert generate(model, PROMPTS, 5) == generate(model, PROMPTS, 5)


def test_temperature_0_ignores_the_generator(make_model) -> None:
    model, generator = make_model(), torch.Generator().manual_seed(1)
    state = generator.get_state()
    assert generate(model, PROMPTS, 5, 0.0, generator=generator) == generate(model, PROMPTS, 5, 0.0)
    assert torch.equal(generator.get_state(), state)


def test_the_global_generator_is_left_alone(make_model) -> None:
    state = torch.random.get_rng_state()
    generate(make_model(), PROMPTS, 5)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sampled_tokens_follow_the_model(make_model) -> None:
    model, n = make_model(), 4000
    pairs = generate(model, [[5, 9]] * n, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first = model(torch.tensor([[5, 9]]))[0, -1].softmax(-1)
        likely = int(first.argmax())
        second = model(torch.tensor([[5, 9, likely]]))[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor([pair[0] for pair in pairs]), minlength=53)
    torch.testing.assert_close(counts / n, first, atol=4 * 0.5 / n**0.5, rtol=0.0)
    follow = torch.bincount(torch.tensor([b for a, b in pairs if a == likely]), minlength=53)
    torch.testing.assert_close(
        follow / follow.sum(), second, atol=4 * 0.5 / follow.sum().item() ** 0.5, rtol=0.0
    )


def every_row_to_the_end(model, prompts: list[list[int]], n: int, temperature: float) -> list[list[int]]:
    """Reference without a cache and without leaving rows out: each step reads every row alone, from its start."""
    generator = torch.Generator().manual_seed(6)
    texts = [list(prompt) for prompt in prompts]
    for _ in range(n):
        with torch.no_grad():
            logits = torch.stack([model(torch.tensor([text]))[0, -1] for text in texts])
        tokens = draw(logits, temperature, generator).tolist()
        for text, token in zip(texts, tokens):
            text.append(token)
    return [text[len(prompt) :] for text, prompt in zip(texts, prompts)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("shape", [{}, {"qk_norm": False}, {"n_kv_head": 4}, {"tie_embeddings": False}])
def test_leaving_ended_rows_out_changes_nothing(
    make_model, monkeypatch: pytest.MonkeyPatch, shape: dict, temperature: float
) -> None:
    monkeypatch.setattr(sampling, "FIRST_COLUMNS", 2)  # so that the cache must grow, too
    model = make_model(**shape)
    prompts = [*PROMPTS, [9, 4, 4, 1, 2, 50, 6], [8] * 13, [40, 2], [3]]
    free = every_row_to_the_end(model, prompts, 11, temperature)
    stop = {free[5][0], free[0][1], free[1][4], free[2][6]}  # the longest prompt ends at once
    expected = [list(itertools.takewhile(lambda token: token not in stop, row)) for row in free]
    assert len(set(map(len, expected))) > 3
    generator = torch.Generator().manual_seed(6)
    assert generate(model, prompts, 11, temperature, stop=stop, generator=generator) == expected


@pytest.mark.parametrize("n", [2, 3, 20])
def test_a_share_of_the_prompts_is_continued_as_beside_the_others(make_model, n: int) -> None:
    model = make_model()
    prompts = [*PROMPTS, [9, 4, 4, 1, 2, 50, 6], [8] * 13, [40, 2], [3]]

    def continued(share: tuple[int, int]) -> list[list[int]]:
        generator = torch.Generator().manual_seed(6)
        return generate(model, prompts, 8, 1.0, stop=[5, 9, 20, 33], generator=generator, share=share)

    whole = continued((0, 1))
    assert len(set(map(len, whole))) > 2
    for rank in range(n):
        assert continued((rank, n)) == whole[rank::n]


def read_shapes(model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A list to which the (batch, time) of everything that is read from now on is appended."""
    read, hidden, step_of = [], model.hidden, sampling.decoding_step
    monkeypatch.setattr(
        model, "hidden", lambda ids, cache: read.append(tuple(ids.shape)) or hidden(ids, cache=cache)
    )

    def decoding_step(model):
        step = step_of(model)
        return lambda ids, cache: read.append((len(ids), 1)) or step(ids, cache)

    monkeypatch.setattr(sampling, "decoding_step", decoding_step)
    return read


def test_ended_rows_are_not_computed(make_model, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    read = read_shapes(model, monkeypatch)
    generate(model, [[4] * 23, [5] * 21, [6]], 10, temperature=0.0)
    assert read == [(1, 1), (2, 23), (3, 1), (2, 1), (2, 1)] + [(1, 1)] * 6


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_repeated_prompt_is_read_once_and_answered_as_if_it_were_read_each_time(
    make_model, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    monkeypatch.setattr(sampling, "FIRST_COLUMNS", 2)
    model = make_model()
    prompts = [[8] * 13, [9, 4], [8] * 13, [7, 7, 1], [9, 4], [8] * 13]
    free = every_row_to_the_end(model, prompts, 11, temperature)
    assert temperature == 0.0 or free[0] != free[2]
    stop = {free[1][2], free[2][6]}
    expected = [list(itertools.takewhile(lambda token: token not in stop, row)) for row in free]
    read = read_shapes(model, monkeypatch)
    generator = torch.Generator().manual_seed(6)
    assert generate(model, prompts, 11, temperature, stop=stop, generator=generator) == expected
    assert read[:2] == [(2, 3), (1, 13)] and {time for _, time in read[2:]} == {1}


def test_stop_ends_a_row_and_is_not_returned(make_model) -> None:
    model = make_model()
    free = generate(model, PROMPTS, 12, temperature=0.0)
    stop = {free[0][3], free[1][7]}
    stopped = generate(model, PROMPTS, 12, temperature=0.0, stop=iter(stop))
    assert stopped == [list(itertools.takewhile(lambda token: token not in stop, row)) for row in free]
    assert generate(model, PROMPTS[:1], 12, temperature=0.0, stop=free[0][0]) == [[]]


def test_a_row_ends_when_its_own_context_is_full(make_model) -> None:
    model = make_model()
    new = generate(model, [*PROMPTS, [4] * 24], 10**6, temperature=0.0)
    assert [len(row) for row in new] == [24 + 1 - len(prompt) for prompt in PROMPTS] + [1]
    assert new[2] == slow_greedy(model, PROMPTS[2], 24)


def test_stream_gives_what_generate_gives(make_model) -> None:
    model = make_model()
    arguments = {"temperature": 0.9, "top_k": 20, "top_p": 0.95}
    for stop in (None, 17, [3, 40]):
        one, other = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
        streamed = stream(model, PROMPTS[1], 30, **arguments, stop=stop, generator=one)
        assert list(streamed) == generate(model, PROMPTS[1:2], 30, **arguments, stop=stop, generator=other)[0]


def test_nothing_to_do(make_model) -> None:
    model = make_model()
    assert generate(model, [], 5) == []
    assert generate(model, PROMPTS, 0) == [[], [], [], []]
    assert list(stream(model, PROMPTS[0], 0)) == []


def test_sampling_leaves_no_trace_in_the_model(make_model) -> None:
    model = make_model()
    generate(model, PROMPTS, 3)
    model(torch.tensor([[1, 2]])).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_bfloat16_autocast(make_model) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert [len(row) for row in generate(make_model(), PROMPTS, 6)] == [6, 6, 6, 6]


@pytest.mark.parametrize(
    ("prompts", "error", "message"),
    [
        ([[1], []], ValueError, r"prompts\[1\] is empty; start it with the end-of-text token"),
        ([[1] * 25], ValueError, r"prompts\[0\] has 25 tokens, more than the model's context_length=24"),
        ([[1, 53]], ValueError, r"prompts\[0\] holds token id 53, outside the vocabulary 0 to 52"),
        ([[1, -2]], ValueError, r"prompts\[0\] holds token id -2"),
        ([1, 2], TypeError, r"prompts\[0\] is 1, not a list of token ids; pass a list of such lists"),
        (["text"], TypeError, r"prompts\[0\] is 'text', not a list of token ids"),
    ],
)
def test_wrong_prompts(make_model, prompts, error, message) -> None:
    with pytest.raises(error, match=message):
        generate(make_model(), prompts, 5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1 is not allowed; use 0"),
        ({"temperature": math.nan}, "temperature=nan is not allowed"),
        ({"top_k": 0}, "top_k=0 keeps no token; use 1 or more, or None"),
        ({"top_p": 0.0}, "top_p=0.0 is not allowed; use a share above 0 and up to 1"),
        ({"top_p": 1.1}, "top_p=1.1 is not allowed"),
    ],
)
def test_wrong_settings(make_model, setting, message) -> None:
    model = make_model()
    for call in (lambda: generate(model, PROMPTS, 5, **setting), lambda: stream(model, [1], 5, **setting)):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=message):
        sampling_probs(torch.zeros(3), **setting)


def test_negative_max_new_tokens(make_model) -> None:
    with pytest.raises(ValueError, match="max_new_tokens=-1 is not allowed; use 0 or more"):
        generate(make_model(), PROMPTS, -1)


@pytest.mark.parametrize("length", ["5", 2.5, None])
def test_a_length_that_is_no_whole_number(make_model, length) -> None:
    """Told at the call, not at the first token."""
    for call in (generate, stream):
        with pytest.raises(TypeError, match=f"max_new_tokens={length!r} is not a whole number; use an int"):
            call(make_model(), [1] if call is stream else PROMPTS, length)
