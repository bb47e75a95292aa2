"""The pipelines that the docs show are pipelines: every name and setting in them is valid."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from groundup.corpus.prepare.pipeline import Pipeline, checked, read_pipeline

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (page.name, block)
    for page in sorted((ROOT / "docs").glob("corpus*.md"))
    for block in BLOCK.findall(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page, block", BLOCKS, ids=[page for page, _ in BLOCKS])
def test_pipelines_of_the_pages_are_valid(page, block):
    shown = tomllib.loads(block)
    assert set(shown) <= set(Pipeline.model_fields), f"{page}: no field of a pipeline"
    shown.setdefault("sources", [{"name": "manuals", "path": "manuals"}])
    checked(Pipeline.model_validate(shown))


def test_the_permissive_pipeline_is_valid_and_what_its_program_writes():
    place = ROOT / "benchmarks" / "permissive.toml"
    written = runpy.run_path(str(place.with_suffix(".py")))["pipeline"]()
    assert place.read_text(encoding="utf-8") == written
    pipeline = read_pipeline(place)
    assert len(pipeline.sources) >= 25
    assert all(source.licence for source in pipeline.sources)
