"""A sentence beside a row of a table or a line of settings, which has no order of words.

The row, or the key with its value, must have the sentence's words, names, numbers, months and
negations, with what stands above it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..wording.language import FALLBACK, language_of, says_opposite
from ..wording.question import (
    SUFFIX_CREDIT,
    QuestionTerm,
    WeightedQuestion,
    parse_question,
    term_credit,
    text_terms,
)  # fmt: skip
from .alignment import words_of

MIN_SUPPORT = 0.75
"""Share of a sentence's terms that a row must cover. Own choice."""


class ClaimedText(NamedTuple):
    """A sentence that is compared with rows and settings."""

    sentence: str
    wanted: WeightedQuestion
    language: str
    outer: Sequence[float]
    """The credit of each term for the titles and heads above."""

    def cover(self, part: str) -> list[float]:
        """The credit of each term for a row and what stands above it."""
        own = self.wanted.credits_for(text_terms(part, self.language))
        return [max(each) for each in zip(own, self.outer, strict=True)]

    def lacking(self, part: str) -> list[QuestionTerm]:
        """The terms that neither a row nor what stands above it has."""
        pairs = zip(self.wanted.question.terms, self.cover(part), strict=True)
        return [term for term, credit in pairs if credit < SUFFIX_CREDIT]

    def is_said_by(self, part: str, line: str, is_row: bool = False) -> bool:
        """Whether a row, or a key and its value, has its words, numbers and negations.

        A word that the part lacks and another part of the line has is of that one.
        """
        lacking, elsewhere = self.lacking(part), text_terms(line, self.language)
        if any(t.is_name or term_credit(t, elsewhere) >= SUFFIX_CREDIT for t in lacking):
            return False
        own, said = (words_of(text, self.language) for text in (self.sentence, part))
        stems = frozenset[str]().union(*(word.stems for word in said))
        missing = {term.text.lower() for term in lacking}  # a row's columns may be "last_check"
        for word in own:
            is_named = is_row and word.has("exact") and word.text not in missing
            if word.has("number", "month", "exact") and not word.stems & stems and not is_named:
                return False
        denials = [sum(word.has("negation") for word in words) for words in (own, said)]
        is_same = denials[0] == denials[1] or is_row and denials[1] > 0
        is_same = is_same and not says_opposite(self.sentence, part)
        return is_same and self.wanted.share(self.cover(part)) >= MIN_SUPPORT


def match_question(question: str, text: str) -> float | None:
    """How much of a question a text has, by words alone and without an index.

    The mean credit of the question's terms, and the mean of that with 1 or 0 if a quantity is asked
    for: 1 if the text has one. None for a question without terms.

    >>> match_question("When was the barn built?", "The barn was built of oak.")
    0.5
    """
    parsed, language = parse_question(question), language_of(text, FALLBACK)
    if not (terms := parsed.terms):
        return None
    words = text_terms(text, language)
    share = sum(term_credit(term, words) for term in terms) / len(terms)
    return (share + parsed.measure.is_in(text, language)) / 2 if parsed.measure.name else share
