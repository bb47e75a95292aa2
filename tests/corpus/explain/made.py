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
DERIVE = """
[[sources]]
name = "forked"
path = "forked"
reader = "tests.corpus.engine.lines:Lines"
licence = "MIT OR (GPL-3.0-only AND Zlib)"
[[derive]]
use = "tests.corpus.engine.lines:Twice"
name = "twice"
"""


@cache
def home() -> Path:
    """A folder with a pipeline and forty lines, some of them twice, short or cut."""
    root = Path(mkdtemp())
    (root / "notes").mkdir()
    lines = [f"line {n} of a bad day <b>" if n % 4 == 0 else f"line {n} is good" for n in range(40)]
    (root / "notes" / "a.txt").write_text("\n".join([*lines, "no", *lines[:3]]) + "\n")
    (root / "forked").mkdir()
    (root / "forked" / "f.txt").write_text("forked 1\nforked 2\nforked 3\n")
    return root


@cache
def corpus(short: int = 4, *, derive: bool = False) -> Artifact:
    """The corpus of a setting; with `derive` there is a second one of each text that trains."""
    file = home() / f"{short}{derive}.toml"
    file.write_text(PIPELINE.format(short=short) + DERIVE * derive)
    made = prepare(file, home() / f"corpus-{short}{derive}", workers=1)
    assert isinstance(made, Artifact)
    return made
