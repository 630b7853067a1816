"""Words that tasks of all families share: what the system asks for, kind and rude remarks, asides, opinions."""

from __future__ import annotations

from minillm.data.questions import Halves

__all__ = ["ASIDES", "BAD", "GOOD", "KIND_ENDINGS", "KIND_OFFERS", "RUDE", "SYSTEM"]

# What the system may ask for, by style of the answer.
SYSTEM = {
    "curt": Halves(
        ("Be brief.", "Answer in few words.", "Keep it short."), ("Be brief, please.", "Use few words.")
    ),
    "full": Halves(
        ("Answer in a full sentence.", "Use full sentences."), ("Please answer in full sentences.",)
    ),
    "kind": Halves(("Be kind.", "Be kind and helpful."), ("Be kind, please.", "Please be helpful and kind.")),
}
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
