"""A small pipeline on disk: two sources of lines, a step for one of them and a survey."""

from pathlib import Path

from tests.corpus.engine.runs import HERE, write_lines

TOML = f"""
seed = 1
shard_bytes = 1500

[[sources]]
name = "notes"
path = "in/[0-3].txt"
reader = "{HERE}:Lines"
licence = "MIT"

[[sources]]
name = "logs"
path = "logs"
reader = "{HERE}:Lines"
whole_files = true

[[steps]]
use = "{HERE}:Tidy"
name = "tidy"
only = {{ sources = ["notes"] }}
settings = {{ short = 4 }}

[[steps]]
use = "{HERE}:SameText"
name = "same"

[split]
validation_share = 0.1
test_share = 0.1
"""


def write_pipeline(folder: Path, toml: str = TOML) -> Path:
    """The pipeline's file, its sources beside it."""
    write_lines(folder / "in")
    write_lines(folder / "logs", 3, 20)
    path = folder / "pipeline.toml"
    path.write_text(toml)
    return path


def here(task, items, done=lambda result: None):
    """An `Each` in this process."""
    return [task(item) for item in items]
