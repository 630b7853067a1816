"""A model with tools: it calls, a program answers, it goes on; and how often that ends well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from minillm.data.answers import answer_prompts
from minillm.data.conversations import leaves_room
from minillm.data.tool_calls import RESULT, Register, is_call, parse_call, run_call
from minillm.data.tool_tasks import ToolTask, mark_answer
from minillm.model.gpt import GPT
from minillm.text.chat import Message
from minillm.text.tokenizer import Tokenizer

__all__ = ["ToolAnswer", "ToolReport", "answer_tool_tasks", "answer_with_tools"]

MOST_CALLS = 2  # before the model has to answer


@dataclass(frozen=True)
class ToolAnswer:
    """What a model did with a question.

    Attributes:
        text: the answer to the user; "" if it only ever called.
        calls: what it called, as it was written.
        results: what came back.
    """

    text: str
    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


def answer_with_tools(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[Message]],
    registers: Sequence[Register],
    room: int = 40,
) -> list[ToolAnswer]:
    """Let a model answer conversations, greedily; each call is run, and its result is the next message.

    Args:
        prompts: conversations that wait for an answer.
        registers: for each conversation what its calls can look up.
        room: tokens of a call or an answer, at most; no more than the context has left.

    Raises:
        ValueError: a user writes what only a tool may write, or there are not as many registers as prompts.
    """
    if len(prompts) != len(registers):
        raise ValueError(f"{len(prompts)} prompts and {len(registers)} registers; give one for each prompt")
    for prompt in prompts:
        _check_user(prompt)
    chats = [list(prompt) for prompt in prompts]
    calls: list[list[str]] = [[] for _ in chats]
    results: list[list[str]] = [[] for _ in chats]
    texts = [""] * len(chats)
    waiting = list(range(len(chats)))
    for _ in range(MOST_CALLS + 1):
        answers = answer_prompts(model, tokenizer, [chats[i] for i in waiting], room)
        said = {i: answer.text for i, answer in zip(waiting, answers, strict=True)}
        texts = [said.get(i, text) for i, text in enumerate(texts)]
        waiting = [i for i in waiting if is_call(said[i])]
        for i in waiting:
            calls[i].append(said[i])
            results[i].append(run_call(said[i], registers[i]))
            turns = (("assistant", said[i]), ("user", results[i][-1]))
            chats[i] += [{"role": role, "content": content} for role, content in turns]
        waiting = [i for i in waiting if leaves_room(chats[i], tokenizer, model.config.context_length)]
        if not waiting:
            break
    texts = ["" if is_call(text) else text for text in texts]
    return [ToolAnswer(t, tuple(c), tuple(r)) for t, c, r in zip(texts, calls, results, strict=True)]


def _check_user(prompt: Sequence[Message]) -> None:
    """Refuse a message of the user's that looks like a tool's."""
    for message in prompt:
        if message["role"] == "user" and message["content"].lstrip().lower().startswith(RESULT.strip()):
            raise ValueError(
                f"the user's message {message['content']!r:.60} starts with {RESULT.strip()!r}, which only tools "
                "write; put another word in front"
            )


@dataclass(frozen=True)
class ToolReport:
    """A model's answers to questions that tools answer.

    Attributes:
        tasks: what was asked.
        answers: what the model did.
        marks: of each answer "right", "made up" or "no answer".
    """

    tasks: tuple[ToolTask, ...]
    answers: tuple[ToolAnswer, ...]
    marks: tuple[str, ...]

    def share(self, mark: str, kind: str | None = None) -> float:
        """The share of answers (0-1) with a mark, of one kind of questions or of all."""
        of_kind = [m for t, m in zip(self.tasks, self.marks, strict=True) if kind in (None, t.kind)]
        return of_kind.count(mark) / len(of_kind) if of_kind else 0.0

    @property
    def failures(self) -> Counter[tuple[str, str]]:
        """How many answers are not right, by kind of question and by what went wrong first."""
        return Counter(
            (task.kind, what_went_wrong(task, answer))
            for task, answer, mark in zip(self.tasks, self.answers, self.marks, strict=True)
            if mark != "right"
        )


def what_went_wrong(task: ToolTask, answer: ToolAnswer) -> str:
    """Where an answer that is not right first left the way."""
    if not answer.calls:
        return "no call"
    call = parse_call(answer.calls[0])
    wanted = parse_call(task.call)
    assert wanted is not None, task.call
    if call is None:
        return "form of the call"
    if call.tool != wanted.tool:
        return "wrong tool"
    if [argument.lower() for argument in call.arguments] != [one.lower() for one in wanted.arguments]:
        return "wrong arguments"
    return "answer after the call"


def answer_tool_tasks(
    model: GPT, tokenizer: Tokenizer, tasks: Sequence[ToolTask], *, tools: bool = True
) -> ToolReport:
    """Let a model answer questions, with its calls run or, without tools, by what it says itself."""
    prompts = [task.prompt for task in tasks]
    if tools:
        answers = answer_with_tools(model, tokenizer, prompts, [task.register for task in tasks])
    else:
        answers = [ToolAnswer(answer.text) for answer in answer_prompts(model, tokenizer, prompts, 40)]
    marks = tuple(mark_answer(task, answer.text) for task, answer in zip(tasks, answers, strict=True))
    return ToolReport(tuple(tasks), tuple(answers), marks)
