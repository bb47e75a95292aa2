"""A prompt made of typed parts, from a TOML file: instructions, examples, data, questions.

    [[part]]
    kind = "instruction"                    # the system message
    text = "Answer from the passages alone."

    [[part]]
    kind = "example"                        # a turn of the user and one of the model
    text = "Question: What is 1 + 1?"
    answer = "2"

    [[part]]
    kind = "data"                           # <passage number="1" title="…"> … </passage>
    name = "passage"

    [[part]]
    kind = "question"
    name = "question"
    text = "Question: "

Nothing in the file is a program, and nothing in a value is markup: the angle brackets of data and
questions are written as parentheses, so no document can end the part that it stands in.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import model_validator

from groundup.core import Config, ConfigError, Conversation, Message

BRACKETS = str.maketrans({"<": "(", ">": ")"})
TAG = re.compile(r"[a-z][a-z_]*")


class Datum(NamedTuple):
    """A text that is shown to a model and not said to it."""

    text: str
    title: str = ""


class Part(Config):
    """One part of a prompt."""

    kind: Literal["instruction", "example", "data", "question"]
    """What it is to the model."""
    text: str = ""
    """What is said; of a question, what stands before it."""
    answer: str = ""
    """Of an example: what the model should write."""
    name: str = ""
    """Of data and questions: the value that fills it, and data's tag."""

    @model_validator(mode="after")
    def _check(self) -> "Part":
        """Each kind has what it needs."""
        is_filled = self.kind in ("data", "question")
        if is_filled and not TAG.fullmatch(self.name):
            raise ValueError(f"a {self.kind} needs a name of small letters, not {self.name!r}")
        if not is_filled and not self.text:
            raise ValueError(f"an {self.kind} needs a text")
        if (self.kind == "example") != bool(self.answer):
            raise ValueError("an example has an answer, and nothing else has")
        return self

    def shown(self, value: str | Sequence[Datum]) -> str:
        """The part with its value."""
        if isinstance(value, str):
            return self.text + " ".join(value.split()).translate(BRACKETS)
        blocks = (
            f'<{self.name} number="{number}" title="{_attribute(each.title)}">\n'
            f"{each.text.translate(BRACKETS)}\n</{self.name}>"
            for number, each in enumerate(value, 1)
        )
        return "\n".join(blocks)


def _attribute(text: str) -> str:
    return " ".join(text.split()).translate(BRACKETS).replace('"', "'")


class Template(Config):
    """The parts of a prompt, in their order."""

    part: tuple[Part, ...]
    """In the file: one table [[part]] each."""

    @model_validator(mode="after")
    def _check(self) -> "Template":
        """There is something to ask, and every name stands once."""
        names = self.names
        if not names or len(names) > len(set(names)):
            raise ValueError(f"data and questions need names, each once; found {names}")
        return self

    @classmethod
    def read(cls, path: Path) -> "Template":
        """Read a file; ConfigError if it is missing, no TOML or no template."""
        try:
            return cls(**tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read as a prompt ({error}).") from None
        except ConfigError as error:
            raise ConfigError(f"{path} is no prompt: {error}") from None

    @property
    def names(self) -> list[str]:
        """What a prompt needs values for."""
        return [part.name for part in self.part if part.name]

    def fill(self, values: Mapping[str, str | Sequence[Datum]]) -> Conversation:
        """What a model is told: instructions, then examples as turns, then data and questions.

        values  a text for each question, data for each part of data

        Raises ConfigError for missing and unknown names, and for a value of the other kind.
        """
        if wrong := sorted(set(self.names) ^ values.keys()):
            raise ConfigError(f"The prompt has values for {self.names}; {wrong} are other names.")
        said, turns, shown = list[str](), list[Message](), list[str]()
        for part in self.part:
            if part.kind == "instruction":
                said.append(part.text)
            elif part.kind == "example":
                turns += [Message("user", part.text), Message("assistant", part.answer)]
            elif isinstance(values[part.name], str) != (part.kind == "question"):
                raise ConfigError(f"{part.name!r} is a {part.kind} of the prompt.")
            else:
                shown += filter(None, [part.shown(values[part.name])])
        system = [Message("system", "\n\n".join(said))] if said else []
        return (*system, *turns, Message("user", "\n".join(shown)))
