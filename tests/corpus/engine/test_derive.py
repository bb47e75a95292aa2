"""A derived record is marked, names its parent and inherits its metadata."""

from groundup.core import Config
from groundup.corpus.engine.derive import Deriver, make_derived
from groundup.documents import Record, SourceMap, from_batch, to_batch


class Twice:
    """Doubles a text."""

    config = Config()

    def __call__(self, record):
        return [make_derived(record, record.text * 2, "twice", n) for n in range(2)]


def plain(name: str, text: str = "né!", **metadata) -> Record:
    return Record(name, "s", name, "text", text, SourceMap.identity(text), (), metadata)


def test_a_derived_record_keeps_the_licence_and_names_its_parent():
    assert isinstance(Twice(), Deriver)
    found = Twice()(plain("a", licence="MIT"))
    assert [one.metadata for one in found] == [
        {"licence": "MIT", "synthetic": "twice", "parent": "a"}
    ] * 2
    assert len({one.id for one in found}) == 2
    assert found[0].map.byte_range(0, 6) == found[0].map.byte_range(2, 3) == (0, 4)
    assert list(from_batch(to_batch(found))) == found
    assert make_derived(plain("e", ""), "", "twice").map.text == ""
