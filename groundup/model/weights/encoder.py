"""Text to vectors by an encoder's directory: what a retriever asks of a model.

    encoder = load_encoder("all-MiniLM-L6-v2")
    encoder.embed(["A cat sits.", "A dog runs."])      float32, one row a text

Texts are cut where the directory says, padded to the longest of a batch of like lengths, and what
stands around them ([CLS], [SEP]) is their tokenizer's. A vector does not depend on its neighbours.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from groundup.core import ArtifactError

from ..heads import Head, HeadConfig, WithHead
from .directory import load
from .sentences import MODULES, Sentences, read_sentences

BATCH = 32


class TextEncoder:
    """Vectors of texts; its `embed` is that of the LanguageModel contract."""

    def __init__(
        self,
        model: WithHead,
        encode: Callable[[str], list[int]],
        limit: int,
        *,
        before: Sequence[int] = (),
        after: Sequence[int] = (),
        prompt: str = "",
    ) -> None:
        """Take a model with a head of vectors, and how its texts become ids.

        encode         ids of a text, such as a tokenizer's
        limit          most ids of a text, those around it included
        before, after  ids around every text
        prompt         what every text begins with

        Raises ArtifactError if the ids around a text leave no place for it.
        """
        self.model, self.encode, self.prompt = model, encode, prompt
        self.before, self.after = list(before), list(after)
        self.room = limit - len(self.before) - len(self.after)
        if self.room < 1:
            raise ArtifactError(
                f"{limit} ids a text leave no place between the {limit - self.room} around it."
            )

    def ids(self, text: str) -> list[int]:
        """The ids that the model sees of a text."""
        inner = self.encode(self.prompt + text)[: self.room]
        return [*self.before, *inner, *self.after]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector a text, float32 (number of texts, width)."""
        rows = [self.ids(text) for text in texts]
        width = next(self.model.parameters()).shape[-1]
        vectors = np.zeros((len(rows), width), dtype=np.float32)
        for chosen in batches([len(row) for row in rows]):
            vectors[chosen] = self.vectors([rows[i] for i in chosen])
        return vectors

    @torch.inference_mode()
    def vectors(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """Vectors of one batch of ids, padded on the right."""
        place = next(self.model.parameters()).device
        longest = max(1, *(len(row) for row in rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        documents = torch.full_like(ids, -1)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            documents[i, : len(row)] = 0
        return self.model(ids.to(place), documents=documents.to(place)).float().cpu().numpy()


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows of like lengths, so that little of a batch is padding.

    >>> list(batches([5, 1, 4]))
    [[1, 2, 0]]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


def load_encoder(
    path: Path | str, head: HeadConfig | None = None, dtype: torch.dtype | None = None
) -> TextEncoder:
    """Open a directory that gives vectors of texts, with its tokenizer.

    head   how states become a vector; None: as the directory's modules.json says

    Raises ArtifactError if neither says it, or the directory is not whole.
    """
    path = Path(path)
    if head is None and not (path / MODULES).is_file():
        raise ArtifactError(
            f"{path} has no {MODULES} that says how states become a vector; give a head, such as "
            "HeadConfig(kind='embedding', pooling='mean')."
        )
    from groundup.tokenizer import ImportedTokenizer, load_tokenizer  # weights need no tokenizer

    found = read_sentences(path) if head is None else Sentences(path, head)
    model, tokenizer = load(found.encoder, dtype), load_tokenizer(found.encoder)
    before, after = (), ()
    if isinstance(tokenizer, ImportedTokenizer):
        before, after = tokenizer.frame
    context = model.config.context_length
    return TextEncoder(
        WithHead(model, Head(found.head, model.config.width)).eval(), tokenizer.encode,
        min(found.limit or context, context), before=before, after=after, prompt=found.prompt,
    )  # fmt: skip
