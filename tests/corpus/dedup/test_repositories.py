"""Repositories: forks go whole, likeness does not chain, folders hand their licence down."""

from pathlib import Path

import pytest

from groundup.corpus.dedup.repositories import (
    FolderLicences,
    FolderLicencesConfig,
    Repositories,
    RepositoriesConfig,
    of_folder,
)
from groundup.corpus.engine.rulings import read_rulings
from groundup.documents import Record, SourceMap, record_id, to_batch

parquet = pytest.importorskip("pyarrow.parquet")
import pyarrow  # noqa: E402


def each(task, items):
    return [task(item) for item in items]


def record(path: str, text: str, **metadata) -> Record:
    return Record(
        record_id("git", path), "git", path, "code", text, SourceMap.identity(text), (), metadata
    )


def shards(records: list[Record], count: int, folder: Path) -> list[Path]:
    folder.mkdir()
    paths = []
    for at in range(count):
        paths.append(folder / f"{at}.parquet")
        table = pyarrow.Table.from_batches([to_batch(records[at::count])])
        parquet.write_table(table, paths[-1], row_group_size=7)
    return paths


def ruled(survey, records: list[Record], count: int, folder: Path) -> dict:
    paths = survey.rulings(shards(records, count, folder), each, folder / "scratch")
    assert len(paths) == count
    return {name: ruling for path in paths for name, ruling in read_rulings(path).items()}


def repository(name: str, files: range, **metadata) -> list[Record]:
    return [record(f"{name}/src/{i}.py", f"file {i}\n", **metadata) for i in files]


def test_forks_go_and_the_survivor_is_the_one_with_priority(tmp_path):
    records = [
        *repository("a", range(100)),
        *repository("b", range(5, 105), stars=9),  # J with a = 95 / 105
        *repository("c", range(1000, 1050)),
        *repository("d", range(60, 160)),  # J with b = 45 / 155: stays
        *repository("e", range(2)),
        *repository("f", range(2)),  # too small to judge
        record("lone.py", "file 1\n"),
    ]
    found = {}
    for count in (1, 4):
        found[count] = ruled(
            Repositories(RepositoriesConfig()), records, count, tmp_path / f"{count}"
        )
    assert found[1] == found[4]
    gone = {r.path.split("/")[0] for r in records if r.id in found[1]}
    assert gone == {"a"}
    ruling = found[1][records[0].id]
    assert ruling.reason == "code: copy of a repository" and ruling.details == "kept: b"
    assert ruling.value == pytest.approx(95 / 105, abs=0.08)
    assert len(found[1]) == 100


def test_likeness_does_not_chain(tmp_path):
    # b is like a, c is like b and not like a: only b goes.
    records = [
        *repository("a", range(104)),
        *repository("b", range(12, 115)),
        *repository("c", range(24, 126)),
    ]
    found = ruled(Repositories(RepositoriesConfig(jaccard=0.7)), records, 2, tmp_path / "x")
    assert {r.path[0] for r in records if r.id in found} == {"b"}


def test_a_reader_may_name_the_repository(tmp_path):
    records = [record(f"x/{i}", str(i), repository="one") for i in range(9)]
    records += [record(f"y/{i}", str(i), repository="two") for i in range(9)]
    assert len(ruled(Repositories(RepositoriesConfig()), records, 1, tmp_path / "x")) == 9


def test_the_nearest_folder_speaks(tmp_path):
    mit = "Permission to use is under the MIT License.\nLicense: MIT\n"
    records = [
        record("a/LICENSE", mit),
        record("a/src/x.py", "x"),
        record("a/lib/COPYING", "SPDX-License-Identifier: GPL-3.0-only"),
        record("a/lib/deep/y.py", "y"),
        record("b/package.json", '{"name": "b", "license": "ISC"}'),
        record("b/z.js", "z"),
        record("c/LICENSE-MIT", mit),
        record("c/LICENSE-APACHE", "License: Apache-2.0"),
        record("c/w.rs", "w"),
        record("d/v.py", "v"),
        record("d/LICENSE.md/odd", "v"),
    ]
    found = ruled(FolderLicences(FolderLicencesConfig()), records, 3, tmp_path / "x")
    said = {r.path: found[r.id].metadata for r in records if r.id in found}
    assert said["a/src/x.py"] == {
        "repository_licence": "MIT",
        "repository_licence_file": "a/LICENSE",
    }
    assert said["a/lib/deep/y.py"]["repository_licence"] == "GPL-3.0-only"
    assert said["b/z.js"]["repository_licence"] == "ISC"
    assert said["c/w.rs"]["repository_licence"] == "Apache-2.0 OR MIT"
    assert "d/v.py" not in said
    without = ruled(
        FolderLicences(FolderLicencesConfig(manifests=False)), records, 1, tmp_path / "y"
    )
    assert record_id("git", "b/z.js") not in without


def test_two_files_of_a_folder_count_both():
    assert of_folder({"COPYING": "GPL-3.0-only", "LICENSE": "MIT"})[0] == "GPL-3.0-only AND MIT"
    assert of_folder({"LICENSE": "", "/package.json": "MIT"})[0] == ""


def test_empty_shards(tmp_path):
    for survey in (Repositories(RepositoriesConfig()), FolderLicences(FolderLicencesConfig())):
        assert ruled(survey, [], 2, tmp_path / type(survey).__name__) == {}
