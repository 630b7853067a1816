"""Visitors are met: every held-out message is answered once, and the shares are those of the exchanges."""

from __future__ import annotations

from minillm.data.families.visitors import held_out_visits
from minillm.data.tasks import Tasks
from minillm.evaluate import Answer, meet_visitors, visitors
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizer import Tokenizer


def _model(context_length: int) -> tuple[GPT, Tokenizer]:
    tokenizer = Tokenizer.train([task.question for task in Tasks("train").tasks(100)], 400)
    shape = {"n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 20, "d_ff": 28}
    config = GPTConfig(tokenizer.vocab_size, context_length=context_length, **shape)
    return GPT(config, generator=0).eval(), tokenizer


def test_shares_are_counted_from_the_exchanges(monkeypatch):
    """Right answers to half of the messages of heard kinds and to a third of the others; a rude one does not count."""
    visits = held_out_visits()
    texts, expected = {}, {False: 0, True: 0}
    for number, (_, unheard, task) in enumerate(visits):
        right = number % (3 if unheard else 2) == 0
        rude = right and number % 12 == 0
        texts[task.question] = (
            f"{'What a silly question. ' * rude}{task.answer}" if right else "Snow is white."
        )
        expected[unheard] += right and not rude

    def reply(model, tokenizer, prompts, **options):
        assert options.get("temperature", 0.0) == 0.0
        return [Answer(texts[prompt[-1]["content"]], (1,), True) for prompt in prompts]

    monkeypatch.setattr(visitors, "answer_prompts", reply)
    report = meet_visitors(*_model(200))
    assert [exchange.message for exchange in report.exchanges] == [task.question for _, _, task in visits]
    counts = {unheard: sum(e.unheard == unheard for e in report.exchanges) for unheard in (False, True)}
    assert report.wordings == expected[False] / counts[False]
    assert report.kinds == expected[True] / counts[True]
    assert report.figures() == {"visitors_wordings": report.wordings, "visitors_kinds": report.kinds}
    assert set(report.by_kind) == {kind for kind, _, _ in visits}
    assert report.by_kind["code"] == sum(e.sensible for e in report.exchanges if e.kind == "code") / 6


def test_an_untrained_model_is_not_sensible_and_long_messages_are_left_out():
    report = meet_visitors(*_model(200))
    assert len(report.exchanges) == len(held_out_visits())
    assert report.wordings < 0.02 and report.kinds == 0.0
    short = meet_visitors(*_model(40))
    assert 0 < len(short.exchanges) < len(report.exchanges)
