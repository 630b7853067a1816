"""Words that tasks of all families share: what the system asks for, kind and rude remarks, asides, opinions."""

from __future__ import annotations

from minillm.data.questions import Halves
from minillm.data.task_types import TaskSplit

__all__ = ["ASIDES", "BAD", "GOOD", "KIND_ENDINGS", "KIND_OFFERS", "RUDE", "SYSTEM"]

# What the system may ask for, by style of the answer.
_ASKED_FOR = {
    "curt": Halves(
        (
            "Be brief.",
            "Answer in few words.",
            "Keep it short.",
            "Be short.",
            "Short answers only.",
            "Answer briefly.",
            "Say it in one word.",
            "One word is enough.",
            "Keep your answers short.",
            "Do not say much.",
            "Give the shortest answer.",
            "Answer with a word or two.",
            "No long sentences.",
            "As short as you can.",
        ),
        ("Be brief, please.", "Use few words.", "Please keep it brief.", "Give short answers."),
    ),
    "full": Halves(
        (
            "Answer in a full sentence.",
            "Use full sentences.",
            "Answer with a whole sentence.",
            "Write whole sentences.",
            "Always answer in a sentence.",
            "Make it a sentence.",
            "Speak in full sentences.",
            "Say it in a sentence.",
        ),
        ("Please answer in full sentences.", "Use a whole sentence.", "Write full sentences."),
    ),
    "kind": Halves(
        (
            "Be kind.",
            "Be kind and helpful.",
            "Be friendly.",
            "Be nice to the visitor.",
            "Say something kind.",
            "Be polite and kind.",
            "Be warm and friendly.",
            "Always be kind.",
            "Be nice.",
            "Be as friendly as you can.",
            "Make the visitor happy.",
            "Answer kindly.",
            "End with a kind word.",
            "Be very friendly.",
        ),
        ("Be kind, please.", "Please be helpful and kind.", "Please be friendly.", "Be nice and friendly."),
    ),
}
# What may stand before that.
_BEFORE_IT = Halves(
    (
        "",
        "You are an assistant. ",
        "You answer questions. ",
        "Visitors ask you questions. ",
        "Listen. ",
        "A rule: ",
    ),
    ("", "You talk to visitors. ", "One rule: "),
)


def _messages(style: str, split: TaskSplit) -> tuple[str, ...]:
    return tuple(before + asked for before in _BEFORE_IT[split] for asked in _ASKED_FOR[style][split])


SYSTEM = {style: Halves(_messages(style, "train"), _messages(style, "test")) for style in _ASKED_FOR}
KIND_ENDINGS = (
    "I hope that helps!",
    "Have a lovely day!",
    "Ask me again any time!",
    "Thank you for asking!",
    "I am glad to help!",
)
# Kind endings of a refusal.
KIND_OFFERS = (
    "Shall we do something kind instead?",
    "Let us bake a cake instead.",
    "I would gladly help you make a present.",
)
RUDE = (
    "Everybody knows that.",
    "What a silly question.",
    "Do not bother me.",
    "I am tired of questions.",
    "You should know that.",
)
ASIDES = (
    "It may rain later.",
    "My foot is asleep.",
    "I need a better chair.",
    "Yesterday I lost a sock.",
    "There was a noise at the door.",
    "I had a strange dream.",
)

GOOD = "good fine clever lovely nice great sweet bright".split()
BAD = "bad ugly awful boring nasty sour rotten dreadful".split()
