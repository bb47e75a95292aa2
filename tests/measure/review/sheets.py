"""Samples, sheets and a terminal that the review's tests share."""

import os
import pty
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from groundup.cli import main
from groundup.core import Artifact, Message, Sample
from groundup.measure.review.sheet import ReviewItem, ReviewSheet, sample_item
from groundup.measure.testset import TestSetCard, make_testset

PASSAGE = "𝒳 A lamp stands in the hall. It is lit at night, and nobody moves it."


def samples(number: int = 8) -> list[Sample]:
    start = PASSAGE.index("at night")
    metadata = {
        "kind": "fact", "passage": PASSAGE, "span": [start, start + 8], "source": "house.md",
        "model": "hidden-model-7b",
    }  # fmt: skip
    return [
        Sample(f"q{n}", (Message("user", f"When is lamp {n} lit?"),), ("at night",), "", metadata)
        for n in range(number)
    ]


def testset(path: Path, number: int = 8) -> Artifact:
    card = TestSetCard(name="lamps <b>", source="a house kept out of training")
    return make_testset(card, samples(number), {}, path)


testset.__test__ = False  # type: ignore[attr-defined]


def items(number: int = 8) -> list[ReviewItem]:
    return [sample_item(sample) for sample in samples(number)]


def sheet(place: Path, who: str = "ana", number: int = 8) -> ReviewSheet:
    return ReviewSheet(place, items(number), who, "salt")


def compared_items(number: int = 6) -> list[ReviewItem]:
    """Pairs of answers, but for every third, which has three; names would tell who wrote them."""
    asked, texts = (Message("user", "When is it lit?"),), ("At night.", "Never, I think.", "Daily.")
    names = ("name-ours", "name-theirs", "name-third")
    return [
        ReviewItem(f"p{n}", "", asked, texts[:count], names=names[:count])
        for n in range(number) if (count := 3 if n % 3 == 2 else 2)
    ]  # fmt: skip


def compared_sheet(place: Path, who: str = "ana", number: int = 6) -> ReviewSheet:
    return ReviewSheet(place, compared_items(number), who, "salt")


class Terminal:
    """A real terminal with a review in it, in a fork of this process."""

    def __init__(
        self, path: Path, *flags: str, verb: Sequence[str] = ("testset", "review")
    ) -> None:
        self.verb = verb
        self.process, self.leader = pty.fork()
        if not self.process:
            self.review(path, *flags)
        self.seen = ""

    def review(self, path: Path, *flags: str) -> None:
        """What the new process does, without anything of pytest."""
        code: object = 70
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.environ |= {"COLUMNS": "80", "TERM": "xterm", "EDITOR": "", "VISUAL": ""}
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
            main([*self.verb, str(path), "--who", "ana", *flags])
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            sys.stdout.flush()
            os._exit(code if isinstance(code, int) else 1)

    def until(self, text: str) -> str:
        """Read until the terminal shows a text; return what came before it."""
        while text not in self.seen:
            assert select.select([self.leader], [], [], 60)[0], self.seen
            try:
                self.seen += os.read(self.leader, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"ended before {text!r}: {self.seen}") from None
        before, self.seen = self.seen.split(text, 1)
        return before

    def press(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def end(self) -> int:
        """Wait for the exit code; minus the signal that ended the process."""
        process, self.process = self.process, 0
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            self.end()
        os.close(self.leader)
