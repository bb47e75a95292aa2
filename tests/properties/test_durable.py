"""What is published is on the disk: each file before its name appears, and then the name."""

import os

import pytest

from groundup.core import Artifact, delete_artifact, write_text
from tests.properties.publishers import PUBLISHERS
from tests.properties.recording import recording


@pytest.mark.parametrize("kind", PUBLISHERS)
def test_what_is_published_is_synced_first_and_its_name_after(kind, tmp_path):
    publisher = PUBLISHERS[kind]
    publisher.begin(tmp_path)
    with recording(tmp_path) as recorder:
        publisher.act(tmp_path)
    assert publisher.holds(tmp_path)
    assert recorder.unsynced(*publisher.kept) == []


def test_a_manifest_appears_when_the_payload_and_its_folders_are_on_the_disk(tmp_path):
    with recording(tmp_path) as recorder:
        PUBLISHERS["artifact"].act(tmp_path)
    manifest = next(i for i, call in enumerate(recorder.calls) if call.endswith("/manifest.json"))
    before = {call for call in recorder.calls[:manifest] if call.startswith("fsync")}
    payload = ("out/note.txt", "out/deep/er/note.txt", "out/deep/er", "out/deep")
    assert {f"fsync {name}" for name in payload} <= before


def test_the_calls_of_a_checkpoint_come_in_this_order(tmp_path):
    publisher = PUBLISHERS["checkpoint"]
    publisher.begin(tmp_path)
    with recording(tmp_path) as recorder:
        publisher.act(tmp_path)
    partial = "scratch/.partial-00000002"
    about = f"{partial}/.checkpoint.json.partial"
    kept = ("fsync", "replace")
    assert [call for call in recorder.calls if call.startswith(kept)] == [
        f"fsync {partial}/random-00000.safetensors",
        f"fsync {partial}/model-00000.safetensors",
        f"fsync {partial}",
        f"fsync {about}",
        f"replace {about} {partial}/checkpoint.json",
        f"fsync {partial}",
        f"replace {partial} scratch/step-00000002",
        "fsync scratch",
        "replace scratch/step-00000001 scratch/.gone-00000001",
    ]


def test_a_new_ledgers_name_is_synced_before_its_first_line(tmp_path):
    with recording(tmp_path) as recorder:
        PUBLISHERS["new ledger"].act(tmp_path)
    synced = [call for call in recorder.calls if call.startswith("fsync")]
    assert synced == ["fsync ledger", "fsync ledger/looks.jsonl"]


def test_what_is_erased_is_no_artifact_from_the_first_call_on(tmp_path):
    PUBLISHERS["artifact"].act(tmp_path)
    with recording(tmp_path) as recorder:
        assert delete_artifact(Artifact.open(tmp_path / "out"))
    calls = [call for call in recorder.calls if not call.startswith(("open", "mkdir"))]
    assert calls[:2] == ["unlink out/manifest.json", "fsync out"]


def test_the_recorder_hears_of_what_is_not_synced(tmp_path):
    with recording(tmp_path) as recorder:
        (tmp_path / ".half").write_text("half")
        os.replace(tmp_path / ".half", tmp_path / "whole")
        write_text(tmp_path / "other", "synced, and its folder")
        with open(tmp_path / "other", "a") as file:
            file.write("and written to again")
    assert recorder.unsynced("other") == [".half is not synced when whole appears", "other"]
    with recording(tmp_path) as recorder:
        (tmp_path / ".half").write_text("half")
        with open(tmp_path / ".half") as file:
            os.fsync(file)
        os.replace(tmp_path / ".half", tmp_path / "whole")
    assert recorder.unsynced("whole") == ["the name whole"]
