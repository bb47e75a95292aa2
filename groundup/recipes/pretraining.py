"""`groundup pretrain`: the stage with its command-line options and a sampler."""

from pathlib import Path
from typing import Literal

from groundup.core import Artifact
from groundup.generate import Engine
from groundup.tokenizer import load_tokenizer
from groundup.train import PretrainConfig, RunOptions
from groundup.train import pretrain as stage


def pretrain_with_samples(
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
    """Train a base model; a stopped run resumes from its last checkpoint.

    `torchrun --nproc-per-node N -m groundup pretrain` trains on N processes.

    tokens       shards made by `groundup tokens`, or a mixture of them
    tokenizer    the tokenizer that made them, or a model that has it; it is copied into the model
    base         a model to continue training, imported or trained here, instead of a new one
    vectors      initial embedding vectors by token id
    mesh         processes by dimension, such as data=2,tensor=2; default: data parallel
    zero         stage along the dimension shard: 1 shards optimizer states, 2 also gradients,
                 3 also weights
    schedule     schedule along the dimension pipeline
    prompt       text to continue at each validation, into the log; repeatable; with several
                 processes only for a data-parallel mesh
    profile      first of three steps, counted from 0, to profile by operator, into the log
    tensorboard  also write metrics as event files; needs the extra `tensorboard`
    ignore_memory  start even if a step is estimated to exceed the memory
    """
    words = load_tokenizer(tokenizer.path) if prompt else None
    beside = RunOptions(
        mesh=mesh, zero=zero, schedule=schedule, profile=profile, tensorboard=tensorboard,
        make_generator=None if words is None else lambda model: Engine(model, words),
        prompts=tuple(prompt or ()), ignore_memory=ignore_memory,
    )  # fmt: skip
    return stage(config, tokens, tokenizer, out, base=base, vectors=vectors, run_options=beside)
