"""A live queue: people compare the answers of a policy in training, which waits for their votes.

The queue is an artifact of comparisons that grows in its ledger, and `groundup preferences review`
keeps each vote there as it is given. A comparison is named by what it says, so none is asked twice,
whichever side was killed. A run that asks holds the folder's lock, so reviewers see when it is no
longer alive; what one reviewer is shown is locked for that process, so two share the work.
"""

import fcntl
import sys
import termios
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    Conversation,
    Judgement,
    Ledger,
    RunStopped,
    digest,
    lock_folder,
    produce,
    record,
    write_text,
)
from groundup.measure import SIMULATED, TIE, ReviewSheet, current_votes, is_simulated, read_votes

from .comparisons import (
    ASKED,
    ROWS,
    AnswerComparison,
    counting_votes,
    pair_winners,
    read_comparisons,
    votes_by_subject,
)

STAGE, CLAIMS, COMPLETE = "reinforce-queue", "ledger/claims", "ledger/complete"
POLL_SECONDS, SAY_SECONDS, START_SECONDS = 0.5, 60.0, 30.0
Shares = Float64[np.ndarray, " N"]


def open_queue(path: Path, model: Artifact) -> Artifact:
    """The queue of a model's runs in a folder, which is made if it is not there.

    Raises ConfigError for a path that holds something else.
    """
    is_new = not path.exists() or path.is_dir() and not any(path.iterdir())
    if not is_new and not ((path / MANIFEST).is_file() and Artifact.open(path).stage == STAGE):
        raise ConfigError(f"--queue {path} is no queue of votes; give one, or a new folder.")
    return produce(
        path, kind="comparisons", stage=STAGE, version=1, config=Config(),
        parents={"model": model}, write=lambda draft: write_text(draft.file(ROWS), ""),
    )  # fmt: skip


@contextmanager
def lock_queue(path: Path) -> Iterator[None]:
    """Lock a queue while a run asks; without an error at the end, the run is complete."""
    with lock_folder(path):
        (path / COMPLETE).unlink(missing_ok=True)
        yield
        (path / COMPLETE).parent.mkdir(exist_ok=True)
        (path / COMPLETE).touch()


class LiveQueue(NamedTuple):
    """The side of the run."""

    path: Path
    wait_seconds: float
    """How long it waits for the next vote."""

    def wins(self, prompts: Sequence[Conversation], answers: Sequence[Sequence[str]]) -> Shares:
        """The share of a prompt's other answers that each answer is better than, a tie half.

        Waits until all are compared; equal answers tie unasked. Raises RunStopped if no vote comes.
        """
        texts = [tuple(sorted({*each})) for each in answers]
        rows = list(map(AnswerComparison, prompts, texts))
        rows = [row._replace(id=digest(row.to_dict())[:16]) for row in rows]
        asked = {row.id: row for row in rows if len(row.answers) > 1}
        ledger = Ledger(self.path / ASKED)
        new = asked.keys() - {entry.content["id"] for entry in ledger.read()}
        ledger.append_all(row.to_dict() for row in asked.values() if row.id in new)
        votes = self._wait(asked)
        said = zip(rows, answers, strict=True)
        return np.concatenate([_wins(row, votes.get(row.id, []), own) for row, own in said])

    def _wait(self, asked: Collection[str]) -> dict[str, list[Judgement]]:
        """The votes on some comparisons, once each has one."""
        command, count, since, told = f"`groundup preferences review {self.path}`", -1, 0.0, -np.inf
        while True:
            votes, now = votes_by_subject(current_votes(read_votes(self.path))), time.monotonic()
            if not (missing := len({*asked} - votes.keys())):
                return votes
            count, since = missing, since if missing == count else now
            if now - told > SAY_SECONDS:
                record.log(f"Waiting for people: {len(asked) - missing} of {len(asked)} prompts' "
                           f"answers are compared, by {command}.")  # fmt: skip
                told = now
            with suppress(KeyboardInterrupt):
                if now - since < self.wait_seconds:
                    time.sleep(POLL_SECONDS)
                    continue
            raise RunStopped(
                f"Stopped, all is saved: the answers to {missing} prompts wait for people, and no "
                f"vote came for {record.format_duration(now - since)}. Compare them by {command}, "
                "and run the same command again to resume."
            )


def _wins(row: AnswerComparison, votes: Sequence[Judgement], texts: Sequence[str]) -> Shares:
    names = dict(zip(row.answers, row.names, strict=True))
    said, winners = [names[text] for text in texts], pair_winners(counting_votes(votes))

    def worth(one: str, other: str) -> float:
        best = winners.get((min(one, other), max(one, other)), TIE)
        return 0.5 if best == TIE else float(best == one)

    scores = np.array([[worth(one, other) for other in said] for one in said])
    return (scores.sum(1) - 0.5) / (len(said) - 1)  # without itself, which ties


def piped_name(who: str) -> str:
    """A reviewer's name; who pipes decisions is a script."""
    return who if sys.stdin.isatty() or is_simulated(who) else f"{SIMULATED}{who}"


class ReviewDesk:
    """The side of a reviewer: shows what nobody has decided and nobody else is shown."""

    def __init__(self, comparisons: Artifact) -> None:
        """Open the file of locks, which end with this process."""
        self.comparisons, self.held = comparisons, ""
        (comparisons.path / CLAIMS).parent.mkdir(exist_ok=True)
        self.claims = open(comparisons.path / CLAIMS, "a+b")  # noqa: SIM115  as long as the process
        self.has_seen_run = self._is_run_alive()
        if self._rows() and not self.has_seen_run:
            self._report_dead_run()

    def sheet(self, who: str) -> ReviewSheet:
        """What this reviewer decided or may decide."""
        items = [row.item for row in self._rows(besides=who).values()]
        return ReviewSheet(self.comparisons.path, items, who, self.comparisons.id, self.takes)

    def takes(self, subject: str) -> bool:
        """Whether a comparison is this reviewer's now; then no other may have it."""
        if subject == self.held:
            return True
        self.held = ""
        self.claims.close()  # gives back what was shown before
        self.claims = open(self.claims.name, "a+b")  # noqa: SIM115
        with suppress(OSError):  # somebody else has it
            fcntl.lockf(self.claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(subject, 16) % 2**62)
            self.held = subject if subject in self._rows() else ""
        return bool(self.held)

    def waits(self) -> bool:
        """Wait for the next comparison; False once a run has ended or died, or none begins."""
        record.log("Waiting for the next answers; Ctrl-C ends.")
        until = time.monotonic() + START_SECONDS
        while not any(map(self.takes, self._rows())):
            if self._is_run_alive():
                self.has_seen_run = True
            elif self.has_seen_run or time.monotonic() >= until:
                self._report_dead_run()
                return False
            time.sleep(POLL_SECONDS)
        if sys.stdin.isatty():
            termios.tcflush(sys.stdin, termios.TCIFLUSH)  # keys that were meant for nothing
        return True

    def _is_run_alive(self) -> bool:
        """Whether a run holds the queue's lock, which the system frees when it is killed."""
        try:
            with lock_folder(self.comparisons.path):
                return False
        except ArtifactError:
            return True

    def _report_dead_run(self) -> None:
        if not ((path := self.comparisons.path) / COMPLETE).exists():
            record.log(f"No run is alive at {path}, and the last one was stopped or killed: votes "
                       "are kept, and its `groundup reinforce` command resumes it.")  # fmt: skip

    def _rows(self, besides: str = "") -> dict[str, AnswerComparison]:
        """The comparisons that nobody has decided, besides one reviewer."""
        votes = current_votes(read_votes(self.comparisons.path))
        decided = {vote.subject for vote in votes if vote.who != besides}
        return {r.id: r for r in read_comparisons(self.comparisons) if r.id not in decided}
