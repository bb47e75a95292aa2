"""Creates conversations for fine-tuning from a corpus, split by file, including made-up names.

Kinds: `explain` (code given), `docstring`, `write` (code requested), `topic` (a section's
title given) and `name` (only a name given). Examples of a split come from that split's files only;
functions of a held-out split whose code is in train too are skipped.

Names are the exception, because only what was read can be known: names of every split are defined
in train's files. Those of validation and test are asked in phrasings that train never uses, half of
them with `exposure` "asked" (train asks them in other words), half "read" (train's text defines
them, but no training example asks them). Each is paired with a made-up name of the same module.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from groundup.core import (
    Artifact,
    Config,
    Conversation,
    DataError,
    Draft,
    produce,
)
from groundup.corpus import (
    SPLITS,
    DocumentedFunction,
    count_identifiers,
    documented_functions,
    identifier_words,
    read_split,
    titled_sections,
    word_pools,
)
from groundup.documents import Record

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


class ExamplesConfig(Config):
    """Kinds and numbers of examples; every number is an upper limit."""

    explain: int = 700
    """Training conversations that ask what given code does."""
    docstring: int = 400
    """Training conversations that ask for the docstring of given code."""
    write: int = 500
    """Training conversations that ask for the code of a short function."""
    topic: int = 600
    """Training conversations about a titled section."""
    names: int = 400
    """Known names in training, each question paired with a made-up name. Few names asked often
    teach a small model to distinguish them from others; many names asked twice do not."""
    asks_per_name: int = 8
    """How often training asks each known name, in different words."""
    held_out: int = 50
    """Conversations of each kind except `name` in validation and in test."""
    names_held_out: int = 200
    """Known names of each exposure in validation and in test, and twice as many made-up names."""
    min_occurrences: int = 2
    """Minimum occurrences of a known name's identifier in train's text."""
    max_chars: int = 1400
    """Maximum characters of a conversation, all messages together."""
    seed: int = 0
    """Seed of every random choice."""


def make_examples(config: ExamplesConfig, corpus: Artifact, out: Path) -> Artifact:
    """Create conversations from a corpus.

    Raises DataError if train's files have nothing to ask about.
    """
    return produce(
        out,
        kind="examples",
        stage="examples",
        version=1,
        config=config,
        parents={"corpus": corpus},
        write=lambda draft: _write_examples(
            draft, config, {split: list(read_split(corpus, split)) for split in SPLITS}
        ),
    )


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


def _write_examples(
    draft: Draft, config: ExamplesConfig, documents: Mapping[str, Sequence[Record]]
) -> None:
    found = {
        split: [
            function
            for document in documents[split]
            if document.kind == "python"
            for function in documented_functions(document)
        ]
        for split in SPLITS
    }
    talks = {
        split: [
            *_code_conversations(config, split, found),
            *_topic_conversations(config, split, documents[split]),
        ]
        for split in SPLITS
    }
    for split, more in _name_conversations(config, found["train"], documents).items():
        talks[split].extend(more)
    if not talks["train"]:
        raise DataError(
            f"None of the {len(documents['train'])} train documents has a function with a "
            "docstring or a titled section; make the corpus from documents that have some."
        )
    for split in SPLITS:
        rng = random.Random(f"{config.seed} {split} order")
        kept = shuffle_copy(_deduplicate(talks[split], config.max_chars), rng)
        with open(draft.file(f"{split}.jsonl"), "w", encoding="utf-8") as file:
            for number, talk in enumerate(kept):
                file.write(replace(talk, id=f"{split}-{number:05d}").to_json() + "\n")
        kinds = Counter(talk.kind for talk in kept)
        refusals = sum(talk.refusal for talk in kept)
        draft.numbers[split] = {kind: kinds[kind] for kind in sorted(kinds)} | {
            "refusals": refusals, "all": len(kept)
        }  # fmt: skip


def _deduplicate(talks: Iterable[ChatExample | None], max_chars: int) -> Iterator[ChatExample]:
    seen: set[Conversation] = set()
    for talk in talks:
        if talk is None or talk.messages in seen:
            continue
        if sum(len(message.content) for message in talk.messages) <= max_chars:
            seen.add(talk.messages)
            yield talk


def _code_conversations(
    config: ExamplesConfig, split: str, found: Mapping[str, Sequence[DocumentedFunction]]
) -> Iterator[ChatExample]:
    """Yield a split's conversations about code, without code that is in train too."""
    trained = {function.code for function in found["train"]} if split != "train" else set()
    own = [function for function in found[split] if function.code not in trained]
    makers = {
        "explain": (explain_code, config.explain),
        "docstring": (write_docstring, config.docstring),
        "write": (write_code, config.write),
    }
    for kind, (make, limit) in makers.items():
        rng = random.Random(f"{config.seed} {split} {kind}")
        talks = (make(function, rng) for function in shuffle_copy(own, rng))
        fits = _deduplicate(talks, config.max_chars)
        yield from islice(fits, limit if split == "train" else config.held_out)


def _topic_conversations(
    config: ExamplesConfig, split: str, documents: Iterable[Record]
) -> Iterator[ChatExample]:
    """Yield a split's conversations about titled sections, each in every phrasing."""
    rng = random.Random(f"{config.seed} {split} topic")
    requests = [
        (section, phrasing)
        for document in documents
        for section in titled_sections(document)
        for phrasing in PHRASINGS["topic"]
    ]
    talks = (ask_topic(section, phrasing, rng) for section, phrasing in shuffle_copy(requests, rng))
    fits = _deduplicate(talks, config.max_chars)
    yield from islice(fits, config.topic if split == "train" else config.held_out)


def _name_conversations(
    config: ExamplesConfig,
    found: Sequence[DocumentedFunction],
    documents: Mapping[str, Sequence[Record]],
) -> dict[str, list[ChatExample]]:
    """Create every split's conversations about train's names and made-up names.

    `taken` starts with every identifier of the complete corpus and grows with each made-up name,
    so that no made-up name exists and none of test was refused in train.
    """
    every = [document.text for split in SPLITS for document in documents[split]]
    taken = set(count_identifiers(every))
    pools = word_pools(function.identifier for function in found)
    rng = random.Random(f"{config.seed} names")
    read = shuffle_copy(_learnable_names(config, found, documents["train"]), rng)
    held_out = 2 * min(config.names_held_out, len(read) // 8)  # of validation and of test
    unasked, asked = read[:held_out], read[held_out : held_out + config.names]
    reused, pairs = shuffle_copy(asked, rng), dict[str, list[NameQuestion]]()
    for split, i in (("validation", 0), ("test", held_out // 2)):
        held_out_slice = slice(i, i + held_out // 2)
        known = [naming._replace(exposure="read") for naming in unasked[held_out_slice]]
        known += [naming._replace(exposure="asked") for naming in reused[held_out_slice]]
        pairs[split] = pair_with_made_up(known, pools, taken, rng)
    train = pair_with_made_up(
        [naming for naming in asked for _ in range(config.asks_per_name)], pools, taken, rng
    )
    trained = {naming.name for naming in train}
    talks = {"train": list(name_conversations(train, PHRASINGS["name"], rng))}
    for split, namings in pairs.items():
        kept = [
            pair
            for pair in zip(namings[::2], namings[1::2], strict=True)
            if pair[0].exposure == "read" or pair[0].name in trained
        ]
        talks[split] = [
            next(name_conversations([naming], PHRASINGS["name_held_out"], rng))
            for pair in kept
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
    namings: dict[str, NameQuestion] = {}
    for function in found:
        often = counts[function.identifier] >= config.min_occurrences
        words = sum(word.isalpha() for word in identifier_words(function.identifier))
        if function.is_public and often and words > 1:
            naming = ask_name(function, "")
            if naming:
                namings.setdefault(naming.name, naming)
    return list(namings.values())
