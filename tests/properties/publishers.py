"""All that publishes files, each as a small act: what stood before, what is done, what holds after.

`begin` makes what stands before, `act` publishes, `holds` asserts that a reader finds the old state
or the new one and returns which. After a kill `act` runs again and must reach the new state.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from groundup.core import (
    Artifact,
    Completion,
    Config,
    Draft,
    Ledger,
    Pointer,
    produce,
    write_json,
)
from groundup.corpus.engine.shards import load_job_result, open_writer, read_shard, shard_path
from groundup.documents import Record, SourceMap, record_id
from groundup.evaluate.harness.answer_cache import AnswerCache
from groundup.retrieve import ask, index
from groundup.train import CheckpointConfig, Checkpoints
from groundup.train.services.spikes import JOURNAL, SpikeConfig, SpikeDecision, SpikeDetector

KEY = "ab" * 16


class Publisher(NamedTuple):
    """One kind of file that must outlive kills."""

    begin: Callable[[Path], None]
    act: Callable[[Path], None]
    holds: Callable[[Path], bool]
    """Whether the new state is there; fails if neither is."""
    kept: tuple[str, ...]
    """Files that are on the disk when `act` has ended."""


def nothing(folder: Path) -> None:
    """Nothing stands before."""


# ---- artifacts ----


class NoteConfig(Config):
    """A stage without settings."""


def write_note(draft: Draft) -> None:
    draft.file("note.txt").write_text("kept\n")
    draft.file("deep/er/note.txt").write_text("kept too\n")
    write_json(draft.file("note.json"), ["kept"])


def make_note(folder: Path) -> None:
    produce(
        folder / "out", kind="documents", stage="note", version=1, config=NoteConfig(),
        parents={}, write=write_note,
    )  # fmt: skip


def has_note(folder: Path) -> bool:
    if not (folder / "out" / "manifest.json").exists():
        return False
    made = Artifact.open(folder / "out", "documents")
    assert made.file("note.txt").read_text() == "kept\n"
    return True


# ---- ledgers ----


def first_line(folder: Path) -> None:
    Ledger(folder / "ledger" / "looks.jsonl").append({"line": 1})


def second_line(folder: Path) -> None:
    ledger = Ledger(folder / "ledger" / "looks.jsonl")
    if [entry.content for entry in ledger.read()] != [{"line": 1}, {"line": 2}]:
        ledger.append({"line": 2})


def has_both_lines(folder: Path) -> bool:
    found = [entry.content["line"] for entry in Ledger(folder / "ledger" / "looks.jsonl").read()]
    assert found[:1] == [1]
    return found == [1, 2]


def move_first(folder: Path) -> None:
    pointer = Pointer(folder / "ledger" / "current.jsonl")
    if pointer.value is None:
        pointer.move(None, "one", author="ana", reason="first")


def has_moved(folder: Path) -> bool:
    value = Pointer(folder / "ledger" / "current.jsonl").value
    assert value in (None, "one")
    return value == "one"


# ---- checkpoints ----


def weights_at(step: int) -> dict[str, torch.Tensor]:
    return {"w": torch.full((3, 5), float(step)), "b": torch.arange(4) * step}


def checkpoints(folder: Path, state: dict[str, torch.Tensor], is_beside: bool) -> Checkpoints:
    config = CheckpointConfig(asynchronous=is_beside, keep=1)
    return Checkpoints(folder / "scratch", {"model": state}, config)


def save(folder: Path, step: int, is_beside: bool) -> None:
    with checkpoints(folder, weights_at(step), is_beside) as kept:
        kept.save(step)


def has_second_step(folder: Path) -> bool:
    state = weights_at(0)
    step = checkpoints(folder, state, False).resume().step
    assert step in (1, 2)
    assert all(torch.equal(state[name], value) for name, value in weights_at(step).items())
    return step == 2


# ---- shards, answers, indexes ----


def row(text: str) -> Record:
    name = record_id("s", text)
    return Record(name, "s", text, "text", text, SourceMap.identity(text), (), {})


def write_shard(folder: Path) -> None:
    with open_writer(folder, 0) as writer:
        for text in ("one", "two"):
            writer.put("kept", row(text))
        writer.finish()


def has_shard(folder: Path) -> bool:
    if load_job_result(folder, 0) is None:
        return False
    assert [each.text for each in read_shard(shard_path(folder, 0, "kept"))] == ["one", "two"]
    return True


def put_answer(folder: Path) -> None:
    with AnswerCache(folder / "answers.jsonl") as answers:
        if answers.get(KEY) is None:
            answers.put(KEY, Completion("said", "stop", 1, 2))


def has_answer(folder: Path) -> bool:
    with AnswerCache(folder / "answers.jsonl") as answers:
        found = answers.get(KEY)
    assert found in (None, Completion("said", "stop", 1, 2))
    return found is not None


def grow(folder: Path, what: str) -> None:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / "tea.md").write_text(f"# Tea\n\nTea is made of {what}.\n")
    index(source, folder / "index")


def has_buds(folder: Path) -> bool:
    text = ask("What is tea made of?", folder / "index").text
    assert ("leaves" in text) != ("buds" in text)
    return "buds" in text


# ---- the journal of spikes ----


def begin_journal(folder: Path) -> None:
    lines = [SpikeDecision(step, 2.0, 1.0, True, ()).to_json_line() for step in range(3)]
    (folder / JOURNAL).write_text("".join(lines))


def cut_journal(folder: Path) -> None:
    SpikeDetector(SpikeConfig(), folder, 2).close()  # resumes from step 2


def has_cut_journal(folder: Path) -> bool:
    lines = (folder / JOURNAL).read_text().splitlines()
    assert len(lines) in (2, 3)
    return len(lines) == 2


PUBLISHERS = {
    "artifact": Publisher(nothing, make_note, has_note, ("out/manifest.json", "out/**/note*")),
    "ledger": Publisher(first_line, second_line, has_both_lines, ("ledger/*",)),
    "new ledger": Publisher(nothing, first_line, lambda f: (f / "ledger").exists(), ("ledger/*",)),
    "pointer": Publisher(nothing, move_first, has_moved, ("ledger/*",)),
    "checkpoint": Publisher(
        lambda f: save(f, 1, False), lambda f: save(f, 2, False), has_second_step, ("scratch/*/*",)
    ),
    "checkpoint beside": Publisher(
        lambda f: save(f, 1, False), lambda f: save(f, 2, True), has_second_step, ("scratch/*/*",)
    ),
    "shard": Publisher(nothing, write_shard, has_shard, ("*.parquet", "*.done")),
    "answers": Publisher(nothing, put_answer, has_answer, ("answers.jsonl",)),
    "journal": Publisher(begin_journal, cut_journal, has_cut_journal, (JOURNAL,)),
    "index": Publisher(
        lambda f: grow(f, "leaves"), lambda f: grow(f, "buds"), has_buds,
        ("index/ledger/*", "index/snapshots/*/documents*"),
    ),
}  # fmt: skip
