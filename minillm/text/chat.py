"""The chat format: messages to ids, and which of the ids the model is trained to write.

A conversation is one document. Control tokens mark who speaks and where a message ends:

    <|endoftext|> Be brief.<|end|><|user|> Who is the baker?<|end|><|assistant|> Ada.<|end|>

The first message may be the system's, which has no mark of its own; then user and assistant take turns. Only this
module places control tokens: the content of a message is encoded as ordinary text, whatever it says, so a user who
types `<|end|>` ends nothing. A space stands before the content because in running text words carry the space in
front of them: " Ada" after a mark is then the token that the base model knows best.

The loss mask is true on what the assistant says, with the end token after it: a model that is never shown where an
answer ends would never end one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from minillm.files import write_atomic, write_json
from minillm.text.chunks import check_text
from minillm.text.tokenizer import END_OF_TEXT, SPECIAL_TOKENS, Tokenizer

__all__ = [
    "ASSISTANT",
    "BEFORE_CONTENT",
    "CHAT_TEMPLATE",
    "END",
    "ROLES",
    "USER",
    "Message",
    "RenderedChat",
    "answer_text",
    "check_messages",
    "render_chat",
    "save_chat_format",
    "stop_ids",
    "token_ids",
]

TEMPLATE_FILE = "chat_template.jinja"  # stands beside the models that answer
USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
ROLES = ("system", "user", "assistant")
BEFORE_CONTENT = " "
_EXAMPLE = 'like [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]'
_MARKS = {"system": (), "user": (USER,), "assistant": (ASSISTANT,)}

Message = Mapping[str, str]
"""A message: {"role": "system" | "user" | "assistant", "content": text}."""

# The same in Jinja, the language of Hugging Face's chat templates; the generation block is the loss mask.
CHAT_TEMPLATE = Template("""\
{{- '$END_OF_TEXT' -}}
{%- for message in messages -%}
  {%- set content = '$BEFORE_CONTENT' + message['content'] + '$END' -%}
  {%- if message['role'] == 'assistant' -%}
    {{- '$ASSISTANT' -}}
    {%- generation -%}{{- content -}}{%- endgeneration -%}
  {%- elif message['role'] == 'user' -%}
    {{- '$USER' + content -}}
  {%- elif message['role'] == 'system' and loop.first -%}
    {{- content -}}
  {%- else -%}
    {{- raise_exception('only system (first), user and assistant can speak, not ' + message['role']) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '$ASSISTANT' -}}
{%- endif -%}
""").substitute(
    END_OF_TEXT=END_OF_TEXT, BEFORE_CONTENT=BEFORE_CONTENT, END=END, ASSISTANT=ASSISTANT, USER=USER
)

# What is put before it in a file: a program may hand over anything, and a wrong message must not become a prompt.
# `check_messages` says the same, but for one thing: content as a list of texts is read too, as servers pass it on.
_TEMPLATE_CHECKS = """\
{%- macro text_of(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- elif content is sequence and content is not mapping and content | length > 0 -%}
    {%- for part in content -%}
      {%- if part is mapping and part['type'] == 'text' and part['text'] is string -%}
        {{- part['text'] -}}
      {%- else -%}
        {{- raise_exception('the content of a message can have parts of type text only') -}}
      {%- endif -%}
    {%- endfor -%}
  {%- else -%}
    {{- raise_exception('the content of a message must be text, or a list of parts of type text') -}}
  {%- endif -%}
{%- endmacro -%}
{%- if messages is string or messages is mapping or messages is not sequence or messages | length == 0 -%}
  {{- raise_exception('there are no messages; pass a list of them, each with role and content') -}}
{%- endif -%}
{%- for message in messages -%}
  {%- if message is not mapping or message['role'] is not defined or message['content'] is not defined -%}
    {{- raise_exception('every message must have a role and a content') -}}
  {%- elif message['role'] not in ['user', 'assistant'] and not (message['role'] == 'system' and loop.first) -%}
    {{- raise_exception('only system (first), user and assistant can speak, not ' ~ message['role']) -}}
  {%- elif message['role'] != 'system' -%}
    {%- set turn = loop.index0 - (1 if messages[0]['role'] == 'system' else 0) -%}
    {%- if (message['role'] == 'user') != (turn % 2 == 0) -%}
      {{- raise_exception('user and assistant must speak in turn, the user first') -}}
    {%- endif -%}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages[-1]['role'] != 'user' -%}
  {{- raise_exception('an answer follows the message of a user, not of ' ~ messages[-1]['role']) -}}
{%- endif -%}
"""

# Programs that use the template look for control tokens in all of the text it makes. So the file breaks those that
# stand in a message with a space: "< |end|>".
_CONTENT = "message['content']"
_AS_TEXT = (
    f"(text_of({_CONTENT})"
    + "".join(f" | replace('{token}', '{token[0]} {token[1:]}')" for token in SPECIAL_TOKENS)
    + ")"
)

# Where an answer begins and ends. Without it, `transformers serve` looks for the marks of the model that the layout of
# the weights is named after.
_RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": ASSISTANT,
    "fields": {"content": {"close": [END, END_OF_TEXT], "content": "text"}},
}


class RenderedChat(NamedTuple):
    """A conversation as ids.

    Attributes:
        ids: (time,) token ids.
        loss_mask: (time,) True where the token is the model's to write: the answers and their end tokens.
    """

    ids: list[int]
    loss_mask: list[bool]


def render_chat(
    messages: Sequence[Message], tokenizer: Tokenizer, *, add_generation_prompt: bool = False
) -> RenderedChat:
    """Write a conversation as ids and a loss mask.

    The mask belongs to the tokens themselves. A model that reads `ids[:-1]` predicts `ids[1:]`, so its targets count
    where `loss_mask[1:]` is true.

    Args:
        messages: in order, each a mapping with "role" and "content" (further keys are ignored).
        tokenizer: must have the control tokens.
        add_generation_prompt: end with the assistant's mark, so that a model goes on with the answer.
    Raises:
        TypeError, ValueError: `check_messages` refuses the conversation, the tokenizer lacks a control token, or
            an answer is to follow something else than a user's message.

    >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
    >>> ids, loss_mask = render_chat(chat, Tokenizer([(b" ", b"H"), (b" H", b"i")]))
    >>> ids
    [258, 259, 257, 261, 260, 32, 89, 111, 261]
    >>> [token for token, trained in zip(ids, loss_mask) if trained]
    [32, 89, 111, 261]
    """
    check_messages(messages)
    special = _control_ids(tokenizer)
    ids, loss_mask = [special[END_OF_TEXT]], [False]
    for message in messages:
        mark = [special[token] for token in _MARKS[message["role"]]]
        content = [*tokenizer.encode(BEFORE_CONTENT + message["content"]), special[END]]
        ids += mark + content
        loss_mask += [False] * len(mark) + [message["role"] == "assistant"] * len(content)
    if add_generation_prompt:
        if messages[-1]["role"] != "user":
            raise ValueError(
                f"the last message is the {messages[-1]['role']}'s, and an answer follows a user's message: add one, "
                "or leave add_generation_prompt out"
            )
        ids.append(special[ASSISTANT])
        loss_mask.append(False)
    return RenderedChat(ids, loss_mask)


def check_messages(messages: Sequence[Message]) -> None:
    """Refuse what is no conversation: [system], user, assistant, user, assistant, ...

    Raises:
        TypeError: something is not a list of messages with text in them.
        ValueError: there is no message, an unknown role, roles out of turn, or text that is not Unicode.
    """
    if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence):
        raise TypeError(f"messages is a {type(messages).__name__}; pass a list {_EXAMPLE}")
    if not messages:
        raise ValueError(f"the conversation has no messages; pass a list {_EXAMPLE}")
    expected: tuple[str, ...] = ("system", "user")
    for number, message in enumerate(messages):
        _check_message(f"messages[{number}]", message)
        if message["role"] not in expected:
            raise ValueError(
                f"messages[{number}] is the {message['role']}'s, expected is {' or '.join(expected)}; put them in "
                "order: user and assistant in turn, the user first, before it at most one system message"
            )
        expected = ("assistant",) if message["role"] == "user" else ("user",)


def _check_message(name: str, message: Message) -> None:
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise TypeError(f"{name} is {message!r:.80}; write messages {_EXAMPLE}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise ValueError(f"{name} has the role {role!r:.80}; use one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise TypeError(f"the content of {name} is a {type(content).__name__}; it must be a str")
    try:
        check_text(content)
    except ValueError as error:
        raise ValueError(f"the content of {name} cannot be encoded: {error}") from None


def answer_text(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text of an answer that a model wrote: up to its end token, without the space in front.

    >>> tokenizer = Tokenizer([])
    >>> answer_text([32, 89, 111, tokenizer.special_tokens["<|end|>"], 33], tokenizer)
    'Yo'
    """
    stops = stop_ids(tokenizer)
    length = next((index for index, token in enumerate(ids) if token in stops), len(ids))
    return tokenizer.decode(ids[:length]).removeprefix(BEFORE_CONTENT)


def stop_ids(tokenizer: Tokenizer) -> tuple[int, int]:
    """The ids that end an answer: the end token, and the end of the text for a model that has not learned it."""
    special = _control_ids(tokenizer)
    return special[END], special[END_OF_TEXT]


def token_ids(tokenizer: Tokenizer, *, chat: bool = True) -> dict[str, int]:
    """The control tokens under the names that a `config.json` gives them; a text ends with the end of the text."""
    special = _control_ids(tokenizer)
    return {
        "bos_token_id": special[END_OF_TEXT],
        "eos_token_id": special[END if chat else END_OF_TEXT],
        "pad_token_id": special[END_OF_TEXT],
    }


def save_chat_format(
    directory: str | Path, tokenizer: Tokenizer, *, chat: bool = True, context_length: int | None = None
) -> None:
    """Write what Hugging Face's tools need beside tokenizer.json to hold a conversation in this format.

    These are `chat_template.jinja`, `tokenizer_config.json`, and `generation_config.json`, which says where an answer
    ends. The padding token is not the end token: trainers leave padding out of the loss, and would leave out with it
    what teaches a model to stop.

    Args:
        directory: gets the files.
        tokenizer: has the control tokens.
        chat: False for a model that continues a text: there is no template then, and the end of the text ends it.
        context_length: of the model, in tokens; half of it is for an answer if nobody says otherwise.

    Raises:
        ValueError: the tokenizer lacks a control token.
        OSError: see `minillm.files.write_atomic`.

    Reference: https://huggingface.co/docs/transformers/chat_templating
    """
    directory, ids = Path(directory), token_ids(tokenizer, chat=chat)
    if chat:
        template = _TEMPLATE_CHECKS + CHAT_TEMPLATE.replace(_CONTENT, _AS_TEXT)
        write_atomic(directory / TEMPLATE_FILE, template)
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "add_bos_token": False,  # the template writes it
            "eos_token": END if chat else END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "additional_special_tokens": [USER, ASSISTANT] if chat else [USER, ASSISTANT, END],
            "clean_up_tokenization_spaces": False,  # decoding gives back the text as it was
            "padding_side": "left",  # what is written next, and what a reward model scores, stands at the end
            **({} if context_length is None else {"model_max_length": context_length}),
            **({"response_template": _RESPONSE} if chat else {}),
        },
    )
    generation = ids | ({"eos_token_id": list(stop_ids(tokenizer))} if chat else {})
    if context_length is not None:
        generation |= {"do_sample": False, "max_new_tokens": context_length // 2}
    write_json(directory / "generation_config.json", generation)


def _control_ids(tokenizer: Tokenizer) -> dict[str, int]:
    special = tokenizer.special_tokens
    if missing := [token for token in (END_OF_TEXT, USER, ASSISTANT, END) if token not in special]:
        raise ValueError(f"this tokenizer has no {', '.join(missing)}; name them among its special_tokens")
    return special
