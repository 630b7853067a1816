"""How well a step of cleaning has chosen, by the truth that the small dirty web knows about each of its pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from minillm.data.web import Page

__all__ = ["StepTruth", "judge_copies", "judge_step", "still_told"]

GOOD = ("article", "copy")  # a copy is no bad text; there is only one too many of it


@dataclass(frozen=True)
class StepTruth:
    """What a step did.

    Attributes:
        left: pages after it.
        removed: pages by kind that it removed.
        right: pages that it removed rightly.
        meant: pages that were there before, and that this step is meant to remove.
        caught: how many of these it removed.
    """

    left: int
    removed: dict[str, int]
    right: int
    meant: int
    caught: int

    @property
    def precision(self) -> float | None:
        """The share of what it removed that deserved it; None if it removed nothing."""
        n = sum(self.removed.values())
        return self.right / n if n else None

    @property
    def recall(self) -> float | None:
        """The share of what it was meant to remove that it removed; None if there was nothing."""
        return self.caught / self.meant if self.meant else None


def judge_step(
    pages: Iterable[Page], before: Collection[str], after: Collection[str], meant: Collection[str]
) -> StepTruth:
    """Judge a step that removes bad pages.

    Args:
        pages: of the web.
        before, after: addresses of the pages that were there before it, and of those that were left.
        meant: the kinds of page that it is meant to remove. To remove another bad page is right too.
    """
    there = [page for page in pages if page.url in before]
    removed = [page for page in there if page.url not in after]
    targets = [page for page in there if page.kind in meant]
    return StepTruth(
        left=len(after),
        removed=dict(Counter(page.kind for page in removed)),
        right=sum(page.kind not in GOOD for page in removed),
        meant=len(targets),
        caught=sum(page.url not in after for page in targets),
    )


def judge_copies(pages: Iterable[Page], before: Collection[str], after: Collection[str]) -> StepTruth:
    """Judge a step that should leave one page of each article, whichever, and remove nothing else."""
    there = [page for page in pages if page.url in before]
    removed = [page for page in there if page.url not in after]
    sizes = Counter(page.article for page in there if page.article >= 0)
    gone = Counter(page.article for page in removed if page.article >= 0)
    caught = sum(min(gone[article], size - 1) for article, size in sizes.items())
    return StepTruth(
        left=len(after),
        removed=dict(Counter(page.kind for page in removed)),
        right=caught,
        meant=sum(size - 1 for size in sizes.values()),
        caught=caught,
    )


def still_told(pages: Iterable[Page], texts: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """How many addresses and how many telephone numbers of people the texts still hold, and of how many.

    Args:
        pages: of the web.
        texts: by address of the page.
    """
    found = {"addresses": [0, 0], "numbers": [0, 0]}
    for page in pages:
        if page.url in texts:
            for what, said in zip(found, page.personal, strict=False):
                found[what][0] += said in texts[page.url]
                found[what][1] += 1
    return {what: (left, of) for what, (left, of) in found.items()}
