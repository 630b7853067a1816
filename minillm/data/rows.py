"""What a line of a file or a row of a dataset may hold: a conversation, or a comparison of answers.

Conversations and comparisons are written in a few usual shapes. Here each of them becomes our own, and what is none is
refused, whether it comes from a file or from the Hugging Face Hub; who calls adds the place to the message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minillm.text.chat import Message, check_messages

__all__ = [
    "COMPARISON_KEYS",
    "CONVERSATION_KEYS",
    "PAIR",
    "TURNS",
    "key_names",
    "parse_comparison",
    "parse_conversation",
]

TURNS = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
PAIR = '{"prompt": "...", "chosen": "...", "rejected": "..."}'
CONVERSATION_KEYS = ("messages", "conversations", "completion")  # a conversation has one of them
COMPARISON_KEYS = ("chosen", "answers")  # a comparison has one of them
_SPEAKERS = {"human": "user", "gpt": "assistant"}  # as ShareGPT names them


def key_names(row: Mapping[str, Any]) -> str:
    """The keys of a row for a message, with what a terminal would obey (line ends, escape codes) written out.

    >>> print(key_names({"text": 1, "two\\nlines": 2}))
    text, two\\nlines
    """
    return ", ".join(json.dumps(key, ensure_ascii=False)[1:-1] for key in row)


def parse_conversation(row: Mapping[str, Any]) -> list[Message]:
    """A checked conversation, in which the assistant says something.

    The row has `messages` or `conversations`, a list of messages, each with `role` and `content`, or, as in ShareGPT,
    with `from` (system, human or gpt) and `value`. Or it has `prompt` and `completion`, each a text or messages.

    Raises:
        TypeError, ValueError: the row has none of the keys, `check_messages` refuses the messages, or an answer is
            missing or empty.
    """
    key = next((key for key in CONVERSATION_KEYS if row.get(key) is not None), None)
    if key is None:
        raise ValueError(
            f"there are no messages, only {key_names(row) or 'nothing'}; write a line such as {TURNS}"
        )
    messages = _messages(row[key], "assistant" if key == "completion" else None)
    if key == "completion":
        messages = _joined(row.get("prompt"), messages)
    check_messages(messages)
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    if not answers:
        raise ValueError("there is no message of the assistant, so nothing to learn; add one")
    if not all(answer.strip() for answer in answers):
        raise ValueError(
            "a message of the assistant is empty; write what it should say, or leave the conversation out"
        )
    return messages


def parse_comparison(row: Mapping[str, Any]) -> dict[str, Any]:
    """A checked comparison, as the fields of a `Comparison`.

    The row has `chosen` and `rejected`, the usual form, each the text of an answer beside a `prompt`, or messages that
    end with the answer, with the prompt before it or apart; or it has `prompt`, `answers` and `ranks` (0 for the best),
    as the `reward` stage writes them. A prompt is a text or a list of messages, in the forms that
    `parse_conversation` reads.

    Raises:
        TypeError, ValueError: the row is no comparison.
    """
    return _ranked(row) if row.get("answers") is not None else _pair(row)


def _pair(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison of two from `chosen` and `rejected`."""
    for key in ("chosen", "rejected"):
        if key not in row:
            raise ValueError(f"there is no key {key!r}; write a line such as {PAIR}")
    chosen, rejected, prompt = row["chosen"], row["rejected"], row.get("prompt")
    if isinstance(chosen, list) and isinstance(rejected, list):
        chosen, rejected = _answered(prompt, chosen), _answered(prompt, rejected)
        if chosen[:-1] != rejected[:-1]:
            raise ValueError(
                "chosen and rejected differ before their last message; give both the same prompt"
            )
        prompt, chosen, rejected = chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]
    if prompt is None:
        raise ValueError(f"there is no key 'prompt'; write a line such as {PAIR}")
    return _ranked({"prompt": prompt, "answers": [chosen, rejected], "ranks": [0, 1]})


def _answered(prompt: Any, messages: list[Any]) -> list[Message]:
    """A checked conversation that ends with an answer; its prompt may stand before it, within it, or both."""
    messages = _joined(prompt, _messages(messages))
    check_messages(messages)
    if messages[-1]["role"] != "assistant":
        raise ValueError(
            f"a conversation ends with a message of the {messages[-1]['role']}; it must end with the assistant's"
        )
    return messages


def _joined(prompt: Any, messages: Any) -> Any:
    """Messages after those of a prompt, unless they begin with them already."""
    before = _messages(prompt or [])
    if before:
        check_messages(before)
    if not isinstance(messages, list) or messages[: len(before)] == before:
        return messages
    return [*before, *messages]


def _ranked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A checked comparison from `prompt`, `answers` and `ranks`."""
    prompt, answers, ranks = _messages(row.get("prompt")), row["answers"], row.get("ranks")
    check_messages(prompt)
    if prompt[-1]["role"] != "user":
        raise ValueError(
            f"the prompt ends with a message of the {prompt[-1]['role']}; it must end with the user's"
        )
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise TypeError(f"the answers are {answers!r:.80}; each must be a text")
    for answer in answers:
        check_messages([*prompt, {"role": "assistant", "content": answer}])
    whole = isinstance(ranks, list) and all(type(rank) is int and rank >= 0 for rank in ranks)
    if not whole or len(ranks) != len(answers):
        raise ValueError(f"the ranks are {ranks!r:.80}; give a whole number for each answer, 0 for the best")
    if len(set(ranks)) < 2:
        raise ValueError("no answer is ranked above another; give at least two different ranks")
    gold = row.get("gold")
    return {
        "prompt": tuple(prompt),
        "answers": tuple(answers),
        "ranks": tuple(ranks),
        "gold": tuple(gold) if isinstance(gold, list) and len(gold) == len(answers) else (),
        "family": str(row.get("family", "")),
    }


def _messages(given: Any, speaker: str | None = "user") -> Any:
    """Messages with role and content and no other keys; a text is the speaker's, if there is one; the rest stays."""
    if isinstance(given, str) and speaker is not None:
        return [{"role": speaker, "content": given}]
    return [_message(message) for message in given] if isinstance(given, list) else given


def _message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    if "from" in message and "role" not in message:
        role = message["from"]
        role = _SPEAKERS.get(role, role) if isinstance(role, str) else role
        message = {"role": role, **({"content": message["value"]} if "value" in message else {})}
    return {key: message[key] for key in ("role", "content") if key in message}
