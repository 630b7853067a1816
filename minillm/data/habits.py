"""Conversations whose answers a model gave: what a model does is taught to another.

So a habit that took long to learn (PPO's, say) can be handed on by ordinary fine-tuning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from minillm import checks
from minillm.data.answers import answer_prompts
from minillm.data.conversations import Conversations, prompt_of
from minillm.data.source import Split
from minillm.model.gpt import GPT
from minillm.text.chat import Message
from minillm.text.tokenizer import Tokenizer

__all__ = ["GivenConversations", "answered", "with_replay"]


@dataclass(frozen=True)
class GivenConversations(Conversations):
    """Conversations that are there already.

    Attributes:
        train: those to learn from.
        validation: those that are held out.
    """

    what: ClassVar[str] = "conversations"
    train: tuple[list[Message], ...]
    validation: tuple[list[Message], ...]

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            checks.tuple_of(name, getattr(self, name), list)

    @property
    def name(self) -> str:
        return "given"

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        return iter(self.train if split == "train" else self.validation)

    def prompt(self, number: int) -> list[Message]:
        return prompt_of(self.train[number % len(self.train)])


def answered(model: GPT, tokenizer: Tokenizer, prompts: Sequence[list[Message]]) -> tuple[list[Message], ...]:
    """The conversations that a model makes of prompts by its greedy answers; those that it does not end are left out.

    Args:
        model: the one to learn from.
        tokenizer: the model's.
        prompts: conversations that wait for an answer.

    Returns:
        a conversation for each answer that came to its end.
    """
    answers = answer_prompts(model, tokenizer, prompts, temperature=0.0)
    return tuple(
        [*prompt, {"role": "assistant", "content": answer.text}]
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer.ended
    )


def with_replay(new: Conversations, old: Conversations, share: float) -> GivenConversations:
    """Conversations with some of an earlier training among them; validation is that of the new ones.

    Args:
        new: all of them are taken.
        old: the first of them are taken, as many as the share asks for or as there are.
        share: of the old ones in the result, at least 0 and below 1.

    Raises:
        ValueError: the share is out of range.
    """
    checks.number("share", share, at_least=0, below=1)
    taken = tuple(new.conversations("train"))
    replayed: Iterable[list[Message]] = islice(
        old.conversations("train"), round(len(taken) * share / (1 - share))
    )
    return GivenConversations((*taken, *replayed), tuple(new.conversations("validation")))
