"""Text embeddings from an encoder's directory, for retrieval.

    encoder = load_encoder("all-MiniLM-L6-v2")
    encoder.embed(["A cat sits.", "A dog runs."])      float32, one row per text

Texts are truncated at the directory's limit, batched by length and padded; the tokenizer adds
special tokens ([CLS], [SEP]). An embedding does not depend on the other texts of its batch.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from groundup.core import ArtifactError

from ..heads import Head, HeadConfig, ModelWithHead
from ..transformer import Transformer
from .heads import MODULES, SentenceEncoderSpec, load_body, read_sentence_encoder

BATCH = 32


class TextEncoder:
    """Embeds texts; its `embed` is that of the LanguageModel contract."""

    def __init__(
        self, model: ModelWithHead, encode: Callable[[str], list[int]], limit: int, *,
        before: Sequence[int] = (), after: Sequence[int] = (), prompt: str = "",
    ) -> None:  # fmt: skip
        """Take a model with an embedding head, and how texts become ids.

        encode         gives the ids of a text, such as a tokenizer's method
        limit          maximum ids of a text, special tokens included
        before, after  special token ids around every text
        prompt         prefix of every text

        Raises ArtifactError if the special tokens leave no room for text.
        """
        self.model, self.encode, self.prompt = model, encode, prompt
        self.before, self.after = list(before), list(after)
        self.max_tokens = limit - len(self.before) - len(self.after)
        if self.max_tokens < 1:
            what = f"A limit of {limit} ids leaves no room for text besides"
            raise ArtifactError(f"{what} {limit - self.max_tokens} special tokens.")

    def input_ids(self, text: str) -> list[int]:
        """The model's input ids of a text, truncated."""
        inner = self.encode(self.prompt + text)[: self.max_tokens]
        return [*self.before, *inner, *self.after]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector per text, float32 (texts, width)."""
        rows = [self.input_ids(text) for text in texts]
        body = self.model.model
        assert isinstance(body, Transformer), "its width is that of the vectors"
        vectors = np.zeros((len(rows), body.config.width), dtype=np.float32)
        for chosen in _length_batches([len(row) for row in rows]):
            vectors[chosen] = self.embed_batch([rows[i] for i in chosen])
        return vectors

    @torch.inference_mode()
    def embed_batch(self, sequences: Sequence[Sequence[int]]) -> np.ndarray:
        """Vectors of one batch of ids, padded on the right."""
        device = next(self.model.parameters()).device
        longest = max(1, *(len(row) for row in sequences))
        ids = torch.zeros(len(sequences), longest, dtype=torch.long)
        documents = torch.full_like(ids, -1)
        for i, row in enumerate(sequences):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            documents[i, : len(row)] = 0
        return self.model(ids.to(device), documents=documents.to(device)).float().cpu().numpy()


def _length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts grouped by similar lengths, to minimise padding.

    >>> list(_length_batches([5, 1, 4]))
    [[1, 2, 0]]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


def load_encoder(
    path: Path | str, head: HeadConfig | None = None, dtype: torch.dtype | None = None
) -> TextEncoder:
    """Open an embedding model's directory, with its tokenizer.

    head   how states become a vector; None: as the directory's modules.json says

    Raises ArtifactError if there is neither, or the directory is incomplete.
    """
    path = Path(path)
    if head is None and not (path / MODULES).is_file():
        what = f"{path} has no {MODULES} with its pooling; pass a head"
        raise ArtifactError(f"{what}, such as HeadConfig(kind='embedding', pooling='mean').")
    from groundup.tokenizer import ImportedTokenizer, load_tokenizer  # lazy: only needed here

    spec = read_sentence_encoder(path) if head is None else SentenceEncoderSpec(path, head)
    model, tokenizer = load_body(spec.encoder, dtype), load_tokenizer(spec.encoder)
    before, after = (), ()
    if isinstance(tokenizer, ImportedTokenizer):
        before, after = tokenizer.frame
    context = model.config.context_length
    return TextEncoder(
        ModelWithHead(model, Head(spec.head, model.config.width)).eval(), tokenizer.encode,
        min(spec.limit or context, context), before=before, after=after, prompt=spec.prompt,
    )  # fmt: skip
