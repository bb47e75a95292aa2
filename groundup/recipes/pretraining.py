"""`groundup pretrain`: the stage with what only a command line knows, and a voice for samples."""

from pathlib import Path
from typing import Literal

from groundup.core import Artifact
from groundup.generate import Engine
from groundup.tokenizer import load_tokenizer
from groundup.train import Beside, PretrainConfig
from groundup.train import pretrain as stage


def pretrain(
    config: PretrainConfig,
    tokens: Artifact,
    tokenizer: Artifact,
    out: Path,
    *,
    base: Artifact | None = None,
    vectors: Artifact | None = None,
    mesh: str = "",
    zero: Literal[1, 2, 3] = 3,
    schedule: Literal["gpipe", "1f1b"] = "1f1b",
    prompt: list[str] | None = None,
    profile: int | None = None,
    tensorboard: bool = False,
    ignore_memory: bool = False,
) -> Artifact:
    """Train a base model; a run that was stopped goes on from its last checkpoint.

    Started by `torchrun --nproc-per-node N -m groundup pretrain` it trains on N processes.

    tokens       shards made by `groundup tokens`, or a mixture of such
    tokenizer    the tokenizer that made them; it is copied into the model, as one that a model has
    base         a model to go on from, imported or trained here, in place of a new one
    vectors      vectors of ids, each named by its number, with which the embedding begins
    mesh         processes by dimension, such as data=2,tensor=2; without it all share the rows
    zero         along the dimension shard: 1 divides optimizer states, 2 gradients too, 3 weights
    schedule     order of passes along the dimension pipeline
    prompt       what the model continues at each validation, into its log; may be given again; on
                 many processes with a mesh of data alone
    profile      first of three steps, counted from 0, whose time is told operator by operator, in
                 the log
    tensorboard  whether metrics are written as event files too; needs the extra `tensorboard`
    ignore_memory  whether to start though a step needs more memory than there is, as far as known
    """
    words = load_tokenizer(tokenizer.path) if prompt else None
    beside = Beside(
        mesh=mesh, zero=zero, schedule=schedule, profile=profile, tensorboard=tensorboard,
        speaker=None if words is None else lambda model: Engine(model, words),
        prompts=tuple(prompt or ()), ignore_memory=ignore_memory,
    )  # fmt: skip
    return stage(config, tokens, tokenizer, out, base=base, vectors=vectors, beside=beside)
