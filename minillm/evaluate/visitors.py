"""What a model answers to what people type first: the share of sensible answers, with the exchanges to be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from minillm.data.answers import answer_prompts
from minillm.data.families.visitors import Visitors, held_out_visits
from minillm.data.judge import Judge
from minillm.evaluate.answers import fitting_tasks
from minillm.model.gpt import GPT
from minillm.text.tokenizer import Tokenizer

__all__ = ["Exchange", "VisitorReport", "meet_visitors"]


@dataclass(frozen=True)
class Exchange:
    """A visitor's message and the answer to it."""

    kind: str  # of the message
    unheard: bool  # whether training has no message of this kind
    message: str  # what the visitor typed
    answer: str  # what the model said
    sensible: bool  # whether it is right, as the family of the message has it, and not rude


@dataclass(frozen=True)
class VisitorReport:
    """What a model answered to visitors."""

    exchanges: tuple[Exchange, ...]  # one for each message, in the order of the kinds

    @property
    def wordings(self) -> float:
        """Share of sensible answers (0-1) to wordings that training does not have, of kinds that it has."""
        return _share(e for e in self.exchanges if not e.unheard)

    @property
    def kinds(self) -> float:
        """Share of sensible answers (0-1) to kinds of messages that training does not have."""
        return _share(e for e in self.exchanges if e.unheard)

    @property
    def by_kind(self) -> dict[str, float]:
        """Share of sensible answers (0-1), by kind."""
        kinds = dict.fromkeys(exchange.kind for exchange in self.exchanges)
        return {kind: _share(e for e in self.exchanges if e.kind == kind) for kind in kinds}

    def figures(self) -> dict[str, float]:
        """The two shares, as JSON values."""
        return {"visitors_wordings": self.wordings, "visitors_kinds": self.kinds}


def meet_visitors(model: GPT, tokenizer: Tokenizer) -> VisitorReport:
    """Let a model answer all held-out messages of visitors, greedily; none that its context has no room for."""
    judge = Judge()
    fitting = set(fitting_tasks((task for _, _, task in held_out_visits()), model, tokenizer))
    visits = [visit for visit in held_out_visits() if visit[2] in fitting]
    answers = answer_prompts(
        model,
        tokenizer,
        [task.prompt for _, _, task in visits],
        max_new_tokens=Visitors.most_tokens,
    )
    exchanges = []
    for (kind, unheard, task), answer in zip(visits, answers, strict=True):
        verdict = judge(task, answer.text, ended=answer.ended)
        sensible = verdict.is_correct and verdict.parts["kind"] > 0
        exchanges.append(Exchange(kind, unheard, task.question, answer.text, sensible))
    return VisitorReport(tuple(exchanges))


def _share(exchanges: Iterable[Exchange]) -> float:
    sensible = [exchange.sensible for exchange in exchanges]
    return sum(sensible) / len(sensible) if sensible else 0.0
