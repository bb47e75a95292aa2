"""Creates conversations for fine-tuning from documents, split by file, including made-up names.

Kinds: `explain` (code given), `docstring`, `write` (code requested), `topic` (a section's title
given), `name` (only a name given), those of quoted.py (`question`, `dialogue`, `refusal`) and, with
a model, `written` (written.py). Examples of a split come from that split's files only; what train
has too is skipped. Documents that a test set asks about are left out, and what repeats it; their
names exist all the same.

Names are the exception, because only what was read can be known: names of every split are defined
in train's files. Those of validation and test are asked in phrasings that train never uses, half of
them with `exposure` "asked" (train asks them in other words), half "read" (train's text defines
them, but no training example asks them). Each is paired with a made-up name of the same module.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from groundup.core import (
    MANIFEST,
    Artifact,
    Config,
    Conversation,
    DataError,
    Draft,
    Unhashed,
    digest,
    produce,
    record,
    write_text,
)
from groundup.corpus import (
    SPLITS,
    DocumentCollection,
    DocumentedFunction,
    QuestionsConfig,
    choose_questions,
    count_identifiers,
    documented_functions,
    identifier_words,
    question_candidates,
    read_question_documents,
    read_split,
    split_paths,
    titled_sections,
    word_pools,
)
from groundup.documents import ReadConfig, Record

from .cleaning import Cleaner, CleaningConfig
from .exchanges import (
    PHRASINGS,
    ChatExample,
    NameQuestion,
    ask_name,
    ask_topic,
    explain_code,
    name_conversations,
    pair_with_made_up,
    shuffle_copy,
    write_code,
    write_docstring,
)
from .quoted import quoted_conversations
from .written import ExampleWriter

Limit = Annotated[int, Field(ge=0)]


class ExamplesConfig(Config):
    """Kinds and numbers of examples; every number is an upper limit."""

    explain: Limit = 700
    """Training conversations that ask what given code does."""
    docstring: Limit = 400
    """Training conversations that ask for the docstring of given code."""
    write: Limit = 500
    """Training conversations that ask for the code of a short function."""
    topic: Limit = 600
    """Training conversations about a titled section."""
    names: Limit = 400
    """Known names in training, each question paired with a made-up name. Few names asked often
    teach a small model to distinguish them from others; many names asked twice do not."""
    asks_per_name: int = 8
    """How often training asks each known name, in different words."""
    held_out: Limit = 50
    """Conversations of each kind except `name` in validation and in test."""
    names_held_out: Limit = 200
    """Known names of each exposure in validation and in test, and twice as many made-up names."""
    min_occurrences: Limit = 2
    """Minimum occurrences of a known name's identifier in train's text."""
    questions: Limit = 600
    """Training questions with answers quoted from the documents."""
    unanswerable: float = Field(default=0.2, ge=0, lt=1)
    """Share of those questions about names that no document has, which are refused."""
    per_document: int = Field(default=40, ge=1)
    """Quoted questions about one document."""
    written: Limit = 200
    """Passages of train that a model, if one is given, writes a question about."""
    accept_failures: Annotated[bool, Unhashed()] = False
    """Leave out what a model failed on for a transient reason, such as a server that hangs."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of a folder's documents for validation; a corpus is split already."""
    test_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of a folder's documents for test."""
    suffixes: tuple[str, ...] = ()
    """File suffixes of a folder to read, such as [".html"]; empty means every file with text."""
    read: ReadConfig = ReadConfig()
    """Which files of a folder are read."""
    max_chars: int = 1400
    """Maximum characters of a conversation, all messages together."""
    seed: int = 0
    """Seed of every random choice."""
    source_digest: str = ""
    """Hash of the documents and of the model that writes; set by the stage."""


class SplitDocuments(NamedTuple):
    """Documents to ask about, by split, and those that a test set asks about."""

    splits: Mapping[str, Sequence[Record]]
    excluded: Sequence[Record] = ()

    @property
    def every(self) -> list[Record]:
        """All of them, whose names exist."""
        return [*(document for split in SPLITS for document in self.splits[split]), *self.excluded]


def make_examples(
    config: ExamplesConfig, source: Artifact | Path, out: Path, *, exclude: Sequence[Path] = (),
    writer: ExampleWriter | None = None,
) -> Artifact:  # fmt: skip
    """Create conversations from a corpus, or from a folder or artifact of documents.

    exclude  test sets: their documents are left out, and what repeats their questions or answers
    writer   a model that writes questions too, and what accepts them

    Raises DataError if train's files have nothing to ask about.
    """
    cleaner = Cleaner(CleaningConfig(), exclude)
    path = source.path if isinstance(source, Artifact) else source
    opened = Artifact.open(path, ("corpus", "documents")) if (path / MANIFEST).is_file() else None
    if opened is not None and opened.kind == "corpus":
        parents = {"corpus": opened}
        documents = _exclude({split: read_split(opened, split) for split in SPLITS}, cleaner)
    else:
        asked = QuestionsConfig(share=1, suffixes=config.suffixes, read=config.read)
        read = read_question_documents(path, asked)
        usable = [each for each in read.documents if each.path in read.question_paths]
        parents, documents = read.parents, _split(config, _exclude({"train": usable}, cleaner))
    content = [(each.path, each.sha256) for each in documents.every]
    hashed = digest([content, writer.digest if writer else ""])
    config = config.model_copy(update={"source_digest": hashed})
    return produce(
        out, kind="examples", stage="examples", version=2, config=config,
        parents=parents | cleaner.parents,
        write=lambda draft: _write_examples(draft, config, documents, cleaner, writer),
    )  # fmt: skip


def _exclude(splits: Mapping[str, Iterable[Record]], cleaner: Cleaner) -> SplitDocuments:
    """Leave out the documents that test sets ask about, by path or content."""
    keys = ("document", "sha256")
    asked = {str(s.metadata[key]) for s in cleaner.samples for key in keys if s.metadata.get(key)}
    left, excluded = {split: list[Record]() for split in SPLITS}, list[Record]()
    for split, documents in splits.items():
        for document in documents:
            is_asked = bool({document.path, document.sha256} & asked)
            (excluded if is_asked else left[split]).append(document)
    if cleaner.samples:
        count = len(excluded) or "Warning: no"
        record.log(f"{count} documents are left out because a test set asks about them.")
    return SplitDocuments(left, excluded)


def _split(config: ExamplesConfig, found: SplitDocuments) -> SplitDocuments:
    """The documents of a folder by split."""
    # By other numbers than a test set of the same seed, whose documents would be one split.
    names = {each.path: f"examples/{each.path}" for each in found.splits["train"]}
    split = split_paths([*names.values()], config.validation_share, config.test_share, config.seed)
    splits = {name: list[Record]() for name in SPLITS}
    for document in found.splits["train"]:
        splits[split[names[document.path]]].append(document)
    return found._replace(splits=splits)


def read_examples(artifact: Artifact, split: str) -> Iterator[ChatExample]:
    """Yield a split's examples in order; DataError names an invalid line."""
    path = artifact.file(f"{split}.jsonl")
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield ChatExample.from_json(line)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path} line {number}: expected an example with id, kind, group and "
                    f"messages; {type(error).__name__}: {error}."
                ) from None


def write_examples(draft: Draft, split: str, examples: Iterable[ChatExample]) -> list[ChatExample]:
    """Write a split's examples with ids, which are the groups of those without, and count them."""
    rows = list[ChatExample]()
    for number, each in enumerate(examples):
        name = f"{split}-{number:05d}"
        rows.append(replace(each, id=name, group=each.group or name))
    write_text(draft.file(f"{split}.jsonl"), "".join(f"{row.to_json()}\n" for row in rows))
    kinds = sorted(Counter(row.kind for row in rows).items())
    refusals = sum(row.refusal for row in rows)
    draft.numbers[split] = {**dict(kinds), "refusals": refusals, "all": len(rows)}
    return rows


def _write_examples(
    draft: Draft, config: ExamplesConfig, documents: SplitDocuments, cleaner: Cleaner,
    writer: ExampleWriter | None = None,
) -> None:  # fmt: skip
    talks = _conversations(config, documents)
    if writer is not None:
        limits = (config.written, config.held_out)
        made = writer.conversations(limits, documents.splits, draft, config.accept_failures)
        for split, more in made.items():
            talks[split].extend(more)
    if not talks["train"]:
        raise DataError(
            f"None of the {len(documents.splits['train'])} train documents has a function with a "
            "docstring, a titled section or a statement to ask about; give documents that have."
        )
    overlapping = 0
    for split in SPLITS:
        rng = random.Random(f"{config.seed} {split} order")
        kept = shuffle_copy(_deduplicate(talks[split], config.max_chars), rng)
        free = [talk for talk in kept if not cleaner.overlap(talk.messages)]
        overlapping += len(kept) - len(write_examples(draft, split, free))
    if cleaner.samples:
        excluded = {"documents": len(documents.excluded), "conversations": overlapping}
        draft.numbers["excluded"] = excluded


def _conversations(
    config: ExamplesConfig, documents: SplitDocuments
) -> dict[str, list[ChatExample | None]]:
    """Each split's conversations by rules, of every kind."""
    found = {
        split: [
            function for document in documents.splits[split] if document.kind == "python"
            for function in documented_functions(document)
        ]
        for split in SPLITS
    }  # fmt: skip
    named = _name_conversations(config, found["train"], documents)
    quoted = dict(_quoted_conversations(config, documents))
    return {
        split: [*_drawn_conversations(config, split, found, documents.splits[split]),
                *named[split], *quoted.get(split, ())]
        for split in SPLITS
    }  # fmt: skip


def _deduplicate(talks: Iterable[ChatExample | None], max_chars: int) -> Iterator[ChatExample]:
    seen = set[Conversation]()
    for talk in filter(None, talks):
        size = sum(len(message.content) for message in talk.messages)
        if talk.messages not in seen and size <= max_chars:
            seen.add(talk.messages)
            yield talk


def _drawn_conversations(
    config: ExamplesConfig, split: str, found: Mapping[str, Sequence[DocumentedFunction]],
    documents: Iterable[Record],
) -> Iterator[ChatExample]:  # fmt: skip
    """Yield a split's conversations about code, none that is in train too, and about sections."""
    trained = {function.code for function in found["train"]} if split != "train" else set()
    own = [function for function in found[split] if function.code not in trained]
    sections = [section for document in documents for section in titled_sections(document)]
    topics = [(section, phrasing) for section in sections for phrasing in PHRASINGS["topic"]]
    makers: dict[str, tuple[list, Callable[..., ChatExample | None], int]] = {
        "explain": (own, explain_code, config.explain),
        "docstring": (own, write_docstring, config.docstring),
        "write": (own, write_code, config.write),
        "topic": (topics, lambda topic, rng: ask_topic(topic[0], topic[1], rng), config.topic),
    }
    for kind, (asked, make, limit) in makers.items():
        rng = random.Random(f"{config.seed} {split} {kind}")
        made = (make(each, rng) for each in shuffle_copy(asked, rng))
        fits = _deduplicate(made, config.max_chars)
        yield from islice(fits, limit if split == "train" else config.held_out)


def _quoted_conversations(
    config: ExamplesConfig, documents: SplitDocuments
) -> Iterator[tuple[str, list[ChatExample]]]:
    """Yield each split's questions with quoted answers; a name is known if any document has it."""
    every, trained = documents.every, {each.sha256 for each in documents.splits["train"]}
    collection = DocumentCollection(every)
    choice = QuestionsConfig(
        unanswerable=config.unanswerable, per_document=config.per_document, seed=config.seed
    )
    for split in SPLITS:
        count = config.questions if split == "train" else min(config.questions, config.held_out)
        if count < 1:
            continue
        asked = [each.path for each in documents.splits[split]
                 if split == "train" or each.sha256 not in trained]  # fmt: skip
        pool = list(question_candidates(collection, asked, (), choice.max_words))
        chosen = choose_questions(pool, every, count, choice)
        rng = random.Random(f"{config.seed} {split} quoted")
        yield split, list(quoted_conversations(chosen, collection.documents, rng))


def _name_conversations(
    config: ExamplesConfig, found: Sequence[DocumentedFunction], documents: SplitDocuments
) -> dict[str, list[ChatExample]]:
    """Create every split's conversations about train's names and made-up names.

    `taken` starts with every identifier of the complete corpus and grows with each made-up name,
    so that no made-up name exists and none of test was refused in train.
    """
    taken = set(count_identifiers(document.text for document in documents.every))
    pools = word_pools(function.identifier for function in found)
    rng = random.Random(f"{config.seed} names")
    read = shuffle_copy(_learnable_names(config, found, documents.splits["train"]), rng)
    held_out = 2 * min(config.names_held_out, len(read) // 8)  # of validation and of test
    unasked, asked = read[:held_out], read[held_out : held_out + config.names]
    reused, pairs = shuffle_copy(asked, rng), dict[str, list[NameQuestion]]()
    for split, i in (("validation", 0), ("test", held_out // 2)):
        own = slice(i, i + held_out // 2)
        known = [naming._replace(exposure="read") for naming in unasked[own]]
        known += [naming._replace(exposure="asked") for naming in reused[own]]
        pairs[split] = pair_with_made_up(known, pools, taken, rng)
    often = [naming for naming in asked for _ in range(config.asks_per_name)]
    train = pair_with_made_up(often, pools, taken, rng)
    trained = {naming.name for naming in train}
    talks = {"train": list(name_conversations(train, PHRASINGS["name"], rng))}
    for split, namings in pairs.items():
        talks[split] = [
            next(name_conversations([naming], PHRASINGS["name_held_out"], rng))
            for pair in zip(namings[::2], namings[1::2], strict=True)
            if pair[0].exposure == "read" or pair[0].name in trained
            for naming in pair
        ]
    return talks


def _learnable_names(
    config: ExamplesConfig, found: Iterable[DocumentedFunction], train: Iterable[Record]
) -> list[NameQuestion]:
    """Names that can be learned from train's text.

    They are public, have two words or more (a made-up name of one word would look like a typing
    error) and occur often enough.
    """
    counts = count_identifiers(document.text for document in train)
    namings = dict[str, NameQuestion]()
    for function in found:
        often = counts[function.identifier] >= config.min_occurrences
        words = sum(word.isalpha() for word in identifier_words(function.identifier))
        if function.is_public and often and words > 1 and (naming := ask_name(function)):
            namings.setdefault(naming.name, naming)
    return list(namings.values())
