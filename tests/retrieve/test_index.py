"""Run again on a changed folder, the index answers from the new text."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    CapacityError,
    Config,
    ConfigError,
    DataError,
    Draft,
    Pointer,
    load_config,
    produce,
    write_text,
)
from groundup.corpus import CorpusConfig, corpus
from groundup.documents import Rejected
from groundup.retrieve import (
    ChunkConfig,
    IndexConfig,
    ask,
    index,
    open_index,
    verify_quotes,
)
from groundup.retrieve.search import read_rejected
from tests.artifacts import artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "über uns").mkdir(parents=True)
    (folder / "tea.md").write_text("# Tea\n\nTea is made of leaves.\n")
    (folder / "pot.py").write_text('def fill(pot):\n    """Fill the pot with water."""\n')
    (folder / "page.html").write_text("<h1>Cups</h1><p>A cup holds &frac14; litre.</p>")
    (folder / "über uns" / "ort.txt").write_text("The office lies in Zürich.\n")
    return folder


def documents(snapshot: Artifact) -> set[str]:
    return {place.path for place in open_index(snapshot.path).entries.values()}


def test_a_changed_folder_is_answered_from_its_new_text(folder, tmp_path):
    out = tmp_path / "i"
    first = index(folder, out)
    assert documents(first) == {"tea.md", "pot.py", "page.html", "über uns/ort.txt"}
    assert "leaves" in ask("What is tea made of?", out).text

    (folder / "tea.md").write_text("# Tea\n\nTea is made of buds.\n")
    (folder / "milk.txt").write_text("Milk goes into the fridge.\n")
    (folder / "pot.py").unlink()
    second = index(folder, out)
    assert "buds" in ask("What is tea made of?", out).text
    assert "fridge" in ask("Where does the milk go?", out).text
    assert ask("How do I fill the pot?", out).refused
    moves = Pointer(out / "ledger" / "current.jsonl").history()
    assert [move.content["reason"] for move in moves] == [
        "4 added", "1 added, 1 changed, 1 deleted, 2 unchanged",
    ]  # fmt: skip
    assert "leaves" in ask("What is tea made of?", first.path).text, "a snapshot stays as it is"
    assert second.id != first.id


def test_an_unchanged_folder_makes_nothing_new(folder, tmp_path):
    out = tmp_path / "i"
    first = index(folder, out)
    os.utime(folder / "tea.md", (0, 0))
    assert index(folder, out) == first
    assert len(Pointer(out / "ledger" / "current.jsonl").history()) == 1
    assert len(list((out / "snapshots").iterdir())) == 1


def test_a_folder_that_went_back_gets_its_old_snapshot_back(folder, tmp_path):
    out, tea = tmp_path / "i", folder / "tea.md"
    first, text = index(folder, out), tea.read_text()
    tea.write_text("# Tea\n\nTea is made of buds.\n")
    index(folder, out)
    tea.write_text(text)
    assert index(folder, out) == first
    assert "leaves" in ask("What is tea made of?", out).text


def test_updated_and_fresh_indexes_answer_alike(folder, tmp_path):
    index(folder, tmp_path / "updated")
    (folder / "milk.txt").write_text("Milk goes into the fridge.\n")
    updated = open_index(index(folder, tmp_path / "updated").path)
    fresh = open_index(index(folder, tmp_path / "fresh").path)
    assert updated.artifact.id == fresh.artifact.id, "equal content is equal files"
    assert updated.lexical.snapshot() == fresh.lexical.snapshot()
    assert updated.lexical.search("milk fridge tea") == fresh.lexical.search("milk fridge tea")


def test_another_configuration_is_another_snapshot(folder, tmp_path):
    small = IndexConfig(chunk=ChunkConfig(max_characters=100, min_characters=0))
    assert index(folder, tmp_path / "i").id != index(folder, tmp_path / "i", small).id


def test_an_index_inside_its_folder_does_not_index_itself(folder):
    out = folder / "index"
    index(folder, out)
    (out / "notes.txt").write_text("Not a document.\n")
    assert documents(index(folder, out)) == {"tea.md", "pot.py", "page.html", "über uns/ort.txt"}


def test_files_that_cannot_be_read_are_left_out_and_listed(folder, tmp_path):
    (folder / "broken.txt").write_bytes(bytes(range(128, 256)) * 9)
    (folder / "zero.txt").write_bytes(b"a\0b")
    (folder / "empty.md").write_bytes(b"")
    snapshot = index(folder, tmp_path / "i")
    assert snapshot.numbers["left_out"] == 3 and snapshot.numbers["documents"] == 4
    listed = snapshot.file("rejected.json").read_text()
    assert "broken.txt" in listed and "binary" in listed


def test_an_empty_or_vanished_folder_is_told_and_the_index_stays(folder, tmp_path):
    out = tmp_path / "i"
    index(folder, out)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match="no files; expected text, HTML"):
        index(folder, out)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="1 file.* cannot be used .*picture.png"):
        index(folder, out)
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="is missing"):
        index(folder, out)
    assert "leaves" in ask("What is tea made of?", out).text


def test_a_missing_or_damaged_index_is_one_line(folder, tmp_path):
    for path in (tmp_path / "nothing", folder, folder / "tea.md"):
        with pytest.raises(ArtifactError, match="groundup index FOLDER") as error:
            ask("What is tea?", path)
        assert "\n" not in str(error.value)
    snapshot = index(folder, tmp_path / "i")
    file = snapshot.file("documents.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="truncated or edited"):
        ask("What is tea?", tmp_path / "i")


def test_a_folder_that_is_an_artifact_is_the_indexs_parent(folder, tmp_path):
    def write(draft: Draft) -> None:
        write_text(draft.file("tea.txt"), "Pour hot water over the leaves.")

    pages = produce(
        tmp_path / "pages", kind="documents", stage="pages", version=1, config=Config(),
        parents={}, write=write,
    )  # fmt: skip
    assert [parent.id for parent in index(pages.path, tmp_path / "a").parents] == [pages.id]
    (folder / "manifest.json").write_text('{"name": "an app"}')
    assert not index(folder, tmp_path / "b").parents


def test_an_artifact_of_another_kind_is_no_folder_of_documents(folder, tmp_path):
    index(folder, tmp_path / "i")
    tokens = artifact(tmp_path / "tokens", "tokens")
    for place, kind in ((tokens.path, "tokens"), (tmp_path / "i", "index")):
        with pytest.raises(ArtifactError) as raised:
            index(place, tmp_path / "none")
        said = f"{place} is a {kind} artifact; expected a folder of text, HTML"
        assert str(raised.value).startswith(said)
    assert not (tmp_path / "none").exists()


def test_a_corpus_is_indexed_and_its_quotes_are_of_the_files_it_was_made_from(folder, tmp_path):
    made = corpus(CorpusConfig(), folder, tmp_path / "corpus")
    index(made.path, tmp_path / "i")
    answer = ask("What is tea made of?", tmp_path / "i")
    assert answer.claims[0].quotes[0].path == "tea.md" and answer.details["root"] is None
    assert verify_quotes(answer, folder) == []
    assert index(made.path, tmp_path / "i").numbers["documents"] == 4


def test_a_folder_that_holds_something_else_does_not_become_an_index(folder, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.md").write_text("Years of work.")
    for out in (tmp_path / "thesis", folder):
        before = sorted(path.name for path in out.iterdir())
        with pytest.raises(ArtifactError, match="is not empty and holds no index"):
            index(folder, out)
        assert sorted(path.name for path in out.iterdir()) == before


def test_unknown_settings_are_told():
    with pytest.raises(ConfigError, match="did you mean `max_characters`"):
        ChunkConfig(max_character=1)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"max_characters": 0}, "max_characters: .* greater than or equal to 100; got 0"),
        ({"min_characters": -1}, "min_characters: .* greater than or equal to 0; got -1"),
        ({"min_characters": 900, "max_characters": 300}, "min_characters=900 is above"),
    ],
)
def test_sizes_of_passages_have_bounds(sizes, told):
    with pytest.raises(ConfigError, match=told):
        load_config(IndexConfig, settings=[f"chunk.{name}={size}" for name, size in sizes.items()])


def test_a_file_that_changes_between_hash_and_reading_is_left_out_until_the_next_run(
    folder, tmp_path, monkeypatch
):
    module = sys.modules["groundup.retrieve.chunks.reading"]
    read = module.file_bytes
    seen: set[str] = set()

    def changing(root: Path, path: str, limit: int) -> bytes | Rejected:
        data = read(root, path, limit)
        if path == "tea.md" and path in seen:
            return b"# Coffee\n"
        seen.add(path)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(module, "file_bytes", changing)
        first = index(folder, tmp_path / "i")
    assert ("tea.md", "changed while it was being indexed") in [
        (each.path, each.reason) for each in read_rejected(first.path)
    ]
    assert first.numbers["documents"] > 0
    second = index(folder, tmp_path / "i")  # of the same files, which did not change after all
    assert second.id != first.id and "tea.md" in open_index(tmp_path / "i").sha256_by_path
    assert second.id == index(folder, tmp_path / "other").id


def more_text(folder: Path) -> None:
    """Documents of half a megabyte, so that every file of an index is larger than a small limit."""
    words = [f"word{number}" for number in range(9000)]
    for number in range(8):
        text = " ".join(words[number * 1000 :] + words[: number * 1000])
        (folder / f"more {number}.txt").write_text(text)


def refused_and_still_answering(folder: Path, out: Path) -> None:
    """A disk that takes no more is one line, and the snapshot before still answers."""
    before = open_index(out).artifact.id
    with pytest.raises(CapacityError) as raised:
        index(folder, out)
    said = str(raised.value)
    assert str(out) in said and "what is complete stays" in said and "\n" not in said
    assert open_index(out).artifact.id == before
    assert ask("What is tea made of?", out).text == "Tea is made of leaves."


@pytest.mark.parametrize("kibibytes", [16, 200, 450])
def test_a_file_that_grows_beyond_the_limit_loses_nothing(kibibytes, folder, tmp_path):
    out = tmp_path / "i"
    index(folder, out)
    more_text(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 2**10, hard))
    try:
        refused_and_still_answering(folder, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert index(folder, out).numbers["documents"] == 12


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("kibibytes", [256, 1280])
def test_a_full_disk_loses_nothing(kibibytes, folder, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        index(folder, disk / "i")
        more_text(folder)
        refused_and_still_answering(folder, disk / "i")
        for path in folder.glob("more*"):
            path.unlink()
        (folder / "new.md").write_text("A kettle is made of steel.\n")
        index(folder, disk / "i")
        assert ask("What is a kettle made of?", disk / "i").text == "A kettle is made of steel."
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # a reader may be open


def test_an_update_reads_what_changed_and_equals_a_new_index(tmp_path, monkeypatch):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# Kettle\n\nA kettle boils water.\n\n" + "It is long. " * 300)
    (folder / "b.docx").write_bytes(b"PK broken")
    mail = "From a@b.c Sat Jan  3 01:05:34 1998\nFrom: a@b.c\nSubject: {}\n\nThe {} is here.\n\n"
    (folder / "c.mbox").write_text(mail.format("Tea", "tea") + mail.format("Cup", "cup"))
    index(folder, tmp_path / "i")
    (folder / "a2.txt").write_text("Bread is baked.\n")
    (folder / "c.mbox").write_text(mail.format("Tea", "tea") + mail.format("Pot", "pot"))
    read, reading = [], sys.modules["groundup.retrieve.chunks.reading"]
    kept = reading.read_data
    monkeypatch.setattr(
        reading, "read_data", lambda path, *rest: read.append(path) or kept(path, *rest)
    )
    updated = index(folder, tmp_path / "i")
    assert read == ["a2.txt", "c.mbox"] and updated.numbers["left_out"] == 1
    new = index(folder, tmp_path / "j")
    assert len(read) == 6 and sorted(updated.files) == sorted(new.files)
    assert all(updated.file(name).read_bytes() == new.file(name).read_bytes() for name in new.files)
    assert ask("Where is the pot?", tmp_path / "i").text == "The pot is here."


def test_settings_and_versions_that_changed_read_everything_again(tmp_path, monkeypatch):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# Kettle\n\nA kettle boils water.\n\n" + "It is long. " * 300)
    index(folder, tmp_path / "i")
    (folder / "b.md").write_text("Bread.\n")
    chunk = {"chunk": {"max_characters": 300}}
    small = index(folder, tmp_path / "i", IndexConfig.model_validate(chunk))
    assert small.numbers["passages"] > 5
    (folder / "c.md").write_text("Butter.\n")
    module = sys.modules["groundup.retrieve.index"]  # the room has a function of that name
    monkeypatch.setattr(module, "VERSION", 1_000)
    (tmp_path / "i" / "snapshots" / small.path.name / "files.json").write_text("{")
    assert index(folder, tmp_path / "i").numbers["documents"] == 3
