"""What a line of a file or a row of a dataset may hold: a conversation, or a comparison of answers.

Conversations and comparisons are written in a few usual shapes. Here each of them becomes our own, and what is none is
refused, whether it comes from a file or from the Hugging Face Hub; who calls adds the place to the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minillm.data.naming import key_names
from minillm.text.chat import Message, check_messages

__all__ = [
    "ALPACA",
    "COMPARISON_COLUMNS",
    "COMPARISON_KEYS",
    "CONVERSATION_COLUMNS",
    "CONVERSATION_KEYS",
    "PAIR",
    "TURNS",
    "parse_comparison",
    "parse_conversation",
]

TURNS = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
PAIR = '{"prompt": "...", "chosen": "...", "rejected": "..."}'
CONVERSATION_KEYS = ("messages", "conversations", "completion")  # a conversation has one of them,
ALPACA = "output"  # or is in this form
COMPARISON_KEYS = ("chosen", "answers")  # a comparison has one of them
_BEFORE = ("system", "prompt", "instruction", "input", "history")  # what both may have beside it
CONVERSATION_COLUMNS = (*CONVERSATION_KEYS, ALPACA, *_BEFORE)  # all keys that are looked at
COMPARISON_COLUMNS = (*COMPARISON_KEYS, *_BEFORE, "rejected", "ranks", "gold", "family")
_SPEAKERS = {"human": "user", "gpt": "assistant"}  # as ShareGPT names them
_MOST_RANK = 1 << 30


def parse_conversation(row: Mapping[str, Any]) -> list[Message]:
    """A checked conversation, in which the assistant says something.

    The row has `messages` or `conversations`, a list of messages, each with `role` and `content`, or, as in ShareGPT,
    with `from` (system, human, user, gpt or assistant) and `value`. Or it has `prompt` and `completion`, each a text
    or messages, or, as in Alpaca, the texts `instruction`, `input` (may be missing) and `output`. A text under
    `system` is the system's message.

    Raises:
        TypeError, ValueError: the row has none of the keys, `check_messages` refuses the messages, or an answer is
            missing or empty.
    """
    key = next((key for key in (*CONVERSATION_KEYS, ALPACA) if row.get(key) is not None), None)
    if key is None or (key == ALPACA and row.get("instruction") is None):
        raise ValueError(
            f"there are no messages, only {key_names(row) or 'nothing'}; write a line such as {TURNS}"
        )
    if key == ALPACA and not isinstance(row[key], str):
        raise TypeError(f"{key!r} is a {type(row[key]).__name__}; it must be a text")
    messages = _messages(row[key], "assistant" if key in ("completion", ALPACA) else None)
    if key in ("completion", ALPACA):
        messages = _joined(_prompt(row), messages)
    check_messages(messages)
    messages = _with_system(row, messages)
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
    `parse_conversation` reads, or `instruction` and `input`; a text under `system` is the system's message.

    Raises:
        TypeError, ValueError: the row is no comparison.
    """
    return _ranked(row) if row.get("answers") is not None else _pair(row)


def _prompt(row: Mapping[str, Any]) -> Any:
    """What stands under `prompt`, or else the text that an Alpaca row asks."""
    own = row.get("prompt")
    if (own is not None or row.get("instruction") is not None) and row.get("history"):
        raise ValueError("the key 'history' is not read; write its turns and the last one as messages")
    if own is not None or row.get("instruction") is None:
        return own
    parts = []
    for key in ("instruction", "input"):
        part = row.get(key)
        if not isinstance(part, (str, type(None))):
            raise TypeError(f"{key!r} is a {type(part).__name__}; it must be a text")
        parts.append(part or "")
    asked = "\n\n".join(part for part in parts if part.strip())
    if not asked:
        raise ValueError("'instruction' and 'input' are empty; write what is asked")
    return asked


def _with_system(row: Mapping[str, Any], messages: list[Message]) -> list[Message]:
    """Checked messages after the system's message that a row has beside them."""
    system = row.get("system")
    if system is None or system == "":
        return messages
    if not isinstance(system, str):
        raise TypeError(f"'system' is a {type(system).__name__}; it must be a text")
    first: Message = {"role": "system", "content": system}
    if messages[0]["role"] == "system":
        if messages[0] != first:
            raise ValueError("'system' and the first message are two different system messages; give one")
        return messages
    check_messages(messages := [first, *messages])
    return messages


def _pair(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison of two from `chosen` and `rejected`."""
    for key in ("chosen", "rejected"):
        if key not in row:
            raise ValueError(f"there is no key {key!r}; write a line such as {PAIR}")
    chosen, rejected, prompt = row["chosen"], row["rejected"], _prompt(row)
    if isinstance(chosen, list) and isinstance(rejected, list):
        prompt = None if prompt == "" else prompt
        chosen, rejected = _answered(prompt, chosen), _answered(prompt, rejected)
        if chosen[:-1] != rejected[:-1]:
            raise ValueError(
                "chosen and rejected differ before their last message; give both the same prompt"
            )
        prompt, chosen, rejected = chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]
    if prompt is None:
        raise ValueError(f"there is no key 'prompt'; write a line such as {PAIR}")
    pair = {"prompt": prompt, "answers": [chosen, rejected], "ranks": [0, 1]}
    return _ranked(pair | {"system": row.get("system")})


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
    """Messages after those of a prompt, unless these stand among them already; the system's message is the first."""
    before = [] if prompt is None else _messages(prompt)
    if before != []:
        check_messages(before)
    if not isinstance(messages, list):
        return messages
    system, rest = _system_apart(messages)
    own, before = _system_apart(before)
    if system and own and system != own:
        raise ValueError("the prompt and the messages begin with different system messages; give one")
    there = rest[: len(before)] == before or rest[-len(before) - 1 : -1] == before
    return [*(system or own), *([] if there else before), *rest]


def _system_apart(messages: list[Any]) -> tuple[list[Any], list[Any]]:
    """The system's message, if it is the first, and the others."""
    first = isinstance(messages[0], dict) and messages[0].get("role") == "system" if messages else False
    return messages[:first], messages[first:]


def _ranked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A checked comparison from `prompt`, `answers` and `ranks`."""
    prompt, answers, ranks = _messages(_prompt(row)), row["answers"], row.get("ranks")
    check_messages(prompt)
    if prompt[-1]["role"] != "user":
        raise ValueError(
            f"the prompt ends with a message of the {prompt[-1]['role']}; it must end with the user's"
        )
    prompt = _with_system(row, prompt)
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise TypeError(f"the answers are {answers!r:.80}; each must be a text")
    for answer in answers:
        check_messages([*prompt, {"role": "assistant", "content": answer}])
    if (
        not isinstance(ranks, list)
        or len(ranks) != len(answers)
        or not all(type(rank) is int and 0 <= rank <= _MOST_RANK for rank in ranks)
    ):
        raise ValueError(f"the ranks are {ranks!r:.80}; give a whole number for each answer, 0 for the best")
    if len(set(ranks)) < 2:
        raise ValueError("no answer is ranked above another; give at least two different ranks")
    return {
        "prompt": tuple(prompt),
        "answers": tuple(answers),
        "ranks": tuple(ranks),
        "gold": _gold(row.get("gold"), len(answers)),
        "family": _family(row.get("family")),
    }


def _gold(scores: Any, n: int) -> tuple[float, ...]:
    """The judge's scores as the `reward` stage writes them; none for what others mean by the key."""
    if not isinstance(scores, list) or len(scores) != n:
        return ()
    good = all(type(score) in (int, float) and 0 <= score <= 1 for score in scores)  # which NaN is not
    return tuple(scores) if good else ()


def _family(family: Any) -> str:
    """The family as the `reward` stage writes it; none for what others mean by the key."""
    return family if isinstance(family, str) and family.isascii() else ""


def _messages(given: Any, speaker: str | None = "user") -> Any:
    """Messages with role and content and no other keys; a text is the speaker's, if there is one; the rest stays."""
    if isinstance(given, str) and speaker is not None:
        return [{"role": speaker, "content": given}]
    return [_message(message) for message in given] if isinstance(given, list) else given


def _message(message: Any) -> Any:
    """One message; a column of a table may have both ways of writing it, one of them empty."""
    if not isinstance(message, dict):
        return message
    sharegpt = message.get("from") is not None and message.get("role") is None
    role_key, content_key = ("from", "value") if sharegpt else ("role", "content")
    own = {}
    if role_key in message:
        role = message[role_key]
        own["role"] = _SPEAKERS.get(role, role) if sharegpt and isinstance(role, str) else role
    if content_key in message:
        own["content"] = message[content_key]
    return own
