"""What is shown of an artifact is what its manifest says, and a whole run in one go."""

import shutil

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    Draft,
    Parent,
    produce,
    write_bytes,
)
from groundup.recipes.show import ShownArtifact, _format_number, _read_ancestor, show
from groundup.retrieve import index


class Nothing(Config):
    """No settings."""


def made(out, **parents: Artifact) -> Artifact:
    def write(draft: Draft) -> None:
        write_bytes(draft.file("weights.bin"), b"12345")
        draft.numbers |= {"loss": 1.23456, "steps": 12000, "split": {"train": 1}}

    return produce(
        out, kind="model", stage="pretrain", version=1, config=Nothing(), parents=parents,
        write=write,
    )  # fmt: skip


def test_one_artifact_is_shown_with_parents_files_and_numbers(tmp_path):
    parent = made(tmp_path / "parent")
    child = made(tmp_path / "child", tokens=parent)
    text = str(show(tmp_path)).split("\n\n")[0]
    assert text.startswith(f"model {child.id[:12]}\n")
    rows = dict(line.strip().split("  ", 1) for line in text.splitlines()[1:])
    assert {name: value.strip() for name, value in rows.items()} == {
        "path": str(child.path), "stage": "pretrain version 1, 0 s",
        "from": f"tokens {parent.id[:12]}", "files": "1, 5 B", "loss": "1.235", "steps": "12,000",
    }  # fmt: skip
    assert "no artifact" in str(show(parent.path))


def test_one_artifact_is_shown_with_its_lineage_back_to_the_roots(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = made(tmp_path / "root")
    middle = made(tmp_path / "middle", documents=root)
    child = made(tmp_path / "child", base=middle, model=root)
    ids = [made.id[:12] for made in (middle, root)]
    assert str(show(child.path)).split("  came from\n")[1].splitlines() == [
        f"    base: model {ids[0]}  middle",
        f"      documents: model {ids[1]}  root",
        f"    model {ids[1]}  root  as above",
    ]
    shutil.move(root.path, tmp_path / "elsewhere")
    gone = f"documents {ids[1]}  missing (was ../root)"
    assert gone in str(show(child.path))
    made(tmp_path / "root", of=middle)  # another one in its place
    found = _read_ancestor(Parent("base", "../middle", middle.id), child.path, set())
    assert gone in "\n".join(found.lines())


def test_the_fields_of_a_manifest_have_their_names(tmp_path):
    parent = made(tmp_path / "parent")
    child = made(tmp_path / "child", tokens=parent)
    shown = show(child.path)
    assert isinstance(shown, ShownArtifact)
    for name in ("kind", "id", "stage", "version", "config", "files", "bytes", "numbers", "git"):
        assert getattr(shown, name) == getattr(child, name), name
    assert shown.path == str(child.path)
    assert [(one.name, one.id, one.parents) for one in shown.parents] == [("tokens", parent.id, ())]


def test_a_run_is_shown_whole_its_index_too(tmp_path):
    made(tmp_path / "run" / "a")
    made(tmp_path / "run" / "b")
    (tmp_path / "run" / "unfinished").mkdir()
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "a.txt").write_text("The lamp stands on the table.\n")
    snapshot = index(documents, tmp_path / "run" / "index")
    text = str(show(tmp_path / "run"))
    assert [part.split()[0] for part in text.split("\n\n")] == ["model", "model", "index"]
    assert text.split("\n\n")[2] == str(show(snapshot.path))
    assert show(tmp_path / "run" / "index") == show(snapshot.path)


def test_rehash_says_that_all_is_equal_or_what_is_not(tmp_path):
    artifact = made(tmp_path / "a")
    assert "every hash equal" in str(show(artifact.path, rehash=True))
    artifact.file("weights.bin").write_bytes(b"12346")
    with pytest.raises(ArtifactError, match=r"weights\.bin does not have the content"):
        show(artifact.path, rehash=True)


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_artifacts_is_an_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    told = {"empty": "has no artifact; expected a manifest.json", "missing": "does not exist"}
    with pytest.raises(ArtifactError, match=told[name]):
        show(tmp_path / name)


def test_figures_are_short():
    values = (0.123456, 12345.6, 1234567, True, "words", {"a": 1}, None)
    assert [_format_number(v) for v in values] == [
        "0.1235",
        "12,346",
        "1,234,567",
        "yes",
        "words",
        "",
        "",
    ]
