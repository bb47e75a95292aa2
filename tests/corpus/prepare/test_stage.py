"""The verb: a corpus that others read, equal however it was made; what changed is refused."""

import json
import os
import shutil

import pyarrow.parquet as parquet
import pytest

from groundup.core import ArtifactError, ConfigError, DataError
from groundup.corpus import SPLITS, prepare, read_split, read_split_records
from groundup.corpus.engine import run
from groundup.corpus.prepare import stage
from groundup.corpus.prepare.stage import _run_summary

from .pipelines import TOML, write_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("prepare")


@pytest.fixture(scope="module")
def made(folder):
    return prepare(write_pipeline(folder), folder / "out", workers=2)


def test_every_record_is_in_one_split_or_among_the_removed(made):
    told = json.loads(made.file("counters.json").read_text())
    kept = {split: [r.id for r in read_split_records(made, split)] for split in SPLITS}
    every = [name for names in kept.values() for name in names]
    assert len(every) == len(set(every)) and all(kept.values())
    files = [made.file(name) for name in made.files if name.startswith("removed/")]
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    gone = {row["id"] for row in rows if row["what"] == "record"}
    read = told["steps"][0]
    assert read["name"] == "00 read" and read["in"] == 4 * 60 + 3 * 20
    assert len(every) + len(gone) == read["in"] and not gone & set(every)
    assert sum(told["reasons"].values()) == len(gone)
    assert {split: one["documents"] for split, one in told["splits"].items()} == {
        split: len(names) for split, names in kept.items()
    }


def test_counts_are_by_step_and_source(made):
    told = json.loads(made.file("counters.json").read_text())
    assert [step["name"] for step in told["steps"]] == [
        "00 read", "01 tidy", "02 same", "99 text", "engine",
    ]  # fmt: skip
    notes, logs = told["sources"]["notes"], told["sources"]["logs"]
    assert notes["licence"] == "MIT" and "01 tidy" not in [s["name"] for s in logs["steps"]]
    assert sum(count for _, count in told["histograms"]["length"]) > 0


def test_its_end_tells_what_was_read_kept_and_dropped_and_what_to_do_next(made):
    told = json.loads(made.file("counters.json").read_text())
    kept = sum(one["documents"] for one in told["splits"].values())
    said = _run_summary(told, made.path).splitlines()
    assert said[0].startswith(f"300 documents read: {kept} kept (")
    assert said[0].endswith(f" test), {300 - kept} dropped")
    reason, count = next(iter(told["reasons"].items()))
    assert said[1].startswith(f"  dropped most: {count} {reason}")
    assert said[2] == f"  what went and why: groundup corpus report {made.path}"
    told["splits"]["train"]["derived"] = 5
    told["reasons"] = {}
    assert f": {kept - 5} kept + 5 derived (" in _run_summary(told, made.path)
    assert len(_run_summary(told, made.path).splitlines()) == 2


def test_splits_read_as_documents(made):
    documents = [d for split in SPLITS for d in read_split(made, split)]
    assert {d.path.split("/")[0] for d in documents} == {"notes", "logs"}
    assert all(d.kind == "text" and len(d.sha256) == 64 for d in documents)
    one = next(d for d in documents if d.path.startswith("notes/") and "c" in d.text)
    at = one.text.index("c")
    assert one.quote(at, at + 1).text == "c"
    with pytest.raises(ConfigError, match="train, validation, test"):
        read_split(made, "dev")
    of_file = {}
    for split in SPLITS:
        for record in read_split_records(made, split):
            if record.source == "logs":
                of_file.setdefault(record.path.split("#")[0], set()).add(split)
    assert all(len(splits) == 1 for splits in of_file.values()), "whole files"


def test_the_same_files_elsewhere_give_the_same_corpus(made, tmp_path):
    again = prepare(write_pipeline(tmp_path), tmp_path / "out", workers=1)
    assert again.id == made.id
    assert prepare(tmp_path / "pipeline.toml", tmp_path / "out").id == made.id, "nothing is redone"


def test_a_changed_pipeline_or_source_is_refused_with_what_changed(made, folder, tmp_path):
    other = folder / "other.toml"
    other.write_text(TOML.replace("short = 4", "short = 5"))
    with pytest.raises(ArtifactError, match=r"steps.0.settings.short was 4 and now is 5"):
        prepare(other, folder / "out", workers=1)
    path = write_pipeline(tmp_path)
    (tmp_path / "out" / ".scratch" / "phases" / "01").mkdir(parents=True)
    (tmp_path / "out" / ".scratch" / "phases" / "01" / "00000.done").write_text("one is complete")
    (tmp_path / "out" / ".scratch" / "key").write_text("unfinished")
    (tmp_path / "out" / ".scratch" / "pipeline.json").write_text(json.dumps(made.config))
    (tmp_path / "logs" / "0.txt").write_text("other lines")
    with pytest.raises(ArtifactError, match="unfinished run.* source logs have changed"):
        prepare(path, tmp_path / "out", workers=1)


def test_a_run_that_died_before_its_first_shard_refuses_nobody(tmp_path):
    path = write_pipeline(tmp_path)
    odd = os.fsencode(tmp_path / "logs") + b"/caf\xe9.txt"
    with open(odd, "w") as file:
        file.write("never read\n")
    (tmp_path / "out" / ".scratch" / "phases").mkdir(parents=True)
    (tmp_path / "out" / ".scratch" / "key").write_text("unfinished")
    (tmp_path / "out" / ".scratch" / "pipeline.json").write_text('{"sources": []}')
    made = prepare(path, tmp_path / "out", workers=1)
    told = json.loads(made.file("counters.json").read_text())
    assert told["reasons"]["name not UTF-8"] == 1
    files = [made.file(name) for name in made.files if name.startswith("removed/01-")]
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    assert [row["path"] for row in rows if row["reason"] == "name not UTF-8"] == ["caf\\xe9.txt"]


def test_nothing_to_read_or_to_train_on_is_said(tmp_path):
    path = write_pipeline(tmp_path)
    path.write_text(TOML.replace('"in/[0-3].txt"', '"nowhere"'))
    with pytest.raises(DataError, match="Source notes: nowhere has no input"):
        prepare(path, tmp_path / "out", workers=1)
    path.write_text(TOML.replace("short = 4", "short = 400").replace('"logs"', '"in"', 1))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="is inside the source"):
        prepare(path, tmp_path / "in" / "out", workers=1)


def test_a_dry_run_may_come_before_the_run(tmp_path):
    path = write_pipeline(tmp_path)
    assert prepare(path, tmp_path / "out", dry_run=True, samples=2).endswith("dry-run.html")
    assert prepare(path, tmp_path / "out", workers=2).kind == "corpus"
    with pytest.raises(ArtifactError, match="holds an artifact; choose another"):
        prepare(path, tmp_path / "out", dry_run=True)
    assert stage.SMALL_CORPUS_DOCUMENTS == 10_000


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_settings_file_that_is_missing_or_a_pipe_is_refused(tmp_path, dry_run):
    use = '\n[[steps]]\nuse = "safety.toxicity"\nsettings = {lexicon = "words"}\n'
    path = write_pipeline(tmp_path, TOML + use)
    for said in ("No such file", "no regular file"):
        with pytest.raises(ConfigError, match=rf"words, which cannot be read \({said}"):
            prepare(path, tmp_path / "out", workers=1, dry_run=dry_run)
        if said == "No such file":
            os.mkfifo(tmp_path / "words")


def test_an_input_that_changes_between_its_hash_and_its_reading_is_refused(tmp_path, monkeypatch):
    pipeline = write_pipeline(tmp_path)
    hashed = stage.fingerprint_sources

    def then_changed(found, each):
        rows = hashed(found, each)
        file = tmp_path / "logs" / "1.txt"
        file.write_text(file.read_text().replace("line", "lime"))
        return rows

    os.utime(tmp_path / "logs" / "1.txt", (1, 1))
    with monkeypatch.context() as patched:
        patched.setattr(stage, stage.fingerprint_sources.__name__, then_changed)
        with pytest.raises(DataError, match=r"logs: 1\.txt changed while it was read"):
            prepare(pipeline, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


PAGES = """
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
    (folder / "pipeline.toml").write_text(PAGES.format(name))
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


def test_the_same_files_and_lists_elsewhere_give_the_same_corpus(tmp_path):
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
