"""Answers to one prompt in one row, which computes the prompt once.

    row   prompt without its last token | that token, answer 1 | that token, answer 2 | …

Prompts end, and answers begin, at the same position of every row, so that each answer attends as if
it stood alone behind its prompt. Where answers differ much in length, rows of whole texts hold
fewer positions (packing.py).
"""

from collections.abc import Sequence

import numpy as np

from groundup.kernels import Branches
from groundup.train import MicroBatch

from ..packing import RenderedAnswer, batch_of_rows, empty_rows


def fork_rows(answers: Sequence[RenderedAnswer], count: int, row_tokens: int) -> MicroBatch | None:
    """Rows of answers that share a prompt; None if whole texts take fewer positions.

    answers     `count` to each prompt, one prompt after the other
    row_tokens  positions of a row at most; more answers go to further rows, with their prompt
    """
    begins = [int(each.is_answer.argmax()) for each in answers]
    ends = [len(each.ids) - begin for each, begin in zip(answers, begins, strict=True)]
    trunk, length = max(begins) - 1, max(ends)
    per_row = min(count, (row_tokens - trunk) // length)
    if per_row < 2 or trunk < 1:
        return None
    rows_each = -(-count // per_row)
    per_row = -(-count // rows_each)
    rows, positions = len(answers) // count * rows_each, trunk + per_row * length
    if rows * positions >= sum(each.length for each in answers):
        return None
    made = empty_rows(rows, positions)
    for at, (each, begin) in enumerate(zip(answers, begins, strict=True)):
        group, number = divmod(at, count)
        row, number = group * rows_each + number // per_row, number % per_row
        start = trunk + number * length
        places = slice(start, start + ends[at])
        for name, values in each.columns().items():
            own = np.asarray(values)
            made[name][row, places] = own[begin - 1 :] if own.ndim else own
        made["positions"][row, places] = np.arange(begin - 1, each.length)
        made["documents"][row, places] = row * (per_row + 1) + number + 1
        made["weights"][row, start] = 1.0
        if not number:
            prompt = slice(trunk - begin + 1, trunk)
            made["ids"][row, prompt] = each.ids[: begin - 1]
            made["positions"][row, prompt] = np.arange(begin - 1)
            made["documents"][row, prompt] = row * (per_row + 1)
    return batch_of_rows(made, Branches(trunk, per_row))
