"""Plans and folders for the engine's tests, and a digest of all that a run wrote."""

import hashlib
import random
from pathlib import Path

from groundup.corpus.engine.job import JobInput
from groundup.corpus.engine.run import RunPlan
from groundup.corpus.engine.specs import StepSpec

from .lines import Lines, LinesConfig

HERE = f"{Lines.__module__}"
READER = StepSpec("00 read", f"{HERE}:Lines")
TIDY = StepSpec("01 tidy", f"{HERE}:Tidy")
SAME = StepSpec("02 same", f"{HERE}:SameText")
SLOW = StepSpec("03 slow", f"{HERE}:Slow")


def write_lines(root: Path, files: int = 6, lines: int = 60) -> Path:
    """Files of random short lines, some of them equal."""
    root.mkdir(parents=True, exist_ok=True)
    chance, words = random.Random(0), ["a", "bb", "bad", "ccc"]
    for number in range(files):
        rows = (" ".join(chance.choices(words, k=chance.randrange(1, 6))) for _ in range(lines))
        (root / f"{number}.txt").write_text("\n".join(rows))
    return root


def plan_of(root: Path, uses=(TIDY, SAME), together: int = 2) -> RunPlan:
    """A plan over the files of a folder, so many to a shard."""
    parts = Lines(LinesConfig()).plan(root)
    origins = tuple(
        JobInput("lines", str(root), READER, tuple(parts[at : at + together]), "MIT")
        for at in range(0, len(parts), together)
    )
    return RunPlan(origins, tuple(uses))


def digest_of(folder: Path) -> str:
    """A hash of every file's name and bytes."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(path.relative_to(folder).as_posix().encode() + b"\0")
            found.update(path.read_bytes())
    return found.hexdigest()
