"""A reward model: a decoder with a head that scores an answer at its end, or each step at its end.

    answers   LlamaForSequenceClassification and the like, one number      -> r
    steps     LlamaForTokenClassification and the like, wrong or right     -> p(right) of each

A conversation is rendered with the model's chat template and scored at the token that ends it. An
answer's steps are its lines; each is scored at the token that ends it, and the answer is worth its
worst step. The positions are counted, never found by an id: padding may equal the stop.
"""

from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from groundup.core import Conversation, DataError, Message, device
from groundup.model import Head, HeadConfig, ModelWithHead, Transformer, load_with_head
from groundup.train import MicroBatch

from ..form import ChatFormat, load_chat_format
from ..packing import PADDING, ScoredText, answer_states, values_of_targets

RIGHT = 1
ANSWER_HEAD = HeadConfig(kind="number", pooling="last", bias=False)
STEP_HEAD = HeadConfig(kind="token", labels=2, names=("wrong", "right"))


def scored_answer(
    form: ChatFormat, conversation: Conversation, name: str, margin: float = 0.0
) -> ScoredText:
    """A conversation that is scored at the token that ends its last answer."""
    ids = _ids_to_stop(form, conversation, name)
    return ScoredText(np.array(ids), _labels(len(ids), {len(ids) - 1: True}), margin)


def scored_steps(
    form: ChatFormat, prompt: Conversation, steps: Sequence[str], labels: Sequence[bool], name: str
) -> ScoredText:
    """A prompt with an answer of one line a step, each scored at the token that ends it.

    Raises DataError if two steps end with the same token.
    """

    def ids(*lines: str) -> list[int]:
        return _ids_to_stop(form, (*prompt, Message("assistant", "\n".join(lines))), name)

    whole, ends = ids(*steps), list[int]()
    for count in range(1, len(steps)):
        pairs = zip(whole, ids(*steps[:count], ""), strict=False)
        ends.append(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) - 1)
    ends.append(len(whole) - 1)
    if ends != sorted({*ends}):
        raise DataError(f"{name}: two of its steps end with the same token; give no empty steps.")
    return ScoredText(np.array(whole), _labels(len(whole), dict(zip(ends, labels, strict=True))))


def _ids_to_stop(form: ChatFormat, conversation: Conversation, name: str) -> list[int]:
    """The ids of a conversation up to the one that ends its last answer."""
    rendered = form.render(conversation, name)
    return rendered.ids[: len(rendered.mask) - rendered.mask[::-1].index(True)]


def _labels(length: int, found: dict[int, bool]) -> np.ndarray:
    labels = np.full(length, PADDING)
    labels[list(found)] = list(found.values())
    return labels


def scores_of(module: ModelWithHead, batch: MicroBatch) -> Tensor:
    """What the head says at the scored positions, row by row: (N,) numbers or (N, 2) logits."""
    states = answer_states(module.model, batch)
    scores = module.head(states[:, None])  # a text of one token each
    return scores if scores.ndim == 1 else scores[:, 0]


def right_probabilities(scores: np.ndarray) -> np.ndarray:
    """p(right) of steps from their two logits."""
    odds = scores[:, 1 - RIGHT].astype(np.float64) - scores[:, RIGHT]
    return 1 / (1 + np.exp(np.minimum(odds, 700)))


class RewardModel(NamedTuple):
    """A trained reward model, ready to score."""

    module: ModelWithHead
    context: int
    """Tokens that it reads."""
    form: ChatFormat
    path: Path
    is_of_steps: bool = False
    """Whether it scores steps."""

    @classmethod
    def open(cls, path: Path) -> "RewardModel":
        """Open what `groundup reward` wrote; DataError for another kind of model."""
        module = load_with_head(path).to(device.default_device())
        body, head = module.model, module.head
        kinds = (ANSWER_HEAD.kind, STEP_HEAD.kind)
        if (
            not isinstance(body, Transformer) or not isinstance(head, Head)
            or body.config.kind != "decoder" or head.config.kind not in kinds
        ):  # fmt: skip
            raise DataError(f"{path} is no reward model; train one with `groundup reward`.")
        form, is_of_steps = load_chat_format(path, ""), head.config.kind == STEP_HEAD.kind
        return cls(module, body.config.context_length, form, path, is_of_steps)

    def score(self, conversations: Sequence[Conversation]) -> Float64[np.ndarray, " N"]:
        """The score of each conversation's last answer: a number, or p(right) of its worst step.

        Raises DataError for an answer that is longer than the model's context.
        """
        texts = [self._scored(each) for each in conversations]
        if (longest := max((each.length for each in texts), default=0)) > self.context:
            raise DataError(
                f"The reward model {self.path} reads {self.context} tokens, and an answer with its "
                f"prompt has {longest}; sample shorter ones, or train one of a longer context."
            )
        place = next(self.module.parameters()).device
        found = values_of_targets(texts, self.context, place, partial(scores_of, self.module))
        worth = [right_probabilities(e).min() if self.is_of_steps else e.item() for e in found]
        return np.array(worth, np.float64)

    def _scored(self, conversation: Conversation) -> ScoredText:
        if not self.is_of_steps:
            return scored_answer(self.form, conversation, "an answer")
        steps = [line for line in conversation[-1].content.split("\n") if line.strip()] or [""]
        good = [True] * len(steps)
        return scored_steps(self.form, conversation[:-1], steps, good, "an answer")
