"""What is derived is marked, has its parent and comes from records that train."""

from groundup.core import Config
from groundup.corpus.engine.derive import Derive, derivations, derived
from groundup.documents import Record, SourceMap, from_batch, to_batch


class Twice:
    """A Derive that doubles a text."""

    config = Config()

    def __call__(self, record):
        return [derived(record, record.text * 2, "twice", n) for n in range(2)]


def plain(name: str, text: str = "né!", **metadata) -> Record:
    return Record(name, "s", name, "text", text, SourceMap.identity(text), (), metadata)


def test_held_out_and_derived_records_have_no_offspring():
    assert isinstance(Twice(), Derive)
    records = [plain("a", licence="MIT"), plain("b"), plain("c", synthetic="fim")]
    found = list(derivations(Twice(), records, lambda record: record.id == "b"))
    assert [one.metadata for one in found] == [
        {"licence": "MIT", "synthetic": "twice", "parent": "a"}
    ] * 2
    assert len({one.id for one in found}) == 2
    assert found[0].map.byte_range(0, 6) == found[0].map.byte_range(2, 3) == (0, 4)
    assert list(from_batch(to_batch(found))) == found
    assert derived(plain("e", ""), "", "twice").map.text == ""
