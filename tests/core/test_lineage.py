"""What something needs is found by id, wherever it lies."""

import shutil
from pathlib import Path

import pytest

from groundup.core import Artifact, ArtifactError, Config, Pointer, erase, is_busy, produce
from groundup.core.artifact import locked
from groundup.core.lineage import (
    artifact_places,
    artifacts_below,
    artifacts_beside,
    current_snapshots,
    needed,
    open_current,
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
    known = {artifact.id: artifact for artifact in artifacts_below(tmp_path)}
    assert set(known) == {each.id for each in family}
    assert needed([third.id], known) == {first.id, second.id, third.id}
    assert needed([alone.id, "elsewhere"], known) == {alone.id, "elsewhere"}
    assert needed([], known) == set()


def test_a_copy_is_known_by_its_id(tmp_path, family):
    shutil.copytree(tmp_path / "deep", tmp_path / "moved")
    found = [artifact.path.name for artifact in artifacts_below(tmp_path)]
    assert found == ["alone", "second", "first", "second", "third"]


def test_artifacts_beside_a_folder_are_found_and_damaged_ones_passed_over(tmp_path, family):
    make(tmp_path / "a" / "b" / "c" / "too-far")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "manifest.json").write_text("{")
    found = [artifact.path.name for artifact in artifacts_beside(tmp_path / "first")]
    assert found == ["alone", "third", "second"]


def test_what_is_unfinished_is_no_artifact_and_what_is_damaged_is_told(tmp_path, family):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "x.txt").write_text("x")
    (tmp_path / "half" / "manifest.json").write_text('{"name": "a web page"}')
    assert len(list(artifacts_below(tmp_path))) == 4
    (tmp_path / "half" / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        list(artifacts_below(tmp_path))
    with pytest.raises(ArtifactError, match="not a folder"):
        list(artifacts_below(tmp_path / "none"))


def test_links_are_not_followed(tmp_path, family):
    (tmp_path / "deep" / "link").symlink_to(tmp_path / "alone", target_is_directory=True)
    assert len(list(artifacts_below(tmp_path / "deep"))) == 1


def test_a_folder_that_points_stands_for_its_current_snapshot(tmp_path):
    index = tmp_path / "index"
    old = make(index / "snapshots" / "a")
    new = make(index / "snapshots" / "b", before=old)
    pointer = Pointer(index / "ledger" / "current.jsonl")
    pointer.move(None, "a", author="test", reason="first")
    pointer.move("a", "b", author="test", reason="second")
    assert open_current(index).id == new.id and artifact_places(new.path) == [new.path]
    assert [each.id for each in current_snapshots(tmp_path)] == [new.id]
    assert len(list(artifacts_below(tmp_path))) == 2
    assert artifact_places(tmp_path) == []
    with pytest.raises(ArtifactError, match="manifest"):
        open_current(tmp_path)


def test_an_artifact_is_erased_unless_somebody_writes_there(tmp_path, family):
    first, second, *_ = family
    assert not is_busy(first.path)
    with locked(first.path):
        assert is_busy(first.path) and not erase(first)
    (first.path / ".scratch").mkdir()
    assert is_busy(first.path)
    assert erase(second) and not second.path.exists() and not erase(second)


def test_another_artifact_in_its_place_is_not_erased(tmp_path, family):
    first, *_, alone = family
    shutil.rmtree(first.path)
    shutil.copytree(alone.path, first.path)
    assert not erase(first) and first.path.is_dir()
