"""Rows of grounding: a question, its answer with citations, the passages that it was given, labels.

    {"question": "When was the barn built?", "answer": "It was built in 1811 [1].",
     "contexts": ["The barn was built in 1811.", {"text": "The mill …", "source": "mill.md"}],
     "reference": "The barn was built in 1811.", "relevant": ["barn.md"], "document": "barn.md"}

A file has one JSON object after another, a list of them, or what `groundup ask --json` printed,
whose quotes are citations, and its contexts if the row has no others. In a text `[1]` cites the
first context. Other keys are ignored.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError
from pydantic import StringConstraints as Pattern

from groundup.core import ConfigError, DataError
from groundup.documents import split_sentences
from groundup.measure import normalise_text

MARKERS = r"\[\d{1,3}(?:\s*,\s*\d{1,3})*\]"
MARKERS_AFTER_STOP = re.compile(rf"([.!?])((?:\s*{MARKERS})+)")


class ContextPassage(NamedTuple):
    """A passage that an answer was made from, or that it cites."""

    text: str
    source: str = ""
    """Path of its document."""
    id: str = ""
    is_added: bool = False
    """Whether it was added as irrelevant (noise.py)."""


class AnswerClaim(NamedTuple):
    """One sentence of an answer."""

    text: str
    citations: tuple[ContextPassage, ...] = ()


class GroundingRow(NamedTuple):
    """A question, its answer and what is known of both."""

    id: str
    question: str
    answer: str
    refused: bool
    claims: tuple[AnswerClaim, ...]
    """Sentences of the answer, titles left out; none of a refusal."""
    contexts: tuple[ContextPassage, ...]
    """As they were ranked, the best first."""
    reference: str = ""
    """The right answer; empty: unknown."""
    relevant: tuple[str, ...] = ()
    """Ids, sources or texts of the relevant passages; empty: unknown."""
    unanswerable: bool | None = None
    """Whether the question should be refused; None: unknown."""
    document: str = ""
    """What the question is about; rows of one document are resampled together."""

    @property
    def is_answerable(self) -> bool | None:
        """Whether the question should be answered: it has a right answer or a label; or unknown."""
        is_known = bool(self.reference or self.relevant)
        return is_known or None if self.unanswerable is None else not self.unanswerable

    def label_of(self, context: ContextPassage) -> bool | None:
        """Whether a context is relevant by the row's labels; None without labels.

        A label names the context's id or source, or is in its text.
        """
        if context.is_added or not self.relevant:
            return False if context.is_added else None
        text, names = normalise_text(context.text), (context.id, context.source)
        return any(each in names or normalise_text(each) in text for each in self.relevant)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without titles and what has no word."""
    parts = (part for part in split_sentences(text) if part.kind != "heading")
    found = (text[part.start : part.end].strip() for part in parts)
    return [sentence for sentence in found if re.search(r"\w", sentence)]


def claims_of(text: str, contexts: Sequence[ContextPassage]) -> tuple[AnswerClaim, ...]:
    """The sentences of an answer with the contexts that `[1]`, `[2, 3]` … in them cite.

    Markers behind a full stop are of the sentence before it. A number without a context is a
    citation without text, which supports nothing.

    >>> claims = claims_of("It is old. [1] It leans.", [ContextPassage("An old barn.")])
    >>> [(claim.text, len(claim.citations)) for claim in claims]
    [('It is old.', 1), ('It leans.', 0)]
    """
    claims = []
    for sentence in sentences_of(MARKERS_AFTER_STOP.sub(r"\2\1", text)):
        marks = re.findall(MARKERS, sentence)
        numbers = dict.fromkeys(int(n) for each in marks for n in each[1:-1].split(","))
        cited = (contexts[n - 1] if 0 < n <= len(contexts) else ContextPassage("") for n in numbers)
        plain = re.sub(rf"\s*{MARKERS}", "", sentence).strip()
        claims += [AnswerClaim(plain, tuple(cited))] if re.search(r"\w", plain) else []
    return tuple(claims)


def quoted_claims(
    claims: Iterable[tuple[str, tuple[ContextPassage, ...]]],
) -> tuple[AnswerClaim, ...]:
    """The sentences of texts, each with the quotes of its text."""
    pairs = ((sentence, quotes) for text, quotes in claims for sentence in sentences_of(text))
    return tuple(AnswerClaim(*pair) for pair in pairs)


_Text = Annotated[str, Pattern(pattern=r"\S")]


class _Passage(BaseModel):
    text: _Text
    source: str = Field(default="", validation_alias=AliasChoices("source", "path", "document"))
    id: str = ""


_Contexts = list[
    Annotated[_Passage, BeforeValidator(lambda v: {"text": v} if isinstance(v, str) else v)]
]


class _Claim(BaseModel):
    text: _Text
    quotes: _Contexts = []


class _Row(BaseModel, strict=True):
    id: _Text | None = None
    question: _Text
    answer: _Text
    refused: bool | None = None
    claims: list[_Claim] | None = None
    contexts: Annotated[_Contexts, Field(min_length=1)] | None = None
    reference: str | None = None
    relevant: list[_Text] = []
    unanswerable: bool | None = None
    document: str | None = None


def read_rows(path: Path, refusal: str) -> list[GroundingRow]:
    """Read a file of rows.

    refusal  regular expression of how a refusal begins

    Raises DataError naming the row and the field that cannot be used, and ConfigError for a wrong
    expression.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line} is not UTF-8 ({error.reason}); convert it.") from None
    try:
        begins = re.compile(refusal, re.IGNORECASE)
    except re.error as error:
        raise ConfigError(f"refusal={refusal!r} is no regular expression: {error}.") from None
    values = enumerate(_json_values(text, path), 1)
    rows = [_parse_row(value, f"{path}, row {n}", str(n), begins) for n, value in values]
    if not rows:
        raise DataError(f"{path} has no rows; expected JSON objects with question, answer, ….")
    id, count = Counter(row.id for row in rows).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: {count} rows have the `id` {id!r}; give each its own.")
    return rows


def _json_values(text: str, path: Path) -> Iterator[Any]:
    """The JSON values of a text, one after another on any lines; a list's are its elements."""
    space, number = re.compile(r"\s*"), 0
    at = space.match(text).end()  # type: ignore[union-attr]
    while at < len(text):
        number += 1
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, at) + 1
            raise DataError(
                f"{path}, row {number} (line {line}) is not JSON: {error}; expected one object a "
                "line, or a list of them."
            ) from None
        yield from value if isinstance(value, list) else [value]
        at = space.match(text, end).end()  # type: ignore[union-attr]


def _parse_row(value: Any, where: str, number: str, refusal: re.Pattern[str]) -> GroundingRow:
    if isinstance(value, dict) and isinstance(given := value.get("answer"), dict):
        value = value | given
    try:
        row = _Row.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"])
        got = "nothing" if first["type"] == "missing" else json.dumps(first["input"])[:60]
        raise DataError(f"{where}: {name and f'`{name}`: '}{first['msg']}; got {got}.") from None
    is_refusal = row.refused
    if is_refusal is None:
        is_refusal = refusal.match(row.answer.strip()) is not None
    quoted = [(claim.text, _to_contexts(claim.quotes)) for claim in row.claims or ()]
    quotes = tuple(dict.fromkeys(quote for _, cited in quoted for quote in cited))
    contexts = _to_contexts(row.contexts or ()) or quotes
    if not (contexts or is_refusal):
        raise DataError(f"{where}: `contexts` is missing; expected a list of passages.")
    claims = claims_of(row.answer, contexts) if row.claims is None else quoted_claims(quoted)
    return GroundingRow(
        row.id or number, row.question, row.answer, is_refusal, () if is_refusal else claims,
        contexts, row.reference or "", tuple(row.relevant), row.unanswerable, row.document or "",
    )  # fmt: skip


def _to_contexts(passages: Sequence[_Passage]) -> tuple[ContextPassage, ...]:
    return tuple(ContextPassage(each.text, each.source, each.id) for each in passages)
