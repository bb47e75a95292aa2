"""Vectors on disk: groundup's artifact, and word2vec's text and binary formats.

    artifact   vectors.safetensors, vocabulary.json and a manifest
    binary     "V D\\n", then for each word: its UTF-8, a space, D little-endian float32
    text       "V D\\n", then a line for each word: the word and D numbers; GloVe's lack the header

A file's size is checked against its header before anything is allocated. Truncated files, trailing
data and invalid numbers are errors with their location.
Source: word2vec.c; gensim's KeyedVectors.save_word2vec_format and load_word2vec_format.
"""

import json
import os
from pathlib import Path
from typing import IO, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    DataError,
    Draft,
    atomic_replace,
    require_regular_file,
    write_json,
)

from .vectors import Vectors

TENSORS, WORDS = "vectors.safetensors", "vocabulary.json"
MAX_WORD_BYTES = 1 << 16
NUMBER_BYTES = frozenset(b"0123456789+-.eEnaifNAIF \t\r\n")
Format = Literal["binary", "text"]


def save_vectors(vectors: Vectors, draft: Draft) -> None:
    """Write vectors into a draft of an artifact."""
    counts = vectors.counts
    with atomic_replace(draft.file(TENSORS)) as temporary:
        save_file({"vectors": vectors.matrix}, temporary, metadata={"format": "np"})
    values = None if counts is None else counts.tolist()
    write_json(draft.file(WORDS), {"words": vectors.words, "counts": values})


def load_vectors(path: Path | str) -> Vectors:
    """Open a vectors artifact, or a file in word2vec's or GloVe's format.

    Raises ArtifactError or DataError naming the file and what is wrong with it.
    """
    path = Path(path)
    if not path.is_dir():
        return read_word2vec(path)
    if not (path / MANIFEST).is_file():
        raise ArtifactError(
            f"{path} is not a vectors artifact; expected one, or a .txt or .bin file."
        )
    artifact = Artifact.open(path, kind="vectors")
    try:
        matrix = load_file(artifact.file(TENSORS))["vectors"]
        vocabulary = json.loads(artifact.file(WORDS).read_text(encoding="utf-8"))
        counts = vocabulary["counts"]
        counts = None if counts is None else np.array(counts, np.int64)
        return Vectors(vocabulary["words"], matrix, counts)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} holds no valid vectors ({error}); make it again.") from None


def write_word2vec(vectors: Vectors, path: Path, form: Format = "binary") -> None:
    """Write a file that gensim, word2vec.c and fastText can read.

    Raises DataError for an empty word or one with white space, which the format cannot hold.
    """
    wrong = next((word for word in vectors.words if not word or word.split() != [word]), None)
    if wrong is not None:
        raise DataError(
            f"The word {wrong!r} is empty or has white space; the format allows neither."
        )
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        file.write(f"{len(vectors)} {vectors.width}\n".encode())
        for word, row in zip(vectors.words, vectors.matrix, strict=True):
            if form == "binary":
                file.write(word.encode() + b" " + row.astype("<f4").tobytes())
            else:
                file.write(f"{word} {' '.join(map(str, row))}\n".encode())


def read_word2vec(path: Path, form: Format | None = None) -> Vectors:
    """Read a file in word2vec's binary or text format, or GloVe's text format.

    form  None: detected from the first vector's bytes

    Raises DataError naming the file and what was expected.
    """
    try:
        with open(require_regular_file(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            words, width = _read_header(file, path)
            if form is None:
                form = "text" if words == 0 else _detect_format(file)  # only text has no header
            if words == 0:
                words = sum(1 for _ in file)
                file.seek(0)
            _check_size(words, width, form, size - file.tell(), path)
            read = _read_binary_vectors if form == "binary" else _read_text_vectors
            return read(file, words, width, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _read_header(file: IO[bytes], path: Path) -> tuple[int, int]:
    """Number of words and width; without a header, 0 words, and the file is rewound."""
    line = file.readline(MAX_WORD_BYTES)
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() and len(field) < 19 for field in fields):
        words, width = map(int, fields)
        if words < 1 or width < 1:
            raise DataError(f"{path}: the header has {words} words of {width} numbers.")
        return words, width
    if len(fields) > 2 and _is_number(fields[-1]):
        file.seek(0)
        text = next(i for i in range(len(fields), 0, -1) if i == 1 or not _is_number(fields[i - 1]))
        return 0, len(fields) - text  # some of GloVe's words contain spaces
    shown = line[:40].decode("utf-8", "replace").strip()
    what = f"{path} is not a vectors file: expected a line with the numbers of words and"
    raise DataError(f"{what} dimensions, or a word and its numbers; got {shown!r}.")


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _detect_format(file: IO[bytes]) -> Format:
    """Detect the format from the bytes after the first word, without moving the file position."""
    position = file.tell()
    start = file.read(MAX_WORD_BYTES)
    file.seek(position)
    first = start.split(None, 1)
    numbers = first[1][:64] if len(first) > 1 else b""
    rest = numbers.splitlines()[0] if numbers.splitlines() else b""
    return "text" if rest and NUMBER_BYTES >= set(rest) else "binary"


def _check_size(words: int, width: int, form: Format, size: int, path: Path) -> None:
    """Raise DataError, before anything is allocated, if the file is too short for its header."""
    least = words * (2 + 4 * width if form == "binary" else 1 + 2 * width) - 1
    if size < least:
        needed = f"{words:,} words of {width} numbers, at least {least:,} bytes"
        what = f"{path} has a header of {needed}, but {size:,} follow"
        raise DataError(f"{what}: it is truncated or not a {form} file of vectors.")


def _read_binary_vectors(file: IO[bytes], words: int, width: int, path: Path) -> Vectors:
    matrix, names, data = np.empty((words, width), np.float32), [], file.read()
    position = 0
    for row in range(words):
        while data[position : position + 1] in (b"\n", b"\r"):  # word2vec.c writes line ends
            position += 1
        space = data.find(b" ", position, position + MAX_WORD_BYTES)
        stop = space + 1 + 4 * width
        if space < 0 or stop > len(data):
            raise DataError(f"{path} ends in word {row + 1:,} of {words:,}; it is truncated.")
        names.append(_decode_word(data[position:space], row, path))
        matrix[row] = np.frombuffer(data, "<f4", width, space + 1)
        position = stop
    if data[position:].strip():
        raise DataError(f"{path} has {len(data) - position:,} bytes after its {words:,} words.")
    return _build_vectors(names, matrix, path)


def _read_text_vectors(file: IO[bytes], words: int, width: int, path: Path) -> Vectors:
    matrix, names = np.empty((words, width), np.float32), []
    line = b"\n"
    for row in range(words):
        line = file.readline()
        fields = line.rstrip().rsplit(b" ", width)
        if len(fields) != width + 1:
            what = f"{path}, word {row + 1:,} of {words:,}: expected a word and {width} numbers"
            raise DataError(f"{what}; got {len(fields)} fields.")
        names.append(_decode_word(fields[0].strip(), row, path))
        try:
            matrix[row] = [float(field) for field in fields[1:]]
        except ValueError as error:
            raise DataError(f"{path}, word {row + 1:,}: {error}.") from None
    if not line.endswith(b"\n"):
        raise DataError(f"{path} is truncated: its last line has no line end.")
    if file.read(1 << 10).strip():
        raise DataError(f"{path} has data after its {words:,} words.")
    return _build_vectors(names, matrix, path)


def _decode_word(word: bytes, row: int, path: Path) -> str:
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}, word {row + 1:,} is not UTF-8: {word[:40]!r}.") from None


def _build_vectors(names: list[str], matrix: np.ndarray, path: Path) -> Vectors:
    try:
        return Vectors(names, matrix)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
