"""Answers to one prompt in one row, which computes the prompt once.

    row   prompt without its last token | that token, answer 1 | that token, answer 2 | …

Prompts end, and answers begin, at the same position of every row, so that each answer attends as if
it stood alone behind its prompt. Where answers differ much in length, rows of whole texts hold
fewer positions (packing.py).
"""

from collections.abc import Sequence

import numpy as np
import torch

from groundup.kernels import Branches
from groundup.train import MicroBatch

from ..packing import FILLINGS, RenderedAnswer


def fork_rows(answers: Sequence[RenderedAnswer], count: int) -> MicroBatch | None:
    """Rows of `count` answers to one prompt each; None if whole texts take fewer positions."""
    begins = [int(each.is_answer.argmax()) for each in answers]
    ends = [len(each.ids) - begin for each, begin in zip(answers, begins, strict=True)]
    trunk, length, rows = max(begins) - 1, max(ends), len(answers) // count
    shape = rows, trunk + count * length
    if count < 2 or trunk < 1 or rows * shape[1] >= sum(each.length for each in answers):
        return None
    made = {
        name: np.full(shape, filling, np.float32 if isinstance(filling, float) else np.int64)
        for name, filling in FILLINGS.items()
    }
    for at, (each, begin) in enumerate(zip(answers, begins, strict=True)):
        row, number = divmod(at, count)
        start = trunk + number * length
        places = slice(start, start + ends[at])
        for name, values in each.columns().items():
            own = np.asarray(values)
            made[name][row, places] = own[begin - 1 :] if own.ndim else own
        made["positions"][row, places] = np.arange(begin - 1, each.length)
        made["documents"][row, places] = row * (count + 1) + number + 1
        made["weights"][row, start] = 1.0
        if not number:
            made["ids"][row, trunk - begin + 1 : trunk] = each.ids[: begin - 1]
            made["positions"][row, trunk - begin + 1 : trunk] = np.arange(begin - 1)
            made["documents"][row, trunk - begin + 1 : trunk] = row * (count + 1)
    tensors = {name: torch.from_numpy(values) for name, values in made.items()}
    batch = MicroBatch(tensors["ids"], tensors["targets"], tensors["weights"], None)
    return batch._replace(**tensors, branches=Branches(trunk, count))
