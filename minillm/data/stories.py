"""The stories of Pennywell: sixteen plots, each a list of beats, each beat a choice of sentences.

Every plot names its hero, a friend, a thing and a place, so that a title's promises are always kept.
"""

from __future__ import annotations

__all__ = ["CLOSINGS", "OPENINGS", "PLOTS", "TITLES"]
# A title promises things that the story then contains. Of two people, the hero is named first.
TITLES = (
    "Title: {hero} and the {thing} at the {place}",
    "Title: The {thing}, {hero} and {friend}",
    "Title: {hero}, {friend} and the {thing}",
    "Title: How {hero} met {friend} at the {place}",
    "Title: The day {hero} showed {friend} {thing.a}",
    "A story about {hero}, {friend} and the {place}.",
    "A story about the {place}, {hero} and {thing.a}.",
    "A story with {thing.a}, {hero} and {friend} in it.",
    "In this story: {hero}, {friend}, {thing.a}, the {place}.",
    "In this story: {thing.a}, {hero}, the {place}, {friend}.",
    "In this story: the {place}, {thing.a}, {hero}.",
    "Please tell a story with {hero}, {thing.a} and {friend}.",
    "Please tell a story with {hero}, the {place} and {friend}.",
)

OPENINGS = (
    "One {weather} [morning|afternoon|evening], {hero} [went|walked|ran|hurried] {manner} to the {place} with {adj.a} {thing}.",
    "On {weather.a} {day}, {hero} [carried|pulled|pushed|dragged] {adj.a} {thing} all the way to the {place}.",
    "One {weather} [morning|evening], {hero} the {hero.job} [stood|sat|slept|sang|waited] at the {place} with {hero.his} {adj} {thing}.",
    "It was {weather.a} [morning|afternoon|evening|day] at the {place}, and {hero} had {adj.a} {thing}.",
    "Nobody in Pennywell loved {hero.his} {adj} {thing} as much as {hero}, who took it even to the {place} on {day}.",
    "There was once [a rumour|a strange smell|a long queue|a big hole|a lot of smoke|free cake] at the {place}. {hero} came {manner} and brought {adj.a} {thing}.",
)

CLOSINGS = (
    "",
    "And [that was that|so it was|nobody argued|that is all].",
    "In Pennywell they [still talk|still laugh|still sing|never speak] about it over {food}.",
    "Then {number} {crowd} went home for {drink} and {food}.",
    "{friend} told the whole story to the {crowd}, {number} times.",
    "The {thing} said nothing, as such things do.",
)

PLOTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lost": (
        (
            "By {hour} the {thing} was gone.",
            "{hero.he} put the {thing} down for one minute, and it was gone.",
            "But then {hero} lost the {thing}. // lost hero thing",
        ),
        (
            "{hero} looked {spot}, {spot2} and {spot3}.",
            "{hero} asked {number} {crowd}, but they had seen [nothing|only clouds|everything else].",
            "{hero.he} searched until {hour} and found only {junk} and {junk2}.",
        ),
        (
            "{friend} came by and found the {thing} {spot}, next to {animal.a}. // found friend thing",
            "At last {friend} saw {animal.a} that was sitting on the {thing}, and {friend} [bowed|sneezed|coughed|sang] {manner} and took it. // found friend thing",
        ),
        (
            "{friend} gave the {thing} back to {hero}. // has hero thing",
            '"Is this {adj} {thing} yours?" asked {friend}, and gave it to {hero}. // has hero thing',
        ),
        (
            "{hero} was {glad}. // feels hero glad",
            "{hero} felt so {glad} that {hero.he} {joy}. // feels hero glad",
        ),
    ),
    "present": (
        (
            "It was the birthday of {friend}, and {hero} had [nothing to give|forgotten all about it].",
            "{friend} had a birthday that day, and {hero} wanted to give {friend.him} something [good|special].",
        ),
        (
            "{hero} looked at the {thing} for [a long time|{number} minutes].",
            "{hero} thought {manner}, which made a [small|strange|loud] noise.",
            '"One {thing} is better than ten speeches," thought {hero}.',
        ),
        (
            "So {hero} tied {colour.a} bow around the {thing} and gave it to {friend}. // has friend thing",
            "{hero} hid the {thing} {spot} and then gave it to {friend}. // has friend thing",
        ),
        (
            '"It is [exactly what I wanted|the nicest one I ever saw]," said {friend} {manner}.',
            '"How did you know?" cried {friend} {manner}.',
            "{friend} [laughed|cried|blushed|jumped] {manner} and said thank you {number} times.",
        ),
        (
            "{friend} was {glad}, and so was {hero}. // feels friend glad",
            "{friend} was {glad} for {number} days. // feels friend glad",
        ),
    ),
    "trade": (
        (
            "There stood {friend} with {adj2.a} {thing2}. // had friend thing2",
            "{friend} was already there, holding {adj2.a} {thing2}. // had friend thing2",
        ),
        (
            '"I like your {thing2}," said {hero} {manner}.',
            "{hero} looked at the {thing2}. {friend} looked at the {thing}.",
            '"That is a fine {thing2}," said {hero}. "Does it [sing|float|bite|tick|glow]?"',
        ),
        (
            '"We could trade," said {friend} {manner}.',
            '"Your {thing} for my {thing2}?" asked {friend} {manner}.',
        ),
        (
            "So {friend} took the {thing} and {hero} took the {thing2}. // has friend thing; has hero thing2",
            "They shook hands {manner}. Now {hero} has the {thing2} and {friend} has the {thing}. // has hero thing2; has friend thing",
        ),
        (
            "Both were {glad}, and each thought the other was [a fool|very kind|a little mad|too clever|asleep]. // feels hero glad",
            "{hero} was {glad} with the trade. // feels hero glad",
        ),
    ),
    "broken": (
        (
            "{bang}! The {thing} broke in [two|three|half]. // broken hero thing",
            "{animal.a} [sat|stepped|fell|jumped] on the {thing}, and the {thing} broke. // broken hero thing",
            "{hero} tripped {manner} over {animal.a}, and the {thing} broke. // broken hero thing",
        ),
        ("{hero} was {low}. // feels hero low", "{hero} sat down {spot} and was {low}. // feels hero low"),
        (
            '"I can mend it," said {friend}, who [had glue|had a plan|never gave up|was good with a needle].',
            "{friend} came with {junk} and a [big smile|serious face|song].",
        ),
        (
            "{friend} worked on the {thing} until {hour}.",
            "It took {friend} {number} [hours|days] and {number2} cups of {drink} to mend the {thing}.",
        ),
        (
            "Then {friend} gave it to {hero}, and the {thing} was [better than before|almost straight|good as new|a little louder]. // has hero thing",
            "{hero} has the {thing} again, and it is [stronger|only a little crooked|good as new]. // has hero thing",
        ),
    ),
    "storm": (
        (
            "Suddenly the sky turned {colour} and a storm came.",
            "Then it began to [rain|snow|hail|thunder], and {junk} flew past.",
        ),
        (
            "{hero} hid under the {thing}, but only {hero.his} [ear|foot|nose|hat|elbow] fitted.",
            "{hero} held {manner} on to the {thing} with both hands.",
        ),
        (
            '{friend} opened a door. "Come in, {hero}, and bring the {thing}," said {friend} {manner}.',
            '"{hero}! Over here!" called {friend} {spot}.',
        ),
        (
            "They drank {drink} and told [jokes|ghost stories|the truth|lies] until {hour}.",
            "Inside it was warm, and {animal.a} was [asleep|dancing|drying its feet|drinking the {drink}] by the fire.",
        ),
        (
            "{hero} left the {thing} with {friend} to say thank you. // has friend thing",
            "{hero} was {glad} to have a friend with a roof. // feels hero glad",
        ),
    ),
    "thief": (
        (
            "A [bold|hungry|clever|polite|masked] {animal} took the {thing} and ran. // took animal thing",
            "From {spot} came {animal.a}, took the {thing} and ran. // took animal thing",
        ),
        (
            '"Stop, thief!" shouted {hero}. The {animal} did not stop.',
            "{hero} ran after the {animal}. {hero.he} ran [{number} times round the {place}|until {hour}].",
        ),
        (
            "{friend} did not run. {friend} held out [an apple|a turnip|some {food}] and waited {manner}.",
            "{friend} sat down in the road and sang {manner}.",
        ),
        (
            "The {animal} came, and dropped the {thing} into the hands of {friend}. // has friend thing",
            "The {animal} gave the {thing} to {friend} at once. // has friend thing",
        ),
        (
            '"It only wanted company," said {friend} {manner}.',
            "{hero} was {glad}, and the {animal} looked [sorry|proud|innocent|hungry|bored]. // feels hero glad",
        ),
    ),
    "contest": (
        (
            "That day there was a [pie|snail|singing|jumping|staring|whistling] contest, and the prize was the {thing} of {hero}.",
            "That day {hero} would give the {thing} to whoever could [tell the tallest story|jump the highest|sit still the longest|eat the most {food}].",
        ),
        (
            "{friend} had practised {manner} for {number} days, {spot}.",
            "{friend} did not want to win. {friend} only came to [watch|help|eat|laugh|sleep].",
        ),
        (
            "{number} {crowd} tried. One fell into [the jam|a barrel|the river|love|a hole].",
            "Even {animal.a} tried, and it was [not bad|last|very close|thrown out].",
        ),
        (
            "But {friend} won, and {hero} gave {friend.him} the {thing}. // won friend thing; has friend thing",
            "In the end {friend} won the {thing}. // won friend thing; has friend thing",
        ),
        (
            "{friend} was {glad}. // feels friend glad",
            "{friend} was so {glad} that {friend.he} {joy}. // feels friend glad",
        ),
    ),
    "borrowed": (
        (
            '"May I borrow the {thing}?" asked {friend}. "[Of course|Only until {day}|If you must]," said {hero} {manner}.',
            "{friend} asked for the {thing}, and {hero} lent it. // lent hero thing",
        ),
        (
            "{number} days went by. {friend} had forgotten it {spot}.",
            "Many days went by, and no {thing} came back.",
        ),
        (
            '"Where is my {thing}?" asked {hero}, who was {low}. // feels hero low',
            "{hero} was {low} and said nothing. // feels hero low",
        ),
        (
            '"I am sorry," said {friend}. "I was wrong, and I [cleaned it|made {food}|brought flowers|brought {junk}]."',
            '{friend} came {manner} and said, "I am sorry."',
        ),
        (
            "{friend} gave the {thing} back, and {hero} forgave {friend.him}. // has hero thing",
            '{hero} took the {thing} and smiled. "Keep your word next time." // has hero thing',
        ),
    ),
    "machine": (
        (
            "{hero} wanted to build a machine that [makes toast|tickles|catches clouds|counts sheep|tells jokes|paints].",
            "{hero} had an idea: a machine that [ties shoes|sings|peels onions|bows|sneezes].",
        ),
        (
            "It needed {number} [wheels|pipes|springs|eggs], {junk} and the {thing}.",
            "{hero} put the {thing} on top and pulled {colour.a} [string|handle|knob|lever].",
        ),
        (
            "It went {bang}, then {bang2}, and {animal.a} flew past.",
            "It shook, it smoked, and it [threw {junk}|bit {friend}|ran away|sang].",
        ),
        (
            '"What does it do?" asked {friend}. "[It is resting|Guess|That|Wait until {hour}]," said {hero} {manner}.',
            "{friend} laughed so much that {friend.he} had to [sit down|hold a wall|go home|drink some {drink}].",
        ),
        (
            "{friend} kept the {thing}, just to be safe. // has friend thing",
            "Only the {thing} was left, and {hero} was {glad} anyway. // feels hero glad",
        ),
    ),
    "noise": (
        (
            "That night there was a noise: {bang}, then {bang2}.",
            "Then something went {bang} in the dark, {spot}.",
        ),
        (
            "{hero} was {scared} and held the {thing} {manner}. // feels hero scared",
            "{hero} was {scared}, but {hero.he} took the {thing} and went to look. // feels hero scared",
        ),
        (
            '"Who is there?" whispered {hero}.',
            "{number} steps {hero} went {manner} on, with the {thing} in front.",
        ),
        (
            "It was only {friend}, who was [looking for {animal.a}|eating {food} in secret|walking in {friend.his} sleep].",
            "It was {animal.a}, and behind it came {friend} in [a nightshirt|one shoe|{colour.a} hat].",
        ),
        (
            "{hero} gave {friend} the {thing} and went back to bed. // has friend thing",
            "They laughed {manner} until {hour}.",
        ),
    ),
    "soup": (
        (
            "{friend} was making {food}, but there was no pot.",
            "{friend} was cooking {food} for {number} {crowd}.",
        ),
        (
            '"Use my {thing}," said {hero} {manner}.',
            '"Stir it with this," said {hero}, and held out the {thing}.',
        ),
        (
            "The {thing} went into the {food} with a [splash|sigh|plop|hiss], {manner}.",
            "{friend} used the {thing}, and the {food} turned {colour} and went {bang}.",
        ),
        (
            "Even {animal.a} came to taste it. It [asked for more|fainted|left {manner}|wept].",
            "{hero} ate {number} plates of {food}. // ate hero food",
        ),
        (
            "Afterwards {friend} washed the {thing} and kept it. // has friend thing",
            "{friend} was {glad}, for nobody had ever liked {friend.his} {food} before. // feels friend glad",
        ),
    ),
    "treasure": (
        (
            "{hero} had read that a treasure was hidden under the {place}.",
            "An old letter said: dig at the {place}, {number} steps from the [oak|wall|path|well|clock].",
        ),
        (
            "{hero} used the {thing} to dig, {manner}. That took until {hour}.",
            "{friend} came with a spade, and {hero} helped with the {thing}.",
        ),
        (
            "They dug [a hole as deep as {animal.a}|until their backs hurt|past {number} moles] and found {junk}.",
            "Down and down they went. {animal.a} watched {manner} and [yawned|nodded|left|smiled].",
        ),
        (
            "At last {friend} found {adj2.a} {thing2}. // found friend thing2",
            "Deep in the ground, {friend} found {adj2.a} {thing2}, next to {junk}. // found friend thing2",
        ),
        (
            "{friend} kept the {thing2} and {hero} kept the {thing}. // has friend thing2; has hero thing",
            '"It is not gold," said {friend}, "but it is ours." They were {glad}. // feels friend glad',
        ),
    ),
    "quarrel": (
        (
            '"That {thing} is mine," said {friend}. "No, mine," said {hero} {manner}.',
            "{friend} wanted the {thing} too, and they both pulled.",
        ),
        (
            "They shouted so loudly that {animal.a} [covered its ears|left the village|joined in|woke up|wept].",
            "{hero} was {low} and {friend} was [red|silent|hopping|very tall]. // feels hero low",
        ),
        (
            "Then both began to laugh, for it was a very [small|silly|old|ugly|cheap] {thing}.",
            'Then {friend} stopped. "A friend is worth more than that," said {friend} {manner}.',
        ),
        (
            '"You have it on {day}, and I have it on {day2}," said {hero} {manner}.',
            '"Let us share it," said {hero} {manner}.',
        ),
        (
            "So {friend} took the {thing} first. // has friend thing",
            "So {hero} kept the {thing} first, and nobody was sad. // has hero thing",
        ),
    ),
    "rescue": (
        (
            "The {thing} fell into the water with a [plop|splash|sigh|hiss], {manner}.",
            "A gust of wind blew the {thing} into the river.",
        ),
        (
            '"Help!" cried {hero}, who could not swim.',
            "{hero} was {scared} that it would sink. // feels hero scared",
        ),
        (
            "{friend} jumped in {manner}, with [all {friend.his} clothes on|a great cry|one shoe|{junk}].",
            "{friend} made a boat from [a bathtub|an old door|a barrel|a hat|{junk}] and rowed {manner} out.",
        ),
        (
            "{animal.a} swam beside {friend} and [gave advice|pushed|did nothing useful|sang {manner}].",
            "{friend} came back wet, with [a fish|weeds|{junk}] on {friend.his} [head|foot|back|nose].",
        ),
        (
            "{friend} had saved the {thing}, and {hero} has it still. // has hero thing",
            '"Keep it, you are a hero," said {hero}. So {friend} has the {thing} now. // has friend thing',
        ),
    ),
    "lesson": (
        (
            '"Teach me something," said {hero} to {friend}.',
            "{friend} wanted to teach {hero} how to [juggle|whistle|waltz|bow|yodel|skate|fall] {manner}.",
        ),
        (
            "First they used the {thing}. It was [harder|louder|wetter|easier|sillier] than it looked.",
            "{hero} threw the {thing} up and it came down on {friend}.",
        ),
        (
            '"Again," said {friend}. "[Slower|Higher|Louder|Lower|With your eyes open]."',
            "{hero} tried {number} times and fell over {number2} times.",
        ),
        (
            "{animal.a} learned it first. Nobody mentioned that.",
            "By evening {hero} could do it [backwards|on one leg|quite well|{manner}].",
        ),
        (
            "{hero} was {glad} and {friend} was [asleep|hungry|amazed|bored|dizzy]. // feels hero glad",
            "{hero} gave the {thing} to {friend} as a thank you. // has friend thing",
        ),
    ),
    "surprise": (
        (
            "The village was empty. No {friend}, no music, not even {animal.a}.",
            "{hero} called {manner} for {friend}, but only {animal.a} answered.",
        ),
        (
            "{hero} was {low}, for it was {hero.his} birthday. // feels hero low",
            '"They have all forgotten me," said {hero}, and was {low}. // feels hero low',
        ),
        (
            "Then a [door|curtain|barrel|window|box] opened {manner}, and out jumped {friend}!",
            '"Surprise!" shouted {friend} and [the whole village|{number} {crowd}|everybody].',
        ),
        (
            "There was {food} for all, and {animal.a} in [a paper hat|a tiny coat|{colour.a} wig].",
            "{friend} had painted the {thing} {colour} as a surprise.",
        ),
        (
            "{hero} was {glad}. // feels hero glad",
            "{hero} was so {glad} that {hero.he} [forgot the {thing}|ate {number} cakes|could not speak|{joy}]. // feels hero glad",
        ),
    ),
}
