"""Makes a test set of questions about a folder of documents, or about a corpus' test split.

Documents are split by path, like in a corpus: with the same seed, the documents of a smaller share
are among those of a larger one, so a corpus with `test_share` >= `share` does not train on what is
asked. The validation part is about the documents that follow in that order; of a corpus about its
validation split. Every document of the source is read, because a name that several documents
explain needs its document's title, and a made-up name must be in none. Questions are chosen in
turns: from the least used rule, then the least used document, in an order that depends on the seed.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from groundup.core import (
    MANIFEST,
    Artifact,
    Config,
    ConfigError,
    DataError,
    Message,
    Sample,
    digest,
    record,
)
from groundup.documents import ReadConfig, Record, Rejected, read_folder

from ..split import SPLITS, hash_fraction, read_split
from .candidates import DocumentCollection, QuestionCandidate, is_generated, question_candidates
from .names import count_identifiers, identifier_style, identifier_words, make_up_name, word_pools
from .rules import RULES

if TYPE_CHECKING:  # a fifth of what the room takes to import, and workers import the room
    from groundup.measure import TestSetCard

RULES_FOR_MADE_UP = frozenset(
    "purpose option definition default returns added values parameter".split()
)
"""Rules whose questions a made-up name can take over: nothing but the name tells what is asked."""
UNANSWERABLE = "unanswerable"
RULE_DESCRIPTIONS = {rule.name: rule.about for rule in RULES} | {
    UNANSWERABLE: "names that do not exist"
}


class QuestionsConfig(Config):
    """Which questions to make."""

    share: float = Field(default=0.3, gt=0, le=1)
    """Share of the documents that may be asked about; the others are left to train on."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of the documents that the validation part is about, by which settings may be chosen
    (`groundup index --tune --test`); of a corpus its validation split is."""
    unanswerable: float = Field(default=0.1, ge=0, lt=1)
    """Share of the questions about names that no document has."""
    per_document: int = Field(default=8, ge=1)
    """Maximum number of questions about one document."""
    max_words: int = Field(default=25, ge=1)
    """Maximum length of an answer, words."""
    rules: tuple[str, ...] = ()
    """Rules to use, such as ["default", "returns"]; empty means all."""
    suffixes: tuple[str, ...] = ()
    """File suffixes to read, such as [".html"]; empty means every file that has text."""
    read: ReadConfig = ReadConfig()
    """Which files are read."""
    name: str = "documentation questions"
    """Name of the test set on its card."""
    licence: str = ""
    """Licence of the documents' text, for the card."""
    seed: int = 0
    """Seed of every random choice."""


class QuestionDocuments(NamedTuple):
    """The documents to ask about, and all that are read."""

    documents: list[Record]
    question_paths: set[str]
    """Paths of those that questions may be about."""
    validation_paths: set[str]
    """Paths of those that the validation part may be about."""
    parents: dict[str, Artifact]
    rejected: Counter[str]
    """Files that were not read, by reason."""


def make_questions(
    source: Path,
    config: QuestionsConfig,
    out: Path,
    *,
    questions: int = 200,
    exact: bool = False,
) -> Artifact:
    """A test set of questions with answers quoted from documents, and some without an answer.

    source: folder or artifact of documents, or a corpus, whose test split is asked
    questions: how many to make; documents that give fewer give what there is, with a warning
    exact: fail if the documents give fewer

    Raises DataError if the documents give none, or fewer where the number is `exact`, telling how
    many of which rule, and ConfigError if there is no rule of a name.
    """
    _check_config(config, questions)
    found = read_question_documents(Path(source), config)
    collection = DocumentCollection(found.documents)
    rules, limit = config.rules, config.max_words
    pool = list(question_candidates(collection, found.question_paths, rules, limit))
    if not pool and not exact and "corpus" not in found.parents:
        found, config = _widen_share(collection, found, config)
        pool = list(question_candidates(collection, found.question_paths, rules, limit))
    chosen = choose_questions(pool, found.documents, questions, config)
    if len(chosen) < questions:
        message = _too_few_text(collection, found, config, chosen, questions)
        if not chosen or exact:
            raise DataError(message)
        record.log(f"Warning: {message}")
    from groundup.measure import make_testset

    others = list(question_candidates(collection, found.validation_paths, rules, limit))
    others = _choose_in_turns(others, questions, config)
    samples, validation = (
        [_testset_sample(one) for one in sorted(part, key=partial(_shuffled, config.seed))]
        for part in (chosen, others)
    )
    if not validation:
        record.log("No validation part: too few documents have questions; `index --tune` needs one "
                   "of ten questions, or --questions FILE.")  # fmt: skip
    card = _testset_card(config, found, samples)
    return make_testset(card, samples, found.parents, out, validation=validation)


def _shuffled(seed: int, one: QuestionCandidate) -> float:
    return hash_fraction(one.id, seed)


def choose_questions(
    pool: Sequence[QuestionCandidate],
    documents: Sequence[Record],
    questions: int,
    config: QuestionsConfig,
) -> list[QuestionCandidate]:
    """At most so many of the candidates in turns; at the end those about names in no document."""
    without = round(questions * config.unanswerable)
    chosen = _choose_in_turns(pool, questions - without, config)
    share = config.unanswerable / (1 - config.unanswerable)
    without = min(without, round(len(chosen) * share))
    unknown = _unanswerable_questions(chosen, pool, documents, without, config)
    if len(unknown) < without:
        record.log(
            f"{len(unknown)} of {without} unanswerable questions: too few names to make others of"
        )
    return _choose_in_turns(pool, questions - len(unknown), config) + unknown


def _check_config(config: QuestionsConfig, questions: int) -> None:
    names = [rule.name for rule in RULES]
    if unknown := sorted(set(config.rules) - set(names)):
        raise ConfigError(f"There is no rule {unknown[0]!r}; the rules are {', '.join(names)}.")
    if questions < 1:
        raise ConfigError(f"--questions {questions} must be at least 1.")


def read_question_documents(source: Path, config: QuestionsConfig) -> QuestionDocuments:
    """The documents of a folder or an artifact, and which share of them may be asked about.

    Raises DataError for a folder without documents.
    """
    parents: dict[str, Artifact] = {}
    made = Artifact.open(source) if (source / MANIFEST).is_file() else None
    if made is not None and made.kind == "documents":
        parents["documents"] = made
    elif made is not None:
        made = Artifact.open(source, "corpus")
        splits = {split: list(read_split(made, split)) for split in SPLITS}
        documents = [document for split in SPLITS for document in splits[split]]
        asked, validation = (
            {document.path for document in splits[split] if not is_generated(document)}
            for split in ("test", "validation")
        )
        validation = validation if config.validation else set[str]()
        return QuestionDocuments(documents, asked, validation, {"corpus": made}, Counter())
    documents, set_aside = [], Counter[str]()
    for read in read_folder(source, config.read, suffixes=config.suffixes or None):
        if isinstance(read, Rejected):
            set_aside[read.reason] += 1
        else:
            documents.append(read)
    if set_aside:
        record.log(f"left out {set_aside.total()} files: {_format_tally(set_aside)}")
    if not documents:
        why = _format_tally(set_aside) or "it is empty"
        raise DataError(f"{source} has no documents to ask about ({why}); give text, HTML or code.")
    order = sorted(documents, key=lambda document: hash_fraction(document.path, config.seed))
    paths = _paths_of_share(order, config.share), _validation_paths(order, config)
    return QuestionDocuments(documents, *paths, parents, set_aside)


def _paths_of_share(order: Sequence[Record], share: float) -> set[str]:
    """Paths of the documents that a share of them takes, those that explain nothing left out."""
    taken = order[: max(1, round(share * len(order)))]
    return {document.path for document in taken if not is_generated(document)}


def _validation_paths(order: Sequence[Record], config: QuestionsConfig) -> set[str]:
    """Paths of the documents that follow those of the share; none for a validation of 0."""
    both = config.share + config.validation
    return _paths_of_share(order, both) - _paths_of_share(order, config.share)


def _choose_in_turns(
    pool: Sequence[QuestionCandidate], limit: int, config: QuestionsConfig
) -> list[QuestionCandidate]:
    """Choose by turns: the rule asked least, then the name and the document asked least."""
    left: dict[str, list[QuestionCandidate]] = {}
    for one in sorted(pool, key=lambda one: hash_fraction(one.id, config.seed)):
        left.setdefault(one.rule, []).append(one)
    rules, names, documents = Counter[str](), Counter[str](), Counter[str]()
    chosen: list[QuestionCandidate] = []
    while left and len(chosen) < limit:
        rule = min(left, key=lambda name: (rules[name], name))
        left[rule] = [one for one in left[rule] if documents[one.path] < config.per_document]
        if not left[rule]:
            del left[rule]
            continue
        best = min(left[rule], key=lambda one: (names[one.name], documents[one.path]))
        left[rule].remove(best)
        chosen.append(best)
        rules[rule] += 1
        names[best.name] += 1
        documents[best.path] += 1
    return chosen


def _unanswerable_questions(
    chosen: Sequence[QuestionCandidate],
    pool: Iterable[QuestionCandidate],
    documents: Sequence[Record],
    limit: int,
    config: QuestionsConfig,
) -> list[QuestionCandidate]:
    """Ask names that no document has, in the words of questions about names that exist."""
    taken = set(count_identifiers(document.text for document in documents)) if limit else set()
    shapes: dict[tuple[str, bool, bool], set[str]] = {}
    for one in pool:
        if one.is_code:
            shapes.setdefault(_name_shape(one.name), set()).add(one.name.rpartition(".")[2])
    rng = random.Random(f"{config.seed} made up")
    made: list[QuestionCandidate] = []
    for one in chosen:
        last = one.name.rpartition(".")[2]
        spelled = sum(word.isalpha() for word in identifier_words(last))
        if len(made) == limit:
            break
        # Where the name is not in code marks, it is a topic of running text.
        is_named = one.is_code and f"`{one.name}`" in one.question
        if one.rule not in RULES_FOR_MADE_UP or spelled < 2 or not is_named:
            continue
        name = make_up_name(one.name, word_pools(sorted(shapes[_name_shape(one.name)])), taken, rng)
        if name:
            question = one.question.replace(f"`{one.name}`", f"`{name}`")
            made.append(one._replace(rule=UNANSWERABLE, question=question, answer="", name=name))
    return made


def _name_shape(name: str) -> tuple[str, bool, bool]:
    """How a name's last part is spelt; a made-up one of another shape would give itself away."""
    last = name.rpartition(".")[2]
    return identifier_style(last), "_" in last, last.isupper()


def _wider_shares(
    collection: DocumentCollection, found: QuestionDocuments, config: QuestionsConfig
) -> tuple[list[QuestionCandidate], list[tuple[float, set[str]]]]:
    """Every question of the collection, and the larger shares in steps of 0.05 with their paths."""
    order = sorted(found.documents, key=lambda document: hash_fraction(document.path, config.seed))
    every = question_candidates(
        collection, _paths_of_share(order, 1), config.rules, config.max_words
    )
    steps = [step / 20 for step in range(int(20 * config.share) + 1, 21)]
    return list(every), [(share, _paths_of_share(order, share)) for share in steps]


def _widen_share(
    collection: DocumentCollection, found: QuestionDocuments, config: QuestionsConfig
) -> tuple[QuestionDocuments, QuestionsConfig]:  # fmt: skip
    """The least share of a small folder in which there is a question, where its own has none."""
    every, shares = _wider_shares(collection, found, config)
    for share, paths in shares:
        if any(one.path in paths for one in every):
            record.log(
                f"Warning: nothing to ask in {len(found.question_paths)} of "
                f"{len(found.documents)} documents, so {len(paths)} are asked (share={share:g}); "
                "a corpus to train on needs a test_share as large"
            )
            config = config.model_copy(update={"share": share})
            order = sorted(found.documents, key=lambda each: hash_fraction(each.path, config.seed))
            left = _validation_paths(order, config)
            return found._replace(question_paths=paths, validation_paths=left), config
    return found, config


def _too_few_text(
    collection: DocumentCollection,
    found: QuestionDocuments,
    config: QuestionsConfig,
    chosen: Sequence[QuestionCandidate],
    questions: int,
) -> str:
    """What there is, and the least share that would give enough, if one does."""
    counts = Counter(one.rule for one in chosen)
    rules = f" ({_format_tally(counts)})" if counts else ""
    text = (
        f"Found {len(chosen)} of {questions} questions{rules} in {len(found.question_paths)} of "
        f"{len(found.documents)} documents; "
    )
    if "corpus" in found.parents:
        return f"{text}a corpus with a larger test_share gives more."
    every, shares = _wider_shares(collection, found, config)
    if not every:
        return (
            f"{text}they are prose: questions are made of entries, options, defaults and "
            "definitions."
        )
    wanted = questions - round(questions * config.unanswerable)
    for share, paths in shares:
        pool = [one for one in every if one.path in paths]
        if len(_choose_in_turns(pool, wanted, config)) == wanted:
            return f"{text}--set share={share:g} would do."
    return (
        f"{text}the whole collection has too few: --set per_document=N takes more of each document."
    )


def _format_tally(counts: Mapping[str, int]) -> str:
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return ", ".join(f"{name} {count}" for name, count in rows)


def _testset_sample(one: QuestionCandidate) -> Sample:
    """A candidate as a test set keeps it; a made-up name has neither reference nor place."""
    metadata: dict[str, Any] = {"kind": one.rule, "document": one.path, "name": one.name}
    if one.rule != UNANSWERABLE:
        source = f"{one.path}, line {one.answer_location['line']}"
        metadata |= one.answer_location | {"section": one.section, "source": source}
    references = (one.answer,) if one.answer else ()
    return Sample(one.id, (Message("user", one.question),), references, one.path, metadata)


def _testset_card(
    config: QuestionsConfig, found: QuestionDocuments, samples: Sequence[Sample]
) -> "TestSetCard":
    from groundup.measure import TestSetCard

    kinds = {sample.metadata["kind"] for sample in samples}
    source = digest({document.path: document.sha256 for document in found.documents})
    usual = QuestionsConfig().to_dict()
    unusual = {name: value for name, value in config.to_dict().items() if value != usual[name]}
    return TestSetCard(
        name=config.name,
        source=f"{len(found.question_paths)} of {len(found.documents)} documents, split by path; "
        "questions made by rules, each answer a slice of its document",
        coverage="; ".join(about for name, about in RULE_DESCRIPTIONS.items() if name in kinds),
        licence=config.licence,
        made={"stage": "questions", "version": 3, "documents": source} | unusual,
    )
