"""Answers from the documents of an index, in the engine's process; nothing is kept of a question.

The snapshot that is current is asked: an index that was updated meanwhile is opened again. A
follow-up ("and its maximum?") is asked of what the questions before it were about.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.core import Answer, ArtifactError
from groundup.retrieve import OpenIndex, Session, answer_to_json, current_snapshot, open_index

if TYPE_CHECKING:
    from groundup.generate import Engine

    from .settings import EngineSettings

FOLLOWED = 3
"""Questions before the last one of a conversation that a follow-up may be about."""


class Documents:
    """The documents of an index, which may be updated while they are asked."""

    def __init__(self, settings: "EngineSettings", engine: "Engine | None") -> None:
        """Open the index.

        engine  writes the answers; None: they are quotes
        """
        self.settings, self.engine = settings, engine
        self.opening = threading.Lock()
        self.opened = self._open()

    def _open(self) -> OpenIndex:
        path, settings = Path(self.settings.index), self.settings
        opened = open_index(path).at_risk(settings.risk, path)
        if self.engine is None:
            return opened
        from groundup.retrieve import with_plain_template

        prompt = Path(settings.prompt) if settings.prompt else None
        return opened.written_by(with_plain_template(self.engine), prompt)

    def current(self) -> OpenIndex:
        """The current snapshot, opened again if the index was updated."""
        path = Path(self.settings.index)
        with self.opening:
            if current_snapshot(path) != self.opened.artifact.path:
                self.opened = self._open()
            return self.opened

    def snapshot_id(self) -> str:
        """Id of the current snapshot."""
        return self.current().artifact.id

    def ask(self, questions: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
        """Answer the last question of a conversation.

        options  `only`: patterns of paths; `limit`: number of quotes; `writes`: false for quotes

        Raises ConfigError for an empty question, a limit below 1, or if no document matches.
        """
        try:
            return self._ask(questions, options)
        except ArtifactError:  # two updates ended meanwhile
            self.opened = self._open()
            return self._ask(questions, options)

    def _ask(self, questions: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
        index = self.current().only(options.get("only") or ())
        quotes_alone = replace(index, writer=None)
        session = Session(quotes_alone, options.get("limit") or 3)
        for question in questions[-1 - FOLLOWED : -1]:
            session.ask(question)
        session.index = index if options.get("writes", True) else quotes_alone
        return self._to_json(session.ask(questions[-1]), index)

    def _to_json(self, answer: Answer, index: OpenIndex) -> dict[str, Any]:
        shown = answer_to_json(answer)
        for claim, values in zip(answer.claims, shown["claims"], strict=False):
            values["quotes"] = [
                quote._asdict() | {"location": quote.location} for quote in claim.quotes
            ]
        del shown["root"]  # where this machine has the documents is nobody's business
        return shown | {"index": index.artifact.id}
