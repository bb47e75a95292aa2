"""Samples: the model's continuations of a few fixed prompts during training.

The model is passed as a LanguageModel that reads the weights being trained, such as an engine
around them: this room does not know how text is generated.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from groundup.core import LanguageModel, Message, Sampling, record

from ..loop import TrainStep

SAMPLES_KEY = "samples"


def generate_samples(
    steps: Iterable[TrainStep],
    sampler: LanguageModel,
    prompts: Sequence[str],
    due: Callable[[int], bool],
    metrics: record.MetricsFile,
    *,
    model: nn.Module | None = None,
    generation: Sampling | None = None,
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[TrainStep]:
    """After due steps, let the model answer each prompt, and write the answers to the metrics.

    due         whether to sample after a step, by its number from 0
    model       module to put back into training mode; None if the sampler does so
    generation  default: greedy, 48 tokens
    within      context for generation, such as averaged weights

    Random states of the run do not change, so a run with samples gives the same bits.
    """
    generation = generation or Sampling(max_tokens=48)
    for step in steps:
        if prompts and due(step.number):
            with torch.random.fork_rng(), torch.no_grad(), within():
                answers = sampler.generate(
                    [(Message("user", each),) for each in prompts], generation
                )
            if model is not None:
                model.train()
            texts = [
                {"prompt": prompt, "text": answer.text}
                for prompt, answer in zip(prompts, answers, strict=True)
            ]
            metrics.write(step=step.number, **{SAMPLES_KEY: texts})
        yield step
