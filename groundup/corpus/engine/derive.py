"""Derived records: synthetic records made from others, each with its parent's id.

A step can only change or drop the record it sees; a `Deriver` adds records. The engine calls it
once the splits are known and for training records only, since a derived record repeats its parent's
content: this keeps held-out content out of the training data.
"""

from typing import Any, Protocol, runtime_checkable

from groundup.core import Config
from groundup.documents import Record, Segment, SourceMap, TextSpan, record_id


@runtime_checkable
class Deriver(Protocol):
    """Makes new records from one; deterministic."""

    config: Config

    def __call__(self, record: Record) -> list[Record]:
        """New records, made with `make_derived`; may be empty."""
        ...


def make_derived(
    parent: Record,
    text: str,
    method: str,
    number: int = 0,
    *,
    spans: tuple[TextSpan, ...] = (),
    metadata: dict[str, Any] | None = None,
) -> Record:
    """A record of derived text, all of which maps to all of the parent's bytes.

    It inherits the parent's metadata, its licence above all.

    >>> plain = Record("1", "s", "a.txt", "text", "one", SourceMap.identity("one"))
    >>> made = make_derived(plain, "two", "paraphrase")
    >>> made.path, made.metadata, made.map.byte_range(0, 1)
    ('a.txt#paraphrase-0', {'synthetic': 'paraphrase', 'parent': '1'}, (0, 3))
    """
    path = f"{parent.path}#{method}-{number}"
    first, last = parent.map.byte_range(0, len(parent.map.text))
    line = parent.map.line(0)
    segments = (Segment(0, len(text), first, last, line, False),) if text else ()
    own = {name: value for name, value in parent.metadata.items() if name != "aside"}
    own |= (metadata or {}) | {"synthetic": method, "parent": parent.id}
    return Record(
        record_id(parent.source, path), parent.source, path, parent.kind, text,
        SourceMap(text, segments), spans, own,
    )  # fmt: skip
