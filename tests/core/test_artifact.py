"""An artifact is complete or absent, knows its inputs, and notices every change of its files."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Annotated

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    CapacityError,
    Config,
    DataError,
    Draft,
    Ledger,
    Unhashed,
    check_kind,
    hash_file,
    produce,
    require_regular_file,
    write_text,
)
from groundup.core.artifact import MANIFEST, Parent, _artifact_id, _artifact_key, atomic_replace


class Ink(Config):
    colour: str = "black"
    """Of the ink."""
    width: int = 1
    """Of the pen."""


class Words(Config):
    text: str = "hello"
    """What to write."""
    ink: Ink = Ink()
    """With what."""
    patience: Annotated[int, Unhashed()] = 1
    """How long to wait; nothing of what is written."""


def make(out: Path, text: str = "hello", parents=None, write=None, **more) -> Artifact:
    def plain(draft: Draft) -> None:
        draft.file("sub/words.txt").write_text(text)
        draft.numbers["letters"] = len(text)
        (draft.log / "metrics.jsonl").write_text(os.urandom(4).hex())

    return produce(
        out, kind="corpus", stage="words", version=1, config=Words(text=text, **more),
        parents=parents or {}, write=write or plain,
    )  # fmt: skip


def test_equal_work_has_an_equal_id_wherever_it_is_done(tmp_path):
    a, b = make(tmp_path / "a"), make(tmp_path / "ü b")
    assert a.id == b.id and a.key == b.key
    assert make(tmp_path / "c", "other").id != a.id


def test_what_is_complete_is_not_made_again(tmp_path):
    first = make(tmp_path / "a")
    again = make(tmp_path / "a", write=lambda draft: pytest.fail("it ran again"))
    assert again.id == first.id


def test_another_configuration_in_the_same_place_is_refused_by_name(tmp_path):
    make(tmp_path / "a")
    with pytest.raises(ArtifactError, match="text='hello', and now text='other' is asked for"):
        make(tmp_path / "a", "other")


def test_an_error_names_the_settings_that_differ_and_no_others(tmp_path):
    make(tmp_path / "a")
    said = "made with ink.colour='black', and now ink.colour='blue' is asked for; choose"
    with pytest.raises(ArtifactError, match=said) as caught:
        make(tmp_path / "a", ink={"colour": "blue"}, patience=3)
    assert "width" not in str(caught.value) and "patience" not in str(caught.value)
    with pytest.raises(ArtifactError, match="ink.colour='black', ink.width=1, text='hello', and"):
        make(tmp_path / "a", "other", ink={"colour": "blue", "width": 2})


def test_how_a_stage_is_run_is_no_part_of_what_it_makes(tmp_path):
    def fails(draft: Draft) -> None:
        (draft.scratch / "checkpoint").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        make(tmp_path / "a", write=fails)
    left: list[Path] = []
    made = make(
        tmp_path / "a", patience=5, write=lambda draft: left.extend(draft.scratch.iterdir())
    )  # fmt: skip
    assert {path.name for path in left} == {"key", "checkpoint"}
    assert made.config == {"text": "hello", "ink": {"colour": "black", "width": 1}}
    again = make(tmp_path / "a", patience=9, write=lambda draft: pytest.fail("it ran again"))
    assert again.key == made.key == make(tmp_path / "b", patience=2).key


def test_an_artifact_of_all_settings_is_still_the_one_that_is_asked_for(tmp_path):
    made = make(tmp_path / "a")
    manifest = json.loads((made.path / MANIFEST).read_text())
    manifest["config"] = Words().to_dict()
    manifest["key"] = _artifact_key("words", 1, manifest["config"], [])
    manifest["id"] = _artifact_id(manifest["key"], made.files)
    (made.path / MANIFEST).write_text(json.dumps(manifest))
    again = make(tmp_path / "a", write=lambda draft: pytest.fail("it ran again"))
    assert again.id == manifest["id"]


def test_a_folder_with_someone_s_files_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="not empty"):
        make(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / "a" / ".lock").exists()


@pytest.mark.parametrize("damage", ["truncate", "edit", "delete", "manifest", "id"])
def test_damage_is_an_error_that_names_the_place(tmp_path, damage: str):
    path = make(tmp_path / "a").path
    words, manifest = path / "sub/words.txt", path / MANIFEST
    if damage == "truncate":
        words.write_text("hell")
    elif damage == "edit":
        words.write_text("jello")
    elif damage == "delete":
        words.unlink()
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:-20])
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"id": "0" * 64}))
    with pytest.raises(ArtifactError, match="words.txt|manifest.json"):
        Artifact.open(path)


@pytest.mark.parametrize("name", ["config", "version", "stage", "parents"])
def test_an_edited_manifest_is_noticed(tmp_path, name):
    made = make(tmp_path / "a")
    manifest = json.loads((made.path / MANIFEST).read_text())
    edits = {"config": {"seed": 7}, "version": 99, "stage": "other", "parents": []}
    edits["parents"] = [{"name": "x", "path": "../x", "id": "0" * 64}]
    (made.path / MANIFEST).write_text(json.dumps(manifest | {name: edits[name]}))
    with pytest.raises(ArtifactError, match="was edited: its key is not the hash"):
        Artifact.open(made.path)


def test_a_manifest_may_not_reach_out_of_its_directory(tmp_path):
    path = make(tmp_path / "a").path
    data = json.loads((path / MANIFEST).read_text())
    data["files"]["../secret"] = {"sha256": "0", "bytes": 1}
    (path / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="outside"):
        Artifact.open(path)


def test_a_parent_is_known_by_its_id_and_a_stranger_in_its_place_is_none(tmp_path):
    parent = make(tmp_path / "parent")
    child = make(tmp_path / "child", "x", {"words": parent})
    (recorded,) = child.parents
    assert recorded == Parent("words", "../parent", parent.id)
    assert child.open_parent(recorded) == parent
    make(tmp_path / "elsewhere" / "parent", "a stranger")
    copy = tmp_path / "elsewhere" / "child"
    shutil.copytree(child.path, copy)
    assert Artifact.open(copy).id == child.id
    assert Artifact.open(copy).open_parent(recorded) is None
    shutil.rmtree(parent.path)
    assert Artifact.open(child.path).open_parent(recorded) is None


def test_a_failed_stage_leaves_no_manifest_and_keeps_its_checkpoints(tmp_path):
    def fails(draft: Draft) -> None:
        (draft.scratch / "checkpoint").write_text("half")
        (draft.log / "events").write_text("so far")
        draft.file("partial").write_text("x")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        make(tmp_path / "a", write=fails)
    assert not (tmp_path / "a" / MANIFEST).exists()

    def resumes(draft: Draft) -> None:
        assert (draft.scratch / "checkpoint").read_text() == "half"
        assert (draft.log / "events").read_text() == "so far"
        assert not (draft.path / "partial").exists()

    make(tmp_path / "a", write=resumes)
    assert not (tmp_path / "a" / ".scratch").exists()


def test_a_draft_tells_when_its_stage_first_began_through_kills(tmp_path):
    began = []

    def stops(draft: Draft) -> None:
        began.append(draft.started_at)
        key = draft.scratch / "key"
        if len(began) == 1:  # an hour ago
            os.utime(key, (key.stat().st_mtime - 3600,) * 2)
            began.append(draft.started_at)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make(tmp_path / "a", write=stops)
    make(tmp_path / "a", write=stops)
    now, hour_ago, resumed = began
    assert resumed == hour_ago < now and now.endswith("Z")


def test_a_stage_that_refuses_at_once_leaves_nothing(tmp_path):
    def refuses(draft: Draft) -> None:
        raise DataError("Nothing can be used.")

    with pytest.raises(DataError):
        make(tmp_path / "a", write=refuses)
    assert not list(tmp_path.iterdir())

    def gives_up(draft: Draft) -> None:
        (draft.scratch / "checkpoint").write_text("half")
        raise DataError("Enough.")

    with pytest.raises(DataError):
        make(tmp_path / "a", write=gives_up)
    assert (tmp_path / "a" / ".scratch" / "checkpoint").read_text() == "half"


def test_checkpoints_of_another_configuration_are_thrown_away(tmp_path):
    def fails(draft: Draft) -> None:
        (draft.scratch / "checkpoint").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        make(tmp_path / "a", write=fails)
    make(tmp_path / "a", "other", write=lambda draft: seen.extend(draft.scratch.iterdir()))
    assert [path.name for path in seen] == ["key"]


seen: list[Path] = []


def hold(out: Path, ready, go) -> None:
    def write(draft: Draft) -> None:
        draft.file("a").write_text("a")
        ready.set()
        go.wait(30)

    make(out, write=write)


def test_two_runs_into_one_folder_and_a_kill(tmp_path):
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "a", ready, go))
    other.start()
    assert ready.wait(30)
    with pytest.raises(ArtifactError, match="Another run is writing"):
        make(tmp_path / "a")
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    assert make(tmp_path / "a").numbers == {"letters": 5}  # the lock died with its holder


def test_a_full_disk_is_told_as_such(tmp_path):
    def full(draft: Draft) -> None:
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)

    with pytest.raises(CapacityError, match="No space left"):
        make(tmp_path / "a", write=full)
    assert make(tmp_path / "a").numbers == {"letters": 5}


def test_a_file_beyond_the_limit_on_files_is_told_as_such(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def too_large(draft: Draft) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
        try:
            draft.file("large").write_bytes(bytes(2**21))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with pytest.raises(CapacityError, match="A file is too large.*raise the limit.*ulimit -f"):
        make(tmp_path / "a", write=too_large)
    assert make(tmp_path / "a").numbers == {"letters": 5}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="Cannot use"):
        make(tmp_path / "file" / "a")


def test_opening_what_is_no_artifact_says_so(tmp_path):
    with pytest.raises(ArtifactError, match="has no manifest.json"):
        Artifact.open(tmp_path)
    with pytest.raises(ArtifactError, match="is not a directory"):
        Artifact.open(tmp_path / "absent")
    with pytest.raises(ArtifactError, match="Expected a model artifact"):
        Artifact.open(make(tmp_path / "a").path, kind="model")


@pytest.mark.parametrize("planted", [".lock", ".scratch", "log", "ledger"])
def test_nothing_is_written_through_a_planted_link(tmp_path, planted):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "key").write_text("mine")
    (tmp_path / "out").mkdir()
    target = tmp_path / "mine" / "file" if planted == ".lock" else tmp_path / "mine"
    (tmp_path / "out" / planted).symlink_to(target)
    with pytest.raises(ArtifactError, match=rf"{planted} is a symbolic link"):
        make(tmp_path / "out")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["key"]
    assert (tmp_path / "mine" / "key").read_text() == "mine"


def test_a_file_is_not_replaced_through_a_planted_link(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".words.txt.partial").symlink_to(tmp_path / "mine")
    write_text(tmp_path / "words.txt", "ours")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "words.txt").read_text() == "ours"
    assert not (tmp_path / "words.txt").is_symlink()


def test_a_ledger_is_not_appended_to_through_a_planted_link(tmp_path):
    (tmp_path / "mine").write_text("no line")
    (tmp_path / "looks.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(ArtifactError, match=r"looks\.jsonl is a symbolic link"):
        Ledger(tmp_path / "looks.jsonl").append({"who": "ana"})
    assert (tmp_path / "mine").read_text() == "no line"


def test_an_id_knows_which_content_has_which_name():
    one, other = {"sha256": "1" * 64, "bytes": 1}, {"sha256": "2" * 64, "bytes": 1}
    known = _artifact_id("key", {"a": one, "b": other})
    assert known == _artifact_id("key", {"b": other, "a": one})
    for files in ({"a": other, "b": one}, {"a": one, "c": other}, {"a": one}):
        assert _artifact_id("key", files) != known
    assert _artifact_id("other", {"a": one, "b": other}) != known


def test_what_could_not_be_written_leaves_no_half(tmp_path):
    (tmp_path / "kept").write_text("old")
    with pytest.raises(OSError), atomic_replace(tmp_path / "kept") as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def test_an_index_is_an_artifact_of_its_kind_though_it_has_no_manifest(tmp_path):
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "current.jsonl").write_text("")
    check_kind(tmp_path, "index")
    with pytest.raises(ArtifactError, match=r"Expected a model artifact, got an index \("):
        check_kind(tmp_path, "model")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero")):
        for take in (require_regular_file, hash_file):
            with pytest.raises(OSError, match="no regular file"):
                take(path)
    assert (
        require_regular_file(tmp_path) == tmp_path
        and require_regular_file(tmp_path / "none") == tmp_path / "none"
    )


def test_a_file_put_in_place_is_as_readable_as_others(tmp_path):
    with atomic_replace(tmp_path / "kept") as temporary:
        other = tmp_path / "made elsewhere"
        other.write_text("content")
        other.chmod(0o600)
        other.replace(temporary)
    (tmp_path / "plain").write_text("content")
    modes = {(tmp_path / name).stat().st_mode for name in ("kept", "plain")}
    assert len(modes) == 1
