"""A file that a step's settings name is an input: what it holds names the corpus, not its place."""

import json
import os
import shutil

import pytest

pytest.importorskip("pyarrow")

from groundup.core import ArtifactError, ConfigError
from groundup.corpus import prepare, read_split_records
from groundup.corpus.engine import run
from groundup.corpus.prepare import stage

TOML = """
[[sources]]
name = "pages"
path = "in"
reader = "jsonl"

[[steps]]
use = "web.urls"
settings = {{ domains = ["@{0}"] }}

[split]
validation_share = 0
test_share = 0
"""


def pages(folder, name="lists/bad.txt"):
    (folder / "in").mkdir(parents=True)
    (folder / "lists").mkdir()
    rows = [
        {"text": f"A page of {site}.", "url": f"https://{site}/x"} for site in ("a.org", "b.org")
    ]
    (folder / "in" / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "lists" / "bad.txt").write_text("a.org\n")
    (folder / "pipeline.toml").write_text(TOML.format(name))
    return folder / "pipeline.toml"


def texts(corpus):
    return [record.text for record in read_split_records(corpus, "train")]


def test_a_changed_list_is_refused_and_makes_another_corpus(tmp_path, monkeypatch):
    path = pages(tmp_path / "p")
    monkeypatch.chdir(tmp_path)  # names follow the file, not the working directory
    made = prepare(path, tmp_path / "out", workers=1)
    assert texts(made) == ["A page of b.org."]
    again = prepare(path, tmp_path / "out", workers=1)
    assert again.id == made.id
    (tmp_path / "p" / "lists" / "bad.txt").write_text("b.org\n")
    with pytest.raises(ArtifactError, match=r"web.urls, domains: bad.txt, has changed since"):
        prepare(path, tmp_path / "out", workers=1)
    other = prepare(path, tmp_path / "other", workers=1)
    assert texts(other) == ["A page of a.org."] and other.id != made.id


def test_the_same_files_elsewhere_give_the_same_corpus(tmp_path):
    made = prepare(pages(tmp_path / "p"), tmp_path / "out", workers=1)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "bad.txt").write_text("a.org\n")
    path = pages(tmp_path / "q", os.fspath(tmp_path / "far" / "bad.txt"))
    assert prepare(path, tmp_path / "out2", workers=1).id == made.id
    assert os.fspath(tmp_path) not in made.file("pipeline.toml").read_text()


def test_a_run_taken_up_with_a_changed_list_is_refused(tmp_path, monkeypatch):
    path = pages(tmp_path / "p")

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, stage.write_corpus_files.__name__, stopped)
        with pytest.raises(KeyboardInterrupt):
            prepare(path, tmp_path / "out", workers=1)
    listed = tmp_path / "p" / "lists" / "bad.txt"
    listed.write_text("b.org\n")
    with pytest.raises(ArtifactError, match=r"an unfinished run, .* bad.txt, has changed since"):
        prepare(path, tmp_path / "out", workers=1)
    listed.write_text("a.org\n")
    shutil.move(tmp_path / "p", tmp_path / "moved")  # the run goes on where the files are now
    made = prepare(tmp_path / "moved" / "pipeline.toml", tmp_path / "out", workers=1)
    assert texts(made) == ["A page of b.org."]


def test_a_list_that_is_not_there_is_told_before_anything_is_read(tmp_path, monkeypatch):
    path = pages(tmp_path / "p", "lists/none.txt")
    monkeypatch.setattr(run, run.run_job.__name__, None)
    with pytest.raises(ConfigError, match=r"01 web.urls: domains names .*lists/none.txt, which"):
        prepare(path, tmp_path / "out", workers=1)
