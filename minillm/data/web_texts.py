"""What stands on the bad pages of the small dirty web, and what becomes of a good text that is copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from minillm.data import village
from minillm.data.grammar import Draws

__all__ = [
    "adverts",
    "changed_copy",
    "foreign",
    "gibberish",
    "log_lines",
    "personal_data",
    "shuffled",
    "spam",
]

Item = TypeVar("Item")


def shuffled(draws: Draws, items: Sequence[Item]) -> list[Item]:
    """The items in a random order (Fisher and Yates)."""
    mixed = list(items)
    for last in range(len(mixed) - 1, 0, -1):
        other = draws.choose(range(last + 1))
        mixed[last], mixed[other] = mixed[other], mixed[last]
    return mixed


# Sentences of other languages: who, does, what, where.
_LANGUAGES = {
    "German": (
        "Die Müllerin|Der alte Bäcker|Unser Nachbar|Das Kind|Meine Schwester|Ein Fischer",
        "sucht|findet|verkauft|repariert|zeigt|vergisst",
        "einen roten Drachen|die goldene Glocke|das lange Seil|eine Laterne|den kaputten Wagen|viele Bücher",
        "auf dem Markt|hinter der Mühle|am See|unter der Brücke|neben dem Brunnen|im alten Turm",
    ),
    "French": (
        "La boulangère|Le vieux meunier|Notre voisin|Mon frère|La petite fille|Un pêcheur",
        "cherche|trouve|vend|répare|montre|oublie",
        "un chapeau rouge|la cloche dorée|une longue corde|le miroir cassé|sa lanterne|beaucoup de livres",
        "sur la place|derrière le moulin|au bord du lac|sous le pont|près de la fontaine|dans la vieille tour",
    ),
    "Spanish": (
        "La panadera|El viejo molinero|Nuestro vecino|Mi hermano|La niña|Un pescador",
        "busca|encuentra|vende|repara|enseña|olvida",
        "una cometa roja|la campana dorada|una cuerda larga|el espejo roto|su farol|muchos libros",
        "en el mercado|detrás del molino|cerca del lago|debajo del puente|junto a la fuente|en la torre vieja",
    ),
    "Chinese": (
        "面包师|老磨坊主|我们的邻居|我的妹妹|小女孩|渔夫",
        "在找|找到了|卖掉了|修好了|忘记了|带来了",
        "一只红风筝|金色的钟|一条长绳子|破镜子|她的灯笼|很多书",
        "在市场上|在磨坊后面|在湖边|在桥下|在喷泉旁边|在旧塔里",
    ),
}


def foreign(draws: Draws) -> str:
    """Some sentences in one of four other languages."""
    language = draws.choose(tuple(_LANGUAGES))
    parts = [part.split("|") for part in _LANGUAGES[language]]
    sentences = range(draws.choose(range(6, 12)))
    if language == "Chinese":  # the place comes before what is done, and there are no spaces
        who, does, what, where = parts
        order = (who, where, does, what)
        return "".join("".join(draws.choose(part) for part in order) + "。" for _ in sentences)
    return " ".join(" ".join(draws.choose(part) for part in parts) + "." for _ in sentences)


def gibberish(draws: Draws) -> str:
    """Letters at random, in groups like words."""
    return " ".join(_letters(draws) for _ in range(draws.choose(range(40, 80)))) + "."


def log_lines(draws: Draws) -> str:
    """What a server notes about its visitors."""
    return "\n".join(_log_line(draws) for _ in range(draws.choose(range(8, 20))))


def changed_copy(text: str, draws: Draws) -> str:
    """What somebody made of an article who took it over."""
    sentences = text.split(". ")
    change = draws.choose(("nothing", "name", "shorter", "longer"))
    if change == "name":
        names = [str(person) for person in village.PEOPLE]
        found = [name for name in (w.strip(".,:?!\"'") for w in text.split()) if name in names]
        return text.replace(found[0], draws.choose(names)) if found else text
    if change == "shorter" and len(sentences) > 4:
        return ". ".join(sentences[:-1]) + "."
    if change == "longer":
        return f"{text}\n{draws.choose(_ADDED)}"
    return text


_ADDED = (
    "First told in the Pennywell Post, and told here again with many thanks.",
    "Did you like this? Then tell it to all your friends in the village.",
    "This page was last changed on a rainy Tuesday by the keeper of this mirror.",
)


def personal_data(draws: Draws) -> tuple[str, str]:
    """An invented address and an invented telephone number."""
    name = f"{draws.choose(village.PEOPLE)}.{draws.choose(village.THINGS)}".lower()
    number = " ".join(f"{draws.choose(range(100)):02d}" for _ in range(3))
    return f"{name}@mail.example.org", f"0555 {number}"


def spam(draws: Draws) -> str:
    """A page that wants to sell one thing, and says so many times."""
    thing = draws.choose(village.THINGS)
    offers = (
        f"Buy a cheap {thing} online now.",
        f"The best {thing} deals of the year.",
        f"A cheap {thing}, a cheap {thing}, a cheap {thing}!",
        f"Our {thing} is the best {thing} of all.",
        f"Order your {thing} today and pay for half a {thing}.",
    )
    return " ".join(draws.choose(offers) for _ in range(draws.choose(range(6, 16))))


def adverts(draws: Draws) -> str:
    """Short lines that want to sell something."""
    lines = [f"{draws.choose(_OFFERS)} {thing}" for thing in village.THINGS] + list(_CALLS)
    return "\n".join(shuffled(draws, lines)[: draws.choose(range(12, 25))])


_OFFERS = (
    "Now for you: the",
    "Only today, a",
    "You need this",
    "The best of all, our",
    "Half off for a",
    "Back again! The",
    "Last chance for the",
    "She has it too: the",
    "All new, a",
    "From the tower, a",
    "Look at this",
    "Two for one:",
)
_CALLS = ("See all of it", "Order it now", "Add it to the basket", "Be the first to have it", "What is new")


def _letters(draws: Draws) -> str:
    return "".join(draws.choose("abcdefghijklmnopqrstuvwxyz") for _ in range(draws.choose(range(2, 12))))


def _log_line(draws: Draws) -> str:
    day, hour, minute = draws.choose(range(10, 30)), draws.choose(range(10, 24)), draws.choose(range(10, 60))
    what, status, size = (
        draws.choose(village.THINGS),
        draws.choose((200, 301, 404)),
        draws.choose(range(9_999)),
    )
    visitor = f"a robot at {day}.{hour}.{minute}.7"
    return f"2031-04-{day} {hour}:{minute} GET /{what}/{size} {status} {size * 7} 0 1 to {visitor}"
