"""`groundup index --why` answers for members of archives and for documents of a corpus too."""

import mailbox
import zipfile
from pathlib import Path

import pytest

from groundup.core import DataError
from groundup.corpus import CorpusConfig, corpus, prepare
from groundup.documents import ReadConfig
from groundup.retrieve import explain_reading, index_or_explain
from groundup.retrieve.index import IndexConfig


def test_why_of_a_hidden_member_names_its_hidden_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("notes.md", ".git/config", ".git/HEAD"):
            archive.writestr(name, "The boat is blue.")
    config = IndexConfig(read=ReadConfig(archives=True))
    said = "a.zip#.git is left out, hidden: names that begin with a dot, and folders of tools"
    assert explain_reading(tmp_path, "a.zip#.git/config", config) == said
    listed = explain_reading(tmp_path, "a.zip", config).splitlines()
    assert len(listed) == 2 and listed[1] == said
    with pytest.raises(DataError, match="a.zip has no a.zip#.gitignore"):
        explain_reading(tmp_path, "a.zip#.gitignore", config)


BOATS = "# Boats\n\nThe boat Ada is blue, and it carries nine people across the river every day.\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("made") / "notes"
    (source / "sub").mkdir(parents=True)
    (source / "a.md").write_text(BOATS)
    (source / "copy.md").write_text(BOATS)
    (source / "sub" / "b.txt").write_text("Zander weigh 4 kg, and fishers sell them on Fridays.")
    (source / "zero.txt").write_bytes(b"a\0b")
    (source / "pic.png").write_bytes(b"x")
    prepare(source, source.parent / "corpus", workers=1)
    return source.parent / "corpus"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a.md", f"a.md is read as markdown, english: {len(BOATS)} characters in 1 passage"),
        ("notes/sub/b.txt", "sub/b.txt is read as text, english: 52 characters in 1 passage"),
        ("copy.md", "copy.md is left out, exact duplicate: notes/a.md ("),
        ("pic.png", "pic.png is left out, another kind of file: its ending is .png"),
        ("zero.txt", "zero.txt is left out, binary: a zero byte at 1"),
    ],
)
def test_why_of_a_corpus_says_how_a_document_is_read_or_what_dropped_it(
    prepared, path, said, tmp_path
):
    assert str(index_or_explain(prepared, tmp_path / "i", why=path)).startswith(said)
    assert not (tmp_path / "i").exists()


def test_why_of_a_corpus_names_what_it_does_not_know(prepared):
    with pytest.raises(DataError, match="has no record 'gone.md'; expected .* a path"):
        explain_reading(prepared, "gone.md")


def test_why_of_a_file_of_several_documents_counts_them(tmp_path):
    (tmp_path / "mails").mkdir()
    box = mailbox.mbox(tmp_path / "mails" / "in.mbox")
    for number in (1, 2):
        text = f"Please send {number}00 spoons of silver to the mill before Friday. " * 9
        box.add(f"From: a@example.org\nSubject: Order {number}\n\n{text}\n")
    box.close()
    corpus(CorpusConfig(), tmp_path / "mails", tmp_path / "corpus")
    lines = explain_reading(tmp_path / "corpus", "in.mbox").splitlines()
    assert lines[0].startswith("in.mbox  of ") and "2 records" in lines[0] and len(lines) == 3
