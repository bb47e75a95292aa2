"""Prove quotes: read the files again and compare, knowing nothing of the index that made them.

For text, Markdown and Python the bytes decoded must be the quote. For HTML the bytes, read as
markup again, must give the quote, white space aside. The answer tells what each file's hash was
when it was indexed, so a file that changed since is told even where the quote still stands.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from groundup.core import Answer, DataError, Quote, hash_file
from groundup.documents import read_bytes, read_html

LARGEST_BYTES = 64 * 2**20
"""Of a file; `groundup index` leaves out larger ones."""

ProblemCode = Literal["outside", "missing", "changed", "differs"]


class Problem(NamedTuple):
    """Why a quote is not proved, or not by the file that was indexed."""

    quote: Quote
    code: ProblemCode
    """outside: the path leaves the folder; missing: no such file; changed: the file is another
    than was indexed, the quote still stands; differs: the bytes are not the quote."""
    message: str


def verify_quotes(answer: Answer, root: Path) -> list[Problem]:
    """Read every quoted file under `root` again; return what does not hold, [] for a proof."""
    quotes = [quote for claim in answer.claims for quote in claim.quotes]
    indexed = answer.details.get("files", {})
    problems = (check(quote, Path(root), indexed.get(quote.path)) for quote in quotes)
    return [problem for problem in problems if problem is not None]


def changed_files(indexed: Mapping[str, str], root: Path) -> dict[str, str]:
    """How each file under `root` that is not as it was indexed differs: "has changed", "is gone".

    indexed: sha256 by path. A file too large to be indexed has changed: it is not read.
    """
    changed: dict[str, str] = {}
    for path, sha256 in indexed.items():
        try:
            place = root / path
            if not place.is_file():
                changed[path] = "is gone"
            elif place.stat().st_size > LARGEST_BYTES or hash_file(place) != sha256:
                changed[path] = "has changed"
        except OSError:
            changed[path] = "cannot be read"
    return changed


def check(quote: Quote, root: Path, indexed: str | None) -> Problem | None:
    """The problem with one quote, if there is one."""
    place = (root / quote.path).resolve()
    if not place.is_relative_to(root.resolve()):
        return Problem(quote, "outside", f"{quote.path} is not inside {root}.")
    try:
        data = place.read_bytes()
    except OSError as error:
        return Problem(quote, "missing", f"{place} cannot be read: {error.strerror}.")
    is_same = indexed is None or hashlib.sha256(data).hexdigest() == indexed
    since = "" if is_same else " The file changed since it was indexed; index it again."
    if not says(data, quote):
        found = data[quote.start : quote.end].decode("utf-8", "replace")
        what = f"bytes {quote.start}-{quote.end} of {quote.path} are not the quote"
        return Problem(quote, "differs", f"{what}: they are {found[:60]!r}.{since}")
    if not is_same:
        return Problem(quote, "changed", f"{quote.path} still has the quote.{since}")
    return None


def says(data: bytes, quote: Quote) -> bool:
    """Whether the quoted bytes of a file are the quote."""
    inside = data[quote.start : quote.end]
    if not 0 <= quote.start < quote.end <= len(data):
        return False
    try:
        document = read_bytes(data, quote.path)
    except DataError:
        return False
    if document.kind != "html":
        return inside == quote.text.encode("utf-8", "surrogatepass")
    try:
        if "".join(read_html(inside).map.text.split()) == "".join(quote.text.split()):
            return True
    except (DataError, UnicodeDecodeError):
        pass
    # A declared charset stands outside the quote: look the quote up in the whole text.
    at = document.text.find(quote.text)
    while at >= 0:
        if document.map.byte_range(at, at + len(quote.text)) == (quote.start, quote.end):
            return True
        at = document.text.find(quote.text, at + 1)
    return False
