"""The micro-world: pure, exact, varied, and true to the facts and promises its documents carry."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from dataclasses import replace

import pytest

from minillm.data import knowledge, passages, scenes, village
from minillm.data.corpora import WorldCorpus
from minillm.data.grammar import Scene, Word, enumerate_derivations
from minillm.data.names import is_of_test
from minillm.data.world import POOLS, TEST_SEED, TRAIN_SEED, VALIDATION_SEED, World

# The first 500 documents of the training stream, on every Python version and machine.
GOLDEN = "89d5da8afb01997c3be6ae0f41082efbbb67b681b899afba03fb600210b89380"

SMALL = {
    "hero": village.PEOPLE[:2],
    "thing": village.THINGS[:2],
    "place": village.PLACES[:2],
    "adj": (Word("old"), Word("new")),
    "weather": (Word("cold"),),
    "day": village.DAYS[:1],
    "manner": (Word("slowly"),),
    "low": (Word("sad"),),
    "glad": (Word("merry"),),
    "food": ("toast", "soup"),
    "spot": ("under the bed", "in the oven"),
    "animal": village.ANIMALS[:1],
    "state": (Word("wet"),),
    "number": ("two",),
    "colour": (Word("red"), Word("blue")),
}
SMALL["friend"] = SMALL["hero"]


@pytest.fixture(scope="module")
def documents():
    return list(World().documents(20_000))


def test_documents_are_the_same_everywhere():
    digest = hashlib.sha256()
    for document in World().documents(500):
        digest.update(f"{document.kind}|{document.text}|{document.log_prob:.9f}|{document.facts}\n".encode())
    assert digest.hexdigest() == GOLDEN


def test_document_is_pure_and_streams_are_slices():
    world = World()
    assert world.document(VALIDATION_SEED, 5) == list(World().documents(3, VALIDATION_SEED, start=4))[1]
    assert world.document(TRAIN_SEED, 5).text != world.document(TEST_SEED, 5).text


def test_documents_of_some_kinds_are_those_among_all(documents):
    for only in ({"titled_story"}, {"letter", "talk"}, set()):
        wanted = [document for document in documents[30:500] if document.kind in only]
        assert list(World().documents(470, start=30, only=only)) == wanted
    assert {document.kind for document in documents if document.promises} == {"titled_story"}


def _distribution(write) -> tuple[float, dict[str, float], float]:
    """By enumeration: the sum of all probabilities, the probability of each text, the entropy of the derivations."""
    total, entropy, by_text = 0.0, 0.0, Counter()
    for text, log_prob in enumerate_derivations(write):
        probability = math.exp(log_prob)
        total += probability
        entropy -= probability * log_prob
        by_text[text] += probability
    return total, by_text, entropy


def test_probabilities_of_a_whole_kind_sum_to_one_and_agree_with_the_documents():
    world = World(kinds=["rhyme"])
    # Weighted draws are enumerated ticket by ticket; with one kind the tickets are equal copies.
    total, by_text, _ = _distribution(lambda draws: world.write(draws).text)
    assert total == pytest.approx(1, abs=1e-9)
    for document in world.documents(300, TEST_SEED):
        assert math.exp(document.log_prob) == pytest.approx(by_text[document.text], rel=1e-9)


def test_reading_is_exact_on_a_small_village():
    total, by_text, entropy = _distribution(lambda draws: passages.reading(Scene(draws, SMALL)))
    assert total == pytest.approx(1, abs=1e-9)
    true_entropy = -sum(p * math.log(p) for p in by_text.values())
    assert true_entropy <= entropy + 1e-9  # two derivations of one text: the floor is a bound from above
    assert true_entropy == pytest.approx(entropy, rel=2e-3)


ECHO = re.compile(r"(?:The )?(\w+) (?:is at the|has the|is|ate) ([^.]+)\.")


def test_echoes_are_true_to_what_they_say_first():
    for document in World(kinds=["echo"]).documents(300, TEST_SEED):
        said, again, *questions = document.text.split("\n")
        pairs = ECHO.findall(said)
        assert 3 <= len(pairs) <= 5 and len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
        assert again.startswith("Again: ") and sorted(ECHO.findall(again)) == sorted(pairs)
        assert len(questions) == 4
        for question, answer in zip(questions[::2], questions[1::2], strict=True):
            (one, other) = next(
                p for p in pairs if re.search(rf"\b({p[0]}|{p[1]})\b", question, re.IGNORECASE)
            )
            asked_for = other if re.search(rf"\b{one}\b", question, re.IGNORECASE) else one
            assert asked_for.lower() in answer.lower(), document.text


def test_the_surprise_of_an_echo_is_that_of_its_draws():
    """Counted by hand: the relation, how many, who and what, the order, two questions."""
    for document in World(kinds=["echo"]).documents(50, TEST_SEED):
        said = document.text.split("\n")[0]
        relation = next(i for i, words in enumerate(RELATIONS) if re.search(words, said))
        one, other = SIZES[relation]
        pairs = ECHO.findall(said)
        n = len(pairs)
        nats = math.log(6) + math.log(3)
        nats += math.lgamma(n + 1) + math.log(n * (n - 1)) + 2 * math.log(2)
        nats += sum(math.log(one - i) + math.log(other - i) for i in range(n))
        assert -document.log_prob == pytest.approx(nats, abs=1e-9)


# What tells the relations of an echo, and from how many the two that belong together are drawn.
RELATIONS = (
    "is at the",
    "has the",
    "The .* is (?:under|behind|beside|inside) the",
    "The .* is",
    " ate ",
    " is ",
)
SIZES = tuple(
    (len(POOLS[one]), len(POOLS[other]))
    for one, other in (
        ("hero", "place"),
        ("hero", "thing"),
        ("thing", "spot"),
        ("thing", "colour"),
        ("hero", "food"),
        ("hero", "mood"),
    )
)


def test_introductions_are_echoes_of_newcomers_with_names_of_training():
    world, villagers = World(), set(map(str, village.PEOPLE))
    texts = [world.introduction(TRAIN_SEED, index).text for index in range(100)]
    assert texts == [world.introduction(TRAIN_SEED, index).text for index in range(100)]
    every = set()
    for text in texts:
        said, again, *_ = text.split("\n")
        names = [who for who, _ in ECHO.findall(said)]
        assert len(names) >= 3 and villagers.isdisjoint(names)
        assert not any(is_of_test(name.lower()) for name in names)
        assert all(re.search(rf"\b{name}\b", again) for name in names)
        every |= set(names)
    assert len(every) > 300
    texts = " ".join(document.text for document in world.documents(2000))
    assert len(every.intersection(re.findall(r"\w+", texts))) < 0.02 * len(every), (
        "but for words such as Bear"
    )


def test_introductions_stand_among_the_training_documents_and_nowhere_else():
    plain = WorldCorpus(n_documents=20, n_validation=10)
    mixed = replace(plain, introduce_every=4)
    texts, found = list(plain.documents("train")), list(mixed.documents("train"))
    assert len(found) == len(texts) + 5
    assert [text for text in found if text in texts] == texts
    assert found[4] == World().introduction(TRAIN_SEED, 4).text
    assert list(mixed.documents("validation")) == list(plain.documents("validation"))
    assert mixed.entropy_nats() == plain.entropy_nats() and mixed.settings() != plain.settings()
    with pytest.raises(ValueError, match="introduce_every is -1"):
        replace(plain, introduce_every=-1)


def test_lessons_are_echoes_of_one_kind_and_a_stream_of_their_own():
    world = World()
    lessons = [world.lesson(TRAIN_SEED, index).text for index in range(20)]
    assert lessons == [world.lesson(TRAIN_SEED, index).text for index in range(20)]
    assert len(set(lessons)) == 20
    assert all("\nAgain: " in text and " is at the " in text for text in lessons)


def test_monte_carlo_agrees_with_the_enumerated_entropy():
    world = World(kinds=["rhyme"])
    _, _, entropy = _distribution(lambda draws: scenes.rhyme(Scene(draws, {})))
    estimate = world.entropy(4000)
    assert estimate.nats_per_document == pytest.approx(entropy, abs=4 * estimate.standard_error + 1e-9)


def test_sampled_texts_are_as_frequent_as_their_probability_says():
    pools = {"hero": village.PEOPLE[:1]}
    _, by_text, _ = _distribution(lambda draws: knowledge.portrait(Scene(draws, pools))[:28])
    world = World(kinds=["portrait"])
    starts = Counter()
    for document in world.documents(60_000, TEST_SEED):
        if document.text[:28] in by_text:
            starts[document.text[:28]] += 1
    n = sum(starts.values())
    assert n > 1500
    for start, probability in by_text.items():
        spread = math.sqrt(n * probability * (1 - probability))
        assert abs(starts[start] - n * probability) < 5 * spread + 1, start


def test_titles_keep_their_promises(documents):
    titled = [document for document in documents if document.kind == "titled_story"]
    assert len(titled) > 3000
    for document in titled:
        title, _, story = document.text.partition("\n")
        assert len(document.promises) >= 3
        for text in (title, story):  # "Finn" promises no inn
            assert all(re.search(rf"\b{promise}\b", text) for promise in document.promises), document.text


PORTRAIT = {
    "job": [r"(\w+) is the (\w+) of Pennywell", r"(\w+) works as the (\w+)"],
    "home": [r"(\w+) lives (.+)", r"house of (\w+) is (.+)"],
    "pet": [r"(\w+) has an? (\w+) called", r"\w+ is the (?P<o>\w+) of (?P<s>\w+)$"],
    "pet_name": [
        r"(\w+) has an? \w+ called (\w+)",
        r"^(?P<o>\w+) is the (?!.* of Pennywell)\w+ of (?P<s>\w+)$",
    ],
    "food": [r"(\w+) loves to eat (.+)", r"favourite food of (\w+) is (.+)"],
    "colour": [r"(\w+) likes the colour (\w+)", r"favourite colour of (\w+) is (\w+)"],
    "hobby": [r"(\w+) enjoys (.+)", r"What (\w+) likes best is (.+)"],
}


def _parse_portrait(text: str) -> set[tuple[str, str, str]]:
    found = set()
    for sentence in text.rstrip(".").split(". "):
        for relation, patterns in PORTRAIT.items():
            for pattern in patterns:
                match = re.search(pattern, sentence)
                if match and not (relation.startswith("pet") and "Pennywell" in sentence):
                    named = match.groupdict()
                    subject, object_ = (named["s"], named["o"]) if named else match.groups()
                    found.add((relation, subject, object_))
    return found


def test_facts_of_portraits_are_those_a_reader_finds(documents):
    people = {str(person): person for person in village.PEOPLE}
    checked = 0
    for document in documents:
        if document.kind != "portrait":
            continue
        assert _parse_portrait(document.text) == {tuple(fact) for fact in document.facts}, document.text
        for relation, subject, object_ in document.facts:
            assert str(getattr(people[subject], relation)) == object_
            checked += 1
    assert checked > 3000


# How the text says each relation, besides naming the thing itself.
VERBS = {
    "has": r"has|have|gave|took|take|taken|kept|keep|won|left|hands of|thank you|your|it to|share|in front|forgave|got",
    "had": r"with|holding",
    "found": r"found|saw",
    "took": r"took",
    "lost": r"lost|cannot find",
    "broken": r"broke",
    "feels": r"was|is|were|am|felt|feel",
    "won": r"won",
    "lent": r"lent",
    "at": r"at|to",
    "ate": r"ate",
    "saw": r"saw",
    "brings": r"brings?",
    "sells": r"sale",
    "riddle": r"you are",
}


def test_facts_are_stated_by_a_sentence_of_the_document(documents):
    fixed = {"job", "home", "pet", "pet_name", "food", "colour", "hobby"}
    relations = Counter()
    for document in documents:
        sentences = re.split(r"(?<=[.!?])[\s\"]+|\n", document.text)
        for relation, subject, object_ in document.facts:
            relations[relation] += 1
            assert subject.lower() in document.text.lower()  # some questions are typed in a hurry
            near = [s + " " + t for s, t in zip(sentences, [*sentences[1:], ""], strict=True) if object_ in s]
            verb = r"" if relation in fixed else rf"\b(?:{VERBS[relation]})\b"
            assert any(re.search(verb, sentence, re.IGNORECASE) for sentence in near), (
                document.text,
                relation,
            )
    assert set(VERBS) <= set(relations), set(VERBS) - set(relations)


def test_the_last_holder_of_a_thing_is_its_last_has_fact(documents):
    """In stories, an independent reader follows who takes, keeps or is given the thing."""
    checked = 0
    gave = re.compile(r"\b(\w+) (?:gave|left) (?:the (\w+) (?:back )?(?:to|with) (\w+)|(\w+) the (\w+))")
    for document in documents:
        holders = {fact.object: fact.subject for fact in document.facts if fact.relation == "has"}
        if not document.kind.endswith("story"):
            continue
        given = {}
        for match in gave.finditer(document.text):
            thing, receiver = (match[2], match[3]) if match[2] else (match[5], match[4])
            given[thing] = receiver
        for thing, receiver in given.items():
            if thing in holders and receiver in {str(p) for p in village.PEOPLE}:
                assert holders[thing] == receiver, document.text
                checked += 1
    assert checked > 500


def test_texts_are_clean(documents):
    for document in documents:
        text = document.text
        assert not re.search(r"[\[\]{}|]|//|  |\s$|^\s| [.,!?]|<", text), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou\W]", text), text
        assert all(line[0].isupper() or line[0].isdigit() or line[0] == '"' for line in text.split("\n")), (
            text
        )
        assert text.count('"') % 2 == 0


def test_quality_of_the_language(documents):
    words = Counter(
        word.lower() for document in documents for word in re.findall(r"[A-Za-z'-]+", document.text)
    )
    assert 1000 <= len(words) <= 1500
    assert len({document.text for document in documents}) > 0.995 * len(documents)
    sentences = Counter(s for document in documents for s in re.split(r"(?<=[.!?])\s|\n", document.text))
    assert sentences.most_common(1)[0][1] < 0.02 * sum(sentences.values())


def test_validation_documents_are_not_training_documents(documents):
    train = {document.text for document in documents}
    held_out = [document.text for document in World().documents(3000, VALIDATION_SEED)]
    assert sum(text in train for text in held_out) < 0.01 * len(held_out)


def test_questions_about_what_is_always_true_have_one_answer_each():
    for topic in ("people", "world"):
        pairs = knowledge.fixed_questions(topic)
        assert len({question for question, _ in pairs}) == len(pairs) > 150
    with pytest.raises(ValueError, match='choose "people" or "world"'):
        knowledge.fixed_questions("moon")


def test_sums_are_right():
    value = {word: number for number, word in enumerate(village.NUMBERS)}
    pattern = re.compile(r"(\w+) (plus|minus) (\w+) is (\w+)\.")
    found = 0
    for document in World(kinds=["sums"]).documents(2000):
        for a, sign, b, result in pattern.findall(document.text):
            a, b = value[a.lower()], value[b]
            assert value[result] == (a + b if sign == "plus" else a - b)
            found += 1
    assert found == 4000


def test_reading_answers_stand_in_the_passage():
    for document in World(kinds=["reading"]).documents(3000):
        passage, *rest = document.text.split("\n")
        for answer in rest[1::2]:
            assert (
                answer.removeprefix("Answer: ").rstrip(".").removeprefix("to ").removeprefix("the ").lower()
                in passage.lower()
            )


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r"kinds=\['epic'\]: choose at least one of titled_story, story"):
        World(kinds=["epic"])
    with pytest.raises(ValueError, match="at least one"):
        World(kinds=[])
