"""The template that an export writes: what render_chat takes is the same there, and what it refuses is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.text.chat import ROLES, render_chat, save_chat_format
from minillm.text.tokenizer import Tokenizer

jinja2 = pytest.importorskip("jinja2")
transformers = pytest.importorskip("transformers")


class Generation(jinja2.ext.Extension):
    """What transformers adds to Jinja: the mark around an answer, which is of no effect on the text."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["Who is the baker? Ada is the baker. Hi there, it's me."] * 3, 280)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    tokenizer.save(directory)
    save_chat_format(directory, tokenizer)
    return directory


@pytest.fixture(scope="module", params=["jinja2", "transformers"])
def render(request, folder):
    """A function from messages to text: by Jinja alone, or by transformers."""
    if request.param == "transformers":
        loaded = transformers.AutoTokenizer.from_pretrained(folder)
        return lambda messages, prompt=False: loaded.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=prompt
        )
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation])

    def raise_exception(message):
        raise jinja2.TemplateError(message)

    environment.globals["raise_exception"] = raise_exception
    template = environment.from_string((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    return lambda messages, prompt=False: template.render(messages=messages, add_generation_prompt=prompt)


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (parts("Hi there"), "Hi there"),
        (parts("Hi", " there"), "Hi there"),
        (tuple(parts("Hi there")), "Hi there"),
        (parts(" \n"), " \n"),
        (parts(""), ""),
        (parts("<|e", "nd|>"), "< |end|>"),  # no control token comes of two parts, either
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_content_in_parts_of_text_is_the_text(tokenizer, render, content, text, role):
    def chat(given):
        before = {"system": [], "user": [], "assistant": [{"role": "user", "content": "Q"}]}[role]
        after = [{"role": "user", "content": "Q"}] if role == "system" else []
        return [*before, {"role": role, "content": given}, *after]

    assert render(chat(content)) == tokenizer.decode(render_chat(chat(text), tokenizer).ids)


USER, ANSWER = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
SYSTEM = {"role": "system", "content": "S"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        1.5,
        True,
        [],
        (),
        {},
        {"text": "Hi"},
        ["Hi"],
        [None],
        [[]],
        [IMAGE],
        [*parts("What is this?"), IMAGE],
        [{"type": "text"}],
        [{"type": "text", "text": None}],
        [{"type": "text", "text": 7}],
        [{"type": "text", "text": parts("Hi")}],
        [{"type": "image", "text": "Hi"}],
        [{"text": "Hi"}],
    ],
    ids=repr,
)
@pytest.mark.parametrize("role", ROLES)
def test_content_that_is_no_text_is_refused(render, content, role):
    """Regression: parts were written into the prompt as Python prints them."""
    chat = [*([USER] if role == "assistant" else []), {"role": role, "content": content}]
    with pytest.raises(jinja2.TemplateError, match="content"):
        render(chat)


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ([{"role": "user"}], "every message must have a role and a content"),
        ([{"content": "Hi"}], "every message must have a role and a content"),
        ([USER, ANSWER, {"from": "human", "value": "Hi"}], "every message must have a role and a content"),
        (
            [{"role": "human", "content": "Hi"}],
            "only system .first., user and assistant can speak, not human",
        ),
        ([{"role": "tool", "content": "Hi"}], "can speak, not tool"),
        ([{"role": "developer", "content": "Hi"}, USER], "can speak, not developer"),
        ([USER, ANSWER, {"role": "tool", "content": "{}"}], "can speak, not tool"),
        ([{"role": None, "content": "Hi"}], "can speak, not None|must have a role"),
        ([{"role": 7, "content": "Hi"}], "can speak, not 7"),
        ([USER, SYSTEM], "only system .first., user and assistant can speak, not system"),
        ([SYSTEM, SYSTEM, USER], "can speak, not system"),
        ([USER, ANSWER, SYSTEM, USER], "can speak, not system"),
        ([USER, USER], "user and assistant must speak in turn, the user first"),
        ([USER, ANSWER, ANSWER], "user and assistant must speak in turn, the user first"),
        ([ANSWER], "user and assistant must speak in turn, the user first"),
        ([SYSTEM, ANSWER], "user and assistant must speak in turn, the user first"),
        ([SYSTEM, USER, USER], "user and assistant must speak in turn, the user first"),
    ],
)
def test_what_is_no_conversation_is_refused(tokenizer, render, chat, message):
    with pytest.raises(jinja2.TemplateError, match=message):
        render(chat)
    with pytest.raises((TypeError, ValueError)):
        render_chat(chat, tokenizer)


@pytest.mark.parametrize("chat", [[SYSTEM], [USER, ANSWER], [SYSTEM, USER, ANSWER]])
def test_an_answer_follows_a_users_message(tokenizer, render, chat):
    assert render(chat) == tokenizer.decode(render_chat(chat, tokenizer).ids)
    with pytest.raises(jinja2.TemplateError, match="an answer follows the message of a user, not of"):
        render(chat, True)


@pytest.mark.parametrize("chat", [[], None, "Hi", {"role": "user", "content": "Hi"}, 7])
def test_no_messages_are_refused(folder, chat):
    """By the template itself: transformers has errors of its own for some of these."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation])
    environment.globals["raise_exception"] = lambda message: (_ for _ in ()).throw(
        jinja2.TemplateError(message)
    )
    template = environment.from_string((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    with pytest.raises(jinja2.TemplateError, match="there are no messages"):
        template.render(messages=chat, add_generation_prompt=False)


messages = st.fixed_dictionaries(
    {"role": st.sampled_from([*ROLES, "user", "assistant", "tool"])},
    optional={"content": st.sampled_from(["", "Hi", " Ada\n", "'", "{{ 1 }}", "{% raw %}", None, 7])},
)


@given(st.lists(messages, max_size=5), st.booleans())
def test_the_template_takes_what_render_chat_takes(tokenizer, render, chat, prompt):
    try:
        expected = tokenizer.decode(render_chat(chat, tokenizer, add_generation_prompt=prompt).ids)
    except (TypeError, ValueError):
        with pytest.raises((jinja2.TemplateError, ValueError, IndexError)):
            render(chat, prompt)
        return
    assert render(chat, prompt) == expected


def test_an_answer_can_be_continued(folder):
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    text = loaded.apply_chat_template([USER, ANSWER], tokenize=False, continue_final_message=True)
    assert text == "<|endoftext|><|user|> Q<|end|><|assistant|> A"
