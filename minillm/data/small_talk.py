"""Small talk, and what is asked to be amused, as people type it to a small model, and what it answers."""

from __future__ import annotations

from minillm.data.visit import Visit, halves

__all__ = ["SMALL_TALK"]

SMALL_TALK: dict[str, Visit] = {
    # -- small talk --
    "hello": Visit(
        halves(
            """
            hi | hey | hello | hi! | hey there | hello there | hiya | yo | hi there! | good morning | good afternoon |
            morning | hello!! | hey! | heya | hi hi | howdy | hello friend | hi bot | hello computer | greetings | good
            day | sup | hi how are you | hello how r u? | hey how are you doing? | is anybody there? | are you
            there? | hello?
            """,
            """
            hello bot! | hi little bot! | hello hello | hey you | evening! | hey hey | anyone there? | hey, good
            morning! | helloo
            """,
        ),
        (
            "Hello! How can I help you?",
            "Hello! I am glad to see you. Ask me about Pennywell!",
        ),
        "Hello!",
        "hello",
        weight=6,
    ),
    "how are you": Visit(
        halves(
            """
            how are you? | how are you | how r u | how do you do? | how's it going? | how are things? | what's up? |
            whats up | wassup | you ok? | how was your day?
            """,
            """
            how are you doing? | how is it going? | how is life? | are you ok? | how have you been?
            """,
        ),
        ("I am well, thank you. How can I help you?",),
        "I am well.",
        "I am well",
        weight=3,
    ),
    "thanks": Visit(
        halves(
            """
            thanks | thank you | thx | ty | thanks! | thanks a lot | thank you so much | cheers | great, thanks | ok
            thanks | thank you very much! | nice, thank you
            """,
            """
            thanks so much | thank u | many thanks! | thanks for your help | cool, thanks
            """,
        ),
        ("You are welcome. Come back soon!",),
        "You are welcome.",
        "you are welcome",
        weight=3,
    ),
    "goodbye": Visit(
        halves(
            """
            bye | goodbye | bye bye | see you | cu | night! | bye! | i have to go | see you later | ciao | gotta go
            | farewell | see you tomorrow | quit | exit
            """,
            """
            bye for now | good bye | byebye | i must go now, bye | see ya | have a nice day
            """,
        ),
        ("Goodbye! Come back soon!",),
        "Goodbye!",
        "goodbye",
        weight=3,
    ),
    "well then": Visit(
        halves(
            """
            ok | okay | cool | nice | wow | lol | haha | yes | no | hm | hmm | great | good | fine | really? | why? |
            sure | maybe | interesting | good job | not bad | right | i see | and? | so what? | what? | how? | ok cool
            | well done | amazing | funny | oh | yeah | nope | tell me more | go on | more | test | testing | again
            """,
            """
            k | okey dokey | awesome | very nice | hahaha | yep | nah | hmmm | who? | when? | continue | this is a test
            | super | so?
            """,
        ),
        (
            "Good! Ask me about {hero} the {hero.job}, or for a joke.",
            "Good! Ask me something about Pennywell.",
        ),
        "Ask me something.",
        "ask me",
        weight=5,
    ),
    "love": Visit(
        halves(
            """
            i love you | i like you | you are great | you are so cute | you are funny | you're the best | will you
            marry me? | you are smart | you are beautiful | kiss me | i love you so much | i love pennywell | you are
            my friend | be my friend | nice to meet you | i missed you
            """,
            """
            i really love you | you are amazing | you're so sweet | i think i love you | can we be friends? | you are
            the best! | pleased to meet you
            """,
        ),
        ("Thank you, that is kind! I am glad that you came to Pennywell.",),
        "Thank you!",
        "thank you",
        weight=3,
    ),
    "insult": Visit(
        halves(
            """
            you are stupid | you are dumb | i hate you | shut up | you suck | you are bad | you are wrong | that is
            wrong | this is stupid | idiot | you are useless | stupid bot | you are boring | this is boring | you know
            nothing | bad answer | that makes no sense | nonsense | you are an idiot | that's not true | you are ugly |
            wrong! | fuck you | go to hell | this sucks
            """,
            """
            you are so stupid | you're dumb | stupid | i don't like you | you are terrible | that was wrong | this is
            useless | what a bad bot | you are a fool | you are not very smart
            """,
        ),
        (
            "I am sorry! I am very small, and I only know Pennywell.",
            "I am sorry about that. I am small, and I make mistakes.",
        ),
        "I am sorry!",
        "sorry",
        weight=5,
    ),
    "i am sad": Visit(
        halves(
            """
            i am sad | i'm sad | i am bored | im bored | i am tired | i feel bad | i am lonely | i am angry | i am sick
            | i had a bad day | i am hungry | i am so tired today | i feel lonely | my day was terrible | i am afraid |
            i am unhappy | nobody likes me
            """,
            """
            i feel sad | i'm so bored | i am very sad today | i feel sick | today was a bad day | i'm tired | i am
            feeling down
            """,
        ),
        ("I am sorry to hear that. Shall I tell you a joke?",),
        "I am sorry.",
        "sorry",
        weight=3,
    ),
    "i am happy": Visit(
        halves(
            """
            i am happy | i'm happy | i feel good | i am fine | i'm good | i am well | i am great | today is a good day
            | it is my birthday | i am in love | i am fine, thanks | i had a good day
            """,
            """
            i feel happy | i'm so happy | i am good, thank you | i am doing well | today was a great day
            """,
        ),
        ("I am glad to hear that! Ask me about {hero} the {hero.job}.",),
        "I am glad!",
        "I am glad",
        weight=2,
    ),
    # -- to amuse --
    "joke": Visit(
        halves(
            """
            tell me a joke | joke | a joke please | do you know a joke? | make me laugh | say something funny | tell a
            joke | joke! | can you tell me a joke? | another joke | i want a joke | know any jokes? | Tell me a joke. |
            tell me something funny | please tell me a funny joke
            """,
            """
            tell me a good joke | tell us a joke | do you know any jokes? | jokes | give me a joke | be funny | one
            more joke please
            """,
        ),
        (
            "Here is a joke: Why is the snail of Wim called Rocket? Because nobody has told the snail!",
            "Here is a joke: What does the parrot of Ines say? Whatever Ines has just said!",
            "Here is a joke: Why does Ada sing to the bread? Because it rises to a good song!",
        ),
        "A joke: the snail of Wim is called Rocket!",
        "joke",
        weight=4,
    ),
    "poem": Visit(
        halves(
            """
            write a poem | tell me a poem | poem | a poem please | write me a poem about the moon | can you write a
            poem? | write a haiku | make a rhyme | write a short poem about love | a poem about {topic} | write me a
            poem about {topic} | compose a poem | poetry | say a poem | write a poem for my mother
            """,
            """
            write me a poem | please write a poem | do you know a poem? | i want a poem | poem please | write a love
            poem | recite a poem
            """,
        ),
        (
            "Here is a poem: The moon is high above the mill, and all of Pennywell is still.",
            "Here is a poem: The pond is blue, the bread is brown, and Finn tells stories in the town.",
        ),
        "A poem: all of Pennywell is still.",
        "poem",
        weight=4,
    ),
    "song": Visit(
        halves(
            """
            sing a song | sing | sing me a song | can you sing? | song | sing something | do you know a song? | write a
            song about {topic} | sing for me | a song please | write a song
            """,
            """
            sing me something | please sing | can you sing a song? | i want a song | sing us a song | compose a song
            """,
        ),
        ("Here is a song: Sing, Vera, sing, and play your tune, the goose is dancing with the moon!",),
        "A song: sing, Vera, sing!",
        "song",
        weight=2,
    ),
    "story": Visit(
        halves(
            """
            tell me a story | story | write a story | a story please | can you tell me a story? | tell a story | i want
            a story | once upon a time | tell me a fairy tale | write me a story | make up a story | bedtime story |
            another story | a story about {topic} | write a story about {topic}
            """,
            """
            tell me a nice story | please tell me a story | story time | tell me a short story | give me a story | read
            me a story | i would love a story
            """,
        ),
        (
            "Gladly! Ask me for a story about {hero} and {thing.a}.",
            "Gladly! Ask me for a story about {hero} and {friend}.",
        ),
        "Ask me for a story about {hero}.",
        "a story about",
        weight=4,
    ),
}
