"""BM25 over passages: a Retriever in one directory, with tantivy; and the terms of a question.

    "How do I use os.path.join on two paths?"  ->  join by its exact name, "path" by its stem

Three fields are searched: English stems of the text, English stems of its titles and path, and
exact names of code: `os.path.join` matches in full and by its suffixes `path.join` and `join`.
Queries are built from terms and never parsed, so no character of a question is syntax. Additions
and deletions become visible and durable with `snapshot`.

Stop words and words that frame a question (how, does, mean, difference) are ignored, unless the
question quotes them or names them as a keyword: `with`, "the for loop". Texts and the index use the
same stemmer, so they match equally. Words are separated by spaces and punctuation: languages
without spaces are not segmented.
"""

import bisect
import json
import math
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from groundup.core import (
    ArtifactError,
    CapacityError,
    Hit,
    MissingExtra,
    Passage,
    digest,
    disk_error,
    disk_remedy,
    hash_file,
    write_text,
)
from groundup.measure.text.wordnet import synset_ids

from .chunk import label_lines

MAX_QUESTION_CHARACTERS = 4_000
MAX_TERMS = 32
MAX_WORD_CHARACTERS = 60
SUFFIX_CREDIT = 0.9
"""Credit for a suffix of an exact name: `Path.open` for `pathlib.Path.open`."""
SPLIT_NAME_CREDIT = 0.55
"""Credit for only the parts of an exact name, such as `path` and `join`."""
SPLIT_PAIR_CREDIT = 0.5
"""Credit for the two words of a pair that are not adjacent."""

NAME = re.compile(r"-{0,2}[^\W\d]\w*(?:[.\-/][^\W\d]\w*)*")
QUOTED = re.compile(r"`([^`\n]{1,60})`|\"([^\"\n]{1,60})\"|“([^”\n]{1,60})”|'(\w{1,60})'")
AS_KEYWORD = re.compile(
    r"(\w+)[`\"”']?\s+(?:statement|keyword|clause|loop|operator|expression)s?\b", re.IGNORECASE
)
NO_KEYWORDS = frozenset(
    "a an the this that these each every some any which what in of to and or is are no".split()
)
STOP_WORDS = frozenset(
    """
    a an the this that these those it its he she they them their his her i me my mine you your we
    our us one ones someone something anything
    and or but nor so if then else than as of at by for from in into on onto off out over under to
    up down with without within about between among through during before after against across via
    is are was were be been being am do does did doing done have has had having can could shall
    should will would may might must need needs ought
    how often what when where which who whom whose why whether
    not no yes there here also just only very much many more most some any all each every both
    either neither other another such same own too again ever still please s t d ll m re ve don
    doesn didn isn aren wasn won
    mean means meaning meant happen happens happened explain describe tell give me know show
    define defined definition definitions difference differences differ possible way ways
    go goes going work works working use uses used using usage want wants like get gets make makes
    made let lets
    purpose example examples question answer exactly actually really called kind
    """.split()
)


class QuestionTerm(NamedTuple):
    """A term of a question, which matches by its exact name or by all of its stems."""

    text: str
    stems: tuple[str, ...]
    name: str | None = None
    """The exact name, if the term is a name of code."""
    is_pair: bool = False
    """Whether the two stems must be adjacent, as in "the unless statement"."""
    is_name: bool = False
    """Whether it names one thing, so that a quote without it cannot be about that thing."""


class QuestionTerms(NamedTuple):
    """The distinct terms of a question, in order."""

    terms: tuple[QuestionTerm, ...]
    truncation_note: str
    """What was omitted of a too long question, in words; otherwise empty."""
    parts: tuple[tuple[int, ...], ...] = ()
    """Terms of each part of a question for several facts, by index; empty if it asks for one."""
    wants_number: bool = False


class TextTerms(NamedTuple):
    """The stems and exact names of a text."""

    stems: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    """Adjacent stems."""
    names: frozenset[str]


def parse_question(text: str) -> QuestionTerms:
    """Extract the terms of a question: at most MAX_TERMS from its first 4,000 characters.

    >>> [term.text for term in parse_question("How do I open files with os.open()?").terms]
    ['open', 'files', 'os.open']
    >>> [term.text for term in parse_question("What does the `with` statement mean?").terms]
    ['with statement']
    """
    text = text.strip()
    read = _truncate_at_word(text)
    cuts = [match.start() for match in JOINT.finditer(read)]
    places: dict[tuple[str, ...], set[int]] = {}
    emphasised = {
        word.lower() for quoted in QUOTED.findall(read) for word in re.findall(r"\w+", max(quoted))
    }
    terms: dict[tuple[str, ...], QuestionTerm] = {}
    end = 0
    for match in NAME.finditer(read):
        if match.start() < end:
            continue  # the second word of a pair
        pair = AS_KEYWORD.match(read, match.start())
        term = _make_term(match.group(), read[match.end() :][:1] == "(", emphasised)
        if pair and pair[1].lower() not in NO_KEYWORDS and len(stem_words(pair.group())) == 2:
            words = re.findall(r"\w+", pair.group())
            term = QuestionTerm(" ".join(words), tuple(stem_words(pair.group())), is_pair=True)
            end = pair.end()
        if term is not None:
            key = term.stems or (term.text,)
            if _names_one_thing(term, read, match.start(), emphasised):
                term = term._replace(is_name=True)
            previous = terms.setdefault(key, term)
            if previous.name is None and term.name is not None:
                terms[key] = term
            places.setdefault(key, set()).add(bisect.bisect_right(cuts, match.start()))
    for match in re.finditer(r"(?<![\w.])\d[\w.]*\w|(?<![\w.])\d\b", read):
        stems = tuple(stem_words(match.group()))
        is_name = len(match.group()) > 1
        terms.setdefault(stems, QuestionTerm(match.group(), stems, is_name=is_name))
        places.setdefault(stems, set()).add(bisect.bisect_right(cuts, match.start()))
    listed = list(terms)[:MAX_TERMS]
    return QuestionTerms(
        tuple(terms[key] for key in listed),
        _truncation_note(text, len(terms)),
        _split_parts([terms[key] for key in listed], [places[key] for key in listed], len(cuts)),
        bool(WANTS_NUMBER.search(read)),
    )


JOINT = re.compile(r",?\s+(?:and|or|und|oder|et|ou|y|e|en)\s+|[,;?]\s+", re.IGNORECASE)
WANTS_NUMBER = re.compile(
    r"\bhow\s+(?:many|much|long|large|big|often|high|far|old|fast|wide)\b"
    r"|\b(?:maximum|minimum|largest|smallest|highest|lowest)\s+(?:number|size|length|value)\b"
    r"|\b(?:which|what)\s+(?:port|percentage|year)\b"
    r"|\bwie\s+(?:viele?|lange|groß|hoch|oft|weit|alt|schnell)\b", re.IGNORECASE,
)


def _names_one_thing(term: QuestionTerm, text: str, start: int, emphasised: set[str]) -> bool:
    word = term.text.lstrip("-")
    if term.name is not None or word.lower() in emphasised:
        return True
    if word[0].isupper() and start > 0 and text[:start].rstrip()[-1:] not in ".?!:":
        return True
    return len(word) > 2 and not word[0].isupper() and not is_english_word(word.lower())


def is_english_word(word: str) -> bool:
    return any(bool(synset_ids(part)) for part in word.split("-"))


def _split_parts(
    terms: list[QuestionTerm], places: list[set[int]], cuts: int
) -> tuple[tuple[int, ...], ...]:
    """Terms by part; a part without a name takes the others' names, one without a property those."""
    parts = [[i for i, place in enumerate(places) if part in place] for part in range(cuts + 1)]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return ()
    names = [i for i, term in enumerate(terms) if term.is_name]
    others = [i for i, term in enumerate(terms) if not term.is_name]
    result = []
    for part in parts:
        if not set(part) & set(names):
            part = part + names
        if not set(part) & set(others):
            part = part + others
        result.append(tuple(sorted(part)))
    return tuple(dict.fromkeys(result))


def _truncate_at_word(text: str) -> str:
    """The first 4,000 characters without an incomplete last word, which would be another term."""
    if len(text) <= MAX_QUESTION_CHARACTERS:
        return text
    return text[: MAX_QUESTION_CHARACTERS + 1].rsplit(None, 1)[0][:MAX_QUESTION_CHARACTERS]


def _truncation_note(text: str, terms: int) -> str:
    cuts = []
    if len(text) > MAX_QUESTION_CHARACTERS:
        cuts.append(f"the first {MAX_QUESTION_CHARACTERS:,} of {len(text):,} characters were read")
    if terms > MAX_TERMS:
        cuts.append(f"the first {MAX_TERMS} of {terms} terms were used")
    return "; ".join(cuts)


def _make_term(word: str, is_called: bool, emphasised: set[str]) -> QuestionTerm | None:
    bare = word.lstrip("-")
    if bare.lower() in STOP_WORDS and bare.lower() not in emphasised and not is_called:
        return None
    stems = tuple(dict.fromkeys(stem_words(word)))
    if not stems and not bare.strip("_"):
        return None
    return QuestionTerm(word, stems, word if is_called or _is_code_name(word) else None)


def _is_code_name(word: str) -> bool:
    """Whether a word can only be a name of code: dots, underscores, digits, inner capitals.

    >>> [_is_code_name(word) for word in ("os.path", "read_bytes", "OrderedDict", "Path", "--out")]
    [True, True, True, False, True]
    """
    return bool(re.search(r"[._/\d]|^--|[a-z][A-Z]", word))


def code_names(text: str) -> Iterator[str]:
    """Yield every exact name in a text, a dotted one with each of its suffixes.

    >>> list(code_names("see os.path.join() or open(file)"))
    ['os.path.join', 'path.join', 'join', 'open']
    """
    for match in NAME.finditer(text):
        word = match.group()
        if len(word) > MAX_WORD_CHARACTERS:
            continue
        is_called = text[match.end() : match.end() + 1] == "("
        if is_called or _is_code_name(word):
            parts = re.split(r"([./])", word)
            yield from ("".join(parts[first:]) for first in range(0, len(parts), 2))


def text_terms(text: str, context: str = "") -> TextTerms:
    """Collect the stems and exact names of a text; `context` adds names that surround it."""
    stems = stem_words(text)
    pairs = zip(stems, stems[1:], strict=False)
    exact_names = code_names(f"{context} {text}" if context else text)
    return TextTerms(frozenset(stems), frozenset(pairs), frozenset(exact_names))


def term_credit(term: QuestionTerm, words: TextTerms) -> float:
    """The credit of a term for a text, in [0, 1]."""
    if term.name is not None:
        if term.name in words.names:
            return 1.0
        if any(ending in words.names for ending in _dotted_suffixes(term.name)):
            return SUFFIX_CREDIT
    if not term.stems:
        return 0.0
    share = sum(stem in words.stems for stem in term.stems) / len(term.stems)
    if term.is_pair:
        return 1.0 if term.stems in words.pairs else SPLIT_PAIR_CREDIT * share
    return share * (1.0 if term.name is None else SPLIT_NAME_CREDIT)


def _dotted_suffixes(name: str) -> list[str]:
    """The suffixes of a dotted name that still have a dot.

    >>> _dotted_suffixes("pathlib.Path.open")
    ['Path.open']
    """
    parts = re.split(r"([./])", name)
    return ["".join(parts[first:]) for first in range(2, len(parts) - 1, 2)]


def stem_words(text: str) -> list[str]:
    """Stems of a text, in order, as in the index.

    >>> stem_words("Opening the files' café")
    ['open', 'the', 'file', 'cafe']
    """
    return stem_analyser().analyze(text)


@cache
def stem_analyser() -> Any:
    """The analyser of index and questions: words, lower case, no accents, stems."""
    engine = import_tantivy()
    builder = engine.TextAnalyzerBuilder(engine.Tokenizer.simple())
    filters, longest = engine.Filter, engine.Filter.remove_long(MAX_WORD_CHARACTERS)
    for step in (longest, filters.lowercase(), filters.ascii_fold(), filters.stemmer("english")):
        builder = builder.filter(step)
    return builder.build()


def import_tantivy() -> Any:
    """Import tantivy; MissingExtra if it is not installed."""
    try:
        import tantivy as engine
    except ImportError:
        raise MissingExtra("tantivy", "retrieve") from None
    return engine


HEADING_BOOST = 2.0
NAME_BOOST = 3.0
WRITER_BYTES = 128 * 2**20
ANALYSER_NAME = "words"


class LexicalIndex:
    """An index of passages in one directory, ranked by BM25 (tantivy: k1=1.2, b=0.75)."""

    def __init__(self, directory: Path) -> None:
        """Open the index in `directory`, or create an empty one.

        Raises MissingExtra without tantivy, and ArtifactError for a damaged index.
        """
        engine = import_tantivy()
        self.directory = Path(directory)
        self.writer: Any = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory if os.access(self.directory, os.W_OK) else self._readonly_copy()
            self.index = engine.Index(_index_schema(engine), path=str(path), reuse=True)
            self.index.register_tokenizer(ANALYSER_NAME, stem_analyser())
            self.reload()
        except (OSError, ValueError) as error:
            raise _full_disk_error(self.directory, error) or _damaged_index_error(
                self.directory, error
            ) from None

    def _readonly_copy(self) -> Path:
        """A folder of links to a read-only directory, because tantivy writes a lock file."""
        copy = Path(tempfile.mkdtemp(prefix="groundup-"))
        weakref.finalize(self, shutil.rmtree, copy, ignore_errors=True)
        for path in self.directory.iterdir():
            if path.suffix != ".lock":
                (copy / path.name).symlink_to(path.resolve())
        return copy

    def reload(self) -> None:
        """Load the last snapshot."""
        self.index.reload()
        self.searcher = self.index.searcher()

    def __len__(self) -> int:
        """Number of passages in the last snapshot."""
        return self.searcher.num_docs

    def _open_writer(self) -> Any:
        """The writer, created at the first change; one process at a time can have it."""
        if not os.access(self.directory, os.W_OK):
            raise ArtifactError(f"{self.directory} is not writable; choose another --out.")
        if self.writer is None:
            try:
                self.writer = self.index.writer(heap_size=WRITER_BYTES, num_threads=1)
            except ValueError as error:
                raise _full_disk_error(self.directory, error) or ArtifactError(
                    f"Cannot write to the index {self.directory} ({_short_message(error)}); "
                    "if another run is writing there, wait for it."
                ) from None
        return self.writer

    def add(self, passages: Iterable[Passage]) -> None:
        """Add passages; a passage with the id of an existing one replaces it."""
        writer, engine = self._open_writer(), import_tantivy()
        for passage in passages:
            titles = " ".join((*passage.headings, *label_lines(passage.text), passage.path))
            document = engine.Document(
                id=passage.id,
                document=passage.document,
                body=passage.text,
                headings=titles,
                names=" ".join(code_names(f"{'.'.join(passage.headings)} {titles} {passage.text}")),
                passage=json.dumps(passage.__dict__, ensure_ascii=False).encode(),
            )
            try:  # tantivy writes in other threads: a failure is raised at a later call
                writer.delete_documents_by_term("id", passage.id)
                writer.add_document(document)
            except (OSError, ValueError) as error:
                raise _write_error(self.directory, error) from None

    def delete(self, documents: Iterable[str]) -> None:
        """Remove every passage of these documents."""
        for document in documents:
            self._open_writer().delete_documents_by_term("document", document)

    def search(self, query: str, limit: int = 10) -> list[Hit]:
        """The best passages, best first; ties are broken by passage id.

        Any text is a valid query; one without a content word finds nothing.
        """
        return self.search_terms(parse_question(query), limit)

    def search_terms(self, question: QuestionTerms, limit: int = 10) -> list[Hit]:
        """The best passages for the terms of a question, like `search`."""
        query = self._build_query(question)
        if query is None or limit < 1 or not len(self):
            return []
        found, size = [], limit + 1
        while True:
            found = self.searcher.search(query, limit=size, count=False).hits
            if len(found) < size or found[-1][0] < found[limit - 1][0]:
                break  # includes every passage that ties with the last requested one
            size *= 2
        hits = [Hit(self._read_passage(address), score) for score, address in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))[:limit]

    def _build_query(self, question: QuestionTerms) -> Any:
        """The question as a tantivy query: any term may match; titles and names are boosted."""
        query, fields = import_tantivy().Query, self.index.schema
        parts = []
        for term in question.terms:
            for stem in term.stems:
                body = query.term_query(fields, "body", stem)
                title = query.term_query(fields, "headings", stem)
                parts += [body, query.boost_query(title, HEADING_BOOST)]
            if term.name is not None:
                name = query.term_query(fields, "names", term.name)
                parts.append(query.boost_query(name, NAME_BOOST))
        should = import_tantivy().Occur.Should
        return query.boolean_query([(should, part) for part in parts]) if parts else None

    def _read_passage(self, address: Any) -> Passage:
        record = json.loads(self.searcher.doc(address).get_first("passage"))
        return Passage(**record | {"headings": tuple(record["headings"])})

    def document_frequency(self, field: str, term: str) -> int:
        """Number of passages that have a stem in `body` or `headings`, or a name in
        `code_names`."""
        return self.searcher.doc_freq(field, term)

    def snapshot(self) -> str:
        """Commit additions and deletions; return the snapshot's id.

        The id is a hash of all passages, so equal content has equal ids however it was added.
        Raises CapacityError if the disk is full.
        """
        if self.writer is not None:
            try:
                self.writer.commit()
                self.writer.wait_merging_threads()  # ends the writer and frees its lock
            except (OSError, ValueError) as error:
                raise _write_error(self.directory, error) from None
            self.writer = None
            self.reload()
        return digest(sorted(_passage_digest(passage) for passage in self.passages()))

    def passages(self) -> list[Passage]:
        """Every passage of the last snapshot, in no particular order."""
        everything = import_tantivy().Query.all_query()
        found = self.searcher.search(everything, limit=max(1, len(self)), count=False)
        return [self._read_passage(address) for _, address in found.hits]


def name_segments_by_content(directory: Path) -> None:
    """Rename the segments of a complete index by content hash: equal indexes are equal files.

    tantivy names each segment and its files at random; their content does not depend on the name.
    No index may be open in the directory.
    """
    meta, managed = directory / "meta.json", directory / ".managed.json"
    text = meta.read_text(encoding="utf-8")
    for segment in json.loads(text)["segments"]:
        old = segment["segment_id"]
        files = sorted(directory.glob(old.replace("-", "") + ".*"))
        new = UUID(digest([[path.suffix, hash_file(path)] for path in files])[:32])
        for path in files:
            path.rename(path.with_name(new.hex + path.suffix))
        text = text.replace(old, str(new))
    write_text(meta, text)
    kept = (path.name for path in directory.iterdir() if not path.name.startswith("."))
    write_text(managed, json.dumps(sorted(kept)))


def _passage_digest(passage: Passage) -> str:
    return digest(passage.__dict__ | {"headings": list(passage.headings)})


def _index_schema(engine: Any) -> Any:
    build = engine.SchemaBuilder()
    build.add_text_field("id", tokenizer_name="raw", index_option="basic")
    build.add_text_field("document", tokenizer_name="raw", index_option="basic")
    build.add_text_field("body", tokenizer_name=ANALYSER_NAME, index_option="freq")
    build.add_text_field("headings", tokenizer_name=ANALYSER_NAME, index_option="freq")
    build.add_text_field("names", tokenizer_name="whitespace", index_option="freq")
    build.add_bytes_field("passage", stored=True)
    return build.build()


def inverse_document_frequency(passages: int, containing: int) -> float:
    """Inverse document frequency of a term in `containing` of `passages` passages, nats; at least
    0.

    idf = ln(1 + (N - n + 1/2) / (n + 1/2)), as in BM25; largest for a term that occurs nowhere.
    Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.3, plus 1.
    """
    return math.log1p((passages - containing + 0.5) / (containing + 0.5))


def _full_disk_error(directory: Path, error: Exception) -> Exception | None:
    """The error for a full disk, which tantivy reports as text; None for other errors."""
    match = re.search(r"os error (\d+)", str(error))
    number = int(match[1]) if match else getattr(error, "errno", None)
    return disk_error(directory, OSError(number, "")) if disk_remedy(number) else None


def _write_error(directory: Path, error: Exception) -> Exception:
    return _full_disk_error(directory, error) or CapacityError(
        f"Cannot write the index {directory} ({_short_message(error)}); free some space and run "
        "the same command again: what is complete stays."
    )


def _damaged_index_error(directory: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{directory} holds no index that can be read ({_short_message(error)}); remove it and run "
        "`groundup index` again."
    )


def _short_message(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
