"""Made facts, on which a reader learns what a near miss is: another property of the same thing.

    question   What is the old bell made of?
    answered   "The old bell came from Ashby. It is made of bronze."
    not        "The old bell came from Ashby. The gate is made of oak."
               "The lid of the old bell is made of tin." "Nobody wrote down what it is made of."

Rows of tables and settings are made too. What things have, and how that is said and asked, is in
facts.toml; it is of no document, so that nothing of a test gets into training.
"""

import random
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .examples import Example

TITLED, TABLES, PRONOUNS, PART_OF = 0.4, 0.3, 0.3, 0.25
"""Shares of texts below a title, of tables, of a thing named in the sentence before, of places."""


class Fact(NamedTuple):
    """A sentence and the place of what it tells."""

    text: str
    start: int
    end: int


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("facts.toml").read_text(encoding="utf-8"))


class FactMaker:
    """Draws examples from facts.toml."""

    def __init__(self, seed: int) -> None:
        """Take the seed of all draws."""
        self.draw = random.Random(f"facts {seed}")
        self.kinds = {name: kind for name, kind in _table().items() if name != "words"}

    def examples(self, count: int) -> list[Example]:
        """`count` examples, about half of them answered."""
        made = list[Example]()
        while len(made) < count:
            made += self.table() if self.draw.random() < TABLES else self.prose()
        return made[:count]

    def fill(self, text: str) -> str:
        """A text with a draw for every <word>."""

        def drawn(match: re.Match[str]) -> str:
            if match[1] == "number":
                return str(self.draw.randint(2, 90))
            if match[1] == "year":
                return str(self.draw.randint(1780, 2024))
            return self.fill(self.draw.choice(_table()["words"][match[1]].split("|")))

        return re.sub(r"<(\w+)>", drawn, text)

    def value(self, kind: str) -> str:
        """A value of a kind of fact."""
        return self.fill(self.draw.choice(self.kinds[kind]["values"].split("|")))

    def thing(self) -> str:
        """A thing with its article."""
        kind = self.fill("<kinds>") if self.draw.random() < 0.6 else ""
        place = f" {self.fill('<places>')}" if self.draw.random() < PART_OF else ""
        return f"the {kind}{self.fill('<things>')}{place}"

    def say(self, thing: str, kind: str) -> Fact:
        """A sentence that tells a property of a thing."""
        said, value = self.draw.choice(self.kinds[kind]["says"]), self.value(kind)
        before, _, after = said.replace("{T}", thing).partition("{V}")
        text = f"{before}{value}{after}."
        return Fact(text[0].upper() + text[1:], len(before), len(before) + len(value))

    def ask(self, thing: str, kind: str) -> str:
        """A question for it."""
        return self.draw.choice(self.kinds[kind]["asks"]).replace("{T}", thing)

    def prose(self) -> list[Example]:
        """A question with sentences that answer, and with sentences that do not."""
        thing, other = self.thing(), self.thing()
        asked, *kinds = self.draw.sample(list(self.kinds), 4)
        question = self.ask(thing, asked)
        about = [self.say(thing, kinds[0]).text]
        about += [self.say("it", kinds[1]).text] if self.draw.random() < 0.5 else []
        part = f"the {self.fill('<parts>')} of {thing}"
        others = [
            [self.say(other, asked).text], [self.say(part, asked).text], [self.fill("<fillers>")],
            [f"Nobody wrote down {self.kinds[asked]['unknown']}."], [],
        ]  # fmt: skip
        misses = about[: self.draw.choice((0, 1, 2, 2))] + self.draw.choice(others)
        is_led = self.draw.random() < PRONOUNS
        fact = self.say("it" if is_led else thing, asked)
        more = self.draw.choice([[], about[1:], [self.fill("<fillers>")], others[0], others[1]])
        before, after = (
            (about[:1], more) if is_led else self.draw.choice(([[], more], [about[:1], more]))
        )
        return [
            self.passage(question, before, fact, after),
            self.passage(question, misses or about, None, []),
        ]

    def passage(
        self, question: str, before: list[str], fact: Fact | None, after: list[str]
    ) -> Example:
        """An example of some sentences, perhaps below a title."""
        title = f"{self.fill('<titles>')}. " if self.draw.random() < TITLED else ""
        lead = title + "".join(f"{each} " for each in before)
        text = " ".join(([fact.text] if fact else []) + after)
        place = (len(lead) + fact.start, len(lead) + fact.end) if fact else None
        return Example(question, (lead + text).rstrip(), place)

    def table(self) -> list[Example]:
        """A question for a cell of a table or a setting, with its column and without."""
        things = [self.thing()[4:] for _ in range(4)]  # without "the"
        names = list({thing.split()[-1]: thing for thing in things}.values())
        asked, *columns = self.draw.sample(list(self.kinds), self.draw.randint(3, 5))
        thing, place = names[0], self.draw.randint(0, len(columns))
        self.draw.shuffle(names)
        with_it = [*columns[:place], asked, *columns[place:]]
        lacks_row, is_table = self.draw.random() < 0.2, self.draw.random() < 0.6
        rest = [name for name in names if name != thing] if lacks_row else names
        question = self.ask(f"the {thing}", asked)
        return [
            self.cells(question, names if is_table else [thing], with_it, (thing, asked), is_table),
            self.cells(question, rest if is_table else rest[:1], with_it if lacks_row else columns,
                       ("", ""), is_table),
        ]  # fmt: skip

    def cells(
        self, question: str, names: list[str], columns: list[str], wanted: tuple[str, str],
        is_table: bool,
    ) -> Example:  # fmt: skip
        """A table with a row for each name, or a block of settings for one of them."""
        heads = [self.draw.choice(self.kinds[kind]["columns"]) for kind in columns]
        joint = self.draw.choice([",", ", ", " | ", "\t"])
        text, answer = joint.join(["item", *heads]) if is_table else "", None
        for name in names:
            text += f"\n{name}" if is_table else f"{name.replace(' ', '_')}:"
            for kind, head in zip(columns, heads, strict=True):
                value = self.value(kind)
                text += joint if is_table else f"\n  {head}: "
                if (name, kind) == wanted:
                    answer = (len(text), len(text) + len(value))
                text += value
        return Example(question, text, answer)
