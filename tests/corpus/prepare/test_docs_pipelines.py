"""Every pipeline that a page shows can be run: it is read, and each of its steps is made."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from groundup.core import ConfigError, DataError, GroundupError, MissingExtra
from groundup.corpus import prepare
from groundup.corpus.engine.specs import instantiate
from groundup.corpus.prepare.pipeline import (
    CorpusPipeline,
    _validate_pipeline,
    read_pipeline,
    reader_spec,
    step_specs,
)

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "reference"
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted(DOCS.glob("corpus/*.md"))
    for number, block in enumerate(TOML.findall(page.read_text(encoding="utf-8")))
]
NAMES_A_FILE = re.compile(r'"[@\w./-]*[\w-]+(/|\.(txt|jsonl|key|npz))[^"]*"')


def pipeline_of(block: str) -> CorpusPipeline:
    """The block, with the sources that it speaks of if it shows steps alone."""
    shown = tomllib.loads(block)
    spoken = [n for s in shown.get("steps", ()) for n in s.get("only", {}).get("sources", ())]
    if "sources" not in shown:
        names = dict.fromkeys([*spoken, "documents"])
        shown["sources"] = [{"name": name, "path": name} for name in names]
    return _validate_pipeline(CorpusPipeline(**shown))


@pytest.mark.parametrize("block", BLOCKS)
def test_a_pipeline_of_a_page_is_valid_and_its_steps_can_be_made(block):
    shown = pipeline_of(block)
    assert shown.steps or shown.derive or "[[sources]]" in block or "[split]" in block
    every = (*step_specs(shown.steps), *step_specs(shown.derive), *map(reader_spec, shown.sources))
    for use in every:
        try:
            instantiate(use)
        except MissingExtra as missing:
            pytest.skip(str(missing))
        except (GroundupError, OSError) as error:  # a model or list that the page only names
            assert NAMES_A_FILE.search(use.settings), f"{use.name}: {error}"


def test_what_cannot_run_would_be_noticed():
    assert len(BLOCKS) >= 9
    wrong = '[[step]]\nuse = "web.lines"', '[[steps]]\nuse = "dedup.minhash"\nthreshold = 0.7'
    for block in wrong:
        with pytest.raises((ConfigError, DataError), match="no key"):
            pipeline_of(block)


def test_the_permissive_pipelines_are_valid_and_what_their_program_writes():
    program = runpy.run_path(str(ROOT / "benchmarks" / "corpus" / "permissive.py"))
    for file, written in program["pipelines"]().items():
        assert (ROOT / "benchmarks/corpus" / file).read_text(encoding="utf-8") == written
        assert all(
            source.licence for source in read_pipeline(ROOT / "benchmarks/corpus" / file).sources
        )
    assert len(program["PACKAGES"]) >= 25
    assert not program["PACKAGES"].keys() & program["HELD_OUT"].keys()


CODE = """# Makes tea.
def brew(leaves, minutes):
    \"\"\"Pour water over the leaves and wait.\"\"\"
    water = boil(leaves * 100)
    return water.wait(minutes)
"""


def first_pipeline(name: str, folder: Path) -> Path:
    """The first pipeline that a page prints, as a newcomer copies it."""
    (folder / "p.toml").write_text(TOML.findall((DOCS / name).read_text(encoding="utf-8"))[0])
    return folder / "p.toml"


def test_the_printed_pipeline_of_code_keeps_a_newcomers_code(tmp_path):
    for n in range(6):
        file = tmp_path / "src" / f"part{n}" / f"tea{n}.py"
        file.parent.mkdir(parents=True)
        file.write_text(CODE.replace("100", str(n)))
    corpus = prepare(first_pipeline("corpus/code.md", tmp_path), tmp_path / "out", workers=1)
    assert sum(corpus.numbers["documents"].values()) == 6, corpus.numbers


def test_the_printed_pipeline_of_books_keeps_a_newcomers_books(tmp_path):
    (tmp_path / "books").mkdir()
    for n in range(6):
        text = f"It was the {n}th of May. " + "The kettle boiled and nobody came to pour. " * 40
        (tmp_path / "books" / f"novel{n}.txt").write_text(text + f"\n\nThe end, {n}.\n")
    (tmp_path / "books" / "sold.txt").write_text("© 2020 A. B. All rights reserved.\n" + text)
    corpus = prepare(first_pipeline("corpus/books.md", tmp_path), tmp_path / "out", workers=1)
    assert sum(corpus.numbers["documents"].values()) == 6, corpus.numbers
    assert corpus.numbers["removed"] == {"rights: reserved": 1}
