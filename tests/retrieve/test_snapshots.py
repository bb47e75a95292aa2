"""A damaged ledger is told as what it is and costs nothing; two snapshots stay."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from groundup.core import MANIFEST, Artifact, ArtifactError, Pointer, record
from groundup.retrieve import ChunkConfig, IndexConfig, answer_question, ask, index, open_index
from groundup.retrieve.index import index_or_explain
from groundup.retrieve.snapshots import (
    KEPT_SNAPSHOTS,
    POINTER_LEDGER,
    _prune_snapshots,
    read_root,
    set_current,
)
from groundup.retrieve.wording.question import QuestionTerm, parse_question

ASKED = "What is tea made of?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    return folder


@pytest.fixture
def heard(capsys):
    """What is said on the terminal."""
    record.set_output_mode("plain")
    yield lambda: capsys.readouterr().err
    record.set_output_mode("silent")


def grow(folder: Path, what: str, out: Path) -> Artifact:
    """Index the folder when it says that tea is made of `what`."""
    (folder / "tea.md").write_text(f"# Tea\n\nTea is made of {what}.\n")
    return index(folder, out)


@pytest.mark.parametrize("left", [30, 0, None])
def test_a_ledger_without_a_whole_line_is_damaged_and_the_next_run_mends_it(folder, tmp_path, left):
    out = tmp_path / "i"
    made = grow(folder, "leaves", out)
    (out / POINTER_LEDGER).unlink() if left is None else os.truncate(out / POINTER_LEDGER, left)
    with pytest.raises(ArtifactError, match="ledger of the index is damaged") as error:
        ask(ASKED, out)
    assert f"groundup index {folder.resolve()} --out {out}" in str(error.value)
    assert "\n" not in str(error.value)
    assert index(folder, out) == made
    assert "leaves" in ask(ASKED, out).text


@pytest.mark.parametrize("what", ["ledger", "manifest", "every manifest"])
def test_a_damaged_index_keeps_its_settings_or_says_that_it_cannot(folder, tmp_path, heard, what):
    out, sized = tmp_path / "i", IndexConfig(chunk=ChunkConfig(max_characters=333))
    (folder / "tea.md").write_text("# Tea\n\nTea is made of leaves.\n")
    older = index_or_explain(folder, out, sized)
    (folder / "tea.md").write_text("# Tea\n\nTea is made of buds.\n")
    current = index_or_explain(folder, out)
    damaged = {"ledger": [out / POINTER_LEDGER], "manifest": [current.path / MANIFEST]}
    for file in damaged.get(what, [each.path / MANIFEST for each in (older, current)]):
        file.write_text("junk")
    made = index_or_explain(folder, out)
    is_lost = what == "every manifest"
    assert made.config["chunk"]["max_characters"] == (1200 if is_lost else 333)
    lost = "No snapshot says its settings; give encoder, reader and sizes again."
    assert (lost in heard()) == is_lost


def test_a_setting_that_is_given_leaves_the_others_as_they_were(folder, tmp_path, heard):
    out = tmp_path / "i"
    (folder / "tea.md").write_text("# Tea\n\nTea is made of leaves.\n")
    index_or_explain(folder, out, IndexConfig(chunk=ChunkConfig(max_characters=333)))
    made = index_or_explain(folder, out, IndexConfig(chunk=ChunkConfig(overlap=20)))
    assert {"max_characters": 333, "overlap": 20}.items() <= made.config["chunk"].items()
    assert "Keeps the sizes of passages of before" in heard()
    both = ChunkConfig(max_characters=200, overlap=0)
    made = index_or_explain(folder, out, IndexConfig(chunk=both))
    assert {"max_characters": 200, "overlap": 0}.items() <= made.config["chunk"].items()


def test_the_writer_that_comes_too_late_does_not_say_what_the_index_is_of(folder, tmp_path, heard):
    out, other = tmp_path / "i", tmp_path / "other"
    other.mkdir()
    (other / "rye.md").write_text("# Rye\n\nRye is baked.\n")
    grow(folder, "leaves", out)
    before = read_root(out)

    def late(*_):
        raise ArtifactError("Another `groundup index` wrote it meanwhile; run the command again.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["groundup.retrieve.index"], "set_current", late)
        with pytest.raises(ArtifactError, match="meanwhile"):
            index(other, out)
    assert read_root(out) == before == str(folder)
    index(other, out)
    assert read_root(out) == str(other)


def test_of_two_first_writers_the_later_one_is_told_to_run_again(folder, tmp_path):
    made = grow(folder, "leaves", tmp_path / "i")
    with pytest.raises(ArtifactError, match=r"^Another `groundup index` wrote .*i meanwhile; run"):
        set_current(tmp_path / "i", None, "of_the_later", "1 added")
    assert index(folder, tmp_path / "i") == made


def test_an_edited_ledger_is_told_and_laid_aside_by_the_next_run(folder, tmp_path, heard):
    out = tmp_path / "i"
    made = grow(folder, "leaves", out)
    (out / POINTER_LEDGER).write_text(
        (out / POINTER_LEDGER).read_text().replace("1 added", "9 added")
    )
    with pytest.raises(ArtifactError, match="was edited.*nothing is lost, run again: groundup"):
        ask(ASKED, out)
    heard()
    assert index(folder, out) == made
    assert "damaged.jsonl" in heard() and (out / "ledger" / "damaged.jsonl").is_file()
    assert "leaves" in ask(ASKED, out).text and heard() == ""


def test_a_torn_last_line_answers_from_the_line_before_and_says_so(folder, tmp_path, heard):
    out = tmp_path / "i"
    grow(folder, "leaves", out)
    grow(folder, "buds", out)
    os.truncate(out / POINTER_LEDGER, (out / POINTER_LEDGER).stat().st_size - 9)
    heard()
    assert "leaves" in ask(ASKED, out).text
    said = heard()
    assert said.count("\n") == 1 and "never finished" in said and f"--out {out}" in said
    index(folder, out)
    heard()
    assert "buds" in ask(ASKED, out).text and heard() == ""


def test_a_torn_line_after_the_current_snapshot_is_cut_by_the_next_run(folder, tmp_path, heard):
    out = tmp_path / "i"
    grow(folder, "leaves", out)
    with open(out / POINTER_LEDGER, "a") as file:
        file.write('{"sequence": 2')
    index(folder, out)
    assert "Cut 14 bytes" in heard()
    assert len(Pointer(out / POINTER_LEDGER).history()) == 1
    assert "leaves" in ask(ASKED, out).text and heard() == ""


DAMAGED = ["documents.jsonl", "documents.json", "manifest.json", "lexical/meta.json"]


def damage(snapshot: Artifact, name: str) -> str:
    """Cut a file short, and say how an error begins that names it."""
    os.truncate(snapshot.path / name, (snapshot.path / name).stat().st_size - 9)
    return str(snapshot.path / name)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_current_snapshot_leaves_the_answer_to_the_one_before(
    folder, tmp_path, heard, name
):
    out = tmp_path / "i"
    older, current = grow(folder, "leaves", out), grow(folder, "buds", out)
    file = damage(current, name)
    heard()
    assert "leaves" in ask(ASKED, out).text
    said = heard()
    assert said.count("\n") == 1 and file in said and older.path.name in said
    assert said.endswith(f"run: groundup index {folder.resolve()} --out {out}\n")
    with pytest.raises(ArtifactError):
        ask(ASKED, current.path)
    assert index(folder, out) == Artifact.open(current.path)
    assert file in heard() and "buds" in ask(ASKED, out).text and heard() == ""
    assert grow(folder, "stems", out).path.is_dir()


@pytest.mark.parametrize("name", DAMAGED)
def test_without_an_undamaged_snapshot_the_file_is_named_and_the_next_run_makes_it_again(
    folder, tmp_path, name
):
    out = tmp_path / "i"
    older, current = grow(folder, "leaves", out), grow(folder, "buds", out)
    damage(older, name)
    file = damage(current, name)
    with pytest.raises(ArtifactError) as raised:
        ask(ASKED, out)
    assert str(raised.value).startswith(file) and "\n" not in str(raised.value)
    assert f"run again: groundup index {folder.resolve()} --out {out}" in str(raised.value)
    grow(folder, "stems", out)
    assert "stems" in ask(ASKED, out).text


def test_the_newest_two_snapshots_stay(folder, tmp_path):
    out = tmp_path / "i"
    made = [grow(folder, what, out) for what in ("leaves", "buds", "stems", "roots")]
    assert {path.name for path in (out / "snapshots").iterdir()} == {
        snapshot.path.name for snapshot in made[-KEPT_SNAPSHOTS:]
    }
    assert "stems" in ask(ASKED, made[2].path).text
    grow(folder, "stems", out)
    grow(folder, "seeds", out)
    assert made[2].path.is_dir() and not made[3].path.exists(), "order is that of answering"
    assert "seeds" in ask(ASKED, out).text


def test_a_snapshot_that_is_being_written_stays(folder, tmp_path):
    out = tmp_path / "i"
    for what in ("leaves", "buds"):
        grow(folder, what, out)
    writing = out / "snapshots" / "new"
    writing.mkdir()
    with open(writing / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _prune_snapshots(out)
        assert writing.is_dir()
    _prune_snapshots(out)
    assert not writing.exists()


def test_a_reader_left_behind_twice_is_told(folder, tmp_path):
    out = tmp_path / "i"
    grow(folder, "leaves", out)
    opened = open_index(out)
    grow(folder, "buds", out)
    grow(folder, "stems", out)
    with pytest.raises(ArtifactError, match="open the index again"):
        opened.read_document(next(iter(opened.entries)))


def test_a_question_whose_snapshot_is_removed_meanwhile_is_asked_of_the_current_one(
    folder, tmp_path, monkeypatch
):
    file, out, asked = folder / "tea.md", tmp_path / "i", []
    file.write_text("Tea number 0 is made of leaves.")
    index(folder, out)

    def answer(opened, question, limit):
        asked.append(opened.artifact.path)
        for number in (1, 2):
            if len(asked) == 1:
                file.write_text(f"Tea number {number} is made of leaves.")
                index(folder, out)
        return answer_question(opened, question, limit)

    monkeypatch.setattr("groundup.retrieve.answers.answer.answer_question", answer)
    assert "number 2" in ask(ASKED, out).text
    assert len(asked) == 2 and not asked[0].exists()


def test_nothing_is_removed_by_a_ledger_that_is_damaged(folder, tmp_path):
    out = tmp_path / "i"
    for what in ("leaves", "buds"):
        grow(folder, what, out)
    (more := out / "snapshots" / "0123456789abcdef").mkdir()
    (out / POINTER_LEDGER).write_text(
        (out / POINTER_LEDGER).read_text().replace("1 added", "9 added")
    )
    _prune_snapshots(out)
    assert more.is_dir() and len(list((out / "snapshots").iterdir())) == KEPT_SNAPSHOTS + 1


@pytest.fixture
def notes(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# Alpha\n\nThe alpha note.\n\nRare word: quark.\n")
    (notes / "b.md").write_text("# Beta\n\nThe beta note calls os.walk(top).\n")
    return notes


def test_an_open_index_stays_while_the_pointer_moves(notes, tmp_path):
    index(notes, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    (notes / "a.md").write_text("# Gamma\n\nAnother note.\n")
    index(notes, tmp_path / "i")
    assert [hit.passage.path for hit in opened.lexical.search("alpha")] == ["a.md"]
    assert open_index(tmp_path / "i").lexical.search("alpha") == []


def test_passages_are_slices_of_the_stored_documents(notes, tmp_path):
    opened = open_index(index(notes, tmp_path / "i").path)
    for hit in opened.lexical.search("note"):
        document = opened.read_document(hit.passage.document)
        assert document.text[hit.passage.start : hit.passage.end] == hit.passage.text
        assert document.sha256 == opened.sha256_by_path[hit.passage.path]


def test_a_term_weighs_by_its_rarity(notes, tmp_path):
    index(notes, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    weights = [
        opened.term_weight(QuestionTerm(word, (word,))) for word in ("nowher", "quark", "note")
    ]
    assert weights == sorted(weights, reverse=True) and weights[0] > weights[1] > weights[2]
    (name,) = parse_question("os.walk").terms
    assert opened.term_weight(name) == opened.term_weight(QuestionTerm("quark", ("quark",)))


def test_a_pointer_that_names_no_snapshot_is_told(notes, tmp_path):
    index(notes, tmp_path / "i")
    (tmp_path / "i" / "snapshots").rename(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="there is no such folder"):
        open_index(tmp_path / "i")


def test_a_term_of_two_stems_weighs_as_the_rarer_one(notes, tmp_path):
    index(notes, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    rare, common = (opened.term_weight(QuestionTerm(word, (word,))) for word in ("quark", "note"))
    assert rare > common
    assert opened.term_weight(QuestionTerm("note quark", ("note", "quark"), is_pair=True)) == rare


def test_a_snapshot_that_lost_its_manifest_is_made_again(notes, tmp_path):
    made = index(notes, tmp_path / "i")
    (made.path / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="run again"):
        open_index(tmp_path / "i")
    assert index(notes, tmp_path / "i").id == made.id == open_index(tmp_path / "i").artifact.id
