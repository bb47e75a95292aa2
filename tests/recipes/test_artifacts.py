"""What differs is told, what takes the room too, and only what nothing needs is ever deleted."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    Pointer,
    produce,
    record,
)
from groundup.measure import above, check_requirement, move_label_to_bundle, rate, write_verdict
from groundup.recipes.artifacts import _flatten_keys, diff, du, gc


class Named(Config):
    """Decides an artifact."""

    name: str = ""
    rates: dict[str, float] = {}


def make(
    out: Path, kind="corpus", text="text", numbers=None, rates=None, tensors=None, **parents
) -> Artifact:
    def write(draft):
        draft.file("x.txt").write_text(text)
        if tensors:
            save_file(tensors, draft.file("model.safetensors"))
        draft.numbers |= numbers or {}

    config = Named(name=out.name, rates=rates or {})
    return produce(
        out, kind=kind, stage="test", version=1, config=config, parents=parents, write=write
    )


def test_an_artifact_does_not_differ_from_itself(tmp_path):
    one = make(tmp_path / "one")
    assert str(diff(one.path, one.path)) == "Nothing differs."


def test_what_made_two_artifacts_is_held_beside_each_other(tmp_path):
    parent = make(tmp_path / "parent")
    one = make(tmp_path / "one", text="a\nb\nc\n", numbers={"loss": 1.5}, rates={"up": 1.0})
    other = make(tmp_path / "other", text="a\nB\nc\n", numbers={"loss": 1.25}, corpus=parent)
    found = diff(one.path, other.path)
    rows = {name: (left, right) for name, left, right in found.rows}
    assert rows["config.name"] == ("one", "other") and rows["config.rates.up"] == (1.0, None)
    assert rows["from.corpus"] == (None, parent.id[:12])
    assert rows["numbers.loss"] == (1.5, 1.25)
    assert [line for line in found.texts if line[0] in "+-"] == [
        "--- a/x.txt", "+++ b/x.txt", "-b", "+B",
    ]  # fmt: skip
    assert "numbers.loss" in str(found) and "1.5 -> 1.25" in str(found)
    names = [name.partition(".")[0] for name, _, _ in found.rows]
    assert names == sorted(names, key=("config", "from", "numbers", "file").index)


def test_tensors_that_changed_come_with_their_change_largest_first(tmp_path):
    same, small = torch.ones(3), torch.tensor([3.0, 4.0])
    one = make(tmp_path / "one", "model", tensors={
        "same": same, "small": small, "large": small.clone(), "shape": torch.ones(2),
        "gone": torch.ones(1), "zero": torch.zeros(2),
    })  # fmt: skip
    other = make(tmp_path / "other", "model", tensors={
        "same": same, "small": small + torch.tensor([0.05, 0.0]), "large": small * 2,
        "shape": torch.ones(3), "new": torch.ones(1), "zero": torch.ones(2),
    })  # fmt: skip
    tensors = dict(diff(one.path, other.path).tensors)
    assert list(tensors) == ["gone", "new", "shape", "zero", "large", "small"]
    assert tensors["small"] == "|b - a| / |a| 0.01, largest 0.05"
    assert "[2] torch.float32 -> [3]" in tensors["shape"] and "only in" in tensors["gone"]


def test_long_texts_are_cut_and_huge_ones_left(tmp_path):
    one = make(tmp_path / "one", text="a\n" * 500)
    other = make(tmp_path / "other", text="b\n" * 500)
    assert diff(one.path, other.path).texts[-1].startswith("… and ")
    huge = make(tmp_path / "huge", text="c" * (2**20 + 1))
    assert diff(one.path, huge.path).texts == ()
    with pytest.raises(ArtifactError, match="manifest"):
        diff(one.path, tmp_path)


def test_nested_values_have_dotted_names():
    assert _flatten_keys({"a": {"b": {"c": 1}}, "d": {}, "e": [1]}) == {
        "a.b.c": 1,
        "d": {},
        "e": [1],
    }


def test_room_is_told_by_artifact_and_kind_and_copies_are_found(tmp_path):
    make(tmp_path / "a", text="x" * 1000)
    make(tmp_path / "deep" / "b", "examples", text="x" * 1000)
    linked = tmp_path / "linked"
    shutil.copytree(tmp_path / "a", linked, copy_function=os.link)
    found = du(tmp_path)
    rooms = {room.path: room for room in found.artifacts}
    assert rooms["deep/b"].bytes == 1000 and rooms["deep/b"].other_bytes > 0
    assert found.kinds.keys() == {"corpus", "examples"}
    assert found.total == sum(room.bytes + room.other_bytes for room in found.artifacts)
    assert found.twice == 1000  # the hard link takes no room
    assert "copies" in str(found) and "examples" in str(found)
    with pytest.raises(ArtifactError, match="not a folder"):
        du(tmp_path / "none")


@pytest.fixture
def logged(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(record, "log", lines.append)
    return lines


def test_a_damaged_artifact_is_reported_with_its_repair_and_others_are_counted(tmp_path, logged):
    for name in ("a", "b", "c", "d"):
        make(tmp_path / name, text=name * 100)
    (tmp_path / "b" / "x.txt").unlink()
    (tmp_path / "c" / MANIFEST).write_text("{")
    found = du(tmp_path)
    assert {room.path for room in found.artifacts} == {"a", "d"} and found.exit_code == 1
    for name, what in (("b", "x.txt is missing"), ("c", "manifest.json is damaged")):
        (said,) = [line for line in logged if f"{name}/{what}" in line]
        assert said.endswith(f"; remove {tmp_path / name} and make it again.")
    shutil.rmtree(tmp_path / "b")
    shutil.rmtree(tmp_path / "c")
    assert du(tmp_path).exit_code == 0


@pytest.fixture
def house(tmp_path):
    """Two lines of models: one was judged and released, the other was not."""
    tmp_path = tmp_path / "house"  # so that nothing of another test lies beside it
    corpus = make(tmp_path / "corpus")
    model = make(tmp_path / "model", "model", corpus=corpus)
    checks = [check_requirement("right", rate([1] * 30), above(0.5))]
    judged = write_verdict(checks, model, out=tmp_path / "verdict")
    other = make(tmp_path / "other-corpus")
    make(tmp_path / "other-model", "model", corpus=other)
    return tmp_path, model, judged


def test_nothing_is_deleted_unless_asked(house):
    root, *_ = house
    found = gc(root)
    assert found.unneeded == ("other-corpus", "other-model") and found.kept == 3
    assert found.bytes > 0 and not found.deleted and "--delete" in str(found)
    assert (root / "other-model" / "manifest.json").is_file()


def test_what_nothing_needs_is_deleted_and_the_rest_is_whole(house):
    root, *_ = house
    found = gc(root, delete=True)
    assert found.deleted and found.bytes > 0
    assert not (root / "other-model").exists() and not (root / "other-corpus").exists()
    for name in ("corpus", "model", "verdict"):
        Artifact.open(root / name)
    assert gc(root, delete=True).unneeded == ()


def test_nothing_is_deleted_while_a_manifest_is_damaged_but_the_rest_is_listed(house, logged):
    root, *_ = house
    make(root / "broken")
    (root / "broken" / MANIFEST).write_text("{")
    found = gc(root, delete=True)
    assert {*found.unneeded} == {"other-corpus", "other-model"} and found.exit_code == 1
    assert not found.deleted and "repair what is damaged first" in str(found)
    assert len(logged) == 1 and f"remove {root / 'broken'} and make it again" in logged[0]
    assert (root / "other-model").is_dir()
    shutil.rmtree(root / "broken")
    assert gc(root, delete=True).deleted and not (root / "other-model").exists()


def test_what_was_released_once_is_kept_with_its_verdict(house):
    root, model, judged = house
    shutil.copytree(root, root.with_name("copy"))
    releases = root / "releases"
    move_label_to_bundle("production", {"subject": model.path}, judged.path, author="a", reason="r",
            releases=releases)  # fmt: skip
    (root / "verdict" / "manifest.json").rename(root / "manifest-elsewhere.json")
    kept = gc(root)
    assert "model" not in kept.unneeded and "corpus" not in kept.unneeded
    elsewhere = gc(root.with_name("copy"), releases=releases)
    assert "model" not in elsewhere.unneeded  # by id, wherever it lies


def test_an_index_keeps_its_current_snapshot_alone(house):
    root, *_ = house
    index = root / "index"
    make(index / "snapshots" / "a", "index")
    make(index / "snapshots" / "b", "index")
    pointer = Pointer(index / "ledger" / "current.jsonl")
    pointer.move(None, "a", author="test", reason="first")
    pointer.move("a", "b", author="test", reason="second")
    assert "index/snapshots/a" in gc(root).unneeded
    assert "index/snapshots/b" not in gc(root).unneeded


def test_a_persons_votes_are_never_deleted(house):
    root, *_ = house
    votes = root / "other-model" / "ledger" / "votes.jsonl"
    votes.parent.mkdir()
    votes.write_text("{}\n")
    assert gc(root).unneeded == ()


def test_what_is_being_written_is_not_touched(house):
    import fcntl

    root, *_ = house
    (root / "other-model" / ".scratch").mkdir()
    assert gc(root, delete=True).unneeded == ("other-corpus",)
    shutil.rmtree(root / "other-model" / ".scratch")
    with open(root / "other-model" / ".lock", "a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert gc(root, delete=True).unneeded == ()
    assert (root / "other-model").is_dir()


def test_nothing_outside_the_folder_is_touched(house):
    root, *_ = house
    outside = make(root.with_name("outside") / "far")
    (root / "link").symlink_to(outside.path, target_is_directory=True)
    (root / "other-model" / "link").symlink_to(outside.path, target_is_directory=True)
    (root / "half").mkdir()
    (root / "half" / "weights").write_text("unfinished")
    gc(root, delete=True)
    assert Artifact.open(outside.path) and (root / "half" / "weights").is_file()


def test_ledgers_that_are_missing_where_they_should_be_stop_it(house):
    root, *_ = house
    with pytest.raises(ConfigError, match="--releases .*missing is not a folder"):
        gc(root, releases=root / "missing", delete=True)
    assert (root / "other-model").is_dir()


def test_an_artifact_that_others_came_from_is_no_folder_to_clean(house):
    root, *_ = house
    with pytest.raises(ConfigError, match="other-corpus is an artifact; expected the folder"):
        gc(root / "other-corpus", delete=True)
    assert Artifact.open(root / "other-corpus")


def test_what_artifacts_beside_the_folder_came_from_is_kept(tmp_path):
    base = make(tmp_path / "models" / "base", "model")
    make(tmp_path / "models" / "unused", "model")
    child = make(tmp_path / "chat" / "one", "model", start=base)
    assert gc(tmp_path / "models").unneeded == ("unused",)
    shutil.move(child.path, tmp_path / "one")  # its path to its parent leads nowhere now
    assert gc(tmp_path / "models", delete=True).unneeded == ("unused",)
    assert Artifact.open(base.path)


def test_the_current_snapshot_is_kept_from_within_its_index(tmp_path):
    make(tmp_path / "index" / "snapshots" / "a", "index")
    pointer = Pointer(tmp_path / "index" / "ledger" / "current.jsonl")
    pointer.move(None, "a", author="test", reason="first")
    assert gc(tmp_path / "index" / "snapshots").unneeded == ()


def test_an_artifact_around_one_that_is_needed_is_kept(house):
    root, model, _ = house
    shutil.move(root / "model", root / "other-model" / "inner")
    found = gc(root, delete=True)
    assert "other-model" not in found.unneeded and (root / "other-model" / "inner").is_dir()
