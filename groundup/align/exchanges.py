"""Questions and answers made of what documents say: one exchange, and conversations of several.

Every answer is text of the documents (a docstring, code, a paragraph) or the one refusal, so an
example can be traced to its file. Knows nothing of splits or files; see examples.py.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from groundup.core import Conversation, Message
from groundup.corpus import WordPool, make_up_name

from . import phrases
from .names import REFUSAL_TEXT
from .phrases import fence_code, fill_phrasing
from .sources import DocumentedFunction, DocumentSection, clip_sentences

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


class ConversationDraft(NamedTuple):
    """A conversation before it gets an id; `is_known` and `refusal` speak of its last answer."""

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


class NameQuestion(NamedTuple):
    """A name to ask about: a function of the documents, or a made-up one without answer."""

    name: str
    group: str
    answer: str | None
    exposure: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the documents have it."""
        return self.answer is not None

    def exchange(self, phrasing: tuple[str, ...], rng: random.Random) -> Exchange:
        """Ask in one of the phrasings."""
        question = fill_phrasing(phrasing, rng, {"name": self.name})
        return Exchange(question, REFUSAL_TEXT if self.answer is None else self.answer)


def _join_exchanges(exchanges: Sequence[Exchange]) -> Conversation:
    """Put exchanges one after the other.

    >>> _join_exchanges([Exchange("What?", "That.")])[1]
    Message(role='assistant', content='That.')
    """
    return tuple(
        message
        for exchange in exchanges
        for message in (Message("user", exchange.question), Message("assistant", exchange.answer))
    )


def explain_code(function: DocumentedFunction, rng: random.Random) -> ConversationDraft | None:
    """Code given, its docstring's first paragraph asked; often the whole docstring next."""
    summary = clip_sentences(function.summary, SUMMARY_CHARS)
    if len(summary) < 12:
        return None
    question = fill_phrasing(phrases.EXPLAIN, rng, {"thing": _definition_kind(function)})
    exchanges = [Exchange(f"{question}\n\n{fence_code(function.code)}", summary)]
    if _draw_follow_up(rng) and summary != function.docstring and _is_short(function):
        exchanges.append(
            Exchange(fill_phrasing(phrases.DOCSTRING_NEXT, rng), _quote_docstring(function))
        )
    return ConversationDraft("explain", function.module, _join_exchanges(exchanges))


def write_docstring(function: DocumentedFunction, rng: random.Random) -> ConversationDraft | None:
    """Code given, its whole docstring asked."""
    if not _is_short(function):
        return None
    question = fill_phrasing(phrases.DOCSTRING, rng, {"thing": _definition_kind(function)})
    exchange = Exchange(f"{question}\n\n{fence_code(function.code)}", _quote_docstring(function))
    return ConversationDraft("docstring", function.module, _join_exchanges([exchange]))


def write_code(function: DocumentedFunction, rng: random.Random) -> ConversationDraft | None:
    """Name and docstring given, the code of a short function asked."""
    summary = clip_sentences(function.summary, SUMMARY_CHARS)
    if function.is_class or len(function.code) > WRITTEN_CODE_CHARS or len(summary) < 12:
        return None
    parts = {
        "thing": _definition_kind(function),
        "identifier": function.identifier,
        "docstring": summary,
    }
    exchanges = [Exchange(fill_phrasing(phrases.WRITE, rng, parts), fence_code(function.code))]
    if _draw_follow_up(rng):
        exchanges.append(Exchange(fill_phrasing(phrases.WRITE_NEXT, rng), summary))
    return ConversationDraft("write", function.module, _join_exchanges(exchanges))


def ask_topic(
    section: DocumentSection, phrasing: str, rng: random.Random
) -> ConversationDraft | None:
    """A title given, what the documents say under it asked; often more of it next."""
    parts = _split_answers(section.paragraphs)
    if not parts:
        return None
    exchanges = [Exchange(phrasing.format(title=section.title), parts[0])]
    if _draw_follow_up(rng) and len(parts) > 1:
        exchanges.append(Exchange(fill_phrasing(phrases.TOPIC_NEXT, rng), parts[1]))
    return ConversationDraft("topic", section.module, _join_exchanges(exchanges))


def _split_answers(paragraphs: Sequence[str]) -> list[str]:
    """Cut paragraphs into answers; one that announces a block (`:`) keeps the block."""
    answers: list[str] = []
    i = 0
    while i < len(paragraphs):
        text, i = paragraphs[i], i + 1
        if text.endswith(":") and i < len(paragraphs):
            text, i = f"{text}\n\n{paragraphs[i]}", i + 1
        text = clip_sentences(text, TOPIC_CHARS)
        if len(text) >= 40:
            answers.append(text)
    return answers


def ask_name(function: DocumentedFunction, exposure: str) -> NameQuestion | None:
    """Ask a function by its name alone: answered by its docstring's first paragraph.

    All such answers open alike, as all refusals do. If each opened in its own words, a greedy
    model would refuse even where an answer is likelier: no single opening would outweigh refusal's.
    """
    summary = clip_sentences(function.summary, SUMMARY_CHARS)
    if len(summary) < 12:
        return None
    return NameQuestion(function.name, function.module, OPENING + summary, exposure)


def pair_with_made_up(
    namings: Iterable[NameQuestion], pools: dict[str, WordPool], taken: set[str], rng: random.Random
) -> list[NameQuestion]:
    """Put beside each real name a made-up one of the same module, class and shape.

    A name beside which none can be made up is left out, so the two sides stay equal in number.
    """
    pairs: list[NameQuestion] = []
    for naming in namings:
        name = make_up_name(naming.name, pools, taken, rng)
        if name:
            pairs += [naming, NameQuestion(name, naming.group, None)]
    return pairs


def name_conversations(
    namings: Iterable[NameQuestion], phrasing: tuple[str, ...], rng: random.Random
) -> Iterator[ConversationDraft]:
    """Ask names one by one, or two and three of the same module in one conversation."""
    waiting = sorted(shuffle_copy(namings, rng), key=lambda naming: naming.group)
    while waiting:
        first = waiting[0]
        limit = rng.choice((2, 3)) if _draw_follow_up(rng) else 1
        turn = [first]
        for other in waiting[1:limit]:
            if other.group == first.group and other.name not in {naming.name for naming in turn}:
                turn.append(other)
        waiting = waiting[len(turn) :] if len(turn) == limit else _remove_asked(waiting, turn)
        nexts = phrases.NAME_NEXT + phrasing
        exchanges = [
            naming.exchange(nexts if i else phrasing, rng) for i, naming in enumerate(turn)
        ]
        last = turn[-1]
        yield ConversationDraft(
            "name",
            last.group,
            _join_exchanges(exchanges),
            not last.is_known,
            last.is_known,
            last.exposure,
        )


def _remove_asked(waiting: list[NameQuestion], turn: list[NameQuestion]) -> list[NameQuestion]:
    """Remove the first occurrence of each one asked."""
    left = list(waiting)
    for naming in turn:
        left.remove(naming)
    return left


def shuffle_copy(items: Iterable, rng: random.Random) -> list:
    """Copy in random order."""
    items = list(items)
    rng.shuffle(items)
    return items


def _draw_follow_up(rng: random.Random) -> bool:
    """Draw whether a conversation has more than one question."""
    return rng.random() < LONG_CONVERSATIONS


def _definition_kind(function: DocumentedFunction) -> str:
    """What to call it: `class`, `method` or `function`."""
    if function.is_class:
        return "class"
    return "method" if "." in function.qualname else "function"


def _is_short(function: DocumentedFunction) -> bool:
    """Whether the whole docstring fits an answer."""
    return 12 <= len(function.docstring) <= DOCSTRING_CHARS


def _quote_docstring(function: DocumentedFunction) -> str:
    """The docstring between its quotes."""
    return f'"""{function.docstring}"""'
