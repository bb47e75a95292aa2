"""A plan names everything under the root; opening keeps to regular files inside it."""

import os
from importlib import import_module
from typing import get_type_hints

import pytest

from groundup.core import Config, DataError, documented_fields
from groundup.documents import READERS, InputSplit, Reader, Rejected, SourceMap
from groundup.documents.readers.reader import (
    UNREAD_LICENCE_KEYS,
    Refused,
    open_split,
    plan_files,
    read_all,
    select_with_licence,
    split_by_bytes,
    text_record,
)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_reader_is_made_from_its_configuration_alone(name, tmp_path):
    module, _, cls = READERS[name].partition(":")
    made = getattr(import_module(module), cls)
    config = get_type_hints(made.__init__)["config"]
    assert issubclass(config, Config)
    undocumented = [
        key for key, field in documented_fields(config).items() if not field.description
    ]
    assert not undocumented
    reader = made(config())
    assert isinstance(reader, Reader) and reader.plan(tmp_path) == []
    with pytest.raises(DataError, match="missing"):
        reader.plan(tmp_path / "nowhere")


def test_a_plan_is_sorted_and_hides_nothing_but_hidden_files(tmp_path):
    for name in ("b.txt", "a/z.txt", "a.txt", ".git/x", "node_modules/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"xyz")
    (tmp_path / "link").symlink_to("b.txt")
    found = plan_files(tmp_path)
    assert [part.path for part in found] == ["a.txt", "a/z.txt", "b.txt", "link"]
    assert [part.bytes for part in found] == [3, 3, 3, 0]
    assert plan_files(tmp_path / "b.txt") == [InputSplit("b.txt", 0, 3, 3)]


def test_ranges_cover_a_file():
    for size in (0, 1, 99, 100, 101, 12_345):
        ranges = split_by_bytes(InputSplit("a", 0, size, size), 100)
        assert ranges[0].start == 0 and ranges[-1].end == size
        assert all(one.end == two.start for one, two in zip(ranges, ranges[1:], strict=False))
        assert all(part.bytes <= 150 for part in ranges)


def test_links_pipes_and_what_lies_outside_are_not_opened(tmp_path):
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "x.txt").write_text("x")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "up").symlink_to(tmp_path)
    (root / "same").symlink_to("in")
    os.mkfifo(root / "pipe")
    for path, reason in {
        "up/secret.txt": "link out of", "same/x.txt": "link inside",
        "../secret.txt": "out of the folder",
        "pipe": "not a regular file", "in": "not a regular file", "gone": "unreadable",
    }.items():  # fmt: skip
        with pytest.raises(Refused) as raised:
            open_split(root, path).close()
        assert raised.value.reason.startswith(reason), path
    with open_split(root, "in/x.txt") as file:
        assert read_all(file, 1) == b"x"
        with pytest.raises(Refused, match="too large"):
            file.seek(0)
            read_all(file, 0)


def test_a_text_that_no_corpus_can_hold_is_a_reject():
    for text, reason in ((" \n", "empty"), ("a\0", "binary"), ("\ud800", "lone surrogate")):
        segments = SourceMap.identity("x" * len(text)).segments
        found = text_record("s", "p", "text", SourceMap(text, segments), {})
        assert isinstance(found, Rejected) and found.reason == reason


def nested(value, depth):
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"spdx": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"LICENSE": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"licenses": ["MIT", "GPL-3.0-only", "MIT"]}, ["MIT", "GPL-3.0-only"]),
        ({"max_stars_repo_licenses": ["GPL-3.0-only"]}, "GPL-3.0-only"),
        ({"gha_license_id": "GPL-3.0", "detected_licenses": []}, "GPL-3.0"),
        ({"metadata": {"license": "GPL-3.0-only"}}, "GPL-3.0-only"),
        ({"Meta": {"SPDX_ID": "GPL-3.0-only"}}, "GPL-3.0-only"),
        ({"license": {"spdx": "GPL-3.0-only"}}, "GPL-3.0-only"),
        ({"license": {"key": "gpl", "name": "GNU GPL", "spdx_id": "GPL-3.0"}}, "GPL-3.0"),
        ({"license": [{"id": "MIT"}, {"type": "GPL"}]}, ["MIT", "GPL"]),
        ({"license": nested("MIT", 5_000)}, "MIT"),
        ({"license": {"id": 1, "spdx": " "}, "is_licence": True}, 1),
        ({"license": " ", "license_url": [""], "spdx": None, "licenses": [""]}, None),
        ({"metadata": {"pages": 3}, "metadatas": {"license": "MIT"}}, None),
    ],
)
def test_a_licence_is_read_in_every_usual_spelling(row, found):
    assert select_with_licence({}, row) == ({} if found is None else {"licence": found})


def test_what_only_looks_like_a_licence_is_named_and_no_licence():
    row = {"license_url": "u", "metadata": {"spdx_text": "t"}, "has_license": True}
    assert select_with_licence({}, row) == {
        UNREAD_LICENCE_KEYS: ["license_url", "metadata.spdx_text"]
    }
    assert select_with_licence({"license_url": "u"}, {"license_url": "u"}) == {"license_url": "u"}
    many = select_with_licence({}, {f"license_{'of' * 99}_{n}": "x" for n in range(99)})
    assert len(many[UNREAD_LICENCE_KEYS]) == 8 and len(many[UNREAD_LICENCE_KEYS][0]) == 60
