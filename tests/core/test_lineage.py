"""What something needs is found by id, wherever it lies."""

import json
import shutil
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    Pointer,
    delete_artifact,
    is_busy,
    produce,
)
from groundup.core.artifact import lock_folder, read_manifest
from groundup.core.lineage import (
    artifact_paths,
    current_snapshots,
    find_artifacts,
    find_nearby_artifacts,
    open_current,
    reachable,
)


class Named(Config):
    """Decides an artifact."""

    name: str


def make(out: Path, **parents: Artifact) -> Artifact:
    return produce(
        out, kind="corpus", stage="test", version=1, config=Named(name=out.name), parents=parents,
        write=lambda draft: draft.file("x.txt").write_text(out.name) and None,
    )  # fmt: skip


@pytest.fixture
def family(tmp_path):
    first = make(tmp_path / "first")
    second = make(tmp_path / "deep" / "second", corpus=first)
    third = make(tmp_path / "third", corpus=second, other=first)
    alone = make(tmp_path / "alone")
    return first, second, third, alone


def test_what_is_needed_goes_back_to_the_first(tmp_path, family):
    first, second, third, alone = family
    known = {artifact.id: artifact for artifact in find_artifacts(tmp_path)}
    assert set(known) == {each.id for each in family}
    assert reachable([third.id], known) == {first.id, second.id, third.id}
    assert reachable([alone.id, "elsewhere"], known) == {alone.id, "elsewhere"}
    assert reachable([], known) == set()


def test_a_copy_is_known_by_its_id(tmp_path, family):
    shutil.copytree(tmp_path / "deep", tmp_path / "moved")
    found = [artifact.path.name for artifact in find_artifacts(tmp_path)]
    assert found == ["alone", "second", "first", "second", "third"]


def test_artifacts_beside_a_folder_are_found_and_damaged_ones_passed_over(tmp_path, family):
    make(tmp_path / "a" / "b" / "c" / "too-far")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "manifest.json").write_text("{")
    found = [artifact.path.name for artifact in find_nearby_artifacts(tmp_path / "first")]
    assert found == ["alone", "third", "second"]


def test_what_is_unfinished_is_no_artifact_and_what_is_damaged_is_told(tmp_path, family):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "x.txt").write_text("x")
    (tmp_path / "half" / "manifest.json").write_text('{"name": "a web page"}')
    assert len(list(find_artifacts(tmp_path))) == 4
    (tmp_path / "half" / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        list(find_artifacts(tmp_path))
    with pytest.raises(ArtifactError, match="not a folder"):
        list(find_artifacts(tmp_path / "none"))


def test_links_are_not_followed(tmp_path, family):
    (tmp_path / "deep" / "link").symlink_to(tmp_path / "alone", target_is_directory=True)
    assert len(list(find_artifacts(tmp_path / "deep"))) == 1


def test_a_folder_that_points_stands_for_its_current_snapshot(tmp_path):
    index = tmp_path / "index"
    old = make(index / "snapshots" / "a")
    new = make(index / "snapshots" / "b", before=old)
    pointer = Pointer(index / "ledger" / "current.jsonl")
    pointer.move(None, "a", author="test", reason="first")
    pointer.move("a", "b", author="test", reason="second")
    assert open_current(index).id == new.id and artifact_paths(new.path) == [new.path]
    assert [each.id for each in current_snapshots(tmp_path)] == [new.id]
    assert len(list(find_artifacts(tmp_path))) == 2
    assert artifact_paths(tmp_path) == []
    with pytest.raises(ArtifactError, match="manifest"):
        open_current(tmp_path)


def test_an_artifact_is_erased_unless_somebody_writes_there(tmp_path, family):
    first, second, *_ = family
    assert not is_busy(first.path)
    with lock_folder(first.path):
        assert is_busy(first.path) and not delete_artifact(first)
    (first.path / ".scratch").mkdir()
    assert is_busy(first.path)
    assert delete_artifact(second) and not second.path.exists() and not delete_artifact(second)


def test_another_artifact_in_its_place_is_not_erased(tmp_path, family):
    first, *_, alone = family
    shutil.rmtree(first.path)
    shutil.copytree(alone.path, first.path)
    assert not delete_artifact(first) and first.path.is_dir()


def test_a_pointer_leads_to_its_own_snapshots_alone(tmp_path, family):
    for value in ("../../alone", "..", "/etc", "a/b"):
        index = tmp_path / f"index{len(value)}"
        Pointer(index / "ledger" / "current.jsonl").move(None, value, author="x", reason="x")
        (index / "snapshots").mkdir()
        with pytest.raises(ArtifactError, match="no name of a snapshot"):
            open_current(index)


def test_erasing_takes_what_the_manifest_names_and_nothing_else(tmp_path, family):
    *_, alone = family
    for name in ("mine.txt", "log/mine.txt", "folder/mine.txt"):
        (alone.path / name).parent.mkdir(exist_ok=True)
        (alone.path / name).write_text("mine")
    assert delete_artifact(alone) and not (alone.path / "manifest.json").exists()
    left = {path.relative_to(alone.path).as_posix() for path in alone.path.rglob("*")}
    assert left == {"mine.txt", "log", "log/mine.txt", "folder", "folder/mine.txt"}


@pytest.mark.parametrize("forged", ["key", "files"])
def test_a_forged_manifest_takes_nothing_with_it(tmp_path, family, forged):
    *_, alone = family
    manifest = json.loads((alone.path / "manifest.json").read_text())
    (alone.path / "mine.txt").write_text("mine")
    changes = {"key": "0" * 64, "files": {"mine.txt": {"bytes": 5, "sha256": "0" * 64}}}
    (alone.path / "manifest.json").write_text(json.dumps(manifest | {forged: changes[forged]}))
    assert not delete_artifact(read_manifest(alone.path))
    assert (alone.path / "mine.txt").exists() and (alone.path / "x.txt").exists()


def test_erasing_follows_no_link_out_of_the_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    one = produce(
        tmp_path / "one", kind="corpus", stage="test", version=1, config=Named(name="one"),
        parents={}, write=lambda draft: draft.file("sub/x.txt").write_text("one") and None,
    )  # fmt: skip
    shutil.move(tmp_path / "one" / "sub" / "x.txt", tmp_path / "mine" / "x.txt")
    (tmp_path / "one" / "sub").rmdir()
    (tmp_path / "one" / "sub").symlink_to(tmp_path / "mine", target_is_directory=True)
    delete_artifact(one)
    assert (tmp_path / "mine" / "x.txt").read_text() == "one"
