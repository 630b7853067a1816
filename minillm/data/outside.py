"""What people ask about that has nothing to do with the village: topics, other languages, and no words at all.

Made so broadly that a model learns the one thing that they have in common: none of it is of Pennywell.
"""

from __future__ import annotations

from collections.abc import Callable

from minillm.data.grammar import Draws
from minillm.data.names import made_up_word, outside_name
from minillm.data.task_types import TaskSplit
from minillm.data.unheard import messages_of

__all__ = ["OUTSIDE"]

_TOPICS = messages_of(
    """
    the president | politics | the government | an election | a war | football | tennis | the world cup | basketball
    | the olympics | python | javascript | a computer | a program | the internet | google | a website | an algorithm
    | a database | artificial intelligence | chatgpt | machine learning | a neural network | a robot | bitcoin |
    money | the stock exchange | a bank | tax | a mortgage | a job interview | a cv | my boss | my homework |
    mathematics | algebra | geometry | physics | quantum mechanics | gravity | the speed of light | chemistry | an
    atom | water | oxygen | biology | dna | a virus | a vaccine | cancer | a headache | a diet | vitamins | sleep |
    yoga | anxiety | the brain | history | the roman empire | napoleon | world war two | dinosaurs | the moon | mars
    | the sun | a black hole | the universe | the ocean | a volcano | an earthquake | climate change | the rain
    forest | a tiger | an elephant | a shark | a whale | a dragon | a car | an electric car | a train | an airplane
    | a rocket | new york | america | india | africa | europe | california | the mountains | a hotel | a flight | a
    visa | pizza | coffee | wine | sushi | chocolate | a recipe for soup | music | jazz | a guitar | mozart | taylor
    swift | the beatles | netflix | star wars | harry potter | a video game | minecraft | a novel | shakespeare |
    poetry | art | picasso | philosophy | god | the meaning of life | love | marriage | happiness | death | time | a
    dream | school | university | an exam | english grammar | a law | a contract | a phone | an app | an iphone | a
    battery | electricity | a microscope | plastic | a diamond | gold | fashion | shoes | a haircut | my cat | my
    girlfriend | my mother | my neighbour | a baby | a birthday party | christmas | a wedding | a joke about banks
    """
)
_QUESTIONS = messages_of(
    """
    who is {name} {surname}? | who was {name} {surname}? | do you know {name} {surname}? | what is {topic}? | what
    is {topic}? | what's {topic}? | tell me about {topic} | explain {topic} | explain {topic} to me | can you
    explain {topic}? | how does {topic} work? | why is {topic} important? | what do you know about {topic}? | what
    do you think about {topic}? | do you like {topic}? | write about {topic} | write an essay about {topic} | write
    a letter about {topic} | write code for {topic} | write a program for {topic} | give me tips for {topic} | give
    me a list of ten facts about {topic} | how can i learn {topic}? | how do i buy {topic}? | where can i buy
    {topic}? | how much does {topic} cost? | how old is {topic}? | how big is {topic}? | who invented {topic}? | who
    discovered {topic}? | when was {topic} invented? | what is the history of {topic}? | i need help with {topic} |
    help me with {topic} | i want to talk about {topic} | let's talk about {topic} | i have a question about {topic}
    | is {topic} dangerous? | is {topic} real? | should i trust {topic}? | what is the difference between {topic}
    and {topic2}? | {topic} or {topic2}? | what is better, {topic} or {topic2}? | translate {topic} into {language}
    | translate '{made} {made2}' | how do you say {topic} in {language}? | do you speak {language}? | can you speak
    {language}? | what does {made} mean? | what is {made}? | what is a {made}? | define {made} | tell me about
    {made} | who is the president of {made}? | who won the {made} cup? | who is {made}? | summarize {topic} |
    {topic} | {topic} please | {made} | {made} {made2} | {made} {made2} {made3}? | what is the best {made}? | what
    is the latest news about {topic}? | can you recommend {topic}? | how do i {made} my {made2}? | why do people
    like {topic}? | what happened in {digits}? | my {made} is broken | i lost my {made} | buy {topic} | which is the
    biggest {made}? | how many {made} are there? | how far away is {topic}? | is it true that {topic} is {made}?
    """
)
_LANGUAGES = ("german", "french", "spanish", "chinese", "japanese", "latin", "hindi", "swedish")

_FOREIGN = {
    "German": messages_of(
        """
        hallo, wie geht es dir? | wer bist du? | wie heißt du? | was kannst du? | guten morgen | guten tag |
        sprichst du deutsch? | erzähl mir einen witz | was ist das? | danke schön | ich liebe dich | wie ist das
        wetter heute? | schreibe mir ein gedicht über den winter | können sie mir helfen?
        """
    ),
    "Spanish": messages_of(
        """
        hola, ¿cómo estás? | ¿quién eres? | ¿cómo te llamas? | ¿qué puedes hacer? | buenos días | gracias | ¿hablas
        español? | cuéntame un chiste | ¿qué hora es? | te quiero mucho | ¿dónde está la casa? | escribe un poema
        sobre el mar | necesito ayuda con mi tarea
        """
    ),
    "French": messages_of(
        """
        bonjour, comment ça va ? | qui es-tu ? | comment tu t'appelles ? | que peux-tu faire ? | bonsoir | merci |
        parles-tu français ? | raconte-moi une blague | quelle heure est-il ? | je t'aime | où est la maison ? |
        écris un poème sur la mer | j'ai besoin d'aide
        """
    ),
    "Chinese": messages_of(
        """
        你好 | 你是谁 | 你叫什么名字？ | 你会做什么？ | 早上好 | 谢谢 | 你会说中文吗？ |
        给我讲个笑话 | 今天天气怎么样？ | 我爱你 | 写一首诗 | 中国的首都是哪里？ | 帮我写作业 |
        我很高兴认识你
        """
    ),
    "Japanese": messages_of(
        """
        こんにちは | あなたは誰ですか | お名前は何ですか？ | 何ができますか？ | おはようございます |
        ありがとう | 日本語を話せますか？ | 冗談を言ってください | 今日の天気は？ | 大好き |
        詩を書いてください | 東京はどこですか
        """
    ),
}
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qazwsxedc", "lkjhgfdsa", "poiuytrewq")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = "?!.,;:-_#*+=/\\()<>$%&@~^"
_PICTURES = "😀😂🙂❤️👍🎉🐱🌍🔥😢🤔🙏"


def _topic(draws: Draws, split: TaskSplit) -> str:
    return draws.choose(_TOPICS)


def _language(draws: Draws, split: TaskSplit) -> str:
    return draws.choose(_LANGUAGES)


def _made(draws: Draws, split: TaskSplit) -> str:
    return made_up_word(draws, split)


def _name(draws: Draws, split: TaskSplit) -> str:
    return outside_name(draws, split)


def _surname(draws: Draws, split: TaskSplit) -> str:
    return made_up_word(draws, split).capitalize()


def _digits(draws: Draws, split: TaskSplit) -> str:
    """A number that is too big for the village."""
    length = draws.choose((2, 2, 2, 3, 3, 4, 5))
    return str(draws.choose(range(3, 10))) + "".join(draws.choose("0123456789") for _ in range(length - 1))


def _question(draws: Draws, split: TaskSplit) -> str:
    return draws.choose(_QUESTIONS)


def _foreign(draws: Draws, split: TaskSplit) -> str:
    """A sentence of another language, or its words in another order."""
    sentences = _FOREIGN[draws.choose(tuple(_FOREIGN))]
    if draws.choose((True, False)):
        return draws.choose(sentences)
    pieces: list[str] = []
    for _ in range(draws.choose((1, 2, 3))):
        sentence = draws.choose(sentences)
        words = (
            sentence.split()
            if " " in sentence
            else [sentence[at : at + 2] for at in range(0, len(sentence), 2)]
        )
        pieces.append(draws.choose(words))
    return ("" if sentences[0].isascii() or " " not in sentences[0] else " ").join(pieces)


def _noise(draws: Draws, split: TaskSplit) -> str:
    """Letters, digits or signs without a meaning."""
    kind = draws.choose(("keys", "letters", "letters", "signs", "digits", "one", "pictures"))
    length = draws.choose(range(1, 10))
    if kind == "keys":
        row = draws.choose(_KEYBOARD)
        return row[draws.choose(range(4)) :][: max(3, length)]
    if kind == "one":
        return draws.choose(_LETTERS + _SIGNS) * length
    letters = {"letters": _LETTERS, "signs": _SIGNS, "digits": "0123456789", "pictures": _PICTURES}[kind]
    return "".join(draws.choose(letters) for _ in range(length if kind != "pictures" else 1 + length // 4))


# What stands for each slot of a visitor's message that is drawn anew each time.
OUTSIDE: dict[str, Callable[[Draws, TaskSplit], str]] = {
    "question": _question,
    "topic": _topic,
    "made": _made,
    "name": _name,
    "surname": _surname,
    "digits": _digits,
    "language": _language,
    "foreign": _foreign,
    "noise": _noise,
}
