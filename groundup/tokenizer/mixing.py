"""A mixture: several tokens artifacts that a training run reads as one, with given shares.

    mixture.json    the share of each source, and its number of sequences per cycle
    tokens.json     number type, tokenizer and counts, like any tokens artifact's

The shards are not copied: the sources are the mixture's parents, located by path and verified by
id. `open_shards` opens mixtures and plain tokens artifacts alike. Held-out splits are not mixed by
shares but read one source after the other.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from groundup.core import Artifact, ConfigError, DataError, Draft, produce, write_json
from groundup.corpus import MixtureConfig, SourceSchedule, mixture_weights

from .shards import Shard

MIXTURE_FILE = "mixture.json"


class MixConfig(MixtureConfig):
    """Shares of the sources, for a run of a given length."""

    tokens: int = Field(ge=1)
    """Number of tokens that the run will read, for the limit on epochs."""


class TokenShards(NamedTuple):
    """Input of a run: shards, and their shares if they are a mixture."""

    shards: list[Shard]
    mixture: dict[str, float] | None


def mix_tokens(
    config: MixConfig, sources: Mapping[str, Artifact], tokenizer: Artifact, out: Path
) -> Artifact:
    """Make a mixture of tokens artifacts that share a tokenizer.

    sources  name of each source to its tokens

    Raises ConfigError for fewer than two sources, different tokenizers, or too few tokens.
    """
    if len(sources) < 2 or "tokenizer" in sources:
        what = "A mixture needs at least two sources, none named tokenizer"
        raise ConfigError(f"{what}; got {', '.join(sources) or 'none'}.")
    facts = {name: _read_token_facts(source) for name, source in sources.items()}
    digests = {name: fact["tokenizer"] for name, fact in facts.items()}
    if len(set(digests.values())) > 1:
        listed = ", ".join(f"{name}: {value[:12]}" for name, value in digests.items())
        raise ConfigError(f"The sources of a mixture must share a tokenizer; got {listed}.")
    sizes = {name: fact["splits"]["train"]["tokens"] for name, fact in facts.items()}
    weights = mixture_weights(config, sizes, config.tokens)
    return produce(
        out, kind="tokens", stage="mix", version=1, config=config,
        parents={"tokenizer": tokenizer, **sources},
        write=lambda draft: _write_mixture(draft, facts, weights),
    )  # fmt: skip


def mix_named(config: MixConfig, tokenizer: Artifact, out: Path, *, source: list[str]) -> Artifact:
    """Make a mixture of tokens artifacts, each source under its own name.

    tokenizer  the tokenizer of all sources
    source     NAME=DIR: tokens made by `groundup tokens`; give it twice or more

    Raises ConfigError for a source without a name or a duplicate name.
    """
    sources: dict[str, Artifact] = {}
    for argument in source:
        name, sign, path = argument.partition("=")
        if not (name and sign and path) or name in sources:
            expected = "must be NAME=DIR, each name once, such as web=tokens-web"
            raise ConfigError(f"source={argument!r} {expected}.")
        sources[name] = Artifact.open(Path(path), "tokens")
    return mix_tokens(config, sources, tokenizer, out)


def _write_mixture(
    draft: Draft, facts: Mapping[str, dict[str, Any]], weights: Mapping[str, float]
) -> None:
    sequence_counts = SourceSchedule(list(weights.values())).counts.tolist()
    counts = dict(zip(weights, sequence_counts, strict=True))
    write_json(draft.file(MIXTURE_FILE), {"weights": dict(weights), "rows": counts})
    splits: dict[str, dict[str, int]] = {}
    for fact in facts.values():
        for split, numbers in fact["splits"].items():
            own = splits.setdefault(split, {})
            own |= {name: own.get(name, 0) + number for name, number in numbers.items()}
    first = next(iter(facts.values()))
    write_json(draft.file("tokens.json"), first | {"splits": splits})
    draft.numbers |= {"weights": {name: round(share, 6) for name, share in weights.items()}}


def _read_token_facts(tokens: Artifact) -> dict[str, Any]:
    if tokens.kind != "tokens" or _is_mixture(tokens):
        raise ConfigError(
            f"{tokens.path} is a mixture or no tokens artifact; give its sources instead."
        )
    return json.loads(tokens.file("tokens.json").read_text(encoding="utf-8"))


def _is_mixture(tokens: Artifact) -> bool:
    return (tokens.path / MIXTURE_FILE).is_file()


def open_shards(tokens: Artifact, split: str) -> TokenShards:
    """The shards of a split: one, or those of a mixture, with their shares for training.

    Raises DataError for a source that was moved or replaced.
    """
    if not _is_mixture(tokens):
        return TokenShards([Shard.open(tokens, split)], None)
    weights = json.loads(tokens.file(MIXTURE_FILE).read_text(encoding="utf-8"))["weights"]
    shards = []
    for parent in tokens.parents:
        if parent.name not in weights:
            continue
        source = tokens.open_parent(parent)
        if source is None:
            raise DataError(
                f"Source {parent.name} {parent.id[:12]} of the mixture {tokens.path} is not at "
                f"{(tokens.path / parent.path).resolve()}; restore it or recreate the mixture."
            )
        if split == "train" or split in _read_token_facts(source)["splits"]:
            shards.append(replace(Shard.open(source, split), name=parent.name))
    if split == "train":
        return TokenShards(shards, weights)
    if not shards:
        raise DataError(f"No source of {tokens.path} has the split {split!r}.")
    return TokenShards([shard for shard in shards if len(shard)], None)
