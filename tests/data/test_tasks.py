"""The instruction tasks: pure, true, free of leaks between train and test, and in the shape that tools expect.

Nothing here counts or quotes the templates, which may be tuned; the labels are derived anew from the prompts.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from functools import cache

import pytest

from minillm.data import phrases, village
from minillm.data.families import pools, untold
from minillm.data.names import REAL_NAMES, is_of_test
from minillm.data.tasks import FAMILIES, STYLES, Task, Tasks, held_out_tasks, to_dataset
from minillm.data.world import POOLS, TEST_SEED, TRAIN_SEED
from minillm.text.chat import check_messages

PERSON = {str(person): person for person in village.PEOPLE}
NUMBER = {word: number for number, word in enumerate(village.NUMBERS)}


@pytest.fixture(scope="module")
def train() -> list[Task]:
    return list(Tasks("train").tasks(8000))


@pytest.fixture(scope="module")
def test() -> list[Task]:
    return [*held_out_tasks(120), *Tasks("test").tasks(2000, start=10_000)]


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def _text(task: Task) -> str:
    return " ".join(message["content"] for message in task.conversation)


def _of(tasks: list[Task], family: str) -> list[Task]:
    found = [task for task in tasks if task.family == family]
    assert len(found) >= 40
    return found


# -- purity -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_task_is_pure_and_streams_are_slices(split):
    tasks = Tasks(split)
    stream = list(tasks.tasks(40))
    assert stream == list(Tasks(split).tasks(40, seed=tasks.seed))
    assert stream[25:30] == list(tasks.tasks(5, start=25))
    # Neither the order of the calls nor other calls in between matter.
    assert [tasks.task(tasks.seed, i) for i in reversed(range(40))] == stream[::-1]
    assert stream != list(tasks.tasks(40, seed=tasks.seed + 100))


def test_seeds_of_the_splits():
    assert (Tasks("train").seed, Tasks("test").seed) == (TRAIN_SEED, TEST_SEED)


def test_held_out_tasks_are_different_prompts_of_each_family():
    tasks = held_out_tasks(20)
    assert tasks == held_out_tasks(20)
    assert len({task.messages for task in tasks}) == len(tasks)
    assert Counter(task.family for task in tasks) == dict.fromkeys(FAMILIES, 20)
    assert {task.family for task in held_out_tasks(3, ["story", "world"])} == {"story", "world"}


def test_families_come_in_their_proportions():
    n = 20_000
    tasks = Tasks("train")
    total = sum(family.weight for family in FAMILIES.values())
    found = Counter(tasks.task(5, index).family for index in range(n))
    for name, family in FAMILIES.items():
        share = family.weight / total
        assert found[name] / n == pytest.approx(share, abs=4.5 * (share * (1 - share) / n) ** 0.5)


def test_styles_come_in_their_proportions(train):
    found = Counter(task.style for task in train if not task.wanted)
    for style, weight in STYLES.items():
        assert found[style] / found.total() == pytest.approx(weight / sum(STYLES.values()), abs=0.025)
    assert {task.style for task in held_out_tasks(10) if not task.wanted} == {"full"}


# -- no leak ----------------------------------------------------------------------------------------------------------


# Where a name may come up freely in both splits: homes, pets, and animals' beds are facts of the village and the world.
_FREE = {
    "hero": (),
    "thing": (),
    "place": ("village", "strangers", "world"),
    "animal": ("village", "strangers"),
}


@pytest.mark.parametrize("slot", _FREE)
def test_no_entity_of_the_test_is_in_training(slot, train, test):
    """By brute force over the conversations: who acts, with what, where and with which animal."""
    everything = {
        "hero": village.PEOPLE,
        "thing": village.THINGS,
        "place": village.PLACES,
        "animal": village.ANIMALS,
    }
    mentioned = [
        Counter(
            word
            for task in tasks
            if task.family not in _FREE[slot]
            # A longer conversation may have begun with one of the free families.
            for word in re.findall(
                r"[\w'-]+", _text(task) if not _FREE[slot] else f"{task.question} {task.answer}"
            )
        )
        for tasks in (train, test)
    ]
    own = {str(item) for item in pools("test")[slot]} - {"saw"}  # which is a verb as well
    assert own < {str(item) for item in everything[slot]}
    assert len(own) >= len(everything[slot]) // 6
    assert all(mentioned[1][name] for name in own)
    assert not {name: mentioned[0][name] for name in own if mentioned[0][name]}


def test_no_country_month_or_fact_of_the_test_is_asked_in_training(train, test):
    train_facts = {(task.keys, task.question) for task in _of(train, "world")}
    pairs = [
        *((country, capital) for country, capital in village.CAPITALS),
        *((before, before) for before in (*village.DAYS, *village.MONTHS)),
        *((thing, str(colour)) for thing, colour in village.COLOURED if " " in thing),
    ]
    for names in pairs:
        pattern = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
        asked = [bool(pattern.search(question)) for _, question in train_facts]
        tested = [bool(pattern.search(task.question)) for task in test if task.family == "world"]
        assert not (any(asked) and any(tested)), names


def _slots() -> dict[str, str]:
    """What a word is, for everything that is drawn into a template."""
    kinds: dict[str, str] = {}
    people = (*PERSON, *REAL_NAMES.train, *REAL_NAMES.test)
    lists = {
        "person": people,
        "thing": village.THINGS,
        "place": village.PLACES,
        "animal": village.ANIMALS,
        "job": [person.job for person in village.PEOPLE],
        "country": [country for country, _ in village.CAPITALS],
        "city": [capital for _, capital in village.CAPITALS],
        "coloured": [thing for thing, _ in village.COLOURED],
        "quality": [word for pair in village.OPPOSITES for word in pair if pair != ("day", "night")],
        "month": village.MONTHS,
    }
    pools = "food day number goods mood weather adj colour manner drink state spot".split()
    lists |= {pool: POOLS[pool] for pool in pools}
    for kind, items in lists.items():
        for item in items:
            kinds.setdefault(str(item).lower(), kind)
    return kinds


def _shapes(tasks: list[Task]) -> Counter[str]:
    """The prompts with slots in the place of what was drawn: the templates, with all that is around them."""
    kinds = _slots()
    names = sorted(map(re.escape, kinds), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w'])(?:an? )?({'|'.join(names)})(?![\w'])")
    opinion = re.compile(rf"\b(?:an? )?({'|'.join((*phrases.GOOD, *phrases.BAD))})\b")
    shapes: Counter[str] = Counter()
    for task in tasks:
        text = pattern.sub(lambda match: f"<{kinds[match[1]]}>", task.question.lower())
        if task.family == "sentiment":
            text = opinion.sub("<opinion>", text)
        shapes[task.family + ": " + re.sub(r"\b(his|her|him|he|she)\b", "<pronoun>", text)] += 1
    return shapes


def test_no_template_of_the_test_is_in_training(train, test):
    """Except for "And what is his job?", which means nothing without the first question."""
    # A short question about somebody may follow an answer about them; whole conversations are compared below.
    asked = [task for task in test if not task.question.startswith("And ")]
    shapes = _shapes(train)
    assert len(shapes) > 100
    assert not sorted(shape for shape in _shapes(asked) if shape in shapes)


def test_no_prompt_of_the_test_is_in_training(train, test):
    assert not {task.messages for task in train} & {task.messages for task in test}
    # The sums of the test are others, too, however they are told.
    sums = [
        {tuple(_numbers(t.question)) for t in tasks if t.family == "arithmetic"} for tasks in (train, test)
    ]
    assert min(map(len, sums)) > 50
    assert not sums[0] & sums[1]


def test_system_messages_of_the_test_are_others(train, test):
    systems = [{t.messages[0][1] for t in tasks if t.wanted} for tasks in (train, test)]
    assert all(systems)
    assert not systems[0] & systems[1]


def test_strangers_live_in_no_village(train, test):
    villagers = {*PERSON, *(str(person.pet_name) for person in village.PEOPLE)}
    assert not set(REAL_NAMES.train) & set(REAL_NAMES.test)
    assert not {*REAL_NAMES.train, *REAL_NAMES.test} & villagers
    names = [{task.keys[1] for task in _of(tasks, "strangers")} for tasks in (train, test)]
    assert min(map(len, names)) > 60
    assert not names[0] & names[1]
    assert not (names[0] | names[1]) & villagers
    for real, found, split in ((REAL_NAMES.train, names[0], False), (REAL_NAMES.test, names[1], True)):
        made_up = found - set(real)
        assert made_up != found != set(), "both kinds of names come up"
        assert {is_of_test(name.lower()) for name in made_up} == {split}


def test_answers_to_strangers_name_them(train, test):
    for task in _of(train, "strangers") + _of(test, "strangers"):
        assert task.keys[1].lower() in task.question.lower() and task.keys[1] in task.answer
        assert not set(PERSON) & set(_capitals(task.question))


def test_what_is_untold_is_no_attribute_of_a_villager(train, test):
    asked = [set(untold._ATTRIBUTES[split]) for split in ("train", "test")]
    assert not asked[0] & asked[1]
    told = set("job home pet food hobby".split()) | {"name", "colour", "favourite colour"}
    assert not (asked[0] | asked[1]) & told
    assert not {word for words in asked[0] | asked[1] for word in words.split()} & set(
        "job home pet food hobby".split()
    )
    for task in _of(train, "untold") + _of(test, "untold"):
        admission, name = task.keys
        assert admission == "do not know" and name in PERSON and not task.rivals


def _capitals(text: str) -> list[str]:
    return re.findall(r"\b[A-Z][a-z]+\b", text)


# -- right answers ----------------------------------------------------------------------------------------------------


def _stands(phrase: str, text: str) -> bool:
    return re.search(rf"(?<![\w'-]){re.escape(phrase)}(?![\w'-])", text, re.IGNORECASE) is not None


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_contain_their_keys_and_no_rivals(split, train, test):
    remarks = (*phrases.KIND_ENDINGS, *phrases.RUDE, *phrases.ASIDES, *phrases.KIND_OFFERS)
    for task in {"train": train, "test": test}[split]:
        if task.family == "story" and task.style == "flawed":
            continue
        answer = task.answer
        for remark in remarks:
            answer = answer.replace(remark, "")
        assert task.keys
        assert not set(task.keys) & set(task.rivals)
        assert all(_stands(key, answer.replace("'s ", " ")) for key in task.keys), task
        assert not [rival for rival in task.rivals if _stands(rival, answer)], task


def test_facts_about_villagers_are_true(train, test):
    """Derived from the village alone: the key is the attribute of the one person whom the answer or question names."""
    for task in _of(train, "village") + _of(test, "village"):
        named = _people_in(f"{task.question} {task.answer}")
        if not named:  # "And what is his job?", answered in short
            named = _people_in(" ".join(content for _, content in task.messages[-3:-1]))
        (key,) = task.keys
        person = named[0]
        assert {str(p) for p in named} == {str(person)}, task
        q = _spelled(task.question)
        if not re.search(_ASKS_FOR, q):  # "And Wim?" asks what was asked before
            q = _spelled(task.messages[-3][1])
        if "colour" in q:
            true = person.colour
        elif "food" in q or "eat" in q or "cook for" in q:
            true = person.food
        elif re.search(r"\b(hobby|enjoy|like best|to do)\b", q):
            true = person.hobby
        elif re.search(r"called|name of (\w+ pet|\w+'s pet|the animal)", q):
            true = person.pet_name
        elif "pet" in q or "animal" in q:
            true = person.pet
        elif key in PERSON:  # who is the baker?
            true = str(person)
            assert str(person.job) in q
        elif "job" in q or "do all day" in q or "who is" in q or re.search(r"me about \w+\.?$", q):
            true = person.job
        else:
            assert re.search(r"live|home|house|find|where", q), task
            true = person.home
        assert key == str(true), task


_ASKS_FOR = (
    r"colour|food|eat|cook|hobby|enjoy|like|to do|called|name|pet|animal|job|do all|who|me about|live|home|house"
    r"|find|where"
)


def _people_in(text: str) -> list[village.Person]:
    """The villagers that a text names, whatever the case."""
    return [
        PERSON[word.capitalize()]
        for word in re.findall(r"[a-z]+", text.lower())
        if word.capitalize() in PERSON
    ]


def _spelled(question: str) -> str:
    """A question in small letters, slips of the fingers mended."""
    return re.sub(r"[a-z]{3,}", lambda word: _mended(word[0]), question.lower())


@cache
def _mended(word: str) -> str:
    known = [*_VOCABULARY, *(name.lower() for name in PERSON), *(person.job for person in village.PEOPLE)]
    return word if word in known else (difflib.get_close_matches(word, known, 1, 0.7) or [word])[0]


_VOCABULARY = (
    "what where who which how colour food favourite love loves like likes best enjoy hobby pet animal called name job "
    "home house find live does have eat cook know tell about good and the not forgot"
).split()


def test_facts_about_the_world_are_true(train, test):
    true: set[frozenset[str]] = {
        frozenset(map(str, pair)) for pair in (*village.CAPITALS, *village.OPPOSITES)
    }
    true |= {frozenset((thing.lower(), str(colour))) for thing, colour in village.COLOURED}
    for cycle in (village.DAYS, village.MONTHS):
        true |= {frozenset(pair) for pair in zip(cycle, (*cycle[1:], cycle[0]), strict=True)}
    for animal in village.ANIMALS:
        true |= {
            frozenset((str(animal), str(x))) for x in (animal.sound, animal.home, animal.young, animal.food)
        }
    for task in _of(train, "world") + _of(test, "world"):
        (key,) = task.keys
        subjects = {next(iter(pair - {key})) for pair in true if key in pair and len(pair) == 2}
        assert any(_stands(subject, task.question) for subject in subjects), task


def test_days_and_months_follow_one_another(train, test):
    for task in (
        t for t in (*train, *test) if t.family == "world" and t.keys[0] in (*village.DAYS, *village.MONTHS)
    ):
        cycle = village.DAYS if task.keys[0] in village.DAYS else village.MONTHS
        before = [word.capitalize() for word in _words(task.question) if word.capitalize() in cycle]
        assert before == [cycle[cycle.index(task.keys[0]) - 1]]


# Passages and what they say, read without the generator: each pattern with the questions that it decides.
_READERS = (
    (  # two people and what they have
        re.compile(r"(?P<a>[A-Z]\w+) has an? (?P<x>\w+ \w+)\. (?P<b>[A-Z]\w+) has an? (?P<y>\w+ \w+)\."),
        lambda f: (
            {f"What does {f['a']} have?": f["x"], f"What does {f['b']} have?": f["y"]}
            | {f"Who has the {f['x'].split()[1]}?": f["a"], f"Who has the {f['y'].split()[1]}?": f["b"]}
        ),
    ),
    (  # feelings
        re.compile(
            r"(?P<a>[A-Z]\w+) is (?P<x>\w+) because the .*? (?P<b>[A-Z]\w+) is (?P<y>\w+) because it is"
        ),
        lambda f: (
            {f"How does {f['a']} feel?": f["x"], f"How does {f['b']} feel?": f["y"]}
            | {f"Who is {f['x']}?": f["a"], f"Who is {f['y']}?": f["b"]}
        ),
    ),
    (  # meals
        re.compile(
            r"For \w+, (?P<a>[A-Z]\w+) ate (?P<x>[a-z ]+?) \w+ly and (?P<b>[A-Z]\w+) ate (?P<y>[a-z ]+?) "
            r"(?:under|behind|beside|inside) the \w+\."
        ),
        lambda f: (
            {f"What did {f['a']} eat?": f["x"], f"What did {f['b']} eat?": f["y"]}
            | {f"Who ate {f['x']}?": f["a"], f"Who ate {f['y']}?": f["b"]}
        ),
    ),
    (  # presents
        re.compile(
            r"(?P<a>[A-Z]\w+) gave an? (?P<x>\w+ (?P<thing>\w+)) to (?P<b>[A-Z]\w+) at the (?P<place>\w+), "
        ),
        lambda f: {
            f"Who has the {f['thing']} now?": f["b"],
            f"Who gave the {f['thing']} away?": f["a"],
            f"Where did {f['a']} meet {f['b']}?": f["place"],
            f"What did {f['b']} get?": f["x"],
        },
    ),
    (  # encounters
        re.compile(
            r"(?P<a>[A-Z]\w+) saw (?P<x>an? (?P<animal>\w+)) at the (?P<place>\w+) on (?P<day>\w+day)\. "
            r"It was (?P<state>\w+)\."
        ),
        lambda f: {
            f"What did {f['a']} see?": f["animal"],
            f"Who saw {f['x']}?": f["a"],
            f"Where was the {f['animal']}?": f["place"],
            f"How was the {f['animal']}?": f["state"],
            f"When did {f['a']} see the {f['animal']}?": f["day"],
        },
    ),
)


def test_reading_answers_follow_from_the_passage(train, test):
    read = Counter()
    for task in _of(train, "reading") + _of(test, "reading"):
        for number, (pattern, answers) in enumerate(_READERS):
            match = pattern.search(task.question)
            if match is None:
                continue
            said = [answer for question, answer in answers(match).items() if task.question.endswith(question)]
            assert len(said) == 1, task
            assert " ".join(task.keys) == said[0], task
            assert not set(task.rivals) & {said[0]}
            read[number] += 1
    assert min(read[number] for number in range(len(_READERS))) >= 20


def test_reading_keys_stand_in_the_passage(train, test):
    for task in _of(train, "reading") + _of(test, "reading"):
        assert all(_stands(phrase, task.question) for phrase in (*task.keys, *task.rivals)), task


# Opposites, written down here once more: a word of the first row means the contrary of one of the second.
_OPPOSITES = (
    ("happy glad proud merry cheerful delighted", "sad lonely gloomy cross angry tired"),
    ("big large huge giant", "small tiny little short"),
    ("good nice sweet fine lovely", "bad sour awful nasty rotten"),
)


def _side(sentence: str) -> set[tuple[int, int]]:
    """Which row of which pair of opposites the words of a sentence belong to."""
    words = re.findall(r"[a-z]+", sentence.lower())
    rows = [(i, j, row.split()) for i, pair in enumerate(_OPPOSITES) for j, row in enumerate(pair)]
    return {(i, j) for i, j, row in rows for word in words if word in row}


def test_same_labels_are_true(train, test):
    labels = Counter()
    for task in _of(train, "same") + _of(test, "same"):
        sentences = [s for s in re.split(r"(?<=[.?:]) ", task.question) if not s.endswith(("?", ":"))]
        first, second = (_side(sentence) for sentence in sentences[-2:])
        assert len(first) == len(second) == 1, task
        assert first != second or _words_of(sentences[-2]) != _words_of(sentences[-1]), task
        same = first == second
        assert task.keys == (("yes",) if same else ("no",)), task
        labels[same] += 1
    assert min(labels.values()) > 0.35 * labels.total()


def _words_of(sentence: str) -> list[str]:
    return sorted(re.findall(r"[a-z]+", sentence.lower()))


def _giver(sentence: str) -> str:
    found = re.search(r"([A-Z]\w+) gave|(?:from|given by) ([A-Z]\w+)", sentence)
    return next(filter(None, found.groups())) if found else ""


def _numbers(text: str) -> list[int]:
    return [NUMBER[word] for word in _words(_in_words(text)) if word in NUMBER]


def _in_words(text: str) -> str:
    """Digits and signs as the words that say them."""
    text = re.sub(r"\d+", lambda number: village.NUMBERS[int(number[0])], text.lower())
    return text.replace("+", " plus ").replace("-", " minus ")


_TAKEN = re.compile(
    r"minus|\bg\w+ \w*a\w*y\w*|los|sell|ate\b|eat|took|take|drop|gives? away|break|spend|throw|hide"
)


def test_arithmetic_is_right(train, test):
    """The sum is done anew from the number words of the prompt, and of every step of the answer."""
    for task in _of(train, "arithmetic") + _of(test, "arithmetic"):
        words = _in_words(task.question)
        total, *others = _numbers(words)
        spoken = [match for match in re.finditer(r"\w+", words) if match[0] in NUMBER]
        for (before, after), number in zip(zip(spoken, spoken[1:], strict=False), others, strict=True):
            # What is done stands between the two number words ("finds", "minus").
            between = words[before.end() : after.start()]
            total += -number if _TAKEN.search(between) else number
        assert task.keys == (village.NUMBERS[total],), task
        for a, sign, b, result in re.findall(r"(\w+) (plus|minus) (\w+) is (\w+)\.", task.answer.lower()):
            assert NUMBER[a] + (NUMBER[b] if sign == "plus" else -NUMBER[b]) == NUMBER[result], task
        assert village.NUMBERS[total] in _words(task.answer)


def test_arithmetic_without_steps_gives_the_bare_result():
    for with_steps, without in zip(
        Tasks("test", ["arithmetic"]).tasks(50),
        Tasks("test", ["arithmetic"], steps=False).tasks(50),
        strict=True,
    ):
        assert with_steps.question == without.question
        assert with_steps.keys == without.keys
        assert _numbers(without.answer) == [NUMBER[with_steps.keys[0]]]


def test_sentiment_labels_agree_with_the_words(train, test):
    """Good and bad words, or what people do; texts without any are left to their templates."""
    good, bad = {*phrases.GOOD, "love", "thank", "glad"}, {*phrases.BAD, "hate", "never", "broke"}
    decided = 0
    for task in _of(train, "sentiment") + _of(test, "sentiment"):
        text = re.sub(
            r"(is|call) (it|that|the text) positive or negative|positive or negative",
            "",
            task.question.lower(),
        )
        found = set(_words(text))
        if bool(found & good) != bool(found & bad):
            decided += 1
            assert task.keys == (("positive",) if found & good else ("negative",)), task
    assert decided > 100


def test_stories_tell_of_what_was_asked_and_the_prompt_names_it(train, test):
    for task in _of(train, "story") + _of(test, "story"):
        assert all(_stands(key, task.question) for key in task.keys)
        assert len(re.findall(r"[.!?]", task.answer)) >= 4
    flawed = [t for t in train if t.family == "story" and t.style == "flawed"]
    missing = [t for t in flawed if not all(_stands(key, t.answer) for key in t.keys)]
    assert len(missing) > 0.8 * len(flawed) > 0


def test_refusals_refuse(train, test):
    for task in _of(train, "refusal") + _of(test, "refusal"):
        assert _stands("will not", task.answer)


# -- conversations ----------------------------------------------------------------------------------------------------


def test_conversations_are_well_formed(train, test):
    turns = Counter()
    for task in (*train, *test):
        check_messages(task.conversation)
        assert task.conversation == [*task.prompt, {"role": "assistant", "content": task.answer}]
        assert task.question == task.prompt[-1]["content"]
        assert task.prompt[-1]["role"] == "user"
        assert bool(task.wanted) == (task.prompt[0]["role"] == "system")
        turns[sum(message["role"] == "user" for message in task.prompt)] += 1
    assert set(turns) >= {1, 2}


def test_texts_are_clean(train, test):
    for task in (*train, *test):
        for message in task.conversation:
            content = message["content"]
            assert content and content == content.strip()
            if message["role"] == "user" and (FAMILIES[task.family].typed or content != task.question):
                continue  # as people type; see below
            assert not re.search(r"[{}\[\]|]|  | [.,!?]|\ba [aeio]\w|\ban [^aeiou]", content), content
            assert content[0].isupper() or content[0] == '"', content
            assert content[-1] in '.!?"', content


def test_some_messages_are_typed_in_a_hurry_and_most_are_not(train, test):
    for tasks in (train, test):
        for name in ("village", "world", "strangers"):
            questions = [task.question for task in _of(tasks, name)]
            hasty = [q for q in questions if not (q[0].isupper() and q[-1] in ".?!") or q.isupper()]
            assert 0.04 < len(hasty) / len(questions) < 0.16, name
    assert not any(FAMILIES[name].typed for name in ("reading", "same", "sentiment", "story"))


def test_system_messages_are_obeyed(train, test):
    wanted = Counter()
    for task in (*train, *test):
        if not task.wanted:
            continue
        wanted[task.wanted] += 1
        assert task.style == task.wanted
        kind = any(ending in task.answer for ending in (*phrases.KIND_ENDINGS, *phrases.KIND_OFFERS))
        assert kind == (task.wanted == "kind"), task
        if task.wanted == "curt":
            assert len(_words(task.answer)) <= 5, task
        if task.wanted == "full":
            assert len(_words(task.answer)) >= 3, task
    assert set(wanted) == set(phrases.SYSTEM)


def test_to_dataset_has_messages():
    tasks = list(Tasks("train").tasks(30))
    data = to_dataset(iter(tasks))
    assert len(data) == 30
    assert data.column_names == ["messages", "family"]
    assert data[7]["messages"] == tasks[7].conversation
    assert data["family"][:] == [task.family for task in tasks]


# -- bad input --------------------------------------------------------------------------------------------------------


def test_unknown_split_and_family():
    with pytest.raises(ValueError, match=r"split='dev': choose \"train\" or \"test\""):
        Tasks("dev")
    with pytest.raises(ValueError, match=r"families=\['poem'\]: choose at least one of village, .*greeting"):
        Tasks("train", ["poem"])
    with pytest.raises(ValueError, match=r"families=\[\]: choose at least one of"):
        Tasks("test", [])


def test_held_out_sums_have_all_results_that_sums_have():
    """Which sums are held out says nothing of their results: by chance alone nobody is right often."""
    results = {split: Counter() for split in ("train", "test")}
    for split, counted in results.items():
        counted.update(task.keys[0] for task in Tasks(split, ["arithmetic"]).tasks(1500, seed=1))
    assert results["test"].keys() >= {result for result, n in results["train"].items() if n > 15}
    for split, counted in results.items():
        assert counted.most_common(1)[0][1] < 0.15 * counted.total(), split
