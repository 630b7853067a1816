"""The village of Pennywell: its people, animals, places and things, and what is true of them for ever.

Everything here is fixed. What one document makes up for itself (who holds the kite today) is drawn by
:mod:`minillm.data.world`.
"""

from __future__ import annotations

from dataclasses import dataclass

from minillm.data.grammar import Word

__all__ = [
    "ANIMALS",
    "CAPITALS",
    "COLOURED",
    "DAYS",
    "MONTHS",
    "NUMBERS",
    "OPPOSITES",
    "PEOPLE",
    "PLACES",
    "SEASONS",
    "THINGS",
    "Animal",
    "Person",
]


@dataclass(frozen=True)
class Person:
    """A villager. `home` carries its preposition ("above the bakery"); the pet's kind is an animal's name."""

    name: Word  # the first name
    he: str  # the pronoun, "he" or "she"
    job: Word  # what they work as
    home: str  # where they live
    pet: Word  # the kind of their animal
    pet_name: Word  # what it is called
    food: str  # what they like to eat
    colour: Word  # which they like
    hobby: str  # what they like to do

    def __str__(self) -> str:
        return self.name

    @property
    def him(self) -> str:
        """The pronoun of whom something is done to."""
        return {"he": "him", "she": "her"}[self.he]

    @property
    def his(self) -> str:
        """The pronoun of whom something belongs to."""
        return {"he": "his", "she": "her"}[self.he]


@dataclass(frozen=True)
class Animal:
    """A kind of animal: what it says, where it sleeps, what its young are called, what it eats, what it is like."""

    name: Word  # of the kind
    sound: str  # what it says
    home: str  # where it sleeps
    young: Word  # what its young are called
    food: str  # what it eats
    look: str  # what it is like

    def __str__(self) -> str:
        return self.name

    @property
    def a(self) -> str:
        """The name with its article, "a" or "an"."""
        return self.name.a


def _table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]


PEOPLE = tuple(
    Person(Word(n), he, Word(job), home, Word(pet), Word(pet_name), food, Word(colour), hobby)
    for n, he, job, home, pet, pet_name, food, colour, hobby in _table("""
    Ada   | she | baker       | above the bakery     | cat      | Crumb    | plum cake     | yellow | singing to the bread
    Bruno | he  | blacksmith  | behind the forge     | donkey   | Anvil    | bean soup     | black  | lifting heavy things
    Clara | she | postwoman   | beside the gate      | dog      | Stamp    | fried fish    | red    | reading old maps
    Dev   | he  | clockmaker  | under the tower      | owl      | Minute   | ginger cake   | brown  | being early
    Elsie | she | beekeeper   | in the orchard       | hen      | Pepper   | honey bread   | orange | talking to bees
    Finn  | he  | fisherman   | near the harbour     | duck     | Captain  | onion soup    | blue   | telling tall stories
    Greta | she | farmer      | on the farm          | pig      | Duchess  | apple pie     | green  | riding the cart
    Hugo  | he  | miller      | inside the mill      | mouse    | Thunder  | pancakes      | white  | sleeping in the sun
    Ines  | she | painter     | across the bridge    | parrot   | Echo     | lemon cake    | purple | painting clouds
    Jonas | he  | shopkeeper  | over the shop        | rabbit   | Penny    | cheese        | grey   | counting buttons
    Kofi  | he  | teacher     | behind the school    | frog     | Professor| rice pudding  | green  | asking questions
    Lotte | she | doctor      | beside the fountain  | goat     | Nurse    | carrot soup   | white  | climbing trees
    Mei   | she | gardener    | near the pond        | turtle   | Comet    | dumplings     | pink   | growing giant pumpkins
    Nora  | she | librarian   | above the library    | cat      | Comma    | toast         | blue   | whispering
    Otto  | he  | watchman    | inside the gate      | owl      | Lantern  | mushroom pie  | black  | counting stars
    Pia   | she | carpenter   | beside the barn      | dog      | Splinter | potato soup   | yellow | building tiny houses
    Quinn | he  | ferryman    | on the ferry         | goose    | Admiral  | fried eggs    | grey   | skipping stones
    Rosa  | she | shepherd    | over the quarry      | sheep    | Cloud    | cheese        | pink   | playing the flute
    Sam   | he  | sweep       | under the bridge     | crow     | Soot     | apple pie     | brown  | walking on roofs
    Tara  | she | weaver      | across the market    | sheep    | Button   | noodles       | purple | knitting socks
    Umar  | he  | cook        | behind the inn       | pig      | Truffle  | noodles       | orange | tasting everything
    Vera  | she | fiddler     | over the inn         | donkey   | Tango    | plum cake     | red    | dancing badly
    Wim   | he  | potter      | near the well        | snail    | Rocket   | pancakes      | blue   | making funny faces
    Yara  | she | shoemaker   | on the beach         | hen      | Slipper  | dumplings     | green  | racing snails
    """)
)

ANIMALS = tuple(
    Animal(Word(name), sound, home, Word(young), food, look)
    for name, sound, home, young, food, look in _table("""
    cow     | moo      | barn    | calf     | grass    | large and gentle
    horse   | neigh    | stable  | foal     | hay      | tall and fast
    sheep   | baa      | fold    | lamb     | grass    | soft and woolly
    pig     | oink     | sty     | piglet   | turnips  | round and clever
    dog     | woof     | kennel  | puppy    | bones    | loyal and loud
    cat     | meow     | basket  | kitten   | fish     | quick and proud
    hen     | cluck    | coop    | chick    | corn     | small and busy
    duck    | quack    | nest    | duckling | weeds    | wet and cheerful
    goose   | honk     | nest    | gosling  | grass    | white and bossy
    owl     | hoot     | tower   | owlet    | mice     | wise and quiet
    frog    | croak    | pond    | tadpole  | flies    | green and jumpy
    bee     | buzz     | hive    | larva    | nectar   | tiny and hard-working
    mouse   | squeak   | hole    | pup      | cheese   | tiny and shy
    donkey  | hee-haw  | stable  | foal     | thistles | strong and stubborn
    crow    | caw      | tree    | fledgling| seeds    | black and curious
    wolf    | howl     | den     | cub      | meat     | grey and wild
    goat    | bleat    | shed    | kid      | anything | hungry and bold
    lion    | roar     | den     | cub      | meat     | golden and mighty
    """)
)

THINGS = tuple(
    Word(name)
    for name in """
    kite lantern basket drum ladder bell kettle umbrella hat key map candle scarf teapot whistle spoon bucket rope
    blanket book ball mirror ribbon coin feather shell flute brush hammer clock wagon sledge jar ring glove boot
    pillow telescope trumpet puzzle broom pan cup saw
    """.split()
)

PLACES = tuple(
    Word(name)
    for name in """
    mill bridge pond market forge bakery school library inn farm orchard harbour well tower barn shop lake beach gate
    lighthouse fountain dairy ferry quarry
    """.split()
)

CAPITALS = tuple(
    (country, capital)
    for country, capital in _table("""
    France | Paris
    Italy | Rome
    Spain | Madrid
    Germany | Berlin
    England | London
    Japan | Tokyo
    China | Beijing
    Egypt | Cairo
    Kenya | Nairobi
    Ghana | Accra
    Peru | Lima
    Cuba | Havana
    Norway | Oslo
    Greece | Athens
    Russia | Moscow
    Portugal | Lisbon
    Austria | Vienna
    Ireland | Dublin
    Thailand | Bangkok
    Chile | Santiago
    """)
)

OPPOSITES = tuple(
    (one, other)
    for one, other in _table("""
    hot | cold
    big | small
    long | short
    wet | dry
    loud | quiet
    fast | slow
    light | heavy
    hard | soft
    old | new
    full | empty
    clean | dirty
    day | night
    up | down
    open | closed
    happy | sad
    early | late
    rich | poor
    sweet | sour
    brave | afraid
    high | low
    """)
)

COLOURED = tuple(
    (thing, Word(colour))
    for thing, colour in _table("""
    snow | white
    grass | green
    coal | black
    a lemon | yellow
    a carrot | orange
    a tomato | red
    the sky at noon | blue
    a plum | purple
    milk | white
    a leaf in May | green
    mud | brown
    an elephant | grey
    a ripe banana | yellow
    chocolate | brown
    a raven | black
    a strawberry | red
    """)
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)
SEASONS = tuple(
    (season, weather, work, first)
    for season, weather, work, first in _table("""
    spring | mild and green | plant beans | March
    summer | hot and bright | swim in the lake | June
    autumn | windy and golden | pick apples | September
    winter | cold and white | build snowmen | December
    """)
)

NUMBERS = tuple(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty".split()
)
