"""The verb `verify`, and `verify_quotes`: read the quoted files again and compare.

This is independent of the index, of which only the files' hashes are used.

For text, Markdown and Python the decoded bytes must equal the quote. For HTML the bytes, parsed
again, must give the quote apart from white space. The answer has each file's hash at indexing, so a
file that changed since is reported even if it still contains the quote.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import Answer, Claim, ConfigError, DataError, Quote, hash_file
from groundup.documents import read_bytes, read_html

from .search import open_index

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


class Verification(NamedTuple):
    """The result of `groundup verify`."""

    root: str
    """The folder whose files were read."""
    quotes: int
    problems: tuple[QuoteProblem, ...]

    @property
    def exit_code(self) -> int:
        """0 if every quote is proved, else 1."""
        return int(bool(self.problems))

    def __str__(self) -> str:
        """One line for each problem, then how many quotes are proved."""
        failed = len({problem.quote for problem in self.problems})
        lines = [f"{problem.code}: {problem.message}" for problem in self.problems]
        summary = (
            f"{self.quotes - failed} of {self.quotes} quotes are proved by files in {self.root}"
        )
        return "\n".join([*lines, f"{summary}."])


def verify(answer: Path, *, index: Path | None = None, root: Path | None = None) -> Verification:
    """Check the quotes of a saved answer against the documents; exit code 1 unless all are proved.

    answer  a file with what `groundup ask --json` printed; - reads standard input
    index   the index that answered: files that changed since it was made are reported too
    root    folder of the documents; default: the one that the answer, or the index, names

    Raises DataError if the file holds no answer, and ConfigError if the folder is unknown or gone.
    """
    try:
        text = sys.stdin.read() if str(answer) == "-" else answer.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{answer} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{answer} cannot be read: it is not UTF-8.") from None
    saved, named = _parse_answer(text, answer)
    opened = None if index is None else open_index(index)
    folder = root or named or (opened.root if opened else None)
    if folder is None or not Path(folder).is_dir():
        what = "names no folder" if folder is None else f"is of {folder}, which is no folder"
        raise ConfigError(f"{answer} {what}; give --root FOLDER of the documents.")
    if opened is not None:
        saved.details["files"] = opened.sha256_by_path
    problems = verify_quotes(saved, Path(folder))
    return Verification(str(folder), sum(len(c.quotes) for c in saved.claims), tuple(problems))


def _parse_answer(text: str, path: Path) -> tuple[Answer, str | None]:
    try:
        data: dict[str, Any] = json.loads(text)
        claims = [
            Claim(claim["text"], tuple(Quote(**quote, line=0) for quote in claim["quotes"]))
            for claim in data["claims"]
        ]
        quotes = [quote for claim in claims for quote in claim.quotes]
        types = {(type(q.path), type(q.text), type(q.start), type(q.end)) for q in quotes}
        if types - {(str, str, int, int)} or not all(claim.quotes for claim in claims):
            raise ValueError
        answer = Answer(data["answer"], refused=data["refused"], claims=tuple(claims))
        root = data.get("root")
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} holds no answer of `groundup ask --json`; save one with: "
            "groundup ask QUESTION --index INDEX --json > answer.json"
        ) from None
    if not claims and not answer.refused:
        raise DataError(f"{path} has an answer without quotes, which proves nothing; ask again.")
    return answer, root if isinstance(root, str) else None


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
