"""Verifies an answer's quotes against the files themselves, or hands a text to texts.py.

The files are read again, independently of the index, of which only the files' hashes are used. The
file's text must have the quote at the quote's bytes (of a PDF: on its page). The answer has each
file's hash at indexing, so a file that changed since is reported even if it still has the quote.
A claim in other words than its quotes must be supported by their documents.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import Answer, Claim, ConfigError, DataError, Quote
from groundup.documents import ReadConfig, Record, file_of, read_data

from ..search import open_index
from .texts import TextCheck, check_claim, check_text, read_text

ProblemCode = Literal["outside", "missing", "changed", "differs", "unsupported"]


class QuoteProblem(NamedTuple):
    """Why a quote is not verified, or its file has changed."""

    quote: Quote
    code: ProblemCode
    """outside: the path leaves the folder; missing: no such file; changed: the file changed since
    indexing but has the quote; differs: the bytes are not the quote; unsupported: the claim says
    what its quotes' documents do not."""
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
        failed = len({each.quote for each in self.problems if each.code != "unsupported"})
        lines = [f"{problem.code}: {problem.message}" for problem in self.problems]
        proved = f"{self.quotes - failed} of {self.quotes} quotes are proved"
        return "\n".join([*lines, f"{proved} by files in {self.root}."])


def verify(
    answer: Path,
    *,
    index: Path | None = None,
    root: Path | None = None,
    against: Path | None = None,
    critic: str = "",
    allow: Path | None = None,
) -> "Verification | TextCheck":
    """Check a saved answer's quotes and claims, or every sentence of a text, against the documents.

    Exit code 1 unless all quotes are proved and claims supported, or every sentence is.

    answer   a file: what `groundup ask --json` printed, or any text; - reads standard input
    index    the index that answered: files that changed since it was made are reported too
    root     folder of the documents; default: the one that the answer, or the index, names
    against  check a text: a folder of documents, or an index of them
    critic   second opinion on a text: directory of a language model, or of a classifier with one
             label; or URL#NAME of a model on an OpenAI-compatible server
    allow    file of sentences, a line each, that may stand without a source

    Raises DataError if the file holds no answer, and ConfigError if the folder is unknown or gone.
    """
    text = read_text(answer)
    if against is not None:
        return check_text(text, against, critic, allow)
    if critic or allow:
        raise ConfigError("--critic and --allow are for a text; give --against DOCUMENTS.")
    saved, named = _parse_answer(text, answer)
    opened = None if index is None else open_index(index)
    folder = root or named or (opened.root if opened else None)
    if folder is None or not Path(folder).is_dir():
        what = "names no folder" if folder is None else f"is of {folder}, which is no folder"
        raise ConfigError(f"{answer} {what}; give --root FOLDER of the documents.")
    if opened is not None:
        saved.details["files"] = opened.sha256_by_path
    problems = [*verify_quotes(saved, Path(folder)), *_check_claims(saved, Path(folder))]
    return Verification(str(folder), sum(len(c.quotes) for c in saved.claims), tuple(problems))


def _parse_answer(text: str, path: Path) -> tuple[Answer, str | None]:
    name = "standard input" if str(path) == "-" else path
    try:
        data: dict[str, Any] = json.loads(text)
        claims = [
            Claim(claim["text"], tuple(Quote(**quote, line=0) for quote in claim["quotes"]))
            for claim in data["claims"]
        ]
        quotes = [quote for claim in claims for quote in claim.quotes]
        types = {(type(q.path), type(q.text), type(q.start), type(q.end)) for q in quotes}
        is_path = all("\0" not in quote.path for quote in quotes)
        if types - {(str, str, int, int)} or not (is_path and all(c.quotes for c in claims)):
            raise ValueError
        answer = Answer(data["answer"], refused=data["refused"], claims=tuple(claims))
        root = data.get("root")
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{name} holds no answer of `groundup ask --json`; save one with: "
            "groundup ask QUESTION --index INDEX --json > answer.json"
        ) from None
    if not claims and not answer.refused:
        raise DataError(f"{name} has an answer without quotes, which proves nothing; ask again.")
    said = " ".join(claim.text for claim in claims)
    if claims and answer.text.split() != said.split():
        raise DataError(f"{name} has an answer that is not its claims; ask again.")
    return answer, root if isinstance(root, str) else None


def verify_quotes(answer: Answer, root: Path) -> list[QuoteProblem]:
    """Read every quoted file under `root` again; return the problems, [] if all quotes hold."""
    quotes = [quote for claim in answer.claims for quote in claim.quotes]
    indexed = answer.details.get("files", {})
    problems = (_check_quote(quote, Path(root), indexed) for quote in quotes)
    return [problem for problem in problems if problem is not None]


def _check_claims(answer: Answer, root: Path) -> Iterator[QuoteProblem]:
    """The claims in words of their own that no sentence of the quoted documents supports."""
    for claim in answer.claims:
        if claim.text == "\n".join(quote.text for quote in claim.quotes):
            continue
        texts = [_text_of(quote, root) for quote in claim.quotes]
        pairs = zip(texts, claim.quotes, strict=True)
        if all(check_claim(claim.text, text, quote.path) == "nowhere" for text, quote in pairs):
            message = f"{claim.text!r} is not what {claim.quotes[0].path} says."
            yield QuoteProblem(claim.quotes[0], "unsupported", message)


def _text_of(quote: Quote, root: Path) -> str:
    file, path = _locate(quote, root)
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        return ""  # told by `_check_quote`
    return next((each.text for each in _documents(path.read_bytes(), file, quote)), "")


def _locate(quote: Quote, root: Path) -> tuple[str, Path]:
    """The file that has a quote's document, below the folder and in full."""
    file = file_of(quote.path, lambda name: (root / name).is_file())
    return file, (root / file).resolve()


def _documents(data: bytes, file: str, quote: Quote) -> Iterator[Record]:
    """The documents of a file that a quote is of."""
    documents = read_data(file, data, ReadConfig(archives=True))
    return (d for d in documents if isinstance(d, Record) and d.path == quote.path)


def _check_quote(quote: Quote, root: Path, indexed: Mapping[str, str]) -> QuoteProblem | None:
    file, path = _locate(quote, root)
    if not path.is_relative_to(root.resolve()):
        return QuoteProblem(quote, "outside", f"{quote.path} is not inside {root}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        return QuoteProblem(quote, "missing", f"{path} cannot be read: {error.strerror}.")
    is_same = indexed.get(file) in (None, hashlib.sha256(data).hexdigest())
    since = "" if is_same else " The file changed since it was indexed; index it again."
    found = (each.find(quote) for each in _documents(data, file, quote))
    if not 0 <= quote.start < quote.end or max(found, default=-1) < 0:
        found = data[quote.start : quote.end].decode("utf-8", "replace")
        place = f"bytes {quote.start}-{quote.end} of {quote.path}"
        same = len(os.path.commonprefix([found, quote.text]))
        shown = f"…{found[same - 20 :][:60]}" if same > 20 else found[:60]
        problem = f"{place} are not the quote: they are {shown!r}"
        if quote.page:  # its bytes are no text
            problem = f"page {quote.page} of {quote.path} does not have the quote"
        return QuoteProblem(quote, "differs", f"{problem}.{since}")
    if not is_same:
        return QuoteProblem(quote, "changed", f"{quote.path} still has the quote.{since}")
    return None
