"""Verifies quotes: reads the files again and compares, independently of the index.

For text, Markdown and Python the decoded bytes must equal the quote. For HTML the bytes, parsed
again, must give the quote apart from white space. The answer has each file's hash at indexing, so a
file that changed since is reported even if it still contains the quote.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from groundup.core import Answer, DataError, Quote, hash_file
from groundup.documents import read_bytes, read_html

MAX_FILE_BYTES = 64 * 2**20
"""Maximum file size; `groundup index` skips larger files."""

ProblemCode = Literal["outside", "missing", "changed", "differs"]


class QuoteProblem(NamedTuple):
    """Why a quote is not verified, or its file has changed."""

    quote: Quote
    code: ProblemCode
    """outside: the path leaves the folder; missing: no such file; changed: the file changed since
    indexing but has the quote; differs: the bytes are not the quote."""
    message: str


def verify_quotes(answer: Answer, root: Path) -> list[QuoteProblem]:
    """Read every quoted file under `root` again; return the problems, [] if all quotes hold."""
    quotes = [quote for claim in answer.claims for quote in claim.quotes]
    indexed = answer.details.get("files", {})
    problems = (_check_quote(quote, Path(root), indexed.get(quote.path)) for quote in quotes)
    return [problem for problem in problems if problem is not None]


def changed_files(indexed: Mapping[str, str], root: Path) -> dict[str, str]:
    """How files under `root` differ from what was indexed: "has changed", "is gone".

    indexed: sha256 by path. A file too large to be indexed has changed; it is not read.
    """
    changed: dict[str, str] = {}
    for path, sha256 in indexed.items():
        try:
            file = root / path
            if not file.is_file():
                changed[path] = "is gone"
            elif file.stat().st_size > MAX_FILE_BYTES or hash_file(file) != sha256:
                changed[path] = "has changed"
        except OSError:
            changed[path] = "cannot be read"
    return changed


def _check_quote(quote: Quote, root: Path, indexed: str | None) -> QuoteProblem | None:
    """The problem with one quote, if there is one."""
    path = (root / quote.path).resolve()
    if not path.is_relative_to(root.resolve()):
        return QuoteProblem(quote, "outside", f"{quote.path} is not inside {root}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        return QuoteProblem(quote, "missing", f"{path} cannot be read: {error.strerror}.")
    is_same = indexed is None or hashlib.sha256(data).hexdigest() == indexed
    since = "" if is_same else " The file changed since it was indexed; index it again."
    if not _bytes_match(data, quote):
        found = data[quote.start : quote.end].decode("utf-8", "replace")
        problem = f"bytes {quote.start}-{quote.end} of {quote.path} are not the quote"
        return QuoteProblem(quote, "differs", f"{problem}: they are {found[:60]!r}.{since}")
    if not is_same:
        return QuoteProblem(quote, "changed", f"{quote.path} still has the quote.{since}")
    return None


def _bytes_match(data: bytes, quote: Quote) -> bool:
    """Whether the bytes at the quoted position are the quote."""
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
    # A declared charset is outside the quoted bytes: search the quote in the complete text.
    at = document.text.find(quote.text)
    while at >= 0:
        if document.map.byte_range(at, at + len(quote.text)) == (quote.start, quote.end):
            return True
        at = document.text.find(quote.text, at + 1)
    return False
