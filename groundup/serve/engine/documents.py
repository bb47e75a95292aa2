"""Answers from the documents of an index, in the engine's process; nothing is kept of a question.

The snapshot that is current is asked: an index that was updated meanwhile is opened again. A
follow-up ("and its maximum?") is asked of what the questions before it were about.
"""

import random
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.core import MANIFEST, Answer, ArtifactError, Quote, shown_path
from groundup.documents import PAGES
from groundup.retrieve import (
    OpenIndex,
    Session,
    answer_question,
    answer_to_json,
    current_snapshot,
    mark_words,
    open_index,
    search_passages,
)

if TYPE_CHECKING:
    from groundup.generate import Engine

    from .settings import EngineSettings

FOLLOWED = 3
"""Questions before the last one of a conversation that a follow-up may be about."""
EXAMPLES, SAMPLED, TRIES = 3, 60, 24
"""Questions that are offered, the documents whose titles they are, and how many are tried."""
CLEAR = re.compile(r"[^\W\d_][\w ,'’-]{3,60}\??")
"""A title that says something to a stranger."""


class Documents:
    """The documents of an index, which may be updated while they are asked."""

    def __init__(self, settings: "EngineSettings", engine: "Engine | None") -> None:
        """Open the index.

        engine  writes the answers; None: they are quotes
        """
        self.settings, self.engine = settings, engine
        self.opening = threading.Lock()
        self.opened = self._open()
        self.examples_of: dict[str, list[str]] = {}
        """By id of the snapshot."""

    def _open(self) -> OpenIndex:
        path, settings = Path(self.settings.index), self.settings
        home = path.parents[1] if self.is_snapshot else path
        opened = open_index(path).at_risk(settings.risk or None, home)
        if self.engine is None:
            return opened
        from groundup.generate import with_plain_template

        prompt = Path(settings.prompt) if settings.prompt else None
        return opened.written_by(with_plain_template(self.engine), prompt)

    @property
    def is_snapshot(self) -> bool:
        """Whether one snapshot is asked, such as a label's, and not what is current."""
        return (Path(self.settings.index) / MANIFEST).is_file()

    def current(self) -> OpenIndex:
        """The current snapshot, opened again if the index was updated."""
        path = Path(self.settings.index)
        with self.opening:
            if not self.is_snapshot and current_snapshot(path) != self.opened.artifact.path:
                self.opened = self._open()
            return self.opened

    def call(self, method: str, *arguments: Any) -> Any:
        """What a method below gives of the current snapshot; once more if it is gone meanwhile."""
        work = getattr(self, method)
        try:
            return work(self.current(), *arguments)
        except ArtifactError:  # two updates ended meanwhile
            self.opened = self._open()
            return work(self.opened, *arguments)

    def ask(
        self, index: OpenIndex, questions: Sequence[str], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Answer the last question of a conversation.

        options  `only`: patterns of paths; `limit`: number of quotes

        Raises ConfigError for an empty question, a limit below 1, or if no document matches.
        """
        index = index.only(options["only"])
        session = Session(replace(index, writer=None), options["limit"])
        for question in questions[-1 - FOLLOWED : -1]:
            session.ask(question)
        session.index = index
        return _to_json(session.ask(questions[-1]), index)

    def search(self, index: OpenIndex, query: str, limit: int) -> dict[str, Any]:
        """The passages for a query, with its words marked, and the answer in quotes."""
        answer = _to_json(answer_question(replace(index, writer=None), query), index)
        for typed, word in (answer["did_you_mean"] or {}).items():
            query = re.sub(rf"\b{re.escape(typed)}\b", word, query)
        passages = [
            each.quote._asdict() | {
                "location": each.quote.location, "marks": each.marks, "kind": each.kind,
                "headings": each.headings,
            }
            for each in search_passages(index, query, limit)
        ]  # fmt: skip
        return {"query": query, "answer": answer, "passages": passages}

    def read(self, index: OpenIndex, place: dict[str, Any]) -> dict[str, Any]:
        """The text around a quote of a document, its titles and pages, and where the quote is.

        place  `path`, `start` and `end` (bytes), `text` of the quote or "", `around`: characters,
               `query`: whose words are marked too, or ""

        Empty if the index has no such document.
        """
        return _read(index, **place)

    def examples(self, index: OpenIndex) -> list[str]:
        """A few questions that the documents answer: titles of theirs."""
        if index.artifact.id not in self.examples_of:
            self.examples_of = {index.artifact.id: _examples(index)}
        return self.examples_of[index.artifact.id]


def _to_json(answer: Answer, index: OpenIndex) -> dict[str, Any]:
    shown = answer_to_json(answer)
    for claim, values in zip(answer.claims, shown["claims"], strict=False):
        values["quotes"] = [
            quote._asdict() | {"location": quote.location} for quote in claim.quotes
        ]
    del shown["root"]  # where this machine has the documents is nobody's business
    return shown | {"index": index.artifact.id}


def _read(
    index: OpenIndex, path: str, start: int, end: int, *, text: str, around: int, query: str
) -> dict[str, Any]:
    id = next((entry.id for entry in index.entries.values() if entry.path == path), None)
    if id is None:
        return {}
    document = index.read_document(id)
    at = document.find(Quote(path, start, end, text, 0)) if text else -1
    start, end = (at, at + len(text)) if at >= 0 else document.map.character_range(start, end)
    first, last = max(0, start - around), min(len(document.text), end + around)
    spans = (each[:] for each in document.headings if first <= each.start and each.end <= last)
    shown, pages = document.text[first:last], enumerate(document.metadata.get(PAGES, ()), 1)
    return {
        "path": path, "name": shown_path(path), "kind": document.kind, "id": id,
        "text": shown, "offset": first, "size": len(document.text),
        "headings": [[level, at - first, to - first] for level, at, to in spans],
        "pages": [[page, at - first] for page, at in pages if first <= at < last],
        "marks": [[start - first, end - first]] if start < end else [],
        "words": mark_words(shown, index.parse(query), index.entries[id].language),
    }  # fmt: skip


def _examples(index: OpenIndex) -> list[str]:
    """Titles of some documents, those first that ask; names of files where there are none."""
    some = replace(index, writer=None)
    ids = random.Random(0).sample(sorted(index.entries), min(SAMPLED, len(index.entries)))
    records = [index.read_document(id) for id in ids]
    titles = [r.text[at.start : at.end] for r in records for at in r.headings[1:6]]
    titles.sort(key=lambda title: title[-1:] != "?")
    names = (Path(record.path).stem for record in records)
    titles += [f"What is {name}?" for name in names if name.isalpha() and len(name) > 3]
    clear = [title for title in dict.fromkeys(titles) if CLEAR.fullmatch(title)]
    answered = (each for each in clear[:TRIES] if not answer_question(some, each, 1).refused)
    return list(islice(answered, EXAMPLES))
