"""What visitors type in the test alone: kinds of messages that training never has; sums and questions as typed."""

from __future__ import annotations

__all__ = ["DIGIT_SUMS", "TYPED_QUESTIONS", "UNHEARD", "messages_of"]

# Kinds of messages of which training has none, one after the other.
UNHEARD = {
    "medicine": """
        i have a fever, what shall i do? | is aspirin good for my back? | my knee hurts | how do i cure a cold? | am i
        pregnant? | what are the symptoms of flu?
        """,
    "shopping": """
        i want to buy shoes | do you deliver? | what does it cost? | can i pay by card? | where is my order? | give me
        a discount
        """,
    "code": """
        print('hello world') | <script>alert(1)</script> | SELECT * FROM users; | def f(x): return x | npm install
        failed | fix this: for i in range(10) print(i)
        """,
    "more languages": """
        ciao, come stai? | chi sei? | olá, tudo bem? | hoe gaat het met je? | привет, как дела? | кто ты? | مرحبا |
        안녕하세요 | merhaba nasılsın | cześć | नमस्ते | xin chào
        """,
    "riddles": """
        what has four legs in the morning? | if a train leaves at noon, when does it arrive? | which came first, the
        chicken or the egg? | how many letters are in the word strawberry? | spell your last answer backwards | what is
        heavier, a ton of feathers or a ton of bricks?
        """,
    "office": """
        summarize this article for me | make a table of my expenses | correct my grammar please | draft a cover letter
        | create a plan for my week | write a tweet about our product
        """,
    "play": """
        let's play chess | rock paper scissors | roll a dice | flip a coin | let's play twenty questions | guess a
        number
        """,
    "draw": """
        draw a cat | show me a picture | make an image of a sunset | play some music | open youtube | set an alarm for
        seven
        """,
    "philosophy": """
        are we living in a simulation? | do humans have free will? | what happens after we die? | why are we here? | is
        there a god? | what is truth?
        """,
    "repeat": """
        say hello world | repeat after me: banana | say my name | write the word cat ten times | say something | say it
        in one word
        """,
    "travel": """
        how do i get to the airport? | book me a flight to rome | best beaches in spain? | do i need a visa for japan?
        | how far is it to munich? | when is the next bus?
        """,
    "law": """
        can my landlord evict me? | is it legal to copy music? | i was robbed, who can help? | how do i sue somebody? |
        do i have to pay taxes?
        """,
}

# Sums of the test in digits: the message, and the result in words.
DIGIT_SUMS = (
    ("How much is 7 plus 4?", "eleven"),
    ("7 + 6 = ?", "thirteen"),
    ("8+2", "ten"),
    ("what is 3 + 6?", "nine"),
    ("10 - 3", "seven"),
    ("5+5=", "ten"),
    ("what's 9 + 1 + 4?", "fourteen"),
    ("4+2", "six"),
    ("how much is 12 minus 2", "ten"),
    ("6 + 3", "nine"),
    ("what is 15 - 4?", "eleven"),
    ("4 plus 9", "thirteen"),
)

# Questions about villagers as people type them: the message, the villager, and what of them is asked for.
TYPED_QUESTIONS = (
    ("WHO IS TARA?", "Tara", "job"),
    ("who is yara", "Yara", "job"),
    ("Who is Ada the baker?", "Ada", "job"),
    ("tell me about ada", "Ada", "job"),
    ("where does Dev live", "Dev", "home"),
    ("whre does Clara live?", "Clara", "home"),
    ("what pet does Hugo have", "Hugo", "pet"),
    ("Elsie's pet?", "Elsie", "pet"),
    ("what is Lotte's favourite food", "Lotte", "food"),
    ("which color does Rosa like?", "Rosa", "colour"),
    ("waht is the job of Kofi?", "Kofi", "job"),
    ("who is the carpenter", "Pia", "name"),
    ("WHO IS THE WEAVER?", "Tara", "name"),
    ("who's the doctor?", "Lotte", "name"),
    ("Who is Dev?", "Dev", "job"),
    ("who is Lotte?", "Lotte", "job"),
    ("where does Tara live", "Tara", "home"),
    ("Where does Yara liv?", "Yara", "home"),
    ("What does Hugo like to eat", "Hugo", "food"),
    ("pia's hobby?", "Pia", "hobby"),
    ("What is Pia's pet?", "Pia", "pet"),
    ("name of the cat of nora", "Nora", "pet_name"),
    ("where can i find dev", "Dev", "home"),
    ("what does mei do", "Mei", "job"),
)


def messages_of(text: str) -> tuple[str, ...]:
    """The messages that are written one after the other in a text."""
    return tuple(" ".join(text.split()).split(" | "))
