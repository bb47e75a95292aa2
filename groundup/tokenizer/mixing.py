"""A mixture: several tokens artifacts that a training run reads as one, by shares.

    mixture.json    the share of each source, and the rows that it has of every cycle
    tokens.json     number type, tokenizer and counts, like any tokens artifact's

The shards stay where they are: the sources are the mixture's parents, found by their paths and held
to their ids. Whoever trains opens either kind with `open_text`. Held-out splits are never mixed by
shares: they are read as they are, one source behind the other.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from groundup.core import Artifact, ConfigError, DataError, Draft, produce, write_json
from groundup.corpus import MixtureConfig, Turns, weights_of

from .shards import Shard

FILE = "mixture.json"


class MixConfig(MixtureConfig):
    """Which shares, for a run of which length."""

    tokens: int = Field(ge=1)
    """Tokens that the run will read: what the cap on epochs is about."""


class Reading(NamedTuple):
    """What a run reads: shards, and their shares if they are mixed."""

    shards: list[Shard]
    mixture: dict[str, float] | None


def mix(
    config: MixConfig, sources: Mapping[str, Artifact], tokenizer: Artifact, out: Path
) -> Artifact:
    """Make a mixture of tokens artifacts that one tokenizer made.

    sources  name of each source to its tokens

    Raises ConfigError if there are fewer than two, if they differ in tokenizer, or if the cap on
    epochs cannot hold.
    """
    if len(sources) < 2 or "tokenizer" in sources:
        raise ConfigError(
            "A mixture needs two sources or more, none of them called tokenizer; got "
            f"{', '.join(sources) or 'none'}."
        )
    facts = {name: about(source) for name, source in sources.items()}
    digests = {name: fact["tokenizer"] for name, fact in facts.items()}
    if len(set(digests.values())) > 1:
        told = ", ".join(f"{name}: {one[:12]}" for name, one in digests.items())
        raise ConfigError(f"Sources of a mixture need one tokenizer; got {told}.")
    sizes = {name: fact["splits"]["train"]["tokens"] for name, fact in facts.items()}
    weights = weights_of(config, sizes, config.tokens)
    return produce(
        out,
        kind="tokens",
        stage="mix",
        version=1,
        config=config,
        parents={"tokenizer": tokenizer, **sources},
        write=lambda draft: write_mixture(draft, facts, weights),
    )


def mix_named(config: MixConfig, tokenizer: Artifact, out: Path, *, source: list[str]) -> Artifact:
    """Make a mixture of tokens, each source under a name of its own.

    tokenizer  the tokenizer that made all of them
    source     NAME=DIR: tokens made by `groundup tokens`; give it twice or more

    Raises ConfigError for a source without a name, or for two of one name.
    """
    sources: dict[str, Artifact] = {}
    for given in source:
        name, sign, place = given.partition("=")
        if not (name and sign and place) or name in sources:
            raise ConfigError(
                f"source={given!r} must be NAME=DIR, each name once, such as web=tokens-web."
            )
        sources[name] = Artifact.open(Path(place), "tokens")
    return mix(config, sources, tokenizer, out)


def write_mixture(
    draft: Draft, facts: Mapping[str, dict[str, Any]], weights: Mapping[str, float]
) -> None:
    """Write the two files; the body of the stage."""
    rows = Turns(list(weights.values())).counts.tolist()
    counts = dict(zip(weights, rows, strict=True))
    write_json(draft.file(FILE), {"weights": dict(weights), "rows": counts})
    splits: dict[str, dict[str, int]] = {}
    for fact in facts.values():
        for split, numbers in fact["splits"].items():
            own = splits.setdefault(split, {})
            own |= {name: own.get(name, 0) + number for name, number in numbers.items()}
    first = next(iter(facts.values()))
    write_json(draft.file("tokens.json"), first | {"splits": splits})
    draft.numbers |= {"weights": {name: round(share, 6) for name, share in weights.items()}}


def about(tokens: Artifact) -> dict[str, Any]:
    """What tokens.json says; ConfigError for a mixture of mixtures."""
    if tokens.kind != "tokens" or is_mixture(tokens):
        raise ConfigError(f"{tokens.path} is no tokens artifact of its own; give what it is of.")
    return json.loads(tokens.file("tokens.json").read_text(encoding="utf-8"))


def is_mixture(tokens: Artifact) -> bool:
    """Whether a tokens artifact is a mixture of others."""
    return (tokens.path / FILE).is_file()


def open_text(tokens: Artifact, split: str) -> Reading:
    """The shards of a split: one, or those of a mixture, with its shares for training.

    Raises DataError for a source that is not where it was, or is another one now.
    """
    if not is_mixture(tokens):
        return Reading([Shard.open(tokens, split)], None)
    weights = json.loads(tokens.file(FILE).read_text(encoding="utf-8"))["weights"]
    shards = []
    for parent in tokens.parents:
        if parent.name not in weights:
            continue
        source = tokens.open_parent(parent)
        if source is None:
            raise DataError(
                f"{parent.name} {parent.id[:12]}, of which the mixture {tokens.path} was made, is "
                f"not at {(tokens.path / parent.path).resolve()}; bring it back, or make the "
                "mixture again."
            )
        if split == "train" or split in about(source)["splits"]:
            shards.append(replace(Shard.open(source, split), name=parent.name))
    if split == "train":
        return Reading(shards, weights)
    if not shards:
        raise DataError(f"No source of {tokens.path} has the split {split!r}.")
    return Reading([shard for shard in shards if len(shard)], None)
