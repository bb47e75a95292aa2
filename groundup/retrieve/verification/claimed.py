"""A sentence that a text may say: its words, names, numbers, limits, roles and negations.

Compared with a clause of a line, or the whole of it, and with what stands above; no index here.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..wording.language import FALLBACK, language_of, says_opposite, stop_words, word_pattern
from ..wording.question import (
    SUFFIX_CREDIT,
    QuestionTerm,
    WeightedQuestion,
    numerals_of,
    parse_question,
    term_credit,
    text_terms,
    unit_pattern,
)
from .wordings import CLAUSE, NUMBER, OPENING, completes

MIN_SUPPORT = 0.75
"""Share of a sentence's terms that a passage must cover. Own choice."""
EQUATION = re.compile(r"\b(?:is|are|was|were|ist|sind|war|waren|est|sont|es|son|è|sono)\b", re.I)
WHEN_WORD = re.compile(r"\b(?:when(?:ever)?|once|while|wenn|sobald|quand|cuando)\b", re.I)
WHEN = re.compile(rf"\A\W*{WHEN_WORD.pattern}[^,;]*,", re.I)
"""Begins a line of what holds in some cases: "When the lift is out of service, the …"."""
ELLIPSIS = re.compile(r"(?:[^\W\d]+\s){1,4}\d[\w.,:%°€£$ ]{0,20}")
"""A clause that takes its verb from the one before: "the annex in 1954"."""
AHEAD = re.compile(
    r"\A\W*(?:\w{1,2}[.)]\s+)?(?:(?:when|as|because|whereas)\s)?"
    r"(?:(?:in|at|on|from|by|for|after|before|during)\s\w+\s(?=(?:it|they|he|she)\b))?"
)
"""What may stand before the subject of a clause: "8. The club", "when Otto", "in winter it"."""
SHORT = re.compile(r"[^\W\d]+(?: [^\W\d]+)?[ .;]*")
"""A clause that takes along the whole one before: "on Monday and Friday"."""
PREPOSITION = re.compile(r"(?:to|for|on|in|at|from|by|für|am|im|zu|von|pour|para|per)\s", re.I)
CONDITIONAL = re.compile(
    r"\s(?:and|but|und|aber|et|mais|y|pero)\s(?:\w+\s){0,4}?"
    r"(?:may|can|must|will|shall|is|are|darf|kann|muss|wird|ist|sind)\s[^,;]*?"
    r"\s(?:if|unless|provided|wenn|falls|sofern|si)\s.*\Z",
    re.IGNORECASE | re.DOTALL,
)
"""A clause with a verb of its own and a condition: "and may be used if …"."""
OWNED = re.compile(r"(?:his|her|my|our|your)\b", re.I)
TITLE = re.compile(r"(?:Dr|Mrs?|Ms|Prof|Sir|Herr|Frau)\.?", re.I)
WORD = re.compile(r"[^\W\d_]{4,}")


class ClaimedText(NamedTuple):
    """A sentence that is compared with those of a document."""

    sentence: str
    wanted: WeightedQuestion
    language: str
    outer: Sequence[float]
    """The credit of each term for the titles and heads above."""

    def cover(self, part: str) -> list[float]:
        """The credit of each term for a clause and what stands above it."""
        own = self.wanted.credits_for(text_terms(part, self.language))
        return [max(each) for each in zip(own, self.outer, strict=True)]

    def lacking(self, part: str) -> list[QuestionTerm]:
        """The terms that neither a clause nor what stands above it has."""
        pairs = zip(self.wanted.question.terms, self.cover(part), strict=True)
        return [term for term, credit in pairs if credit < SUFFIX_CREDIT]

    @property
    def first(self) -> QuestionTerm | None:
        """Its first word but numbers, which is most likely its subject."""
        words = (term for term in self.wanted.question.terms if not term.text.isdigit())
        return next(words, None)

    def has_first(self, part: str) -> bool:
        """Whether a clause has its first word."""
        words = text_terms(part, self.language)
        return self.first is None or term_credit(self.first, words) >= SUFFIX_CREDIT

    def has_word(self, line: str) -> bool:
        """Whether a line has one of its words but numbers and months."""
        own = self.wanted.credits_for(text_terms(line, self.language))
        pairs = zip(self.wanted.question.terms, own, strict=True)
        return any(
            credit >= SUFFIX_CREDIT and not NUMBER.search(term.text) and not _months(term.text)
            for term, credit in pairs
        )

    def has_all(self, line: str) -> bool:
        """Whether a line has all its words and a condition, as it has."""
        return word_pattern("condition").search(line) is not None and not self.lacking(line)

    def is_said_by(self, part: str, line: str, is_row: bool = False) -> bool:
        """Whether a clause of a line has its words, names, limits, numbers and negations.

        A word that the clause lacks and another clause has is of that one.
        """
        lacking, elsewhere = self.lacking(part), text_terms(line, self.language)
        if any(t.is_name or term_credit(t, elsewhere) >= SUFFIX_CREDIT for t in lacking):
            return False
        if not is_row and self.puts_title_in_place(part):
            return False
        if self.first in lacking and not is_row:
            return False  # "Whey is what is left": of what is said of something else
        if not is_row and self.says_opposite_of(part):
            return False
        is_same = all(
            set(pattern.findall(self.sentence.lower())) <= set(pattern.findall(part.lower()))
            for pattern in (NUMBER, numerals_of(self.language))
        )
        own = set(word_pattern("exact").findall(self.sentence.lower()))
        own -= set(word_pattern("exact").findall(part.lower()))
        missing = {term.text.lower() for term in lacking}  # a row's columns may be "last_check"
        is_same = is_same and (not own or is_row and own.isdisjoint(missing))
        denials = [len(word_pattern("negation").findall(p)) for p in (self.sentence, part)]
        is_same = is_same and (denials[0] == denials[1] or is_row and denials[1] > 0)
        is_same = is_same and (is_row or _limits(self.sentence) <= _limits(part))
        is_same = is_same and _months(self.sentence) <= _months(part)
        is_same = is_same and {_tense(self.sentence), _tense(part)} != {"past", "future"}
        is_same = is_same and not _other_units(self.sentence, part)
        return is_same and self.wanted.share(self.cover(part)) >= MIN_SUPPORT

    def says_opposite_of(self, line: str) -> bool:
        """Whether a word is opposite to one of a line: "higher numbers mean higher priority"."""
        own, said = (Counter(WORD.findall(text.lower())) for text in (self.sentence, line))
        return says_opposite(" ".join(own - said), " ".join(said - own))

    def puts_title_in_place(self, part: str) -> bool:
        """Whether a word that only the titles have stands where the clause has another one.

        "The deposit for a punt", where under "Punts" stands "The deposit for a canoe".
        """
        own = self.wanted.credits_for(text_terms(part, self.language))
        for term, credit in zip(self.wanted.question.terms, own, strict=True):
            if credit < SUFFIX_CREDIT:
                word = re.escape(term.text)
                before = re.search(rf"(?<!\w)(\w+\s\w+)\s{word}(?!\w)", self.sentence)
                if before and re.search(rf"(?<!\w){re.escape(before[1])}\s\w", part):
                    return True
        return False

    def clauses(self, line: str) -> list[str]:
        """The clauses of a line that may be about its first word, each with what it takes along.

        "The hut was built in 1911, the annex in 1954": the second clause takes the verb. One that
        begins without a subject, "and holds 3 litres", takes the one before, and a short one,
        "on Monday and Friday", the clause before. All take what opens the line: "In winter the …".
        """
        parts, signs, whole = CLAUSE.split(line), ["", *CLAUSE.findall(line)], list[str]()
        opening, head = OPENING.match(line), parts[0]
        for number, part in enumerate(parts):
            head = part if ";" in signs[number] and self.begins_with_subject(part) else head
            is_short = SHORT.fullmatch(part) and not word_pattern("negation").search(part)
            if number and completes(self.sentence, part, " ".join(parts[:number])):
                part = self.sentence
            elif number and ELLIPSIS.fullmatch(part.rstrip(" .;")):
                pass  # of another subject, and it lacks its verb
            elif number and is_short:
                is_other = PREPOSITION.match(part)  # "to men on Fridays": not of the same day
                before = word_pattern("exact").sub(" ", whole[-1]) if is_other else whole[-1]
                part = f"{before} {part}"
            elif number and not self.begins_with_subject(part):
                part = f"{self.subject(head)} {part}"
            whole.append(f"{opening[0]} {part}" if number and opening else part)
        has = [self.has_first(part) for part in whole]
        return [
            part for n, part in enumerate(whole) if has[n] or not n and not self.has_first(line)
        ]

    def subject(self, part: str) -> str:
        """Its first words, as they stand side by side in a clause: "The Harrow Lane Clinic"."""
        found, end = list[str](), -1
        for term in self.wanted.question.terms:
            at = part.lower().find(term.text.lower(), max(end, 0))
            between = part[end:at] if end >= 0 else ""
            if at < 0 or len(between.split()) > 1 or EQUATION.search(between) or _tense(between):
                break  # at its verb
            found, end = [*found, term.text], at + len(term.text)
        return " ".join(found)

    def begins_with_subject(self, text: str) -> bool:
        """Whether a clause begins with an article, a possessive or a name, or "in winter it"."""
        text = AHEAD.sub("", text)
        first = re.match(r"[A-ZÄÖÜ][\w'-]*", text)
        is_name = first is not None and first[0].lower() not in stop_words()[self.language]
        is_word = any(word_pattern(k).match(text) for k in ("article", "pronoun", "subject"))
        return is_name or is_word or OWNED.match(text) is not None

    def numbers_are_of(self, line: str) -> bool:
        """Whether no number of its is of a clause with another subject."""
        numbers = set(NUMBER.findall(self.sentence))
        parts = [part for part in CLAUSE.split(line) if numbers & set(NUMBER.findall(part))]
        return all(self.has_first(part) or not self.begins_with_subject(part) for part in parts)

    def lacks_condition(self, line: str) -> bool:
        """Whether a line holds only under a condition, or as a claim, and the sentence not so."""
        kinds = (word_pattern("condition"), word_pattern("reported"))
        when = WHEN.match(line)
        is_case = when and not _tense(when[0]) and not WHEN_WORD.search(self.sentence)
        is_case = is_case and not word_pattern("condition").search(self.sentence)
        return bool(is_case) or any(
            kind.search(line) and not kind.search(self.sentence) for kind in kinds
        )

    def without_conditional(self, line: str) -> str:
        """A line without a last clause that alone is conditional, if the sentence states none.

        "It has 22 watts and may be used if the shutter is closed": it has them in any case.
        """
        rest = CONDITIONAL.sub("", line)
        words, own, said = (set(WORD.findall(text.lower())) for text in (line, rest, self.sentence))
        is_about_it = bool(said & words - own)  # "may be used" has no word that is searched
        return line if is_about_it or word_pattern("condition").search(self.sentence) else rest

    def lacks_denial(self, heads: str, line: str = "") -> bool:
        """Whether what heads a line denies it: "Do not put these into the dryer:".

        Or whether the sentence is as long as the line and denies more or less than it.
        """
        negation = word_pattern("negation")
        own, said = (len(negation.findall(each)) for each in (self.sentence, line))
        is_whole = line and len(CLAUSE.split(self.sentence)) >= len(CLAUSE.split(line))
        return bool(is_whole) and own != said or negation.search(heads) is not None and not own

    def turns_numbers(self, line: str) -> bool:
        """Whether two numbers change places in it: "four of 9 kg", "nine of 4 kg"."""
        own, said = NUMBER.findall(self.sentence), NUMBER.findall(line)
        own = [number for number in dict.fromkeys(own) if number in said]
        return [number for number in dict.fromkeys(said) if number in own] != own

    def is_turned(self, line: str) -> bool:
        """Whether two things change places in it: "The mouse ate the cat".

        "99 is the maximum" is "the maximum is 99", "the mill's wheel" is that of the mill, and a
        passive turns its sentence rightly.
        """
        both = (self.sentence, line)
        passive = [word_pattern("passive").search(each) is not None for each in both]
        if len({"'s " in each or "’s " in each for each in both}) > 1:
            return False
        if passive[0] != passive[1] or EQUATION.search(self.sentence) and not passive[0]:
            return False
        starts = [AHEAD.sub("", OPENING.sub("", each)) for each in both]
        if not all(map(self.begins_with_subject, starts)):
            return False
        own, other = map(str.lower, starts)
        terms = [term for term in self.wanted.question.terms if not re.search(r"\d", term.text)]
        terms = [term for term in terms if term.text.lower() in own and term.text.lower() in other]
        if len(terms) < 2:
            return False
        terms = [term for term in terms if not TITLE.fullmatch(term.text)]
        name = next((n for n, term in enumerate(terms) if term.is_name), 0)
        rest = range(name, len(terms))
        names = next((n for n in rest if not terms[n].is_name), len(terms) - 1)
        pairs = [(max(0, names - 1), max(1, names))]
        pairs += [(0, len(terms) - 1)] if list(both) == starts else []
        places = ([terms[each].text.lower() for each in pair] for pair in pairs)
        return any(other.rfind(later) < other.find(first) for first, later in places)

    def is_in_order(self, line: str) -> bool:
        """Whether a line has its words in the same order, with no other name between."""
        words = [term.text.lower() for term in self.wanted.question.terms]
        both = [word for word in words if word in self.sentence.lower() and word in line.lower()]
        asked, said = ([text.lower().find(word) for word in both] for text in (self.sentence, line))
        order = [place for _, place in sorted(zip(asked, said, strict=True))]
        between = line[min(said, default=0) + 1 : max(said, default=0)]
        names = re.findall(r"(?<=[\w,;)] )[A-Z]\w+", between) if self.language != "german" else []
        is_same = all(name.lower() in self.sentence.lower() for name in names)
        return order == sorted(order) and is_same


def _months(text: str) -> set[str]:
    """The months of a text, which begin with a large letter: "may" is a verb."""
    return {word for word in word_pattern("month").findall(text) if word[0].isupper()}


def _tense(text: str) -> str:
    """Whether a text says what has been or what will be; "" if neither or both."""
    found = [kind for kind in ("past", "future") if word_pattern(kind).search(text)]
    return found[0] if len(found) == 1 else ""


def _other_units(sentence: str, part: str) -> bool:
    """Whether a number of both has another unit in each: "6 hours", "6 minutes"."""
    said, own = (
        {number: unit.rstrip("s") for number, unit in unit_pattern().findall(text)}
        for text in (part.lower(), sentence.lower())
    )
    return any(number in said and said[number] != unit for number, unit in own.items())


def _limits(text: str) -> set[tuple[str, str]]:
    """The numbers of a text that a limit stands before: ("up to", "40")."""
    found, limit = set[tuple[str, str]](), word_pattern("limit", r"\s+(?:the )?\Z")
    for match in NUMBER.finditer(text):
        if before := limit.search(text[: match.start()]):
            found.add((before[0].strip().lower(), match[0]))
    return found


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
