"""A small example of one's own data: texts, conversations, preferences and a domain: the harbour of Sandwick.

The sentences are written by hand and combined at random. It is little text on purpose: enough to see every format and
to train every stage in two minutes, and not enough for a good model.
"""

from __future__ import annotations

import json
import random
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from minillm.files import write_atomic

__all__ = ["example_files", "write_example"]


@dataclass(frozen=True)
class _Boat:
    name: str
    skipper: str
    colour: str
    cargo: str
    port: str
    day: str


_BOATS = tuple(
    _Boat(*line.split(", "))
    for line in """\
Merle, Ines, red, salt, Orme, Monday
Pilgrim, Tom, white, apples, Lunby, Tuesday
Sea Owl, Marta, green, timber, Karsk, Wednesday
Tern, Jonas, blue, letters, Orme, Thursday
Old Kate, Rufus, black, coal, Dunmouth, Friday
Heron, Lotte, grey, wool, Lunby, Saturday
Sparrow, Bea, yellow, bread, Karsk, Sunday
Anchor Rose, Piet, pink, flowers, Dunmouth, Monday
North Star, Hilda, silver, herring, Orme, Friday
Little Fox, Sam, orange, honey, Lunby, Thursday""".splitlines()
)

_PORTRAITS = (
    "The {name} is a {colour} boat. Her skipper is {skipper}. She carries {cargo} and comes from {port}. "
    "She comes to Sandwick every {day}.",
    "Every {day} the {name} comes into the harbour of Sandwick. She is {colour}, and {skipper} stands at the wheel. "
    "The {name} brings {cargo} from {port}.",
    "{skipper} is the skipper of the {name}. The boat is {colour}. On {day} {skipper} sails from {port} to Sandwick "
    "with {cargo} on board.",
)
_ARRIVALS = (
    "On {day} the {colour} {name} came in from {port}.",
    "{skipper} brought the {name} to the pier on {day}.",
    "The {name} came from {port} with {cargo}.",
    "It was {day}, so the {name} was here with {cargo}.",
)
_EVENTS = (
    "The crane lifted the {cargo} onto the pier.",
    "{skipper} drank tea with the harbour master.",
    "A gull sat on the mast of the {name} and would not leave.",
    "{skipper} washed the deck of the {colour} boat.",
    "The children of Sandwick waved to {skipper}.",
    "Two carts took the {cargo} to the market.",
    "In the evening the {name} sailed back to {port}.",
)
_WEATHER = (
    "The sea was calm and the sky was clear.",
    "It rained all morning, and the wind was strong.",
    "Fog lay over the harbour, and the bell rang every hour.",
    "The tide was low, and the boats had to wait.",
)
_QUESTIONS = {  # what is asked -> (questions, the answer)
    "skipper": (
        (
            "Who is the skipper of the {name}?",
            "Who sails the {name}?",
            "Who stands at the wheel of the {name}?",
        ),
        "{skipper} is the skipper of the {name}.",
    ),
    "colour": (
        ("What colour is the {name}?", "Which colour does the {name} have?", "Is the {name} red or blue?"),
        "The {name} is {colour}.",
    ),
    "cargo": (
        ("What does the {name} carry?", "What does the {name} bring?", "What is on board of the {name}?"),
        "The {name} carries {cargo}.",
    ),
    "port": (
        (
            "Where does the {name} come from?",
            "From which port is the {name}?",
            "Where is the {name} at home?",
        ),
        "The {name} comes from {port}.",
    ),
    "day": (
        ("When does the {name} come?", "On which day does the {name} come in?", "When is the {name} here?"),
        "The {name} comes every {day}.",
    ),
}
_SMALL_TALK = (
    ("Hello!", "Hello! Ask me about the boats of Sandwick."),
    ("Good morning.", "Good morning! Ask me about the boats of Sandwick."),
    ("Who are you?", "I am the helper of the harbour of Sandwick."),
    ("Thank you.", "You are welcome."),
    ("Which town is this?", "This is the harbour of Sandwick."),
    ("Who is the skipper of the Dolphin?", "I do not know the Dolphin. She does not come to Sandwick."),
    ("When does the Comet come?", "I do not know the Comet. She does not come to Sandwick."),
)
_RADIO = (  # calls over the radio, and what the harbour answers: a domain of its own
    ("Sandwick, this is the {name}.", "{name}, this is Sandwick. Good to hear you, {skipper}. Over."),
    ("Sandwick, the {name} wants to come in.", "{name}, come in. We are ready for your {cargo}. Over."),
    ("Sandwick, the {name} is late.", "{name}, we wait for you. Your {cargo} can come later. Over."),
    ("Sandwick, the {name} sails home.", "{name}, have a good journey to {port}. Over and out."),
)
_UNHELPFUL = ("Look it up.", "Boats are boats.", "I have no time for that.", "Why do you ask me?")
_LOG_PAGES = 30


def example_files(seed: int = 0) -> dict[str, str]:
    """The files of the example: their names, with folders, and what is in them.

    Args:
        seed: decides how the sentences are combined.
    """
    rng = random.Random(seed)
    files = {f"corpus/{name}.txt": text for name, text in _texts(rng).items()}
    return files | {
        "conversations.jsonl": _lines(_conversations(rng)),
        "preferences.jsonl": _lines(_preferences(rng)),
        "radio.jsonl": _lines(_radio(rng)),
    }


def write_example(folder: str | Path) -> dict[Path, str]:
    """Write the example into a folder.

    Returns:
        what was written: each path with a description.
    Raises:
        ValueError: the folder is there and holds something; nothing is overwritten.
        OSError: see `minillm.files.write_atomic`.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"{folder} is there already, and nothing is overwritten; name a folder that is not there"
        )
    files = example_files()
    for name, content in files.items():
        write_atomic(folder / name, content)
    texts = [content for name, content in files.items() if name.startswith("corpus/")]
    return {
        folder / "corpus": f"{len(texts)} texts, {sum(len(text.split()) for text in texts):,} words",
        folder / "conversations.jsonl": f"{files['conversations.jsonl'].count(chr(10))} conversations",
        folder
        / "preferences.jsonl": f"{files['preferences.jsonl'].count(chr(10))} comparisons of two answers",
        folder / "radio.jsonl": f"{files['radio.jsonl'].count(chr(10))} conversations for a specialist",
    }


def _texts(rng: random.Random) -> dict[str, str]:
    """Portraits of the boats, and pages of the harbour's log; a page is about three boats."""
    texts = {}
    for boat in _BOATS:
        portraits = [_filled(portrait, boat) for portrait in _PORTRAITS]
        texts[f"boat-{boat.name.lower().replace(' ', '-')}"] = "\n\n".join(portraits) + "\n"
    for number in range(1, _LOG_PAGES + 1):
        sentences = [rng.choice(_WEATHER)]
        for boat in rng.sample(_BOATS, 3):
            sentences += [_filled(rng.choice(_ARRIVALS), boat)]
            sentences += [_filled(event, boat) for event in rng.sample(_EVENTS, 2)]
        texts[f"log-{number:02d}"] = "\n".join(sentences) + "\n"
    return texts


def _conversations(rng: random.Random) -> list[dict[str, Any]]:
    pairs = [
        (_filled(question, boat), _filled(answer, boat))
        for boat in _BOATS
        for questions, answer in _QUESTIONS.values()
        for question in questions
    ]
    pairs += _SMALL_TALK * 2
    return _shuffled(pairs, rng)


def _radio(rng: random.Random) -> list[dict[str, Any]]:
    return _shuffled([(_filled(call, b), _filled(answer, b)) for b in _BOATS for call, answer in _RADIO], rng)


def _shuffled(pairs: list[tuple[str, str]], rng: random.Random) -> list[dict[str, Any]]:
    """Conversations of a question and an answer each, in random order."""
    rng.shuffle(pairs)
    return [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        for question, answer in pairs
    ]


def _preferences(rng: random.Random) -> list[dict[str, Any]]:
    """The right answer before an unhelpful one or before the answer for another boat."""
    rows = []
    for boat in _BOATS:
        for questions, answer in _QUESTIONS.values():
            for question in questions[:2]:
                wrong = _filled(answer, _mistaken(boat, rng))
                rejected = rng.choice((wrong, rng.choice(_UNHELPFUL)))
                rows.append(
                    {"prompt": _filled(question, boat), "chosen": _filled(answer, boat), "rejected": rejected}
                )
    rng.shuffle(rows)
    return rows


def _mistaken(boat: _Boat, rng: random.Random) -> _Boat:
    """A boat of that name that is wrong in all else."""
    columns = zip(*map(astuple, _BOATS), strict=True)
    own = astuple(boat)
    wrong = [rng.choice([value for value in column if value != own[i]]) for i, column in enumerate(columns)]
    return _Boat(boat.name, *wrong[1:])


def _filled(template: str, boat: _Boat) -> str:
    return template.format_map(vars(boat)).replace(" a orange", " an orange")


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
