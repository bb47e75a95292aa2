"""Samples: what the model says in the middle of its training, to a few prompts, always the same.

The model is handed in as a LanguageModel that reads the weights being trained, such as an engine
around them: this room knows how weights change, not how text is generated.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from groundup.core import LanguageModel, Message, Sampling, record

from ..loop import Step

SAMPLES = "samples"


def sampling(
    steps: Iterable[Step],
    speaker: LanguageModel,
    prompts: Sequence[str],
    due: Callable[[int], bool],
    metrics: record.Metrics,
    *,
    model: nn.Module | None = None,
    how: Sampling | None = None,
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[Step]:
    """After steps that are due let the model answer each prompt, and write the answers down.

    due     whether a step's number, from 0, is one of them
    model   what is trained: it is put back to training; None if the speaker keeps it so
    how     default: greedily, 48 tokens
    within  in which it speaks, such as with the mean of the weights in their place

    Random numbers of the run stay as they were, so a run with samples ends with the same bits.
    """
    how = how or Sampling(max_tokens=48)
    for step in steps:
        if prompts and due(step.number):
            with torch.random.fork_rng(), torch.no_grad(), within():
                answers = speaker.generate([(Message("user", each),) for each in prompts], how)
            if model is not None:
                model.train()
            texts = [
                {"prompt": prompt, "text": answer.text}
                for prompt, answer in zip(prompts, answers, strict=True)
            ]
            metrics.write(step=step.number, **{SAMPLES: texts})
        yield step
