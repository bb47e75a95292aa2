"""Candidates: every question that the rules find and the checks accept, with its one answer.

A name that only one document explains is asked as it is, any other with its document's title. What
a document explains twice is not asked, because a question must have one answer. A reader must be
able to answer from the slice alone: no reference to other text, no pronoun as a subject, nothing
truncated, nothing that the question reveals.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from groundup.documents import Record

from .blocks import PATTERNS, WORDS
from .definitions import document_entries
from .entries import DocumentedEntry, page_title
from .rules import RULES, FoundQuestion, QuestionRule, entry_names

SCOPES = ("According to “{title}”, ", "In “{title}”, ")
MAX_CONTEXT_CHARACTERS = 1200  # most characters of a passage before and after an answer
GENERATED = re.compile(
    r"(?:^|/)(?:_(?:modules|static|sources)/|(?:genindex|(?:py-)?modindex|search)\b[\w-]*\.\w+$)"
)
TITLE_SIGNS = re.compile(r"[#¶§“”]")
TITLE_PARTS = re.compile(r" (?:—|–|-|\||::?) ")
CODE = re.compile(
    r"--?[A-Za-z?][\w-]*|\w+(?:\.\w+)+|\w*_\w+|[A-Z]?[a-z0-9]+[A-Z]\w*|[A-Z]{2}[A-Z0-9]\w*"
)

WORD = re.compile(r"\w+")
BRACKET_PAIRS = ("()", "[]", "{}", "“”", "‘’", "<>")
MAX_REVEALED_SHARE = 0.6


class QuestionCandidate(NamedTuple):
    """A question that could be asked."""

    rule: str
    path: str
    """Of the document."""
    name: str
    """What is asked about."""
    is_code: bool
    """Whether that is a name of code, and not words."""
    question: str
    answer: str
    """Without markup; white space as single spaces."""
    answer_location: dict[str, Any]
    """Where the answer stands: characters, bytes, line, quote, the document's sha256."""
    section: str

    @property
    def id(self) -> str:
        """Kind and a hash of question and answer."""
        content = f"{self.path}\0{self.question}\0{self.answer}".encode()
        return f"{self.rule}-{hashlib.sha256(content).hexdigest()[:12]}"


class DocumentCollection:
    """Documents with what they explain: entries by path, titles, and which names are unique."""

    def __init__(self, documents: Sequence[Record]) -> None:
        self.documents = {document.path: document for document in documents}
        self.entries = {
            document.path: () if is_generated(document) else tuple(document_entries(document))
            for document in documents
        }
        self.titles = _unique_titles(documents)
        self.explained = Counter(
            (entry.owner, entry.name) for found in self.entries.values() for entry in found
        )

    def unambiguous_entries(self, path: str) -> Iterator[DocumentedEntry]:
        """Yield running text and the names that the document explains once."""
        found, text = self.entries[path], self.documents[path].text
        here = Counter((entry.owner, entry.name) for entry in found)
        for entry in found:
            is_word = entry.kind == "function" and not _is_code_identifier(entry.name)
            if not entry.name or here[entry.owner, entry.name] == 1:
                if not (is_word and _occurs_elsewhere(entry, text)):
                    yield entry

    def needs_title(self, entry: DocumentedEntry) -> bool:
        """Whether the name alone could mean something else, too."""
        if entry.owner:
            return self.explained[entry.owner, entry.name] > 1 or not _is_code_identifier(
                entry.owner
            )
        is_sure = self.explained["", entry.name] == 1 and _is_code_identifier(entry.name)
        is_part = entry.name.isalpha() if entry.kind == "setting" else "." not in entry.name
        return not is_sure or is_part and entry.kind in ("option", "function", "setting")


def is_generated(document: Record) -> bool:
    """Whether a page is a listing of sources, an index or a search, and explains nothing."""
    return GENERATED.search(document.path) is not None


def _occurs_elsewhere(entry: DocumentedEntry, text: str) -> bool:
    """Whether a page says a name that is a word also outside its entry, maybe of something else."""
    inside = sum(len(re.findall(rf"\b{entry.name}\b", x.text)) for x in (entry.head, *entry.body))
    return len(re.findall(rf"\b{re.escape(entry.name)}\b", text)) > inside


def _has_one_signature(entry: DocumentedEntry, text: str) -> bool:
    """Whether a page has a name's signature under one heading alone."""
    line = rf"^\W*(?:class |exception |method )?{re.escape(entry.name)}(?:\([^\n]*)?$"
    return len(re.findall(line, text, re.MULTILINE)) < 2


def _is_code_identifier(name: str) -> bool:
    """Whether a name is spelt as no word of prose is."""
    return CODE.fullmatch(name) is not None


def _unique_titles(documents: Sequence[Record]) -> dict[str, str]:
    """What each document is called, without what most titles end with; two never the same."""
    names = {d.path: TITLE_SIGNS.sub("", page_title(d)).strip() or d.path for d in documents}
    ends = Counter(parts[-1] for name in names.values() if (parts := TITLE_PARTS.split(name))[1:])
    site, count = ends.most_common(1)[0] if ends else ("", 0)
    if count > len(names) / 2:
        cut = re.compile(rf"{TITLE_PARTS.pattern}{re.escape(site)}$")
        names = {path: cut.sub("", name) for path, name in names.items()}
    often = Counter(names.values())
    return {path: t if often[t] == 1 else f"{t} ({path})" for path, t in names.items()}


def question_candidates(
    collection: DocumentCollection, asked: Iterable[str], rules: Sequence[str], max_words: int
) -> Iterator[QuestionCandidate]:
    """Yield every question about the asked documents that is fit and has one answer."""
    from groundup.measure import contains_in_order  # not at the top: see make.py

    by_question: dict[str, list[tuple[QuestionCandidate, tuple[str, ...]]]] = defaultdict(list)
    answers: dict[tuple[str, ...], set[str]] = defaultdict(set)
    asked_once: set[tuple[str, ...]] = set()
    used = [rule for rule in RULES if not rules or rule.name in rules]
    for path in sorted(asked):
        slices: set[tuple[int, int]] = set()
        for entry in collection.unambiguous_entries(path):
            for rule in used:
                if rule.name == "section" and not _has_one_signature(
                    entry, collection.documents[path].text
                ):
                    continue
                for found in rule.find(entry):
                    one = _make_candidate(collection, path, entry, rule, found)
                    span = one.answer_location["start"], one.answer_location["end"]
                    is_there = contains_in_order(one.answer_location["quote"], one.answer)
                    if rejection_reason(one.question, one.answer, max_words) or not is_there:
                        continue
                    answers[path, *_question_key(one, entry, found)].add(one.answer)
                    said = *_question_key(one, entry, found), one.answer
                    if span not in slices and said not in asked_once:
                        slices.add(span)
                        asked_once.add(said)
                        by_question[one.question].append((one, (path, *said[:-1])))
    for same in by_question.values():
        one, asked_of = same[0]
        if len({other.answer for other, _ in same}) == len(answers[asked_of]) == 1:
            yield one


def _question_key(
    one: QuestionCandidate, entry: DocumentedEntry, found: FoundQuestion
) -> tuple[str, ...]:
    """What a question asks, in whatever words."""
    parts = (re.sub(r"^(?:[Ii]f|[Ww]hen) ", "", part) for part in found.parts.values())
    return one.rule, entry.owner, entry.name, *parts


def _answer_context(text: str, entry: DocumentedEntry, start: int, end: int) -> dict[str, Any]:
    """The passage around an answer for who checks it: whole paragraphs, from the name on if near.

    Where the answer is a heading, it and the entry.
    """
    starts = [each.positions[0] for each in (entry.section, entry.head) if each.text]
    near = [place for place in starts if start - MAX_CONTEXT_CHARACTERS < place <= start]
    first = min([*near, max(text.rfind("\n\n", 0, start) + 2, start - MAX_CONTEXT_CHARACTERS)])
    head = entry.head.positions[0] if entry.head.text else start
    passage = text[first : _following_paragraph_end(text, end)]
    if head > end:
        gap = "\n\n[…]\n\n" if head > end + 2 else text[end:head]
        passage = (
            text[first:end]
            + gap
            + text[head : _following_paragraph_end(text, entry.head.positions[-1])]
        )
    return {"passage": passage, "span": [start - first, end - first]}


def _following_paragraph_end(text: str, place: int) -> int:
    """Where the paragraph after that of a place ends, or less if they are long."""
    after = text.find("\n\n", max(text.find("\n\n", place), place) + 2)
    return min(len(text) if after < 0 else after, place + MAX_CONTEXT_CHARACTERS)


def _make_candidate(
    collection: DocumentCollection,
    path: str,
    entry: DocumentedEntry,
    rule: QuestionRule,
    found: FoundQuestion,
) -> QuestionCandidate:
    document = collection.documents[path]
    start, end = found.answer.span(0, len(found.answer.text))
    quote = document.quote(start, end)
    parts = entry_names(entry) | found.parts
    draw = hashlib.sha256(f"{path} {start} {end} {rule.name}".encode()).digest()
    question = rule.phrasings[draw[0] % len(rule.phrasings)].format_map(parts)
    title = collection.titles[path]
    needs = collection.needs_title(entry) or rule.name in ("section", "how")
    section = entry.section.text
    says_it = section.endswith("?") or "be" in found.parts  # then the section is what is defined
    if entry.kind == "text" and section.casefold() not in (title.casefold(), "") and not says_it:
        title = f"{title}: {section}"
    if needs and title.casefold() != parts["thing"].casefold():
        scope = SCOPES[1 if rule.name == "section" else draw[1] % 2].format(title=title)
        question = scope + question[0].lower() + question[1:]
    where = {
        "sha256": document.sha256, "start": start, "end": end,
        "byte_start": quote.start, "byte_end": quote.end, "line": quote.line, "quote": quote.text,
    }  # fmt: skip
    where |= _answer_context(document.text, entry, start, end)
    name = entry.owner or entry.name or parts["thing"]
    return QuestionCandidate(
        rule.name,
        path,
        name,
        _is_code_identifier(name),
        question,
        found.answer.text,
        where,
        entry.section.text,
    )


def rejection_reason(question: str, answer: str, max_words: int = 25) -> str:
    """Why a question is rejected; empty if it is accepted."""
    words = WORD.findall(answer)
    if not words and len(answer) > 6 or not answer:
        return "no words"
    if len(answer.split()) > max_words or len(question.split()) > 45:
        return "too long"
    prose = len(words) > 1
    said = answer if prose else ""
    untitled = re.sub(r"“[^”]*”", "", question)
    if any(map(PATTERNS["points_elsewhere"].search, (said, untitled))):
        return "points elsewhere"
    if words and PATTERNS["begins_badly"].match(answer):
        return "begins with a pronoun"
    if PATTERNS["ends_badly"].search(said) or not (_is_balanced(said) and _is_balanced(question)):
        return "cut off"
    if PATTERNS["markup"].search(said) or PATTERNS["markup"].search(question.replace("`", "")):
        return "markup"
    return "given away" if _reveals_answer(question, answer) else ""


def _is_balanced(text: str) -> bool:
    bare = re.sub(r"[<>-]=|[-=]>|\s[<>]\s", " ", text)
    return all(bare.count(opens) == bare.count(closes) for opens, closes in BRACKET_PAIRS) and (
        bare.count('"') % 2 == 0
    )


def _reveals_answer(question: str, answer: str) -> bool:
    """Whether the question contains its answer, or most of its content words."""
    there = WORD.findall(question.casefold())
    said = WORD.findall(answer.casefold())
    if said and f" {' '.join(said)} " in f" {' '.join(there)} ":
        return True
    matter = {word for word in said if word not in WORDS["common"]}
    if matter and not matter - {*there, "object", "class", "instance", "function", "method"}:
        return True  # a Semaphore is a semaphore object
    return len(matter) > 2 and len(matter & set(there)) > MAX_REVEALED_SHARE * len(matter)
