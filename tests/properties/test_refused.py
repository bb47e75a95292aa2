"""What was cut short or has another bit is refused by the name of the file, whatever it is."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from groundup.core import Artifact, GroundupError, Ledger, Pointer
from groundup.corpus.engine.shards import load_job_result
from groundup.embeddings import load_vectors
from groundup.model.weights.gguf.export import save_gguf
from groundup.model.weights.gguf.reading import load_gguf
from groundup.retrieve import ask, index
from tests.model.weights.gguf.models import MODELS, exact_model
from tests.properties.publishers import (
    checkpoints,
    make_note,
    move_first,
    save,
    weights_at,
    write_shard,
)

ROOT = Path(__file__).resolve().parents[2]


class Stored(NamedTuple):
    """Something on the disk that is opened later."""

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    """Raises GroundupError for what is damaged."""
    files: str
    """Pattern of what may be damaged."""
    is_hashed: bool = True
    """Whether one bit is noticed, not the length alone."""


def read_lines(folder: Path) -> None:
    """Read a ledger to its end; an unfinished last line is none, so there must be two."""
    lines = list(Ledger(folder / "ledger" / "looks.jsonl").read())
    if len(lines) < 2:
        raise GroundupError(f"{folder}/ledger/looks.jsonl was torn")


def write_lines(folder: Path) -> None:
    ledger = Ledger(folder / "ledger" / "looks.jsonl")
    for line in (1, 2):
        ledger.append({"line": line})


def write_index(folder: Path) -> None:
    (folder / "source").mkdir()
    (folder / "source" / "tea.md").write_text("# Tea\n\nTea is made of leaves.\n")
    index(folder / "source", folder / "index")


def read_shard_of(folder: Path) -> None:
    """A shard that is not what its marker says is made again, which here is an error."""
    if load_job_result(folder, 0) is None:
        raise GroundupError(f"{folder}/00000.kept.parquet is to be made again")


def copy_vectors(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copy(ROOT / "tests" / "fixtures" / "word2vec" / name, folder)


def write_gguf(folder: Path) -> None:
    save_gguf(exact_model(next(iter(MODELS.values()))), folder / "m.gguf", "Q8_0", {})


STORED = {
    "artifact": Stored(make_note, lambda f: Artifact.open(f / "out"), "out/**/note*"),
    "ledger": Stored(write_lines, read_lines, "ledger/looks.jsonl"),
    "checkpoint": Stored(
        lambda f: save(f, 1, False),
        lambda f: checkpoints(f, weights_at(0), False).resume(),
        "scratch/step-*/*.safetensors",
    ),
    "index": Stored(
        write_index,
        lambda f: ask("What is tea made of?", f / "index"),
        "index/snapshots/*/**/[!.]*",
    ),
    "shard": Stored(write_shard, read_shard_of, "*.parquet"),
    "gguf": Stored(write_gguf, lambda f: load_gguf(f / "m.gguf"), "m.gguf", is_hashed=False),
    "binary vectors": Stored(
        copy_vectors("vectors.bin"), lambda f: load_vectors(f / "vectors.bin"), "vectors.bin",
        is_hashed=False,
    ),
    "vectors as text": Stored(
        copy_vectors("vectors.txt"), lambda f: load_vectors(f / "vectors.txt"), "vectors.txt",
        is_hashed=False,
    ),
}  # fmt: skip


def damages(data: bytes, is_hashed: bool) -> dict[str, bytes]:
    """The content cut short in three places and, where it is hashed, with one bit turned."""
    made = {"empty": b"", "half": data[: len(data) // 2], "all but the last": data[:-1]}
    for share in (0.0, 0.5, 0.999) if is_hashed else ():
        at = int(share * len(data))
        made[f"bit at {share}"] = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    return {how: content for how, content in made.items() if content != data}


@pytest.mark.parametrize("kind", STORED)
def test_what_is_damaged_is_refused_by_the_name_of_its_file(kind, tmp_path):
    stored = STORED[kind]
    stored.write(tmp_path)
    stored.read(tmp_path)
    files = [
        path
        for path in tmp_path.glob(stored.files)
        if path.is_file() and path.name != "manifest.json" and "log" not in path.parts
    ]
    assert files
    for path in files:
        whole = path.read_bytes()
        for how, content in damages(whole, stored.is_hashed).items():
            path.write_bytes(content)
            with pytest.raises(GroundupError) as caught:
                stored.read(tmp_path)
                pytest.fail(f"{path.name} is read though it has damage: {how}")
            said = str(caught.value)
            assert path.name in said or path.stem in said, (how, said)
            assert "\n" not in said
        path.write_bytes(whole)
    stored.read(tmp_path)


def test_a_manifest_with_another_bit_is_refused(tmp_path):
    make_note(tmp_path)
    path = tmp_path / "out" / "manifest.json"
    whole = path.read_bytes()
    free = ("numbers", "seconds", "device", "git")  # outside the id: they say nothing that is used
    end = min(whole.index(f'"{name}"'.encode()) for name in free)
    for at in range(0, end, 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(GroundupError, match="out") as caught:
            Artifact.open(tmp_path / "out", "documents")
            pytest.fail(f"a turned bit at byte {at}, {whole[at - 20 : at + 20]!r}, is not seen")
        assert "\n" not in str(caught.value)


def test_a_pointer_with_another_bit_does_not_point(tmp_path):
    move_first(tmp_path)
    path = tmp_path / "ledger" / "current.jsonl"
    whole = path.read_bytes()
    for at in range(len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(GroundupError, match="current.jsonl"):
            if Pointer(path).value != "one":
                raise GroundupError("current.jsonl points nowhere")
