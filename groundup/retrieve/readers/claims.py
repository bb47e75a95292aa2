"""Made claims, on which a critic learns what a passage supports and what it only resembles.

A claim is a sentence of a document, as it stands or said otherwise, and its passage one to four
sentences with it, mostly below their title. False ones differ by little:

    true    verbatim, clause, moved, voice     "In 1971 the barn was rebuilt" of "… in 1971."
    false   number, word, name, subject        of the same document, else drawn
            negation, roles, condition         "The tour is cancelled" of "If it rains, the tour …"
            unrelated                          the sentences around, without it

Questions of files become claims with their answers, and false ones with another's answer; made
facts (facts.py) are said in other words than their passage does. Rules are of English.
"""

import random
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.documents import Record, split_sentences, with_titles

from ..encoders.pairs import HEADING_SIGNS
from .examples import MAX_PASSAGE, MAX_SENTENCES, TITLED, Article, Example, reader_examples
from .facts import FactMaker

NUMBER, NAME = r"\d+(?:[.,:]\d+)*", r"(?<!^)(?<![.!?:] )\b[A-Z][a-z]{2,}(?: [A-Z][a-z]+)*"
MIN_CLAIM, MAX_CLAIM = 25, 220
_LISTS = tomllib.loads(Path(__file__).with_name("claims.toml").read_text(encoding="utf-8"))
OTHERS = {word: sorted({*group.split("|")} - {word}) for group in _LISTS["groups"]
          for word in group.split("|")}  # fmt: skip
"""What makes a sentence false in a word's place."""
IRREGULAR: dict[str, str] = _LISTS["past"]
PASSIVE = re.compile(
    rf"^(?P<to>[^,;]{{3,60}}?) (?:was|were|is|are) (?P<verb>\w+ed|{'|'.join(IRREGULAR)})"
    r"(?P<more> (?:in|at|on|to|from|for) [^,;]{2,40})? by (?P<by>(?:the |a |an )?[\w' -]{2,40}?)"
    r"(?P<rest>(?: (?:in|at|on|for|from|until|since|to)\b[^,;]*)?)\.$"
)
AUXILIARY = re.compile(r"\b(is|are|was|were|can|may|must|will|should|has been|have been)\b(?! not)")
SUBJECT = re.compile(
    r"^((?:The|A|An|Every|Each|[A-Z]\w+)(?: [\w'-]+){0,4}?) "
    r"((?:is|are|was|were|has|have|had|can|may|must|will|holds|weighs|opens|costs|takes|runs)\b.*)"
)
CONDITION = re.compile(r"^(?:If|When|Unless|While|Except|Where|Once|Until|During) [^,]+, (.+)$")
ONLY_IF = re.compile(r",? (?:if|unless|except|until|only when|only on|only if)\b[^,;]*\.$")
LIMIT = re.compile(r"\b(?:up to|at least|at most|no more than) ")
COPULA = re.compile(r"(?:Who|What|Which) (is|are|was|were) (?=the |a |an |his |her )(.+)")
SUBJECT_ASKED = re.compile(
    r"(?:Who|What) (?!is|are|was|were|did|does|do|can|has|have|had|will|would|could|should|kind)"
    r"(\w+(?:ed|s|t|e|d|n|g|k|w)\b.*)"
)
LEADING = re.compile(r"^((?:In|On|At|From|Since|Until|After|Before|By) [^,]{2,40}), ([^,;]+)\.$")
TRAILING = re.compile(r"^([^,;]+) ((?:in|on|at|since|until|by) (?:the )?[^,;]{0,20}\d\w*)\.$")


class LabelledPair(NamedTuple):
    """Two texts, and whether the second answers or supports the first."""

    kind: str
    first: str
    second: str
    is_right: bool


class Sentences(NamedTuple):
    """A document's sentences, and what may replace a part of one."""

    texts: list[str]
    title: str
    numbers: list[str]
    names: list[str]
    subjects: list[str]


Change = Callable[[str, Sentences, random.Random], str | None]


def take_apart(text: str, title: str) -> Sentences:
    """The sentences of a text that may be claims, and its numbers, names and subjects."""
    kinds = ("heading", "row")
    found = [text[s.start : s.end] for s in split_sentences(text) if s.kind not in kinds]
    texts = [" ".join(each.split()) for each in found]
    heads = [match[1] for match in map(SUBJECT.match, texts) if match]
    whole = "\n".join(texts)
    return Sentences(texts, title, re.findall(NUMBER, whole), re.findall(NAME, whole), heads)


def document_claims(documents: Sequence[Record], seed: int) -> list[LabelledPair]:
    """True and false claims of documents, about as many of each."""
    drawn, claims = random.Random(f"claims {seed}"), list[LabelledPair]()
    for document in map(with_titles, documents):
        spans = [document.text[each.start : each.end] for each in document.headings[:1]]
        title = HEADING_SIGNS.sub("", "".join(spans))
        claims += _claims_of(take_apart(document.text, title), drawn)
    return claims


def _claims_of(text: Sentences, drawn: random.Random) -> Iterator[LabelledPair]:
    for at, sentence in enumerate(text.texts):
        is_claim = MIN_CLAIM <= len(sentence) <= MAX_CLAIM and sentence[-1] in ".!"
        if not is_claim or not sentence[0].isalnum():
            continue
        passage = _passage(text, at, drawn)
        true = [(kind, said) for kind, way in SAID.items() if (said := way(sentence, text, drawn))]
        chosen = drawn.choice(true[1:]) if true[1:] and drawn.random() < 0.7 else true[0]
        yield LabelledPair(chosen[0], chosen[1], passage, True)
        base = chosen[1] if drawn.random() < 0.5 else sentence
        false = [(kind, said) for kind, way in CHANGED.items() if (said := way(base, text, drawn))]
        false = [(k, s) for k, s in false if s != base and s.lower() not in passage.lower()]
        for kind, said in drawn.sample(false, min(2, len(false))):
            yield LabelledPair(kind, said, passage, False)
        if drawn.random() < 0.4 and (around := _passage(text, at, drawn, is_there=False)):
            yield LabelledPair("unrelated", chosen[1], around, False)


def _passage(text: Sentences, at: int, drawn: random.Random, is_there: bool = True) -> str:
    """One to four sentences with that at an index, or without it, perhaps below their title."""
    size = drawn.randint(1, MAX_SENTENCES)
    first = max(0, at - drawn.randrange(size))
    near = [t for i, t in enumerate(text.texts[first : first + size], first) if is_there or i != at]
    said = " ".join(near)
    said = text.texts[at] if len(said) > MAX_PASSAGE and is_there else said[:MAX_PASSAGE]
    return f"{text.title}. {said}" if text.title and said and drawn.random() < TITLED else said


def _clause(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    first = re.split(r"; |, (?:and|but|so|which|who|where) | \(", sentence)[0]
    is_whole = first == sentence or len(first.split()) < 4 or CONDITION.match(sentence)
    return None if is_whole else f"{first.rstrip('.')}."


def _moved(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    if match := LEADING.match(sentence):
        return f"{_upper(match[2])} {match[1][0].lower()}{match[1][1:]}."
    match = TRAILING.match(sentence)
    return match and f"{_upper(match[2])} {_lower(match[1])}."


def _voice(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    if not (match := PASSIVE.match(sentence)):
        return None
    verb, rest = IRREGULAR.get(match["verb"], match["verb"]), (match["more"] or "") + match["rest"]
    return f"{_upper(match['by'])} {verb} {_lower(match['to'])}{rest}."


def _roles(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    if match := PASSIVE.match(sentence):
        verb = IRREGULAR.get(match["verb"], match["verb"])
        return f"{match['to']} {verb} {match['by']}{match['more'] or ''}{match['rest']}."
    names = list(dict.fromkeys(re.findall(rf"^[A-Z]\w+(?: [A-Z]\w+)*|{NAME}", sentence)))[:2]
    is_about = len(names) == 2 and names[0] not in ("The", "This", "It", "In", "A", "On", "At")
    return _swap(sentence, *names) if is_about else None


def _number(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    own = list(dict.fromkeys(re.findall(NUMBER, sentence)))
    if not own:
        return None
    if len(own) > 1 and drawn.random() < 0.5:
        return _swap(sentence, *drawn.sample(own, 2))
    old = drawn.choice(own)
    alike = [each for each in text.numbers if len(each) == len(old) and each != old]
    near = str(int(old) + drawn.choice((-10, -2, -1, 1, 2, 10))) if old.isdigit() else ""
    new = drawn.choice([*alike, near or "17"])
    return re.sub(rf"\b{re.escape(old)}\b", new, sentence, count=1)


def _name(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    own, others = re.findall(NAME, sentence), [n for n in text.names if n not in sentence]
    return sentence.replace(drawn.choice(own), drawn.choice(others)) if own and others else None


def _word(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    own = [match for match in re.finditer(r"[\w-]+", sentence) if match[0].lower() in OTHERS]
    if not own:
        return None
    match = drawn.choice(own)
    new = drawn.choice(OTHERS[match[0].lower()])
    new = new.capitalize() if match[0][0].isupper() else new
    return f"{sentence[: match.start()]}{new}{sentence[match.end() :]}"


def _subject(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    match, others = SUBJECT.match(sentence), [s for s in text.subjects if s not in sentence]
    return f"{drawn.choice(others)} {match[2]}" if match and others else None


def _negation(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    without = re.sub(r"(?<=\w)(?: not\b|n't\b| never\b)", "", sentence, count=1)
    return AUXILIARY.sub(r"\1 not", sentence, 1) if without == sentence else without


def _condition(sentence: str, text: Sentences, drawn: random.Random) -> str | None:
    if match := CONDITION.match(sentence):
        return _upper(match[1])
    return LIMIT.sub("exactly ", ONLY_IF.sub(".", sentence))


SAID: dict[str, Change] = {
    "verbatim": lambda sentence, text, drawn: sentence, "clause": _clause, "moved": _moved,
    "voice": _voice,
}  # fmt: skip
CHANGED: dict[str, Change] = {
    "number": _number, "word": _word, "name": _name, "subject": _subject, "negation": _negation,
    "roles": _roles, "condition": _condition,
}  # fmt: skip


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    is_word = re.match(r"(?:The|A|An|This|These|It|They|We|He|She|Every|Each|All)\b", text)
    return text[:1].lower() + text[1:] if is_word else text


def _swap(text: str, one: str, other: str) -> str:
    names = {one: other, other: one}
    either = "|".join(rf"\b{re.escape(each)}\b" for each in sorted(names, key=len, reverse=True))
    return re.sub(either, lambda match: names[match[0]], text)


def question_claims(articles: Sequence[Article], seed: int) -> list[LabelledPair]:
    """Claims of the texts, and of questions with their answers and with those of other ones."""
    drawn, claims = random.Random(f"claims {seed}"), list[LabelledPair]()
    for article in articles:
        text = "\n\n".join(dict.fromkeys(each.context for each in article.questions))
        claims += _claims_of(take_apart(text, article.title.replace("_", " ")), drawn)
        answers = dict[str, list[str]]()
        for each in article.questions:
            said = each.context[slice(*each.answer)] if each.answer else ""
            answers.setdefault(_kind(each.text), []).extend([said] if said else [])
        for example in reader_examples([article], seed):
            claims += _answer_claims(example, answers[_kind(example.question)], drawn)
    return claims


def _answer_claims(
    example: Example, answers: Sequence[str], drawn: random.Random
) -> Iterator[LabelledPair]:
    others, text = list(answers), example.passage.lower()
    if example.answer:
        right = example.passage[slice(*example.answer)]
        yield LabelledPair("answer", claim_of(example.question, right), example.passage, True)
        others = [a for a in others if a not in right and right not in a]
    if wrong := [a for a in others if a.lower() in text and example.answer] or others:
        said = claim_of(example.question, drawn.choice(wrong))
        yield LabelledPair("other answer", said, example.passage, False)


def _kind(question: str) -> str:
    return " ".join(question.lower().split()[:1])


def claim_of(question: str, answer: str) -> str:
    """A question and its answer as one sentence, or two if no rule knows how.

    >>> claim_of("Who built the tower?", "Ada Holm"), claim_of("What is the height of it?", "9 m")
    ('Ada Holm built the tower.', 'The height of it is 9 m.')
    >>> claim_of("When was it built?", "in 1971")
    'When was it built? In 1971.'
    """
    asked = question.rstrip(" ?")
    if match := COPULA.match(asked):
        return f"{_upper(match[2])} {match[1]} {answer}."
    if match := SUBJECT_ASKED.match(asked):
        return f"{_upper(answer)} {match[1]}."
    return f"{asked}? {_upper(answer)}."


class ClaimMaker(FactMaker):
    """Draws facts with sentences in other words, which say them rightly or not."""

    def __init__(self, seed: int) -> None:
        """Take the seed of all draws."""
        super().__init__(seed)
        self.wanted, self.drawn = "", dict[str, list[str]]()

    def value(self, kind: str) -> str:
        """A value of a kind of fact, which is kept."""
        self.drawn.setdefault(kind, []).append(super().value(kind))
        return self.drawn[kind][-1]

    def ask(self, thing: str, kind: str) -> str:
        """A sentence in place of a question, without its value."""
        self.wanted, self.drawn = kind, {}
        return self.draw.choice(self.kinds[kind]["says"]).replace("{T}", thing)

    def claims(self, count: int) -> Iterator[LabelledPair]:
        """`count` claims at most, about two in five of them true."""
        for _ in range(count // 3):
            answered, missed = self.table() if self.draw.random() < 0.3 else self.prose()
            known = [*self.drawn.get(self.wanted, []), FactMaker.value(self, self.wanted)]
            for example in (answered, missed):
                right = example.passage[slice(*example.answer)] if example.answer else ""
                if right:
                    yield self._pair("fact", example, right, True)
                text = example.passage.lower()
                others = [each for each in known if each.lower() != right.lower()]
                if wrong := [each for each in others if right or each.lower() in text] or others:
                    yield self._pair("other fact", example, self.draw.choice(wrong), False)

    def _pair(self, kind: str, example: Example, value: str, is_right: bool) -> LabelledPair:
        said = _upper(example.question.replace("{V}", value))
        return LabelledPair(kind, f"{said}.", example.passage, is_right)
