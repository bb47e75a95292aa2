"""Candidates: every question that the rules find and the checks let through, with its one answer.

A name that only one document explains is asked as it is. Any other is asked with its document's
title, and what is explained twice in one document is not asked: a question has one answer.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from groundup.documents import Document
from groundup.measure import holds

from .checks import fault
from .definitions import python_entries
from .entries import Entry, page_entries, page_title
from .rules import RULES, Found, Rule, named

SCOPES = ("According to “{title}”, ", "In “{title}”, ")
AROUND = 600
"""Most characters of a passage before and after an answer."""
TITLE_SIGNS = re.compile(r"[#¶§“”]")
TITLE_PARTS = re.compile(r" (?:—|–|-|\||::?) ")
CODE = re.compile(
    r"--?[A-Za-z?][\w-]*|\w+(?:\.\w+)+|\w*_\w+|[A-Z]?[a-z0-9]+[A-Z]\w*|[A-Z]{2}[A-Z0-9]\w*"
)


class Candidate(NamedTuple):
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
    place: dict[str, Any]
    """Where the answer stands: characters, bytes, line, quote, the document's sha256."""
    section: str

    @property
    def id(self) -> str:
        """Kind and a hash of question and answer."""
        content = f"{self.path}\0{self.question}\0{self.answer}".encode()
        return f"{self.rule}-{hashlib.sha256(content).hexdigest()[:12]}"


class Collection:
    """Documents with what they explain: entries by path, titles, and which names are unique."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = {document.path: document for document in documents}
        self.entries = {document.path: tuple(entries(document)) for document in documents}
        self.titles = titles(documents)
        self.explained = Counter(
            (entry.owner, entry.name) for found in self.entries.values() for entry in found
        )

    def askable(self, path: str) -> Iterator[Entry]:
        """Yield running text and the names that the document explains once."""
        found = self.entries[path]
        here = Counter((entry.owner, entry.name) for entry in found)
        for entry in found:
            if not entry.name or here[entry.owner, entry.name] == 1:
                yield entry

    def needs_title(self, entry: Entry) -> bool:
        """Whether the name alone could mean something else, too."""
        if entry.owner:
            return self.explained[entry.owner, entry.name] > 1 or not is_code(entry.owner)
        is_unique = self.explained["", entry.name] == 1
        return not is_unique or not is_code(entry.name) or entry.kind == "option"


def entries(document: Document) -> Iterator[Entry]:
    """Yield the entries of a document of any kind."""
    return python_entries(document) if document.kind == "python" else page_entries(document)


def is_code(name: str) -> bool:
    """Whether a name is spelt as no word of prose is.

    >>> is_code("shutil.copy"), is_code("max_size"), is_code("PATH"), is_code("name")
    (True, True, True, False)
    """
    return CODE.fullmatch(name) is not None


def titles(documents: Sequence[Document]) -> dict[str, str]:
    """What each document is called, without what most titles end with; two never the same."""
    names = {d.path: TITLE_SIGNS.sub("", page_title(d)).strip() or d.path for d in documents}
    ends = Counter(parts[-1] for name in names.values() if (parts := TITLE_PARTS.split(name))[1:])
    site, count = ends.most_common(1)[0] if ends else ("", 0)
    if count > len(names) / 2:
        cut = re.compile(rf"{TITLE_PARTS.pattern}{re.escape(site)}$")
        names = {path: cut.sub("", name) for path, name in names.items()}
    often = Counter(names.values())
    return {path: t if often[t] == 1 else f"{t} ({path})" for path, t in names.items()}


def candidates(
    collection: Collection, asked: Iterable[str], rules: Sequence[str], max_words: int
) -> Iterator[Candidate]:
    """Yield every question about the asked documents that is fit and has one answer."""
    by_question: dict[str, list[Candidate]] = defaultdict(list)
    used = [rule for rule in RULES if not rules or rule.name in rules]
    for path in sorted(asked):
        slices = set()
        for entry in collection.askable(path):
            for rule in used:
                for found in rule.find(entry):
                    one = candidate(collection, path, entry, rule, found)
                    span = one.place["start"], one.place["end"]
                    is_there = holds(one.place["quote"], one.answer)
                    if fault(one.question, one.answer, max_words) or not is_there:
                        continue
                    if span not in slices:
                        slices.add(span)
                        by_question[one.question].append(one)
    for same in by_question.values():
        if len({one.answer for one in same}) == 1:
            yield same[0]


def surroundings(text: str, entry: Entry, start: int, end: int) -> dict[str, Any]:
    """The passage around an answer, from its entry's name on if that is near, for who checks it."""
    head = entry.head.places[0] if entry.head.text else start
    paragraph = max(text.rfind("\n\n", 0, start) + 2, start - AROUND)
    first = head if start - AROUND < head <= start else paragraph
    after = text.find("\n\n", end)
    last = min(len(text) if after < 0 else after, end + AROUND)
    return {"passage": text[first:last], "span": [start - first, end - first]}


def candidate(
    collection: Collection, path: str, entry: Entry, rule: Rule, found: Found
) -> Candidate:
    """Put a question in words, always the same for the same slice."""
    document = collection.documents[path]
    start, end = found.answer.span(0, len(found.answer.text))
    quote = document.quote(start, end)
    parts = named(entry) | found.parts
    draw = hashlib.sha256(f"{path} {start} {end} {rule.name}".encode()).digest()
    question = rule.phrasings[draw[0] % len(rule.phrasings)].format_map(parts)
    title = collection.titles[path]
    needs = collection.needs_title(entry) or rule.name in ("section", "how")
    if entry.kind == "text" and entry.section.text.casefold() not in (title.casefold(), ""):
        title = f"{title}: {entry.section.text}"
    if needs and title.casefold() != parts["thing"].casefold():
        scope = SCOPES[1 if rule.name == "section" else draw[1] % 2].format(title=title)
        question = scope + question[0].lower() + question[1:]
    where = {
        "sha256": document.sha256, "start": start, "end": end,
        "byte_start": quote.start, "byte_end": quote.end, "line": quote.line, "quote": quote.text,
    }  # fmt: skip
    where |= surroundings(document.text, entry, start, end)
    name = entry.owner or entry.name or parts["thing"]
    return Candidate(
        rule.name, path, name, is_code(name), question, found.answer.text, where, entry.section.text
    )
