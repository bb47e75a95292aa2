"""Questions and answers made of what documents say: one exchange, and conversations of several.

Every answer is text of the documents (a docstring, code, a paragraph) or the one refusal, so an
example can be traced to its file. Knows nothing of splits or files; see examples.py.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from groundup.core import Conversation, Message
from groundup.corpus import Pool, make_up

from . import phrases
from .names import REFUSAL
from .phrases import ask, block
from .sources import Function, Section, clip

SUMMARY_CHARS = 240
DOCSTRING_CHARS = 500
WRITTEN_CODE_CHARS = 500
TOPIC_CHARS = 480
LONG_CONVERSATIONS = 0.35
OPENING = "The documents say: "
"""Of an answer to a name."""


class Exchange(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


class Talk(NamedTuple):
    """A conversation before it gets an id; `known` and `refusal` speak of its last answer."""

    kind: str
    group: str
    messages: Conversation
    refusal: bool = False
    known: bool | None = None
    exposure: str = ""

    @property
    def chars(self) -> int:
        """Characters of all messages."""
        return sum(len(message.content) for message in self.messages)


class Naming(NamedTuple):
    """A name to ask about: a function of the documents, or a made-up one without answer."""

    name: str
    group: str
    answer: str | None
    exposure: str = ""

    @property
    def known(self) -> bool:
        """Whether the documents have it."""
        return self.answer is not None

    def exchange(self, phrasing: tuple[str, ...], rng: random.Random) -> Exchange:
        """Ask in one of the phrasings."""
        question = ask(phrasing, rng, {"name": self.name})
        return Exchange(question, REFUSAL if self.answer is None else self.answer)


def conversation(exchanges: Sequence[Exchange]) -> Conversation:
    """Put exchanges one after the other.

    >>> conversation([Exchange("What?", "That.")])[1]
    Message(role='assistant', content='That.')
    """
    return tuple(
        message
        for exchange in exchanges
        for message in (Message("user", exchange.question), Message("assistant", exchange.answer))
    )


def explain(function: Function, rng: random.Random) -> Talk | None:
    """Code given, its docstring's first paragraph asked; often the whole docstring next."""
    summary = clip(function.summary, SUMMARY_CHARS)
    if len(summary) < 12:
        return None
    question = ask(phrases.EXPLAIN, rng, {"thing": thing(function)})
    exchanges = [Exchange(f"{question}\n\n{block(function.code)}", summary)]
    if goes_on(rng) and summary != function.docstring and is_short(function):
        exchanges.append(Exchange(ask(phrases.DOCSTRING_NEXT, rng), quoted(function)))
    return Talk("explain", function.module, conversation(exchanges))


def write_docstring(function: Function, rng: random.Random) -> Talk | None:
    """Code given, its whole docstring asked."""
    if not is_short(function):
        return None
    question = ask(phrases.DOCSTRING, rng, {"thing": thing(function)})
    exchange = Exchange(f"{question}\n\n{block(function.code)}", quoted(function))
    return Talk("docstring", function.module, conversation([exchange]))


def write_code(function: Function, rng: random.Random) -> Talk | None:
    """Name and docstring given, the code of a short function asked."""
    summary = clip(function.summary, SUMMARY_CHARS)
    if function.is_class or len(function.code) > WRITTEN_CODE_CHARS or len(summary) < 12:
        return None
    parts = {"thing": thing(function), "identifier": function.identifier, "docstring": summary}
    exchanges = [Exchange(ask(phrases.WRITE, rng, parts), block(function.code))]
    if goes_on(rng):
        exchanges.append(Exchange(ask(phrases.WRITE_NEXT, rng), summary))
    return Talk("write", function.module, conversation(exchanges))


def about(section: Section, phrasing: str, rng: random.Random) -> Talk | None:
    """A title given, what the documents say under it asked; often more of it next."""
    parts = passages(section.paragraphs)
    if not parts:
        return None
    exchanges = [Exchange(phrasing.format(title=section.title), parts[0])]
    if goes_on(rng) and len(parts) > 1:
        exchanges.append(Exchange(ask(phrases.TOPIC_NEXT, rng), parts[1]))
    return Talk("topic", section.module, conversation(exchanges))


def passages(paragraphs: Sequence[str]) -> list[str]:
    """Cut paragraphs into answers; one that announces a block (`:`) keeps the block."""
    answers: list[str] = []
    i = 0
    while i < len(paragraphs):
        text, i = paragraphs[i], i + 1
        if text.endswith(":") and i < len(paragraphs):
            text, i = f"{text}\n\n{paragraphs[i]}", i + 1
        text = clip(text, TOPIC_CHARS)
        if len(text) >= 40:
            answers.append(text)
    return answers


def named(function: Function, exposure: str) -> Naming | None:
    """Ask a function by its name alone: answered by its docstring's first paragraph.

    All such answers open alike, as all refusals do. If each opened in its own words, a greedy
    model would refuse even where an answer is likelier: no single opening would outweigh refusal's.
    """
    summary = clip(function.summary, SUMMARY_CHARS)
    if len(summary) < 12:
        return None
    return Naming(function.name, function.module, OPENING + summary, exposure)


def paired(
    namings: Iterable[Naming], pools: dict[str, Pool], taken: set[str], rng: random.Random
) -> list[Naming]:
    """Put beside each real name a made-up one of the same module, class and shape.

    A name beside which none can be made up is left out, so the two sides stay equal in number.
    """
    pairs: list[Naming] = []
    for naming in namings:
        name = make_up(naming.name, pools, taken, rng)
        if name:
            pairs += [naming, Naming(name, naming.group, None)]
    return pairs


def name_talks(
    namings: Iterable[Naming], phrasing: tuple[str, ...], rng: random.Random
) -> Iterator[Talk]:
    """Ask names one by one, or two and three of the same module in one conversation."""
    waiting = sorted(shuffled(namings, rng), key=lambda naming: naming.group)
    while waiting:
        first = waiting[0]
        limit = rng.choice((2, 3)) if goes_on(rng) else 1
        turn = [first]
        for other in waiting[1:limit]:
            if other.group == first.group and other.name not in {naming.name for naming in turn}:
                turn.append(other)
        waiting = waiting[len(turn) :] if len(turn) == limit else drop(waiting, turn)
        nexts = phrases.NAME_NEXT + phrasing
        exchanges = [
            naming.exchange(nexts if i else phrasing, rng) for i, naming in enumerate(turn)
        ]
        last = turn[-1]
        yield Talk(
            "name", last.group, conversation(exchanges), not last.known, last.known, last.exposure
        )


def drop(waiting: list[Naming], turn: list[Naming]) -> list[Naming]:
    """Remove the first occurrence of each one asked."""
    left = list(waiting)
    for naming in turn:
        left.remove(naming)
    return left


def shuffled(items: Iterable, rng: random.Random) -> list:
    """Copy in random order."""
    items = list(items)
    rng.shuffle(items)
    return items


def goes_on(rng: random.Random) -> bool:
    """Draw whether a conversation has more than one question."""
    return rng.random() < LONG_CONVERSATIONS


def thing(function: Function) -> str:
    """What to call it: `class`, `method` or `function`."""
    if function.is_class:
        return "class"
    return "method" if "." in function.qualname else "function"


def is_short(function: Function) -> bool:
    """Whether the whole docstring fits an answer."""
    return 12 <= len(function.docstring) <= DOCSTRING_CHARS


def quoted(function: Function) -> str:
    """The docstring between its quotes."""
    return f'"""{function.docstring}"""'
