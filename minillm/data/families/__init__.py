"""The families of tasks, one file each: how their tasks are written, and how their answers are marked.

A family is made by a subclass of :class:`Family` and a line here. The order decides the draws: new ones come last.
"""

from __future__ import annotations

from minillm.data.families.arithmetic import Arithmetic
from minillm.data.families.base import Family
from minillm.data.families.drawing import pools
from minillm.data.families.greeting import Greeting
from minillm.data.families.help_desk import Complaint, Hours, NumberGiven, Order, Thanks, Unknown
from minillm.data.families.letters import Letter
from minillm.data.families.reading import Passages
from minillm.data.families.refusal import Refusal
from minillm.data.families.same import Same
from minillm.data.families.sentiment import Sentiment
from minillm.data.families.story import Story
from minillm.data.families.strangers import Strangers
from minillm.data.families.untold import Untold
from minillm.data.families.village import Village
from minillm.data.families.visitors import Visitors
from minillm.data.families.world import WideWorld

__all__ = ["DOMAINS", "FAMILIES", "USUAL", "Family", "every_family", "pools"]


def _named(*families: Family) -> dict[str, Family]:
    return {family.name: family for family in families}


FAMILIES = _named(
    Village(),
    WideWorld(),
    Passages(),
    Story(),
    Sentiment(),
    Same(),
    Arithmetic(),
    Strangers(),
    Refusal(),
    Greeting(),
    Untold(),
    Visitors(),
)

# What specialists are made for: families that are written only where they are named.
DOMAINS = {
    "help desk": _named(Complaint(), Order(), NumberGiven(), Hours(), Unknown(), Thanks()),
    "letters": _named(*map(Letter, FAMILIES.values())),
}

USUAL = Family()  # marks answers in the usual way, for tasks of no family known here


def every_family() -> dict[str, Family]:
    """All families by name, those of the domains last."""
    return FAMILIES | {name: family for domain in DOMAINS.values() for name, family in domain.items()}
