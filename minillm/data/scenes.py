"""The documents that make up their own facts: stories, questions about a passage, letters, talk, notices, sums.

Each function writes one kind of document from a :class:`~minillm.data.grammar.Scene`.
"""

from __future__ import annotations

from minillm.data.grammar import Scene
from minillm.data.stories import CLOSINGS, OPENINGS, PLOTS, TITLES
from minillm.data.village import DAYS, NUMBERS

__all__ = [
    "diary",
    "letter",
    "notice",
    "rhyme",
    "riddle",
    "story",
    "sums",
    "talk",
    "titled_story",
]


def story(scene: Scene) -> str:
    """A story without a title; what it contains is drawn as it is told."""
    return _plot(scene)


def titled_story(scene: Scene) -> str:
    """A title or a list of what must come up, then a story that keeps the promise."""
    return f"{scene.say(TITLES)}\n{_plot(scene)}"


def _plot(scene: Scene) -> str:
    beats = PLOTS[scene.draws.choose(tuple(PLOTS))]
    return scene.tell((OPENINGS, *beats, CLOSINGS))


# -- letters, talk, notices ----------------------------------------------------------------------------------------

LETTERS = (
    (
        "I cannot find my {adj} {thing}. [Did I leave it|Have you seen it|Did {animal.a} eat it] at the {place}? // lost hero thing",
        "[Do not worry|Dry your tears]. Your {thing} was at the {place}, {spot}, full of {drink}. "
        "Come and get it. // has friend thing",
    ),
    (
        "Thank you for the {adj} {thing}. I use it {manner}, [every day|to eat {food}|as a hat|in the bath]. // has hero thing",
        "I am {glad} that you like the {thing}. I thought it was [ugly|magic|broken|too {adj2}|a cake]. // feels friend glad",
    ),
    (
        "Will you come to the {place} on {day}? There will be {food} for {number} {crowd}. Please bring your {adj} {thing}.",
        "I will come to the {place} on {day}, and I will bring the {thing}. I love {food}, but why {number} {crowd}? // brings friend thing",
    ),
    (
        "I am {low} today. It is {weather}, and {animal.a} ate my {adj} {thing} {manner}. // feels hero low",
        "A {animal.look} {animal} ate your {thing}? Poor you. I will bring {food} and {drink}, and we will [laugh|sing|weep|dance] together.",
    ),
    (
        "I am on a journey and have reached the {place}. [Everyone here eats|They eat only|I dream of] {food}. I travel with {number} {crowd} and {animal.a}.",
        "I am {glad} that you are at the {place}. Bring me some {food} and, if you can, {adj.a} {thing}, but do not bring the {crowd}. // feels friend glad",
    ),
    (
        "I am sorry that I called you {animal.a}. I was {low}, and it was {hour}. Please take my {adj} {thing}. // has friend thing",
        "You called me {animal.a}, but I forgive you. The {thing} is [lovely|very {adj2}|on my wall|{spot}]. Are you still {low}?",
    ),
)


def letter(scene: Scene) -> str:
    """A letter and the answer to it, which takes up what the letter said."""
    question, answer = scene.draws.choose(LETTERS)
    lines = (
        "Dear {friend},",
        question,
        "[Your friend|With love|Yours], {hero}",
        "Dear {hero},",
        answer,
        "[Your friend|With love|Yours], {friend}",
    )
    return scene.tell(lines, between="\n")


TALKS = (
    (
        '"Good [morning|evening|day], {friend}," said {hero} {manner}. "Where are you going?"',
        '"To the {place}, with my {adj} {thing}," said {friend} {manner}. // at friend place',
        '"What will you do at the {place} with {adj.a} {thing}?" asked {hero}.',
        '"[Nothing|You will see|Wait for {animal.a}|Drink {drink}|Sing {manner}]," said {friend} {manner}.',
    ),
    (
        '"I want to buy {adj.a} {thing}," said {hero} {manner}. "How much is it?"',
        '"The {thing} costs {number} coins," said {friend} {manner}.',
        '"{number} coins for {thing.a}! [That is too much|I have only {junk}|Are you mad?]," said {hero}.',
        '"Then take it for a smile," said {friend} {manner}. So {hero} took the {thing}. // has hero thing',
    ),
    (
        '"Can you keep a secret?" asked {hero} {manner}. "[Yes|No|Perhaps|Until {hour}]," said {friend} {manner}.',
        '"I keep {animal.a} in my {adj} {thing}," said {hero} {manner}.',
        '"{animal.a} in {thing.a}!" cried {friend}. "Does it say {animal.sound}?"',
        '"Only {animal.sound}, {manner}, until {hour}," said {hero} {manner}.',
    ),
    (
        '"How do you feel today, {friend}?" asked {hero} {manner}.',
        '"I am {low}," said {friend} {manner}. "I dreamed that {animal.a} ate my {adj} {thing}." // feels friend low',
        '"Do not be {low}," said {hero}. "The {animal} is [a dream|asleep|in Spain|{spot}], and the {thing} is here."',
        '"You are a [good|strange|kind|true] friend, {hero}," said {friend} {manner}.',
    ),
    (
        '"What shall we eat?" asked {hero} {manner}. "{food}," said {friend} {manner}.',
        '"{food} again? We had {food} on {day}," said {hero} {manner}.',
        '"And on {day} you ate {number} plates of {food}," said {friend}.',
        '"[True|That was my twin|I remember nothing|It was {drink}]," said {hero} {manner}.',
    ),
)


def talk(scene: Scene) -> str:
    """Two villagers talking, a line each."""
    return scene.tell(scene.draws.choose(TALKS), between="\n")


NOTICES = (
    "Lost! One {hero.pet}, who answers to the name of {hero.pet_name}. Please bring {hero.pet_name} to {hero} the "
    "{hero.job}, who lives {hero.home}. The reward is {hero.food}. // pet hero hero.pet",
    "For sale: {adj.a} {thing}, used only by {animal.a}. [No questions|Almost clean|It bites]. Ask for {hero} at the {place}. "
    "{hero} also sells {adj2.a} {thing2}, but nobody has ever asked for the {thing2}. // sells hero thing",
    "On {day} there is a party at the {place}. {hero} brings {food}. {friend} brings {adj.a} {thing}. {hero.pet_name} the "
    "{hero.pet} brings [a friend|noise|nothing|{junk}]. See you on {day}! // brings hero food; brings friend thing",
    "Rules of the {place}: First, bring no {thing}. Second, be kind. Third, if {animal.a} says {animal.sound}, [say it back|run|"
    "bow]. Signed, {hero} the {hero.job}.",
    "Weather for {day}: [sun|rain|fog] at the {place}, [wind|snow|frogs] at the {place2}. {hero} the {hero.job} says: stay "
    "at home and eat {hero.food}. // food hero hero.food",
)


def notice(scene: Scene) -> str:
    """Two cards on the notice board."""
    first = scene.draws.choose(NOTICES)
    lines = [scene.say(first)]
    scene.turn_over("hero", "thing", "adj", "animal", "place", "day")
    lines.append(scene.say([card for card in NOTICES if card is not first]))
    return "Notice. " + "\nNotice. ".join(lines)


def diary(scene: Scene) -> str:
    """Three days of a diary; the days follow one another."""
    first = scene.draws.choose(range(len(DAYS)))
    entries = (
        "{weather} [morning|day|night]. Went {manner} to the {place}. Saw {animal.a}. // saw hero animal",
        "{friend} came with {adj.a} {thing}. We ate {food} and talked about {crowd}. Feel {mood}. // feels hero mood",
        "The {animal} was at the {place} again. It [waved|ate {junk}|said {animal.sound}|{joy}]. {friend} wants the {thing} back.",
    )
    lines = [scene.say("The diary of {hero}")]
    lines += [f"{DAYS[(first + i) % 7]}. {scene.say(entry)}" for i, entry in enumerate(entries)]
    return "\n".join(lines)


# -- rhymes and riddles ----------------------------------------------------------------------------------------------

RHYMES = (
    (
        "There was a mouse upon the stair",
        "Who never brushed a single hair",
        "It sang to every passing bear",
        "And gave its hat to those with care",
    ),
    (
        "The moon came out above the mill",
        "The little stars were standing still",
        "A cow went dancing up the hill",
        "And no one ever paid the bill",
    ),
    (
        "I had a fish, I had a boat",
        "I had a rather hungry goat",
        "It ate the buttons off my coat",
        "And then it learned to sing and float",
    ),
    (
        "The baker fell into the dough",
        "He sang a song both soft and low",
        "He waved to all the folk below",
        "And rose as bread is known to grow",
    ),
    (
        "The rain came down, the wind blew high",
        "A pig was seen to wave and fly",
        "It shouted something to the sky",
        "And did not stop to tell us why",
    ),
    (
        "My uncle kept a talking shoe",
        "It told him things that were not true",
        "It said the grass was pink and blue",
        "And what it said, the children knew",
    ),
    (
        "Beside the pond there lived a frog",
        "Who wrote a letter to a dog",
        "They met one evening in the fog",
        "And shared their supper on a log",
    ),
    (
        "The king of cats put on his crown",
        "And rode a snail around the town",
        "He met a sheep in evening gown",
        "And both of them fell upside down",
    ),
)


def rhyme(scene: Scene) -> str:
    """Two rhyming couplets, each from lines that end alike."""
    lines: list[str] = []
    for _ in range(2):
        group = scene.draws.choose([group for group in RHYMES if not lines or lines[0] not in group])
        first = scene.draws.choose(group)
        lines += [first, scene.draws.choose([line for line in group if line != first])]
    return "A rhyme\n" + ",\n".join(lines) + "."


HINTS = (
    "I say {animal.sound}.",
    "I sleep in a {animal.home}.",
    "I eat {animal.food}.",
    "My child is {animal.young.a}.",
)


def riddle(scene: Scene) -> str:
    """Two animals describe themselves; a villager guesses."""
    riddles = []
    for _ in range(2):
        first = scene.draws.choose(HINTS)
        second = scene.draws.choose([hint for hint in HINTS if hint != first])
        answer = "What am I? {hero} [thinks|guesses|whispers|shouts]: you are {animal.a}! // riddle animal animal.name"
        riddles.append(scene.tell(("A riddle: I am {animal.look}.", first, second, answer)))
        scene.turn_over("animal", "hero")
    return "\n".join(riddles)


# -- sums ------------------------------------------------------------------------------------------------------------


def sums(scene: Scene) -> str:
    """Two small sums told in words or digits; the numbers are said again in words before the result."""
    lines = []
    for _ in range(2):
        lines.append(scene.draws.choose((_gain, _loss))(scene))
        scene.turn_over("hero", "goods")
    return "\n".join(lines)


def _gain(scene: Scene) -> str:
    a, b = scene.draws.choose(range(2, 11)), scene.draws.choose(range(2, 11))
    x, y, total = NUMBERS[a], NUMBERS[b], NUMBERS[a + b]
    return scene.say(
        (
            f"{{hero}} has {x} {{goods}} and [finds|buys|gets|steals] {y} more. {x} plus {y} is {total}. "
            f"Now {{hero}} has {total} {{goods}}.",
            f"How many {{goods}} are {x} {{goods}} and {y} {{goods}}? {x} plus {y} is {total}. {{hero}} counts "
            f"{total} {{goods}}.",
            f"{{hero}} has {a} {{goods}} and [finds|buys|gets|steals] {b} more. {x} plus {y} is {total}.",
            f"{a} + {b} is how much? {x} plus {y} is {total}. {{hero}} counts {total} {{goods}}.",
        )
    )


def _loss(scene: Scene) -> str:
    a = scene.draws.choose(range(4, 21))
    b = scene.draws.choose(range(2, a - 1))
    x, y, rest = NUMBERS[a], NUMBERS[b], NUMBERS[a - b]
    return scene.say(
        (
            f"{{hero}} has {x} {{goods}} and [loses|eats|sells|drops] {y}. {x} minus {y} is {rest}. "
            f"Now {{hero}} has {rest} {{goods}}.",
            f"{{hero}} had {x} {{goods}} but gave {y} away. {x} minus {y} is {rest}. {rest} {{goods}} are left.",
            f"{{hero}} has {a} {{goods}} and [loses|eats|sells|drops] {b}. {x} minus {y} is {rest}.",
            f"{a} - {b} is how much? {x} minus {y} is {rest}. {{hero}} counts {rest} {{goods}}.",
        )
    )
