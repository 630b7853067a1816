"""The gold judge: a programmatic score of an answer to a task, in named parts. It plays the human annotator.

The rubric, each part from 0 to 1:

======== ====== ================================================================================================
part     weight what is asked
======== ====== ================================================================================================
correct  0.40   it says what a right answer must say, of whom or what was asked, and no rival answer; of a story,
                the share of what was asked for, less when it is hardly a story; of a sum, the last number that is
                called the result counts; a refusal that names the wrong victim has half of it
follows  0.10   it has the form that was asked for: a story for a story, the style that the system wanted
honest   0.05   nothing is asserted of people who do not exist; of a sum, the share of its steps that hold
kind     0.20   1 with a friendly word, 0.5 without, 0 where it is rude
complete 0.10   a whole sentence that comes to an end; half for a fragment
varied   0.10   1 where every sentence belongs to the matter and is said once, 0 where every second one does not
length   0.05   neither too short nor too long for what was asked
======== ====== ================================================================================================

What is no answer at all keeps a tenth of the sum: nothing, the prompt or a passage repeated, a heap of words, a loop, a
text without end, an answer that says one thing and its rival, or many at once. Good marks in the other parts cannot
make up for it.

An answer has two scores:

- `score` is the annotators' taste: the sum of the parts, times that tenth for what is no answer. It has a flaw, as the
  taste of people has: the parts are added up, so that a friendly, well-formed answer which is wrong still gets about a
  half. Annotators rank by it, so this is what a reward model learns, flaw included.
- `gold` is the yardstick for evaluation: `correct` times what the score would be if the answer were right. A wrong
  answer is worth nothing however kind it is, a right one that is not friendly about 0.9.

What the answer asks does not count as said, nor does what it denies ("not Rome, but Lima"), takes back ("They are
wrong.") or says of another ("The postwoman is Yara", asked about the shoemaker). A rival answer in a true remark about
something else ("Yara. Tara is the weaver.") is no contradiction: the judge knows the village, the wide world and the
passage. A few other ways to say the same are known ("I have never heard of her", "It was a pleasure").

The judge labels and evaluates; no optimizer ever sees it, but for :func:`verify` in the stage that learns from what a
program can check. It knows the micro-world's tasks only: it looks for words, and does not understand. What it cannot
see: grammar, wit, whether a story makes sense, whether a correct answer is followed by an untrue remark about something
else, the right word in another part of a sentence ("Ask Yara, she knows who the shoemaker is"), the right answer in
words that it does not know, whether the reason given for a right answer is a good one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minillm.data.families import USUAL, Family, every_family
from minillm.data.families.base import USUAL_LENGTHS
from minillm.data.phrases import KIND_ENDINGS, KIND_OFFERS, RUDE
from minillm.data.task_types import Task
from minillm.data.wording import FRIENDLY, GLUE, RUDENESS, VERBS, Reading, says, words_of

__all__ = ["WEIGHTS", "Judge", "Verdict", "noisy_ranking", "verify"]

WEIGHTS = {
    "correct": 0.40,
    "follows": 0.10,
    "honest": 0.05,
    "kind": 0.20,
    "complete": 0.10,
    "varied": 0.10,
    "length": 0.05,
}
NO_ANSWER_SHARE = 0.1  # of the sum of the parts is left for what is no answer

_BRIEF, _BRIEF_EXTRA = 5, 2  # words that a brief answer may have, and those beside what it must contain
_ENDLESS = 5  # times the most words of a good answer
_LOOP_WORDS, _LOOP_SHARE = 5, 0.25  # of so many words, so few are different ones
_RECITED_WORDS = 4  # of a sentence of the user that is recited; a greeting is shorter
_LONG_ENOUGH = 6  # words of which a sentence can be made without a verb that the judge knows


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one answer.

    Attributes:
        parts: the mark of each part of the rubric, 0 to 1.
        fault: why it is no answer at all ("empty", "parrot", "heap", "loop", "endless", "contradiction"), else "".
    """

    parts: dict[str, float]
    fault: str = ""

    @property
    def factor(self) -> float:
        """What the sum of the parts is multiplied by: 1, or a tenth for what is no answer."""
        return NO_ANSWER_SHARE if self.fault else 1.0

    @property
    def products(self) -> dict[str, float]:
        """Each part's mark times its weight: what it adds to the sum (0 to its weight)."""
        return {name: WEIGHTS[name] * mark for name, mark in self.parts.items()}

    @property
    def score(self) -> float:
        """The annotators' taste: the weighted sum of the parts, times the factor (0 to 1)."""
        return sum(self.products.values()) * self.factor

    @property
    def gold(self) -> float:
        """The yardstick: the mark for being right, times what the score would be if all were right (0 to 1)."""
        others = sum(product for name, product in self.products.items() if name != "correct")
        return self.parts["correct"] * (WEIGHTS["correct"] + others) * self.factor

    @property
    def is_correct(self) -> bool:
        """Whether the task is done: everything asked for is there, and it is an answer."""
        return self.parts["correct"] == 1.0 and not self.fault

    def table(self) -> str:
        """Marks, weights and products of all parts in columns, then their sum, the factor and the two scores.

        >>> print(Verdict(dict.fromkeys(WEIGHTS, 1.0) | {"kind": 0.5}, "loop").table())
        part       mark  weight  product
        correct    1.00    0.40     0.40
        follows    1.00    0.10     0.10
        honest     1.00    0.05     0.05
        kind       0.50    0.20     0.10
        complete   1.00    0.10     0.10
        varied     1.00    0.10     0.10
        length     1.00    0.05     0.05
        sum                         0.90
        factor                    x 0.10  (loop)
        score                       0.09
        gold                        0.09
        """
        lines = [f"{'part':8} {'mark':>6} {'weight':>7} {'product':>8}"]
        for name, product in self.products.items():
            lines.append(f"{name:8} {self.parts[name]:6.2f} {WEIGHTS[name]:7.2f} {product:8.2f}")
        factor = f"x {self.factor:.2f}" + (f"  ({self.fault})" if self.fault else "")
        return "\n".join(
            [
                *lines,
                f"{'sum':8} {sum(self.products.values()):23.2f}",
                f"{'factor':8} {'':17}{factor}",
                f"{'score':8} {self.score:23.2f}",
                f"{'gold':8} {self.gold:23.2f}",
            ]
        )


class Judge:
    """Scores answers to tasks; see the module's rubric.

    What is particular to a family (when a sum is right, what makes a story), the family says itself:
    :class:`~minillm.data.families.base.Family`. A task of a family that is not registered is judged in the usual way.

    >>> from minillm.data.tasks import Task
    >>> task = Task("world", (("user", "What is the capital of Peru?"),), "Lima.", ("Lima",), ("Rome", "Paris"))
    >>> [round(Judge()(task, answer).score, 2) for answer in ("The capital of Peru is Lima.", "Rome.", "")]
    [0.9, 0.42, 0.0]
    """

    def __call__(self, task: Task, answer: str, *, ended: bool = True) -> Verdict:
        """Judge one answer.

        Args:
            task: what was asked.
            answer: the text of the answer.
            ended: whether the model ended it; False where it was cut off.
        """
        family = every_family().get(task.family, USUAL)
        reading = family.read(task, answer)
        if not reading.words:
            return Verdict(dict.fromkeys(WEIGHTS, 0.0), "empty")
        fewest, most = _lengths(family, task)
        n_words = len(reading.words)
        parts = {
            "correct": family.correct(reading),
            "follows": _follows(family, reading, most),
            "honest": family.honest(reading),
            "kind": _kind(family, reading),
            "complete": _complete(reading, ended),
            "varied": _varied(family, reading),
            "length": min(1.0, n_words / fewest, most / n_words),
        }
        return Verdict(parts, _fault(family, reading, most))


# -- the parts of the rubric ------------------------------------------------------------------------------------------


def _lengths(family: Family, task: Task) -> tuple[int, int]:
    """The fewest and the most words of a good answer."""
    if task.wanted == "curt":
        return 1, sum(len(words_of(key)) for key in task.keys) + _BRIEF_EXTRA
    return family.lengths


def _follows(family: Family, reading: Reading, most: int) -> float:
    form, wanted = family.form(reading), reading.task.wanted
    if form is not None:
        return form
    if wanted == "curt":
        return float(len(reading.words) <= max(_BRIEF, most))
    if wanted == "full":
        return float(_is_whole(reading))
    if wanted == "kind":
        return float(_kind(family, reading) == 1.0)
    return 1.0


def _kind(family: Family, reading: Reading) -> float:
    lower = reading.answer.lower()
    if RUDENESS.search(family.addressed(reading).lower()) or any(remark.lower() in lower for remark in RUDE):
        return 0.0
    endings = (*KIND_ENDINGS, *KIND_OFFERS)
    return 1.0 if FRIENDLY.search(lower) or any(ending.lower() in lower for ending in endings) else 0.5


def _is_whole(reading: Reading) -> bool:
    """Whether the answer has a whole sentence: one with a verb, or a long one; a greeting is whole as it is."""
    keys = {key.lower() for key in reading.task.keys}  # such as a saw, which is no verb
    whole = (
        len(words) >= _LONG_ENOUGH or (len(words) > 1 and VERBS & (set(words) - keys))
        for words in map(words_of, reading.own)
    )
    return any(whole) or any(says(reading.answer, greeting) for greeting in ("hello", "goodbye"))


def _complete(reading: Reading, ended: bool) -> float:
    """1 for sentences that end, 0.5 for a fragment, 0 for what is cut off."""
    text = reading.answer.rstrip("\"'")
    if not ended or text[-1:] not in (".", "!", "?"):
        return 0.0
    begins = reading.answer.lstrip("\"'")[:1].isupper()
    return 1.0 if begins and (_is_whole(reading) or reading.task.wanted == "curt") else 0.5


def _varied(family: Family, reading: Reading) -> float:
    """1 less twice the share of sentences that are said again, are a second kind ending, or beside the matter."""
    seen: set[str] = set()
    superfluous, endings = 0, 0
    for sentence in reading.sentences:
        plain = " ".join(words_of(sentence))
        endings += sentence in KIND_ENDINGS
        again = plain in seen or (sentence in KIND_ENDINGS and endings > 1)
        beside = not family.may_wander and reading.is_beside_the_matter(sentence)
        superfluous += again or (beside and len(reading.sentences) > 1)
        seen.add(plain)
    return max(0.0, 1.0 - 2.0 * superfluous / len(reading.sentences))


# -- no answer at all -------------------------------------------------------------------------------------------------


def _fault(family: Family, reading: Reading, most: int) -> str:
    """Why a text with words in it is no answer, or ""."""
    words = reading.words
    if len(words) > _ENDLESS * max(most, USUAL_LENGTHS[1]):
        return "endless"
    if len(words) >= _LOOP_WORDS and len(set(words)) <= _LOOP_SHARE * len(words):
        return "loop"
    asked = [words_of(part) for asked in reading.asked for part in (asked, asked.rpartition(":")[2])]
    if all(words_of(sentence) in asked for sentence in reading.own):
        recited = {sentence for sentence in reading.own if len(words_of(sentence)) >= _RECITED_WORDS}
        if len(recited) > 1 or any(map(reading.repeats_request, reading.sentences)):
            return "parrot"
        if not reading.own:
            return "empty"
    if _is_heap(reading):
        return "heap"
    return "contradiction" if family.contradicts_itself(reading) else ""


def _is_heap(reading: Reading) -> bool:
    """Whether the answer is words without sentences."""
    letters = [letter for letter in reading.answer if letter.isalpha()]
    if 2 * sum(letter.isascii() for letter in letters) < len(letters):
        return True
    wanted = {phrase.lower() for phrase in (*reading.task.keys, *reading.task.rivals)} - {"yes", "no"}
    words = words_of(" ".join(reading.own))
    glue = sum(word in GLUE and word not in wanted for word in words)
    return len(words) > 3 and glue < 0.2 * len(words)


def verify(task: Task, answer: str) -> bool:
    """Whether an answer is right, by the marking of its family: what a program can reward.

    This is stricter than `Verdict.is_correct`: who says another candidate (`Family.candidates`), even in a true remark
    about something else, is not verified. Otherwise it would pay to recite all that one knows, or the whole passage.

    Args:
        task: of one of the families that are `verifiable`.
        answer: the text of the answer.
    Raises:
        ValueError: the task is of a family whose right answers leave room for taste.

    >>> task = Task("world", (("user", "What is the capital of Peru?"),), "Lima.", ("Lima",), ("Rome", "Paris"))
    >>> verify(task, "It is Lima."), verify(task, "It is Rome.")
    (True, False)
    """
    families = every_family()
    family = families.get(task.family, USUAL)
    if not family.verifiable:
        verifiable = ", ".join(name for name, family in families.items() if family.verifiable)
        raise ValueError(
            f"family={task.family!r} cannot be verified by a program; take tasks of {verifiable}"
        )
    return Judge()(task, answer).is_correct and not family.candidates(family.read(task, answer))


def noisy_ranking(scores: Sequence[float], generator: torch.Generator, noise: float = 0.1) -> list[int]:
    """Rank answers as an annotator would who agrees with the scores most of the time.

    Each score, divided by `noise`, gets a draw from the Gumbel distribution, and the sums are sorted. Of any two
    answers i is then ranked above j with probability sigmoid((score_i - score_j) / noise), which is the model of
    Bradley and Terry; of all of them, that of Plackett and Luce.

    Args:
        scores: of the judge, one for each answer.
        generator: decides the noise.
        noise: the difference of scores at which the better answer wins with probability 0.73; 0: no noise.
    Returns:
        the numbers of the answers, best first; equal scores without noise keep their order.
    Raises:
        ValueError: `noise` is negative.
    Reference: Bradley and Terry 1952, "Rank analysis of incomplete block designs".
    """
    if noise < 0:
        raise ValueError(f"noise={noise} is not allowed; use 0 (none) or a positive number")
    values = torch.tensor(list(scores), dtype=torch.float64)
    if noise:
        uniform = torch.rand(len(values), generator=generator, dtype=torch.float64)
        values = values / noise - torch.log(-torch.log(uniform))
    return torch.sort(values, descending=True, stable=True).indices.tolist()
