"""Conversations of an encoder–decoder: what was said is the source, an answer the target.

    source    the turns before an answer, line by line, in the frame of the model's sources
    target    the ids that its decoder begins with, the answer, and what ends a text

Each answer is an example. Rows hold several, each a document, so that a target attends to its own
source alone; a row's sources and its targets each take at most `length` tokens.
"""

from collections.abc import Sequence
from pathlib import Path

from groundup.core import DataError
from groundup.generate import PromptEncoder, SourceFrame, read_model_text
from groundup.tokenizer import first_fit
from groundup.train import MicroBatch, SourceTarget, sequence_batch

from .examples.exchanges import ChatExample
from .packing import PackedTalks

LENGTH_STEP = 32
"""Rows are padded to multiples of this, which limits the number of shapes."""


class SourceFormat:
    """How an encoder–decoder reads conversations and answers, by the files of its directory."""

    def __init__(self, path: Path) -> None:
        """Read a model directory; raises ArtifactError for files that are damaged."""
        text = read_model_text(path, needs_template=False)
        self.end = text.end_ids[0]
        self.frame = text.frame or SourceFrame(self.end, after=(self.end,))
        self.tokenizer = text.tokenizer
        self.encoder = PromptEncoder(self.tokenizer, None, self.frame)

    def pack(self, talks: Sequence[ChatExample], length: int) -> PackedTalks:
        """Pack every answer of some conversations, longest first.

        Raises DataError naming a conversation without an answer to what was said, and if no answer
        is left.
        """
        pairs, names = list[SourceTarget](), list[str]()
        for talk in talks:
            own = self._examples(talk)
            if not own:
                what = f"{talk.id} has no answer to train on"
                raise DataError(f"{what}; add an assistant's turn or omit it.")
            pairs += own
            names += [talk.id] * len(own)
        sizes = {at: max(map(len, pair)) for at, pair in enumerate(pairs)}
        fits = {at: size for at, size in sizes.items() if size <= length}
        what = f"tokens of a source or an answer; a row of length={length} takes {length}."
        dropped = [f"{names[at]} has {sizes[at]} {what}" for at in sizes if at not in fits]
        if not fits:
            raise DataError(f"No answer to pack: all {len(pairs)} were too long. {dropped[0]}")
        rows = [[pairs[at] for at in row] for row in first_fit(fits, length)]

        def batch(chosen: Sequence[int]) -> MicroBatch:
            names, picked = tuple(f"row {at}" for at in chosen), [rows[at] for at in chosen]
            return sequence_batch(picked, start=self.frame.start, names=names, multiple=LENGTH_STEP)

        return PackedTalks(len(rows), batch, dropped, [self.end])

    def _examples(self, talk: ChatExample) -> list[SourceTarget]:
        turns, pairs = talk.messages, list[SourceTarget]()
        for place, turn in enumerate(turns):
            if turn.role == "assistant" and place:
                target = [*self.frame.forced, *self.tokenizer.encode(turn.content), self.end]
                pairs.append(SourceTarget(self.encoder.prompt_ids(turns[:place]), target))
        return pairs
