"""The chain up to tokens, small: twenty documents of text and code, 300 ids."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from groundup.core import Artifact
from groundup.corpus import CorpusConfig, corpus
from groundup.tokenizer import TokenizerConfig, TokensConfig, encode_corpus, train_tokenizer
from groundup.train import OptimConfig, PretrainConfig

THINGS = "river mountain ledger window garden engine letter bridge harbour lantern".split()
DEEDS = "holds carries repeats follows measures answers remembers opens".split()


class Small(NamedTuple):
    """Artifacts that training starts from."""

    corpus: Artifact
    tokenizer: Artifact
    tokens: Artifact


@contextmanager
def without_compiler() -> Iterator[None]:
    """Train uncompiled: compiling takes longer than all of these runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDUP_COMPILE", "0")
        yield


def write_documents(folder: Path) -> Path:
    """Four texts and sixteen modules, all different, with words in common."""
    rng = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(16):
        (folder / f"module_{number}.py").write_text(module(rng, number), encoding="utf-8")
    for number in range(4):
        lines = [
            f"The {rng.choice(THINGS)} {rng.choice(DEEDS)} the {rng.choice(THINGS)} "
            f"for the {rng.randrange(2, 900)}th time."
            for _ in range(40)
        ]
        (folder / f"text {number}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def module(rng: random.Random, number: int) -> str:
    """Ten short functions with docstrings."""
    parts = [f'"""Module {number}: what a {rng.choice(THINGS)} {rng.choice(DEEDS)}."""\n']
    for place in range(10):
        deed, thing, other = rng.choice(DEEDS), rng.choice(THINGS), rng.choice(THINGS)
        parts.append(
            f"def {deed}_{thing}_{number}{place}(value, count={rng.randrange(99)}):\n"
            f'    """Return how the {thing} {deed} the {other}.\n\n'
            f'    The {other} stays as it was, unless it {rng.choice(DEEDS)} more.\n    """\n'
            f"    return value * {rng.randrange(99)} + count - {rng.randrange(999)}\n"
        )
    return "\n\n".join(parts)


def small(folder: Path) -> Small:
    """Documents, corpus, tokenizer and tokens under a folder."""
    source = write_documents(folder / "documents")
    config = CorpusConfig(validation_share=0.1, test_share=0.2, near_duplicate_threshold=0, seed=1)
    documents = corpus(config, source, folder / "corpus")
    words = train_tokenizer(TokenizerConfig(vocab_size=300), documents, folder / "tokenizer")
    return Small(
        documents, words, encode_corpus(TokensConfig(), documents, words, folder / "tokens")
    )


def tiny_training(**changes: Any) -> PretrainConfig:
    """Sixteen steps of one layer, or of a preset's."""
    settings: dict[str, Any] = {
        "tokens": 8192, "batch_tokens": 512, "length": 64, "context_length": 128,
        "validation_tokens": 512, "optim": OptimConfig(warmup=0.0),
    }  # fmt: skip
    if changes.get("preset") is None:
        settings["depth"] = 1
    return PretrainConfig(**(settings | changes))
