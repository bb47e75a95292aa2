"""A file inherits the licence of the nearest folder above it that has one."""

from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet

from groundup.corpus.engine.shards import read_step_results
from groundup.corpus.prepare.folder_licences import (
    FolderLicences,
    FolderLicencesConfig,
    _combine_licences,
)
from groundup.documents import Record, SourceMap, record_id, to_batch


def each(task, items):
    return [task(item) for item in items]


def record(path: str, text: str) -> Record:
    return Record(record_id("git", path), "git", path, "code", text, SourceMap.identity(text), ())


def shards(records: list[Record], count: int, folder: Path) -> list[Path]:
    folder.mkdir()
    paths = []
    for at in range(count):
        paths.append(folder / f"{at}.parquet")
        table = pyarrow.Table.from_batches([to_batch(records[at::count])])
        parquet.write_table(table, paths[-1], row_group_size=7)
    return paths


def ruled(survey, records: list[Record], count: int, folder: Path) -> dict:
    paths = survey.decide(shards(records, count, folder), each, folder / "scratch")
    assert len(paths) == count
    return {name: ruling for path in paths for name, ruling in read_step_results(path).items()}


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
    assert (
        _combine_licences({"COPYING": "GPL-3.0-only", "LICENSE": "MIT"})[0]
        == "GPL-3.0-only AND MIT"
    )
    assert _combine_licences({"LICENSE": "", "/package.json": "MIT"})[0] == ""


def test_empty_shards(tmp_path):
    assert ruled(FolderLicences(FolderLicencesConfig()), [], 2, tmp_path / "x") == {}
