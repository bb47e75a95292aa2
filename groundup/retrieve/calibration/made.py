"""Questions made of an index's own documents: some that they answer, some that are near misses.

    said        The annual meeting is held in the last week of January.
    asked       When is the annual meeting held?            What is the Default of segment_size?
    near miss   When is the assembly point held?            of cells: the row of another table

Only plain sentences of one subject, one verb and a value are asked (English), and cells of tables.
A near miss asks a real thing for what is said of another; no passage has all of its words. Of a few
that are drawn the one that words find most convincing is kept: people's near misses are no random
pairs either.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from groundup.core import Hit
from groundup.documents import named_cells

from ..answers.answer import answer_question
from ..chunks.passage_text import PassageText
from ..search import OpenIndex
from ..wording.language import FALLBACK, word_pattern
from ..wording.question import PASSAGE_CREDIT, numerals_of, term_credit, text_terms
from .promise import Dial

MIN_CHARACTERS, MAX_CHARACTERS, MAX_CELL = 25, 260, 80
DRAWS = 3
"""Near misses drawn for each question, of which the most convincing is kept."""
TRIES = 20
MAX_FURTHER_WORDS = 4
"""What a question has behind the verb: people do not repeat the sentence that they look for."""
ARTICLE = r"(?:The|An?|Each|Every|All|Our)\b"
SUBJECT = rf"(?P<subject>(?:{ARTICLE}|[A-Z][\w'’-]+)(?: [\w'’()`-]+){{0,6}}?)"
SAID = re.compile(
    rf"{SUBJECT},? (?P<verb>(?:is|are|was|were)|(?:can|must|may|will) be) (?P<rest>[^.;:]+)[.;]?\Z"
)
DOES = re.compile(rf"{SUBJECT} (?P<verb>[a-z]+s) (?P<rest>[^.;:]+)[.;]?\Z")
MARKUP = re.compile(r"[|<>{}=]")
ITEM = re.compile(r"^\W*(?:[-*•]|\d+[.)])\s+")
NUMBER = rf"(?:\d[\d.,]*|{numerals_of(FALLBACK).pattern})"
DAY = (
    rf"(?:\d{{1,2}} )?(?i:{word_pattern('month').pattern})|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)"
    r"days?|\d{4}|\d{1,2}[:.]\d\d|noon|midnight"
)
VALUES = {
    "How long": rf"\b(?:for |of )?{NUMBER}[ -](?:seconds?|minutes?|hours?|days?|weeks?|months?"
    r"|years?)\b",
    "When": rf"\b(?:in|on|from|since|until|by|at|every) (?:the )?(?:\w+ )?(?:{DAY})\b(?: \d{{4}})?",
    "How much": rf"[€£$]\s?\d[\d.,]*|\b{NUMBER} (?:euros?|pounds?|dollars?|cents?|pence|crowns?)\b",
    "What weight": rf"\b{NUMBER} ?(?:kg|kilograms?|kilos?|tonnes?|grams?|g)\b",
    "What length": rf"\b{NUMBER} ?(?:m|cm|mm|km|metres?|meters?|feet|miles?|inches)\b",
    "Where": r"\b(?:in|at|behind|under|above|beside|near|on) the (?:\w+ ){0,2}\w+",
    "How many": rf"\b{NUMBER} ((?:\w+ )?\w+s)\b",
    "Who": r"\bby (?:the )?[A-Z]\w+(?: [A-Z]\w+)*",
}
"""What asks for a value, the first that a sentence has."""
SIBILANT = re.compile(r"(?:ch|sh|ss|x|o)es\Z")
CUT = re.compile(r"[,(]| (?:and|but|which|because|so|while|unless|if|when|where) ")
DANGLING = re.compile(
    r"\s*\b(?:in|on|at|by|of|to|for|from|about|up|most|least|the|an?|every|until|with)\Z"
)


class MadeQuestion(NamedTuple):
    """A question and what answers it."""

    text: str
    answers: tuple[str, ...] = ()
    """Texts of which a quote must have one; none: it is not answered."""
    path: str = ""
    """Of the document that answers it, if only that counts."""


class _Statement(NamedTuple):
    question: str
    subject: str
    """As it stands in the question."""
    answer: str
    path: str
    table: str = ""
    """Head of the table that it is a cell of."""


def made_questions(
    index: OpenIndex, count: int, unanswered: float, seed: int
) -> list[MadeQuestion]:
    """At most `count` questions of an index, of which a share are near misses."""
    index, draw = replace(index, dial=Dial(1.0, 0.0, "words")), random.Random(seed)
    passages = sorted(index.lexical.passages(), key=lambda passage: passage.id)
    draw.shuffle(passages)
    said, wanted = list[_Statement](), round(count * (1 - unanswered))
    for passage in passages:
        if len(said) >= wanted:
            break
        said += _statements(index.passage_text(Hit(passage, 1.0)))
    said = list({each.question: each for each in said}.values())[:wanted]
    asked = [MadeQuestion(each.question, (each.answer,), each.path) for each in said]
    most, near = round(len(asked) * unanswered / (1 - unanswered)), set[str]()
    for each in draw.sample(said, len(said)):
        missed = _near_miss(index, each, said, draw) if len(near) < most else None
        near |= {missed} if missed else set()
    return asked + [MadeQuestion(each) for each in sorted(near)]


def _statements(text: PassageText) -> Iterator[_Statement]:
    """What a passage says of one thing each: sentences with a value, and cells."""
    passage, document = text.passage, text.document
    for at, (unit, line) in enumerate(zip(text.units, text.texts, strict=True)):
        head = text.heads[at]
        if unit.kind == "row" and head and head[0] != passage.start + unit.start:
            yield from _cells(document.text[slice(*head)], line, passage.path)
        elif unit.kind == "prose" and text.language == FALLBACK and document.kind != "code":
            line = ITEM.sub("", " ".join(line.split()))
            is_plain = MIN_CHARACTERS < len(line) < MAX_CHARACTERS and not MARKUP.search(line)
            if is_plain and (found := _statement(line, passage.path)):
                yield found


def _cells(head: str, row: str, path: str) -> Iterator[_Statement]:
    (_, name), *cells = named_cells(head, row) or [("", "")]
    for column, cell in cells:
        is_short = 0 < len(cell.strip()) < MAX_CELL and 0 < len(name.strip()) < MAX_CELL
        is_named = any(map(str.isalpha, name)) and any(map(str.isalpha, column))
        if is_short and is_named and not MARKUP.search(name + column):
            name = name.strip()
            question = f"What is the {column.strip()} of {name}?"
            yield _Statement(question, name, cell.strip(), path, head)


def _statement(line: str, path: str) -> _Statement | None:
    """The question that a sentence answers, and its value."""
    is_state = SAID.match(line)
    match = is_state or DOES.match(line)
    if not match or word_pattern("no_subject").match(match["subject"]):
        return None
    if not is_state and not word_pattern("telling", r"\Z").match(match["verb"]):
        return None
    subject, verb, rest = match["subject"], match["verb"], match["rest"]
    subject = subject[0].lower() + subject[1:] if re.match(ARTICLE, subject) else subject
    ways = ((ask, re.search(pattern, rest)) for ask, pattern in VALUES.items())
    ask, value = next((way for way in ways if way[1]), ("", None))
    if value is None:
        is_definition = is_state and re.match(r"(?:an?|the) ", rest)
        found = f"What {verb} {subject}?" if is_definition and " " not in verb else ""
        return _Statement(found, subject, rest, path) if found else None
    ask += f" {value[1]}" if ask == "How many" else ""
    other = CUT.split(rest[: value.start()] + rest[value.end() :])[0].strip(" –-")
    other = " ".join(other.split()[:MAX_FURTHER_WORDS])
    while DANGLING.search(other):
        other = DANGLING.sub("", other)
    auxiliary, *more = verb.split() if is_state else ("does", _infinitive(verb))
    question = " ".join([ask, auxiliary, subject, *more, *other.split()]) + "?"
    return _Statement(question, subject, value[0], path)


def _infinitive(verb: str) -> str:
    """The infinitive of a verb in the third person: "carries", "watches", "holds"."""
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    return verb[:-2] if SIBILANT.search(verb) else verb[:-1]


def _near_miss(
    index: OpenIndex, said: _Statement, others: list[_Statement], draw: random.Random
) -> str | None:
    """A question that asks another subject for what is said of this one, not answered anywhere."""
    drawn = list[str]()
    if said.table:  # what has no such column: another row of the same table answers
        column = said.question.removeprefix("What is the ").partition(" of ")[0]
        others = [each for each in others if column not in each.table]
    else:
        others = [each for each in others if not each.table]
    for _ in range(TRIES if others else 0):
        subject = draw.choice(others).subject
        question = said.question.replace(said.subject, subject, 1)
        if subject.lower() != said.subject.lower() and not _is_together(index, question):
            drawn.append(question)
        if len(drawn) == DRAWS:
            break
    scored = [(answer_question(index, each, 1).details["score"], each) for each in drawn]
    return max(scored)[1] if scored else None


def _is_together(index: OpenIndex, question: str) -> bool:
    """Whether a passage has all words of a question, its titles counted."""
    parsed = index.parse(question)
    for hit in index.lexical.search_terms(parsed):
        passage = hit.passage
        text = " ".join((*passage.headings, passage.path, passage.text))
        words = text_terms(text, index.entries[passage.document].language)
        if all(term_credit(term, words) >= PASSAGE_CREDIT for term in parsed.terms):
            return True
    return False
