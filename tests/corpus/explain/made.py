"""Two small corpora of one pipeline with other settings, for the tests of this room."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from groundup.core import Artifact
from groundup.corpus import prepare

PIPELINE = """
[[sources]]
name = "notes"
path = "notes"
reader = "tests.corpus.engine.lines:Lines"
licence = "Apache-2.0"
[[steps]]
use = "tests.corpus.engine.lines:Tidy"
name = "tidy"
settings = {{ word = "bad ", short = {short} }}
[[steps]]
use = "tests.corpus.engine.lines:SameText"
name = "same"
"""


@cache
def home() -> Path:
    """A folder with a pipeline and forty lines, some of them twice, short or cut."""
    root = Path(mkdtemp())
    (root / "notes").mkdir()
    lines = [f"line {n} of a bad day <b>" if n % 4 == 0 else f"line {n} is good" for n in range(40)]
    (root / "notes" / "a.txt").write_text("\n".join([*lines, "no", *lines[:3]]) + "\n")
    return root


@cache
def corpus(short: int = 4) -> Artifact:
    """The corpus of a setting."""
    file = home() / f"{short}.toml"
    file.write_text(PIPELINE.format(short=short))
    made = prepare(file, home() / f"corpus-{short}", workers=1)
    assert isinstance(made, Artifact)
    return made
