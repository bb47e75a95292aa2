"""The lines of the README's blocks run as they are printed, in order, on a small handbook.

Settings that make them small are appended: `EXTRA` by what a line begins with. A tiny model's gates
decide nothing, so before labels move the test judges the same reports by a bound that holds.
"""

import io
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch

from groundup.model import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    Transformer,
    save_with_head,
)
from groundup.model import save as save_model
from groundup.retrieve.readers.spans import SpanReader
from groundup.tokenizer import FastTokenizer, load_tokenizer, save_tokenizer
from tests.checking import unchecked
from tests.handbook import write_handbook
from tests.retrieve.encoders.small import write_base

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUICK = "--set validations=1 --set validation_tokens=2048"
EXTRA = {
    "groundup tokenizer": "--set vocab_size=400",
    "groundup pretrain": f"{QUICK} --set depth=1 --set width=64 --set tokens=4096 "
    "--set length=64 --set batch_tokens=1024 --set context_length=1024",
    "groundup pretrain --tokens word-tokens": f"{QUICK} --set tokens=4096 --set length=64",
    "groundup finetune": "--set epochs=0.02 --set validations=1",
    "groundup evaluate": "--limit 8",
    "groundup generate": "--max-tokens 4",
    "groundup prepare": "--workers 1",  # each is a process, which takes a second to start
}
CODES = {"groundup gate": (0, 3, 4)}
TYPED = {"groundup chat": "How do I restart the service?\n", "groundup testset review": "a\n"}


def blocks(page: str) -> list[list[str]]:
    """The lines of each block of commands of a page, comments cut off."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [block.splitlines() for block in BLOCK.findall(text)]
    return [[line for line in lines if shlex.split(line, comments=True)] for lines in found]


def longest(starts: dict, line: str, default):
    """What is said for the longest beginning of a line that is a key."""
    fitting = [start for start in starts if line.startswith(start)]
    return starts[max(fitting, key=len)] if fitting else default


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home with a handbook, and an empty folder to work in."""
    write_handbook(tmp_path / "handbook")
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def without_replaced(words: list[str], extra: list[str]) -> list[str]:
    """The words less the settings that `extra` gives: a setting twice is an error."""
    keys = tuple(word.partition("=")[0] + "=" for word in extra if "=" in word)
    gone = {n for n, word in enumerate(words) if word.startswith(keys)} if keys else set()
    return [w for n, w in enumerate(words) if n not in gone and n + 1 not in gone]


@pytest.fixture
def run_block(run, monkeypatch):
    """Run lines as a shell would, each with its settings; fail with what went wrong."""
    said = {}

    def ran(lines: list[str], small: dict = EXTRA, typed: dict = TYPED) -> dict[str, str]:
        for line in lines:
            program, *words = shlex.split(line, comments=True)
            assert program == "groundup", line
            words = [os.path.expanduser(word) for word in words]
            monkeypatch.setattr(sys, "stdin", io.StringIO(longest(typed, line, "")))
            extra = shlex.split(longest(small, line, ""))
            with unchecked():  # as users run them
                code, out, err = run(*without_replaced(words, extra), *extra)
            assert code in longest(CODES, line, (0,)), f"{line}\nexit code {code}\n{out}\n{err}"
            said[line] = out
        return said

    return ran


def qwen(path: Path) -> None:
    """A tiny model of another's family with a tokenizer, in the place of a download."""
    config = ModelConfig(
        vocab_size=260, width=32, layers=1, context_length=1024,
        attention=AttentionConfig(heads=2, kv_heads=2, head_dim=16),
        feedforward=FeedForwardConfig(width=48),
    )  # fmt: skip
    save_tokenizer(FastTokenizer([]), path)
    save_model(Transformer(config, seed=0).to(torch.float32), path, path)
    assert load_tokenizer(path)


@pytest.mark.timeout(600)
def test_the_guides_lines_run_as_printed_and_in_order(home, run_block):
    text = (ROOT / "docs" / "reference" / "retrieve.md").read_text(encoding="utf-8")
    base = write_base(home / "all-MiniLM-L6-v2")
    save_with_head(SpanReader.new(base, 0).model, home / "reader", base)
    said = run_block(re.findall(r"^    (groundup .*)$", text, re.MULTILINE))
    assert len(said) == 7
    text = (ROOT / "docs" / "reference" / "corpus.md").read_text(encoding="utf-8")
    (pipeline,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    Path("pipeline.toml").write_text(pipeline, encoding="utf-8")
    shutil.copytree(home / "handbook", "manuals")
    for block in blocks("docs/reference/corpus.md")[:2]:
        said = run_block(block)
    assert any("guide/a.html" in line and said[line] for line in said)


def test_the_makefile_has_the_targets_that_the_readme_names():
    demo, *others = blocks("README.md")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [shlex.split(line, comments=True)[:1] for line in demo] == [["make"]] * len(demo)
    assert {shlex.split(line, comments=True)[1] for line in demo} <= set(targets)
    assert not any(line.startswith("make") for block in others for line in block)


def test_no_block_of_the_readme_shows_what_is_to_come():
    assert not [line for block in blocks("README.md") for line in block if "to come" in line]


@pytest.mark.timeout(600)  # half a minute of work, on a machine that has no other
def test_the_readme_s_lines_run_as_printed_and_in_order(home, run_block):
    _, after_the_demo, ask, own, releases = blocks("README.md")
    others, house, presets = blocks("docs/guide/own-model.md")
    said = run_block(ask)
    assert "restart" in said[ask[1]] and "guide/a.html:" in said[ask[1]]
    run_block(own)
    qwen(home / "Qwen3-0.6B")
    run_block(others)
    Path("models").symlink_to(ROOT / "models")
    run_block(house)
    run_block(presets)
    for report in ("report", "small-report"):
        shutil.rmtree(f"{report}-verdict")
        run_block([f"groundup gate {report} --require exact_match<1"])
    said = run_block(releases)
    assert "rollback" in said[releases[-1]] and "better on t" in said[releases[-1]]
    made = {"chat": "tuned", "index": "i", "verdict": "report-verdict"}
    for name, source in made.items():  # the demo's own run is tests/recipes/test_tiny.py's
        shutil.copytree(source, Path("runs/tiny") / name)
    run_block(after_the_demo)
