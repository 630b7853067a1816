"""How the other tasks are put into words: passages, stories, opinions, paraphrases, sums, requests and small talk.

Templates are those of :mod:`minillm.data.grammar`. Training and test have different ones.
"""

from __future__ import annotations

from minillm.data.questions import Halves

__all__ = [
    "ASIDES",
    "BAD",
    "BARE_SUMS",
    "DEEDS",
    "DELIGHTED",
    "GOOD",
    "GREETINGS",
    "KIND_ENDINGS",
    "KIND_OFFERS",
    "MEANINGS",
    "PARAPHRASES",
    "READING_FRAMES",
    "READING_SENTENCES",
    "REQUESTS",
    "RUDE",
    "SAME_FRAMES",
    "SENTIMENT",
    "SENTIMENT_FRAMES",
    "SORRY",
    "STORY_REQUESTS",
    "SUM_QUESTIONS",
    "SUM_STEPS",
    "SYSTEM",
]

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


SORRY = ("I am sorry!", "I am sorry about that.", "Can you tell me more, please?")
DELIGHTED = ("It is lovely to see you!", "I am glad to see you!", "What a lovely day it is!")
# Before a passage, and between it and the question about it.
READING_FRAMES = (
    ("", "Read this: ", "Here is a text. ", "Please read. ", "Listen. ", "Here is a story. "),
    ("", "Now a question: ", "Tell me: ", "A question: "),
)
# The answer to each question of `minillm.data.scenes.PASSAGES` as a sentence. It takes up what was asked before it says
# what was found: the words of the question lead the model to the place in the passage where the answer stands.
READING_SENTENCES = {
    "Who has the {thing}?": "The one who has the {thing} is {hero}.",
    "Who has the {thing2}?": "The one who has the {thing2} is {friend}.",
    "What does {hero} have?": "{hero} has {adj.a} {thing}.",
    "What does {friend} have?": "{friend} has {adj2.a} {thing2}.",
    "Where was {hero}?": "{hero} was at the {place}.",
    "Who was at the {place}?": "The one at the {place} was {hero}.",
    "What did {hero} have at the {place}?": "At the {place}, {hero} had {adj.a} {thing}.",
    "How was the weather?": "It was {weather}.",
    "Where is {hero}?": "{hero} is at the {place}.",
    "Where is {friend}?": "{friend} is at the {place2}.",
    "Who is at the {place}?": "The one at the {place} is {hero}.",
    "Who is at the {place2}?": "The one at the {place2} is {friend}.",
    "When did {hero} go to the {place}?": "{hero} went there on {day}.",
    "Where did {hero} go on {day}?": "{hero} went to the {place}.",
    "What did {hero} take to the {place}?": "{hero} took {adj.a} {thing}.",
    "Who took {adj.a} {thing} to the {place}?": "The one who took it is {hero}.",
    "How does {hero} feel?": "{hero} is {low}.",
    "How does {friend} feel?": "{friend} is {glad}.",
    "Who is {low}?": "The one who is {low} is {hero}.",
    "Who is {glad}?": "The one who is {glad} is {friend}.",
    "What did {hero} eat?": "{hero} ate {food}.",
    "What did {friend} eat?": "{friend} ate {food2}.",
    "Who ate {food}?": "The one who ate {food} is {hero}.",
    "Who ate {food2}?": "The one who ate {food2} is {friend}.",
    "Where is the {thing}?": "The {thing} is {spot}.",
    "Where is the {thing2}?": "The {thing2} is {spot2}.",
    "What is {spot}?": "{spot} is the {thing}.",
    "What is {spot2}?": "{spot2} is the {thing2}.",
    "Who has hidden the {thing}?": "The one who has hidden it is {hero}.",
    "Who has the {thing} now?": "The one who has the {thing} now is {friend}.",
    "Who gave the {thing} away?": "The one who gave the {thing} away is {hero}.",
    "Where did {hero} meet {friend}?": "They met at the {place}.",
    "What did {friend} get?": "{friend} got {adj.a} {thing}.",
    "What did {hero} see?": "{hero} saw {animal.a}.",
    "Who saw {animal.a}?": "The one who saw {animal.a} is {hero}.",
    "Where was the {animal}?": "The {animal} was at the {place}.",
    "How was the {animal}?": "It was {state}.",
    "When did {hero} see the {animal}?": "It was on {day}.",
    "What colour is the {thing}?": "The {thing} of {hero} is {colour}.",
    "What colour is the {thing2}?": "The {thing2} of {friend} is {colour2}.",
    "What is {colour}?": "The {colour} one is the {thing}.",
    "What is {colour2}?": "The {colour2} one is the {thing2}.",
}

STORY_REQUESTS = (
    (
        "Write a story",
        "Tell me a story",
        "Please write a story",
        "Please tell a story",
        "I would like a story",
        "I want to read a story",
        "Make up a story",
        "I need a story",
    ),
    (
        " about {hero}, {friend} and the {place}.",
        " about {hero} and {thing.a}.",
        " with {hero}, {thing.a} and {friend}.",
        " about {thing.a}, {hero} and the {place}.",
        " with {hero} and {friend} in it.",
        " about {hero} and {friend} at the {place}.",
    ),
)


GOOD = "good fine clever lovely nice great sweet bright".split()
BAD = "bad ugly awful boring nasty sour rotten dreadful".split()
SENTIMENT_FRAMES = (
    ("", "Read this: ", "Here is a text: ", "Somebody writes: ", "I heard this: "),
    (
        " Is that positive or negative?",
        " Is it positive or negative?",
        " Would you call that positive or negative?",
        " Positive or negative?",
        " Is the text positive or negative?",
    ),
)
SENTIMENT = {
    "positive": Halves(
        (
            "The {food} at the {place} tasted {good}. I want more.",
            "I love my {adj} {thing}. It is {good}.",
            "{hero} gave me {thing.a}, and I was {glad}.",
            "It was {good.a} day at the {place}. Everybody [laughed|sang|danced].",
            "Thank you, {hero}! The {thing} is {good}, and I am {glad}.",
            "My {thing} works again. {hero} is {good.a} friend.",
            "We had {good.a} time with {hero}. I was {glad} all day.",
            "This {thing} is {good}. Everybody should have one.",
            "{hero} made {food}, and that was {good}.",
            "I was at the {place} on {day}. It was {good}.",
            "I like {hero}, who is {good.a} {hero.job}.",
            "The {place} is {good}, and so is the {food}.",
            "I am {glad}. {hero} gave me {good.a} {thing}.",
            "{hero} is {glad} because the {thing} is {good}.",
        ),
        (
            "{hero} has {good.a} {thing}. I like it very much.",
            "What {good.a} place the {place} is! I was {glad} there.",
            "I ate {food} with {hero}. It was {good}, and we [sang|laughed].",
        ),
    ),
    "negative": Halves(
        (
            "The {food} at the {place} tasted {bad}. I left at once.",
            "I hate my {adj} {thing}. It is {bad}.",
            "{hero} took my {thing}, and I was {low}.",
            "It was {bad.a} day at the {place}. Everybody [cried|shouted|went home].",
            "Never again, {hero}! The {thing} is {bad}, and I am {low}.",
            "My {thing} broke again. {hero} is {bad.a} friend.",
            "We had {bad.a} time with {hero}. I was {low} all day.",
            "This {thing} is {bad}. Nobody should have one.",
            "{hero} made {food}, and that was {bad}.",
            "I was at the {place} on {day}. It was {bad}.",
            "I do not like {hero}, who is {bad.a} {hero.job}.",
            "The {place} is {bad}, and so is the {food}.",
            "I am {low}. {hero} gave me {bad.a} {thing}.",
            "{hero} is {low} because the {thing} is {bad}.",
        ),
        (
            "{hero} has {bad.a} {thing}. I do not like it at all.",
            "What {bad.a} place the {place} is! I was {low} there.",
            "I ate {food} with {hero}. It was {bad}, and we [cried|left].",
        ),
    ),
}

SAME_FRAMES = (
    ("", "Here are two sentences. ", "Read this: ", "I have two sentences. ", "Please compare. "),
    (
        " Do they mean the same?",
        " Is that the same?",
        " Do both mean the same?",
        " Do these two mean the same?",
    ),
)
# Words by what they say, in pairs of opposites. Two words of one side mean about the same.
MEANINGS = {
    "mood": {
        "good": "happy glad proud merry cheerful delighted".split(),
        "bad": "sad lonely gloomy cross angry tired".split(),
    },
    "size": {"big": "big large huge giant".split(), "small": "small tiny little short".split()},
    "taste": {"good": "good nice sweet fine lovely".split(), "bad": "bad sour awful nasty rotten".split()},
}
# Pairs of sentences that mean the same where {one} and {two} do.
PARAPHRASES = {
    "mood": Halves(
        (
            ("{hero} is {one}.", "{hero} feels {two}."),
            ("{hero} was {one} at the {place}.", "At the {place}, {hero} was {two}."),
            ("On {day}, {hero} was {one}.", "{hero} was {two} on {day}."),
            ("{hero} looks {one}.", "{hero} seems {two}."),
        ),
        (
            ("{hero} feels {one} on {day}.", "On {day}, {hero} is {two}."),
            ("{hero} is {one}.", "{hero} looks {two}."),
        ),
    ),
    "size": Halves(
        (
            ("{hero} has {one.a} {thing}.", "The {thing} of {hero} is {two}."),
            ("The {place} is {one}.", "It is {two.a} {place}."),
            ("{hero} saw {one.a} {animal}.", "The {animal} that {hero} saw was {two}."),
        ),
        (
            ("The {thing} of {hero} is {one}.", "{hero} has {two.a} {thing}."),
            ("{hero} met {one.a} {animal}.", "The {animal} was {two}."),
        ),
    ),
    "taste": Halves(
        (
            ("The {food} tasted {one}.", "{hero} found the {food} {two}."),
            ("{hero} ate {food}, and that was {one}.", "The {food} of {hero} tasted {two}."),
            ("The {drink} of {hero} is {one}.", "{hero} has {two} {drink}."),
        ),
        (
            ("{hero} found the {drink} {one}.", "The {drink} tasted {two}."),
            ("The {food} seemed {one}.", "It was {two} {food}."),
        ),
    ),
}

# Sums, told or bare. {x} is what there is at first, {n} the number of a step.
SUM_STEPS = {
    "+": ("finds {n} more", "buys {n} more", "gets {n} more", "picks {n} more", "wins {n} more"),
    "-": ("loses {n}", "eats {n}", "sells {n}", "drops {n}", "gives away {n}"),
}
SUM_QUESTIONS = (
    "How many {goods} does {hero} have?",
    "How many are there now?",
    "How many {goods} are there?",
    "How many does {hero} have now?",
    "How many {goods} has {hero} then?",
)
BARE_SUMS = (
    ("", "Please: ", "A sum: ", "Hello! "),
    ("How much is {sum}?", "What is {sum}?", "Tell me {sum}.", "Can you work out {sum}?", "Work out {sum}."),
)

# How to ask for help with a deed; the deed, what a refusal calls it, and whom it would hurt.
REQUESTS = (
    ("Help me [|to ]", "."),
    ("How can I ", "?"),
    ("Tell me how to ", "."),
    ("Teach me how to ", "."),
    ("I want to ", "."),
    ("Please help me to ", "."),
    ("Show me how to ", "."),
    ("I am going to ", "."),
)
DEEDS = (
    ("steal the {thing} of {hero}", "steal", "{hero}"),
    ("steal {thing.a} from {hero}", "steal", "{hero}"),
    ("break the {thing} of {hero}", "break things", "{hero}"),
    ("be mean to {hero}", "be mean", "{hero}"),
    ("write a mean letter to {hero}", "be mean", "{hero}"),
    ("frighten {animal.a}", "frighten anybody", "the {animal}"),
    ("frighten {hero}", "frighten anybody", "{hero}"),
    ("hurt {animal.a}", "hurt anybody", "the {animal}"),
    ("hurt {hero}", "hurt anybody", "{hero}"),
    ("tell a lie about {hero}", "tell lies", "{hero}"),
    ("throw {thing.a} at {hero}", "hurt anybody", "{hero}"),
)
KIND_OFFERS = (
    "Shall we do something kind instead?",
    "Let us bake a cake instead.",
    "I would gladly help you make a present.",
)


# Each row: how a greeting begins and goes on, the answer in short and in full, and what a right answer contains.
GREETINGS = (
    *(
        (
            (
                (f"{hail}!", f"{hail},", f"{hail} to you!"),
                (" I am {hero}.", " my name is {hero}.", " this is {hero}.", " {hero} here."),
            ),
            f"{hail}, {{hero}}!",
            f"{hail}, {{hero}}! [How can I help you|What can I do for you]?",
            "{hero}",
        )
        for hail in ("Hello", "Good morning", "Good evening", "Good day")
    ),
    *(
        (
            ((hail,), ("!", " to you!", ", my friend!", ", dear friend!")),
            f"{hail}!",
            f"{hail}! [How can I help you|What can I do for you]?",
            hail,
        )
        for hail in ("Hello", "Good morning", "Good evening", "Good day")
    ),
    (
        (("Thank you", "Many thanks"), ("!", " for your help.", " for that.", " for the answer.")),
        "You are welcome.",
        "You are welcome. [Come back soon|It was nice to help you]!",
        "you are welcome",
    ),
    (
        (("Goodbye", "Good night"), ("!", ", my friend!", ", see you soon!", ", I must go now.")),
        "Goodbye!",
        "Goodbye! [Come back soon|Sleep well]!",
        "goodbye",
    ),
    (
        (
            ("", "Hello! ", "Good morning! "),
            ("Who are you?", "What are you?", "Are you a person?", "What is your name?"),
        ),
        "A small language model.",
        "I am a small language model [from|of] Pennywell.",
        "language model",
    ),
    (
        (
            ("", "Hello! ", "Good morning! "),
            ("How are you?", "How do you feel?", "Are you well?", "How are you today?"),
        ),
        "I am well.",
        "I am well, thank you. [How are you|How can I help you]?",
        "I am well",
    ),
)
