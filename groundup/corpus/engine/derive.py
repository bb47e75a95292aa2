"""Derive: records made of records, each with its parent's id and the word synthetic.

A step can only rule about the record that it sees; what adds records is a `Derive`. The engine
calls it after the splits are known and for training records only, since a derived record knows what
its parent says: `derivations` refuses the others and never derives from what is derived.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from groundup.core import Config
from groundup.documents import Record, Segment, SourceMap, Span, record_id


@runtime_checkable
class Derive(Protocol):
    """Makes new records of one; the same ones whenever it is asked."""

    config: Config

    def __call__(self, record: Record) -> list[Record]:
        """New records, made with `derived`; none is a fine answer."""
        ...


def derived(
    parent: Record,
    text: str,
    how: str,
    number: int = 0,
    *,
    spans: tuple[Span, ...] = (),
    metadata: dict[str, Any] | None = None,
) -> Record:
    """A record of a text that was made of another: all of it comes from all of the parent's bytes.

    It keeps what is known of the parent, its licence above all.

    >>> plain = Record("1", "s", "a.txt", "text", "one", SourceMap.identity("one"))
    >>> made = derived(plain, "two", "paraphrase")
    >>> made.path, made.metadata, made.map.byte_range(0, 1)
    ('a.txt#paraphrase-0', {'synthetic': 'paraphrase', 'parent': '1'}, (0, 3))
    """
    path = f"{parent.path}#{how}-{number}"
    first, last = parent.map.byte_range(0, len(parent.map.text))
    line = parent.map.line(0)
    segments = (Segment(0, len(text), first, last, line, False),) if text else ()
    own = {name: value for name, value in parent.metadata.items() if name != "aside"}
    own |= (metadata or {}) | {"synthetic": how, "parent": parent.id}
    return Record(
        record_id(parent.source, path), parent.source, path, parent.kind, text,
        SourceMap(text, segments), spans, own,
    )  # fmt: skip


def derivations(
    derive: Derive, records: Iterable[Record], is_held_out: Callable[[Record], bool]
) -> Iterator[Record]:
    """Yield what is derived of the records that train and were not derived themselves."""
    for record in records:
        if not is_held_out(record) and not record.metadata.get("synthetic"):
            yield from derive(record)
