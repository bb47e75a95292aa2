"""An answer in a model's own words, each claim with a quote that it cannot get wrong.

The model is given numbered passages and writes JSON under a grammar:

    {"claims": [{"passage": 2, "quote": "The deposit is 40 euros", "claim": "You pay 40 euros."}]}

In a quote only words are allowed that follow each other in that passage, so none can be invented,
and the quote comes first, so that the claim is written with it in view. A claim is kept if the
quote has most of what is asked, and a sentence of it supports the claim by the rules of `groundup
verify`: its names, numbers, limits and negations are there. Where words found no answer, a reader
must take the quote for one: without a reader such questions stay refused. Where they did and no
claim is kept, the answer is in quotes, so a document cannot talk a model out of it. Passages are
data: whatever they say, the answer has this form, and their text cannot end the part of the prompt
that they stand in.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from groundup.core import (
    Answer,
    CapacityError,
    Claim,
    Conversation,
    Hit,
    LanguageModel,
    Quote,
    Sampling,
)
from groundup.documents import Record
from groundup.generate import EndpointError, open_language_model
from groundup.prompt import Datum, Template

from ..readers.judge import opinion
from ..verification.texts import is_supported
from ..wording.question import WeightedQuestion, text_terms
from .answer import weigh_terms
from .passages import find_passages

if TYPE_CHECKING:
    from ..search import OpenIndex

PROMPT = Path(__file__).with_name("prompt.toml")
PASSAGES, PACKED_CHARACTERS = 6, 6_000
"""Passages that a model is given, and their characters together."""
RELEVANCE, COPY = 0.7, 0.8
"""Weight of a passage's score beside how like it is to those already chosen (MMR, lambda), and the
likeness from which it is a copy. Source: Carbonell and Goldstein 1998."""
MAX_CLAIMS, MAX_TOKENS = 4, 400
MIN_CLAIM_WORDS = 3
"""Of a claim that is shown in place of its quote: "1999." says less."""
MIN_QUOTE, MAX_QUOTE, MAX_CLAIM, MAX_SHOWN = 8, 400, 300, 80
"""Characters; the last of an answer that cannot be read."""
ABOUT = 0.6
"""Smallest weighted share of the question's words in a quote and its titles."""
NEARLY = 85.0
"""Similarity, in percent, from which the document's own words replace a quote."""
WRITTEN = {'"': "'", "\\": "/", "<": "(", ">": ")"}
"""What JSON would need to escape, and what a prompt's data must not have, as the model sees it."""
CLAIM = {"passage": {"type": "integer"}, "quote": {"type": "string"}, "claim": {"type": "string"}}
SCHEMA = {
    "type": "object", "required": ["claims"], "additionalProperties": False,
    "properties": {"claims": {"type": "array", "maxItems": MAX_CLAIMS, "items": {
        "type": "object", "properties": CLAIM, "required": list(CLAIM),
        "additionalProperties": False,
    }}},
}  # fmt: skip
"""The form of an answer for a model on a server, which takes no grammar; quotes are looked for."""
NO_CLAIMS = re.compile(r'"claims"\s*:\s*\[\s*\]')


class Writer(NamedTuple):
    """A model that writes answers, and how it is asked."""

    model: LanguageModel
    prompt: Template
    takes_grammar: bool = True
    """Whether it can be bound to one; servers cannot."""


def open_answer_writer(model: str | LanguageModel, prompt: Path | None = None) -> Writer:
    """Open a model's directory, or URL#NAME of one on a server, with its prompt.

    model  one that is open already and takes grammars, instead

    Raises ConfigError for a prompt without `passage` and `question`.
    """
    template = Template.read(prompt or PROMPT)
    template.fill({"passage": [], "question": ""})
    if not isinstance(model, str):
        return Writer(model, template)
    opened, takes_grammar = open_language_model(model)
    return Writer(opened, template, takes_grammar)


class PackedPassage(NamedTuple):
    """A passage as a model sees it."""

    hit: Hit
    document: Record
    text: str
    places: tuple[int, ...]
    """For each character of the text, where it is in the document's."""

    def find(self, quote: str) -> range | None:
        """Where the document has a quote, or what is nearly that; None if it has neither."""
        at = self.text.find(quote) if quote else -1
        end = at + len(quote)
        if at < 0:
            from rapidfuzz.fuzz import partial_ratio_alignment

            near = partial_ratio_alignment(quote, self.text, score_cutoff=NEARLY)
            if near is None or len(quote) < MIN_QUOTE:
                return None
            at = self.text.rfind(" ", 0, near.dest_start) + 1  # whole words
            end = (self.text + " ").find(" ", max(near.dest_end - 1, at))
        return range(self.places[at], self.places[end - 1] + 1)


def pack_passages(index: "OpenIndex", hits: Sequence[Hit]) -> list[PackedPassage]:
    """The passages that fit: each is good, and unlike those before it (MMR)."""
    packed, left = list[PackedPassage](), PACKED_CHARACTERS
    words = [frozenset(re.findall(r"\w+", hit.passage.text.lower())) for hit in hits]
    likeness = [0.0] * len(hits)
    rest, best = set(range(len(hits))), max((hit.score for hit in hits), default=0.0) or 1.0
    while rest and len(packed) < PASSAGES:
        gains = {at: RELEVANCE * hits[at].score / best - (1 - RELEVANCE) * likeness[at]
                 for at in rest}  # fmt: skip
        chosen = max(rest, key=lambda at: (gains[at], -at))
        rest.remove(chosen)
        if likeness[chosen] >= COPY or len(hits[chosen].passage.text) > left:
            continue
        packed.append(_pack(hits[chosen], index.read_document(hits[chosen].passage.document)))
        left -= len(packed[-1].text)
        for at in rest:
            both, either = words[at] & words[chosen], words[at] | words[chosen]
            likeness[at] = max(likeness[at], len(both) / max(1, len(either)))
    return packed


def _pack(hit: Hit, document: Record) -> PackedPassage:
    """A passage with single spaces, and without what would need escaping."""
    letters, places = list[str](), list[int]()
    for at, letter in enumerate(hit.passage.text, hit.passage.start):
        if letter.isspace() or not letter.isprintable():
            letter = " "
        if letter != " " or letters and letters[-1] != " ":
            letters.append(WRITTEN.get(letter, letter))
            places.append(at)
    return PackedPassage(hit, document, "".join(letters), tuple(places))


def answer_grammar(passages: Sequence[PackedPassage]) -> str:
    """Lark's grammar of an answer whose quotes are of the passages; llguidance reads it."""
    lines = [
        rf'start: "{{\"claims\": [" (claim (", " claim){{0,{MAX_CLAIMS - 1}}})? "]}}"',
        "claim: " + " | ".join(f"c{n}" for n, _ in enumerate(passages, 1)),
        f"LONG: /.{{{MIN_QUOTE},{MAX_QUOTE}}}/",
        # One sentence, which may have "4.2" or "e.g.": its signs end it before a space alone.
        rf'TEXT: /([^".!?\\\x00-\x1f]|[.!?]+[^ "\\\x00-\x1f]){{2,{MAX_CLAIM}}}[.!?]?/',
    ]
    for n, passage in enumerate(passages, 1):
        head = rf'"{{\"passage\": {n}, \"quote\": \""'
        lines.append(rf'c{n}: {head} Q{n} "\", \"claim\": \"" TEXT "\"}}"')
        lines.append(f"Q{n}: W{n} & LONG")
        lines.append(f'W{n}: %regex {{"substring_words": {json.dumps(passage.text)}}}')
    return "\n".join(lines)


def answer_prompt(
    template: Template, question: str, passages: Sequence[PackedPassage]
) -> Conversation:
    """What a model is asked."""
    data = [Datum(each.text, " > ".join(each.hit.passage.headings)) for each in passages]
    return template.fill({"passage": data, "question": question})


def write_answer(index: "OpenIndex", question: str, writer: Writer, extractive: Answer) -> Answer:
    """A model's answer from passages, with the claims that their quotes support.

    extractive  the answer in quotes alone, whose details it keeps

    Raises what the model raises: CapacityError if not even one passage fits its context.
    """
    details = extractive.details | {"dropped": []}
    if extractive.refused and (index.reader is None or "reading" in details):
        return extractive
    if not (passages := pack_passages(index, find_passages(index, question, 2 * PASSAGES))):
        return extractive
    claims, wanted = list[Claim](), weigh_terms(index, question)
    try:
        written = _generate(writer, question, passages)
    except EndpointError as error:  # quotes need no server
        note = f"in the documents' own words: {error}"
        return replace(extractive, details=details | {"note": note})
    rows = list(read_claims(written))
    for row in rows:
        passage = passages[row["passage"] - 1] if 0 < row["passage"] <= len(passages) else None
        is_sentence = len(re.findall(r"\w+", row["claim"])) >= MIN_CLAIM_WORDS
        quote = passage and is_sentence and _supporting_quote(index, passage, row)
        if quote and passage and (
            (extractive.refused or _is_about(index, passage.hit, quote.text, wanted))
            and _is_taken(index, question, passage.hit, quote.text, extractive.refused)
        ):  # fmt: skip
            claims.append(Claim(row["claim"], (quote,)))
        else:
            details["dropped"].append(row["claim"])
    if claims:
        text = " ".join(claim.text for claim in claims)
        return Answer(text, claims=tuple(claims), details=details | {"cells": []})
    wrote = "what the model wrote is not supported" if rows else "the model wrote no claim"
    if not rows and not NO_CLAIMS.search(written):
        wrote = "the model's answer could not be read: expected claims in JSON, "
        wrote += f"got {written[:MAX_SHOWN]!r}"
    elif extractive.refused:
        return replace(extractive, details=details)
    details["note"] = wrote if extractive.refused else f"in the documents' own words: {wrote}"
    return replace(extractive, details=details)


def _generate(writer: Writer, question: str, passages: Sequence[PackedPassage]) -> str:
    """What a model writes; of passages that do not fit its context the last are left out."""
    sampling = Sampling(max_tokens=MAX_TOKENS, json_schema=json.dumps(SCHEMA))
    if writer.takes_grammar:
        sampling = Sampling(max_tokens=MAX_TOKENS, grammar=answer_grammar(passages))
    asked = answer_prompt(writer.prompt, question, passages)
    try:
        return writer.model.generate([asked], sampling)[0].text
    except CapacityError:
        if len(passages) == 1:
            raise
        return _generate(writer, question, passages[:-1])


def _supporting_quote(
    index: "OpenIndex", passage: PackedPassage, row: dict[str, Any]
) -> Quote | None:
    """The document's own words for a claim's quote; None if it has none that support the claim."""
    place = passage.find(row["quote"])
    if place is None or not is_supported(index, passage.hit, place, row["claim"]):
        return None
    return passage.document.quote(place.start, place.stop)


def _is_taken(index: "OpenIndex", question: str, hit: Hit, quote: str, is_refused: bool) -> bool:
    """Whether the reader, if any, leaves a quote; what words refuse it must take for an answer."""
    judged = opinion(index, question, hit.passage, quote)
    if is_refused:
        return judged is not None and judged.log_odds > 0
    return judged is None or not judged.is_veto


def _is_about(index: "OpenIndex", hit: Hit, quote: str, wanted: WeightedQuestion) -> bool:
    """Whether a quote, below its titles, has most of what is asked: a true claim may be beside it.

    What tells a model to say something, whatever is asked, is beside it too.
    """
    text = f"{quote} {' '.join(hit.passage.headings)}"
    language = index.entries[hit.passage.document].language
    credits = wanted.credits_for(text_terms(text, language))
    pairs = list(zip(credits, wanted.weights, strict=True))
    return sum(a * b for a, b in pairs) >= ABOUT * sum(wanted.weights)


def read_claims(text: str) -> Iterator[dict[str, Any]]:
    """The complete claims of an answer in the form of SCHEMA, which may be cut off.

    >>> [row["quote"] for row in read_claims('{"claims": [{"passage": 1, "quote": "a b", '
    ...     '"claim": "c"}, {"passage": 2, "quo')]
    ['a b']
    """
    decoder = json.JSONDecoder(strict=False)
    for match in re.finditer(r"\{", text):
        try:
            row, _ = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        types = {"passage": int, "quote": str, "claim": str}
        if all(isinstance(row.get(name), kind) for name, kind in types.items()):
            yield row | {"claim": row["claim"].strip()}
