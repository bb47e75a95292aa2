"""Opens an index: its documents, its words and how they are spelled, and what answers from them.

A path is the folder of an index, whose current snapshot is opened (snapshots.py), or a snapshot
itself. An open index does not change when the folder is indexed again.
"""

import contextlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    ConfigError,
    Hit,
    LanguageModel,
    hash_file,
    record,
)
from groundup.documents import Record, Rejected, is_compound, is_dictionary_word

from .calibration.promise import Dial, parse_risk, read_dial
from .chunks.passage_text import PassageText
from .lexical import LexicalIndex, inverse_document_frequency
from .models import VECTORS, ReaderChoice, RerankerChoice, check_same_model
from .snapshots import current_snapshot, earlier_snapshots, read_root, update_command_of
from .wording.language import FALLBACK, base_stems, stem_words
from .wording.question import Question, QuestionTerm, parse_question

if TYPE_CHECKING:
    from groundup.embeddings import BertEncoder, StaticEncoder
    from groundup.model import TextEncoder

    from .answers.written import Writer
    from .encoders.vectors import RunVectors
    from .readers.encoding import PairModel
    from .readers.spans import SpanReader

REJECTED, MAX_REJECTED_BYTES = "rejected.json", 2**20
"""What a snapshot left out, and the size of that list from which nothing of it is named."""
MAX_FILE_BYTES = 64 * 2**20
"""Maximum size of a file; `groundup index` leaves out larger ones."""
RERANKED = 100
"""Passages found by words that a reranker orders."""
MAX_MEANT = 8
"""Words that a mistyped one is compared with as the documents spell them."""


SPELLINGS = (("iz", "is"), ("our", "or"), ("re", "er"), ("ae", "e"))


def spellings(word: str) -> Iterator[str]:
    """Yield how an English word is spelled elsewhere: "pasteuriser", "color"."""
    pairs = (way for pair in SPELLINGS for way in (pair, pair[::-1]))
    yield from (word.replace(old, new) for old, new in pairs if old in word)


class DocumentEntry(NamedTuple):
    """A document of a snapshot and its position in documents.jsonl."""

    path: str
    id: str
    sha256: str
    start: int
    length: int
    language: str = FALLBACK
    file: str = ""
    """Path of the file, if it has several documents: a mailbox, an archive."""


@dataclass
class OpenIndex:
    """A snapshot opened for questions."""

    artifact: Artifact
    lexical: LexicalIndex
    entries: dict[str, DocumentEntry]
    """By document id."""
    root: str | None = None
    """The indexed folder, if known."""
    update_command: str = ""
    """The command that indexes it again, if known."""
    cache: dict[str, Record] = field(default_factory=dict, repr=False)
    documents: frozenset[str] | None = None
    """Ids of those that are asked alone; None: all."""
    dial: Dial | None = None
    """The score from which it answers, if a risk was promised."""
    writer: "Writer | None" = None
    """What writes answers; None: they are quotes."""

    def at_risk(self, risk: str | None, out: Path) -> "OpenIndex":
        """The same index, which answers only where a risk holds, such as 5%; None: everywhere.

        Raises ConfigError for what is no share, and if that risk was not promised (promise.py).
        """
        if risk is None:
            return self
        return replace(self, dial=read_dial(out, self.artifact.id, parse_risk(risk)))

    def only(self, filters: Sequence[str]) -> "OpenIndex":
        """The same index, of which only some documents are asked.

        filters  glob patterns of paths, of which one must match, such as `guides/*`; and
                 `language=german`

        Raises ConfigError for another field, and if no document is left.
        """
        if not filters:
            return self
        wanted: dict[str, list[str]] = {}
        for each in filters:
            name, _, value = each.partition("=")
            name, value = (name, value) if value and name.isidentifier() else ("path", each)
            wanted.setdefault(name, []).append(value)
        if unknown := sorted(wanted.keys() - {"path", "language"}):
            raise ConfigError(
                f"Documents have no {unknown[0]}; --only takes patterns of paths, and language=."
            )
        left = frozenset(
            id for id, entry in self.entries.items()
            if all(
                any(fnmatchcase(getattr(entry, name), value) for value in values)
                for name, values in wanted.items()
            )
        )  # fmt: skip
        if not left:
            known = ", ".join(sorted({entry.language for entry in self.entries.values()}))
            raise ConfigError(
                f"No document of the index matches --only {shlex.join(filters)}; their languages "
                f"are {known}."
            )
        return replace(self, documents=left)

    def written_by(self, model: str | LanguageModel, prompt: Path | None = None) -> "OpenIndex":
        """The same index, whose answers a language model writes; empty: they are quotes.

        model   its directory, or URL#NAME of one on an OpenAI-compatible server, or itself
        prompt  file of the prompt (groundup.prompt); None: answers/prompt.toml

        Raises ConfigError under a promised risk, which is of quotes, and for a prompt alone.
        """
        if not model:
            if prompt is not None:
                raise ConfigError("--prompt is for a --model that writes the answer; give both.")
            return self
        if self.dial:
            raise ConfigError("A risk is promised for answers in quotes; leave out the model.")
        from .answers.written import open_answer_writer

        return replace(self, writer=open_answer_writer(model, prompt))

    def parse(self, question: str) -> Question:
        """The terms of a question in a language of the documents."""
        parsed = parse_question(question, self.languages[0])
        return parsed._replace(terms=tuple(map(self._find_stems, parsed.terms)))

    def _find_stems(self, term: QuestionTerm) -> QuestionTerm:
        if all(map(self.stem_frequency, term.stems)):
            return term
        for language in dict.fromkeys((*self.languages, FALLBACK)):
            stems = tuple(dict.fromkeys(stem_words(term.text, language)))
            if stems and all(map(self.stem_frequency, stems)):
                return term._replace(stems=stems)
        return term

    def read_document(self, id: str) -> Record:
        """A document of the snapshot, as it was when it was indexed."""
        if id not in self.cache:
            place = self.entries[id]
            try:
                with open(self.artifact.file("documents.jsonl"), "rb") as file:
                    file.seek(place.start)
                    self.cache[id] = Record.from_json(file.read(place.length))
            except FileNotFoundError:
                raise ArtifactError(
                    f"{self.artifact.path} was removed since it was opened, because the index was "
                    "updated twice; open the index again."
                ) from None
        return self.cache[id]

    def passage_text(self, hit: Hit) -> PassageText:
        """A passage taken apart."""
        id = hit.passage.document
        return PassageText(hit, self.read_document(id), self.entries[id].language)

    def best_hits(self, question: str, parsed: Question, count: int) -> list[Hit]:
        """The passages that answer a question best: by words, ordered by the index's reranker."""
        is_reranked = question and self.names_model("reranker")
        size = RERANKED if is_reranked else count
        found = self.lexical.search_terms(parsed, size, self.documents)
        with contextlib.suppress(ValueError):  # an index of before has no places of words
            runs = self.lexical.search_terms(parsed, count, self.documents, is_run=True)
            found += [hit for hit in runs if hit not in found]
        if not is_reranked:
            return found
        try:
            found = self.reranker.rerank(question, found, self.reranker_choice.milliseconds)
        except (ArtifactError, ConfigError) as error:  # words alone order them
            record.log(f"Not reranked: {error}")
        return found[:count]

    def names_model(self, kind: str) -> bool:
        """Whether it was made with a `reader` or `reranker`; known without its config, for which
        pydantic imports what most questions need not."""
        return bool((self.artifact.config.get(kind) or {}).get("path"))

    def has(self, term: QuestionTerm) -> bool:
        """Whether a term is anywhere in the documents: its exact name, or all of its stems.

        A name with a number, such as E-22, is not there because "E" and "22" are.
        """
        if term.name is not None and self.lexical.document_frequency("names", term.name):
            return True
        if term.name is not None and len(term.stems) > 1 and re.search(r"\d", term.name):
            return False
        has_stems = bool(term.stems) and term.text[0] != "-"
        return has_stems and all(map(self.stem_frequency, term.stems))

    def meant_word(self, term: QuestionTerm) -> str | None:
        """The indexed word that a mistyped one most likely means; None if none is close.

        One edit (a letter more, less, other, or two swapped) up to seven letters and in names of
        code, else two, the first letter being right. Numbers are never corrected, nor words of an
        English dictionary in documents in English, but for names.
        """
        if term.is_pair:
            words = re.split(r"[\s-]+", term.text)
            parts = [QuestionTerm(*pair) for pair in zip(words, zip(term.stems), strict=True)]
            right = [part.text if self.has(part) else self.meant_word(part) for part in parts]
            return "-".join(filter(None, right)) if all(right) else None
        typed = term.name or "".join(term.stems[:1])
        is_word = term.name or len(term.stems) == 1 and term.text.isalpha()
        if len(typed) < 4 or re.search(r"\d", typed) or not is_word:
            return None
        is_english = self.languages[:1] == (FALLBACK,)
        is_name = term.is_name and term.text[0].isupper()  # "Quin" for Quinn
        is_known = is_english and not is_name and is_dictionary_word(term.text)
        others = (stem for word in spellings(term.text.lower()) for stem in stem_words(word))
        if is_known:
            return next(
                (self.word_of(o, term.text) for o in others if self.stem_frequency(o)), None
            )
        from groundup.measure import osa  # a quarter of a second, which most questions need not

        is_short = len(typed) <= 7 or term.name or is_english and is_compound(term.text)
        limit = 1 if is_short else 2
        words = self.lexical.words_with_prefix(typed[0], "names" if term.name else "body")
        forms = {} if term.name else base_stems(self.languages[0] if self.languages else FALLBACK)
        known = ((form, self.stem_frequency(base)) for form, base in forms.items())
        words += [(form, count) for form, count in known if count and form[0] == typed[0]]
        near = sorted(
            (osa(typed, word), -count, word)
            for word, count in words
            if abs(len(word) - len(typed)) <= limit + 1 and (term.name or word.isalpha())
        )[:MAX_MEANT]
        close = []
        for distance, count, found in near:  # "grese" is near grease, and not its stem
            word = found if term.name else self.word_of(forms.get(found, found), term.text)
            if word is not None:
                away = distance if term.name else osa(term.text.lower(), word.lower())
                # A letter is left out more often than another is typed.
                close.append((away, len(word) == len(term.text), distance, count, word))
        best = min(close, default=None)
        return best[-1] if best and min(best[0], best[2]) <= limit else None

    def word_of(self, stem: str, typed: str) -> str | None:
        """A stem as the documents spell it, the nearest to what was typed."""
        from groundup.measure import osa

        words = set[str]()
        for hit in self.lexical.search_terms(Question((QuestionTerm(stem, (stem,)),)), MAX_MEANT):
            language = self.entries[hit.passage.document].language
            text = f"{hit.passage.headings} {hit.passage.text}"
            found = set(re.findall(r"[^\W\d_]+", text))
            words |= {word for word in found if stem_words(word, language) == [stem]}
        return min(words, key=lambda word: (osa(typed.lower(), word.lower()), word), default=None)

    def term_weight(self, term: QuestionTerm) -> float:
        """The weight of a term, nats: the idf of its exact name, or of its rarest stem."""
        size = len(self.lexical)
        having = self.lexical.document_frequency("names", term.name) if term.name else 0
        having = having or min((self.stem_frequency(stem) for stem in term.stems), default=0)
        return inverse_document_frequency(size, min(size, having))

    def stem_frequency(self, stem: str) -> int:
        """Number of passages with a stem in their text or in their titles, whichever is larger."""
        return max(self.lexical.document_frequency(field, stem) for field in ("body", "headings"))

    @cached_property
    def vectors(self) -> "RunVectors | None":
        """Vectors of its runs of sentences; None if it was made without an encoder."""
        if not (self.artifact.path / VECTORS[1]).is_file():
            return None
        from .encoders.vectors import open_vectors  # imports numpy, which most indexes need not

        return open_vectors(self.artifact.path)

    @cached_property
    def encoder(self) -> "TextEncoder | BertEncoder | StaticEncoder | None":
        """The encoder of its vectors, which is read at the first question that needs it."""
        if self.vectors is None:
            return None
        from .encoders.vectors import open_question_encoder

        return open_question_encoder(self.vectors.config)

    @cached_property
    def reader(self) -> "SpanReader | None":
        """The reader that judges answers; None if the index was made without one."""
        if not self.reader_choice.path:
            return None
        from .readers.spans import SpanReader  # imports torch

        return SpanReader.open(check_same_model(self.reader_choice, "extractive reader"))

    @cached_property
    def reranker(self) -> "PairModel":
        """The model that orders what words find, if the index was made with one."""
        from .readers.scoring import open_same_reranker  # imports torch

        return open_same_reranker(self.reranker_choice)

    @cached_property
    def reranker_choice(self) -> RerankerChoice:
        """Which reranker that is, and its time."""
        return RerankerChoice.model_validate(self.artifact.config.get("reranker") or {})

    @cached_property
    def reader_choice(self) -> ReaderChoice:
        """Which reader that is, and when it refuses."""
        return ReaderChoice.model_validate(self.artifact.config.get("reader") or {})

    @cached_property
    def left_out(self) -> list[str]:
        """Paths of what was not read, each once; none of a list longer than MAX_REJECTED_BYTES."""
        table = self.artifact.path / REJECTED
        if not table.is_file() or table.stat().st_size > MAX_REJECTED_BYTES:
            return []
        return list(dict.fromkeys(each.path for each in read_rejected(self.artifact.path)))

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages of at least a fiftieth of the documents, the most frequent first."""
        counts = Counter(entry.language for entry in self.entries.values()).most_common()
        return tuple(name for name, count in counts if 50 * count >= len(self.entries))

    @cached_property
    def sha256_by_path(self) -> dict[str, str]:
        """Hash of every indexed file, by path."""
        return {place.file or place.path: place.sha256 for place in self.entries.values()}


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


def open_index(path: Path) -> OpenIndex:
    """Open an index: its current snapshot, or if that is damaged the one before, which is reported.

    Raises ArtifactError if there is none, or none that is undamaged. A snapshot opens as itself.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        return _open_snapshot(path, path)
    current, again = current_snapshot(path), update_command_of(path, read_root(path))
    try:
        return _open_snapshot(current, path)
    except ArtifactError as damage:
        for earlier in earlier_snapshots(path):
            with contextlib.suppress(ArtifactError):
                opened = _open_snapshot(earlier, path)
                older = f"an older snapshot answers, {earlier.name}; run: {again}"
                record.log(f"{damage} Until then {older}")
                return opened
        raise ArtifactError(f"{damage} Or, and nothing is lost, run again: {again}") from None


def _open_snapshot(snapshot: Path, path: Path) -> OpenIndex:
    artifact = Artifact.open(snapshot, kind="index")
    folder = artifact.path.absolute().parent
    out = folder.parent if folder.name == "snapshots" else None
    root = read_root(out) if out else None
    again = update_command_of(out if out and path == artifact.path else path, root) if out else ""
    places = read_entries(artifact.file("documents.json"))
    lexical = LexicalIndex(artifact.path / "lexical")
    return OpenIndex(artifact, lexical, {place.id: place for place in places}, root, again)


def read_entries(table: Path) -> list[DocumentEntry]:
    """Read documents.json; ArtifactError if it is damaged."""
    try:
        return [DocumentEntry(*entry) for entry in json.loads(table.read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{table} is damaged ({error}); run `groundup index` again with a new --out."
        ) from None


def read_rejected(snapshot: Path) -> list[Rejected]:
    """What a snapshot left out, with reasons."""
    return [Rejected(*row) for row in json.loads((snapshot / REJECTED).read_bytes())]
