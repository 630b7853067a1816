"""What people type first to a small chat model on a web page, by kind, and what it answers.

Each kind has wordings for training and others for the test. Some kinds have none for training: they measure what a
model makes of what it was never prepared for, and the right answer to them is that it only knows the village.
"""

from __future__ import annotations

from dataclasses import dataclass

from minillm.data.questions import Halves
from minillm.data.unheard import messages_of

__all__ = ["BEYOND", "Visit", "halves"]

# How it says that something is beyond it; {hero} is somebody to ask about.
BEYOND = (
    "I only know Pennywell and its people. Ask me about {hero} the {hero.job}!",
    "I only know Pennywell and its people. Ask me where {hero} lives!",
    "That is too big for me. I only know Pennywell and its people.",
)


@dataclass(frozen=True)
class Visit:
    """One kind of message.

    Attributes:
        messages: for training and for the test, as templates; the slots are those of `minillm.data.outside.OUTSIDE`
            and of a scene. No messages for training: the kind is held out.
        full: the answers, as templates.
        short: the answer in few words.
        key: what every one of the answers contains.
        weight: how often the kind comes up in training, in parts of the sum.
    """

    messages: Halves[str]
    full: tuple[str, ...] = BEYOND
    short: str = "I only know Pennywell."
    key: str = "only know Pennywell"
    weight: int = 4

    @property
    def is_held_out(self) -> bool:
        """Whether it has no messages for training."""
        return not self.messages.train


def halves(train: str, test: str) -> Halves[str]:
    """The messages of a kind for training and for the test, as `messages_of` reads them."""
    return Halves(messages_of(train), messages_of(test))
