"""Files of settings: every one is marked, found beside its pipeline, and known by its contents."""

import json
import os
from pathlib import Path
from typing import Annotated, get_type_hints

import pytest

pytest.importorskip("pyarrow")


from groundup.core import Config, ConfigError, InputFile, InputPath
from groundup.corpus.engine.specs import (
    _content_digest,
    file_digests,
    with_absolute_paths,
    with_file_names_only,
)
from groundup.documents import STEPS, import_object


class Inner(Config):
    """Names a file one level down."""

    list: InputPath | None = None


class Outer(Config):
    """Names files in every way."""

    one: InputPath | None = None
    many: tuple[InputPath, ...] = ()
    by_name: dict[str, InputPath] = {}
    words: tuple[Annotated[str, InputFile("@")], ...] = ()
    inner: Inner = Inner()
    number: int = 1


SETTINGS = {
    "one": "a.txt", "many": ["b/c.txt", "/d.txt"], "by_name": {"x": "e.txt"},
    "words": ["plain", "@f.txt"], "inner": {"list": "g.txt"}, "number": 2,
}  # fmt: skip


def test_names_follow_the_pipeline_and_lose_their_folders():
    there = with_absolute_paths(Outer, SETTINGS, Path("/home"))
    assert there == {
        "one": "/home/a.txt", "many": ["/home/b/c.txt", "/d.txt"], "by_name": {"x": "/home/e.txt"},
        "words": ["plain", "@/home/f.txt"], "inner": {"list": "/home/g.txt"}, "number": 2,
    }  # fmt: skip
    assert with_absolute_paths(Outer, there, Path("/other")) == there
    assert (
        with_file_names_only(Outer, there)
        == with_file_names_only(Outer, SETTINGS)
        == SETTINGS | {"many": ["c.txt", "d.txt"]}
    )
    assert with_absolute_paths(Outer, {"one": None, "number": 3}, Path("/home")) == {
        "one": None,
        "number": 3,
    }
    assert Outer(**there).inner.list == Path("/home/g.txt")


def test_digests_say_which_setting_and_what_it_holds(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_text("c")
    settings = with_absolute_paths(
        Outer, {"one": "a.txt", "many": ["b"], "words": ["@a.txt", "x"]}, tmp_path
    )
    first = file_digests("01 x", Outer, settings)
    assert [name for name, _ in first] == ["many: b", "one: a.txt", "words: a.txt"]
    assert first == file_digests("01 x", Outer, dict(reversed(settings.items())))
    (tmp_path / "b" / "c.txt").write_text("d")
    second = file_digests("01 x", Outer, settings)
    assert [a == b for a, b in zip(first, second, strict=True)] == [False, True, True]
    (tmp_path / "b" / "c.txt").rename(tmp_path / "b" / "e.txt")
    assert file_digests("01 x", Outer, settings)[0] != second[0]
    (tmp_path / "a.txt").unlink()
    with pytest.raises(ConfigError, match=r"01 x: one names .*a.txt, which cannot be read \(No su"):
        file_digests("01 x", Outer, settings)
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match=r"a.txt, which cannot be read \(no regular file\)"):
        file_digests("01 x", Outer, settings)


def test_an_artifact_is_known_by_its_id(tmp_path):
    from groundup.core import produce

    def body(draft):
        draft.file("x.json").write_text("{}")

    made = produce(
        tmp_path / "a", kind="index", stage="s", version=1, config=Config(), parents={}, write=body
    )
    assert _content_digest(tmp_path / "a") == made.id


@pytest.mark.parametrize(
    "name, settings, count",
    [
        ("decontaminate.testsets", {"testsets": ["a", "b"]}, 2),
        ("dedup.earlier", {"index": ["a"]}, 1),
        ("quality.classifier", {"model": "a"}, 1),
        ("quality.scorer", {"scorer": "m:n", "reads": ["a"]}, 1),
        ("safety.personal", {"key_file": "a"}, 1),
        ("safety.toxicity", {"lexicon": "a", "classifier": "b"}, 2),
        ("web.urls", {"domains": ["@a", "x.org"], "subwords": ["@b"]}, 2),
    ],
)
def test_the_steps_that_read_files_say_so(name, settings, count):
    kind = get_type_hints(import_object(STEPS[name]).__init__)["config"]
    kind(**settings)
    assert json.dumps(with_absolute_paths(kind, settings, Path("/home"))).count("/home/") == count
