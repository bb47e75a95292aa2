"""Held-out documents are a task: in bits per byte of their text; the test split is sealed."""

import math
from pathlib import Path

import pytest

from groundup.core import Artifact, Config, ConfigError, DataError, Likelihood, Reason, produce
from groundup.evaluate.heldout import HeldOutTask
from groundup.evaluate.task.aggregate import aggregate
from groundup.evaluate.task.task import EvaluationTask
from groundup.tokenizer import (
    DocumentText,
    FastTokenizer,
    save_imported,
    save_tokenizer,
    write_tokens,
)
from tests.tokenizer.imported.fixtures import small

TEXTS = ("naïve ✓ " * 9, "short", "", "another one\n" * 3)


class Empty(Config):
    """Nothing to choose."""


def artifact(out: Path, kind: str, parents: dict, write) -> Artifact:
    return produce(
        out, kind=kind, stage=kind, version=1, config=Empty(), parents=parents, write=write
    )


@pytest.fixture
def tokens(tmp_path: Path) -> Artifact:
    tokenizer = FastTokenizer([(b"a", b"n")])
    made = artifact(
        tmp_path / "tokenizer", "tokenizer", {}, lambda d: save_tokenizer(tokenizer, d.path)
    )
    rows = [
        DocumentText("twice.md" if n in (1, 3) else f"{n}.md", text) for n, text in enumerate(TEXTS)
    ]
    splits = {"train": rows[:1], "test": rows}
    return artifact(
        tmp_path / "tokens", "tokens", {"tokenizer": made},
        lambda draft: write_tokens(draft, tokenizer, splits),
    )  # fmt: skip


def test_the_documents_come_as_they_were_each_with_its_bytes(tokens):
    task = HeldOutTask(tokens)
    items = list(task.items(None, None))
    assert isinstance(task, EvaluationTask) and task.testset == tokens
    assert [item.prompt for item in items] == [TEXTS[0], TEXTS[1], TEXTS[3]]
    assert [item.id for item in items] == ["0.md", "twice.md", "twice.md#1"]
    assert [item.group for item in items] == ["0.md", "twice.md", "twice.md"]
    assert items[0].document == {"bytes": len(TEXTS[0].encode())}
    assert len(list(task.items(None, 2))) == 2
    assert HeldOutTask(tokens, "train").testset is None


def test_nats_become_bits_per_byte(tokens):
    task = HeldOutTask(tokens)
    items = list(task.items(None, None))
    scores = [
        task.score(item, [Likelihood(-item.document["bytes"] * math.log(2) * 3, False, 9)])
        for item in items
    ]
    values = [scored.scores["bits_per_byte"] for scored in scores]
    found = aggregate(task.measures[0], values, [item.group for item in items])
    assert found.estimate == pytest.approx(3.0) and found.groups == 2
    failed = task.score(items[0], [Reason("too_long", "No.")])
    assert failed.undefined["bits_per_byte"].code == "too_long" and not failed.scores


def test_a_tokenizer_that_is_gone_or_another_is_told(tokens, tmp_path):
    (tmp_path / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="made with tokenizer .* restore it"):
        list(HeldOutTask(tokens).items(None, None))
    same = HeldOutTask(tokens, tokenizer=FastTokenizer([(b"a", b"n")]))
    assert len(list(same.items(None, None))) == 3
    with pytest.raises(ConfigError, match="restore it"):
        list(HeldOutTask(tokens, tokenizer=FastTokenizer([])).items(None, None))
    with pytest.raises(DataError, match="no split 'dev'"):
        list(HeldOutTask(tokens, "dev").items(None, None))


def test_documents_of_an_imported_tokenizer_come_without_its_frame(tmp_path):
    theirs = small("pairs")
    made = artifact(tmp_path / "model", "model", {}, lambda d: save_imported(theirs, d.path))
    rows = [DocumentText(f"{n}.md", text) for n, text in enumerate(TEXTS)]
    tokens = artifact(
        tmp_path / "tokens", "tokens", {"tokenizer": made},
        lambda draft: write_tokens(draft, theirs, {"test": rows}),
    )  # fmt: skip
    assert [item.prompt for item in HeldOutTask(tokens).items(None, None)] == [
        t for t in TEXTS if t
    ]
