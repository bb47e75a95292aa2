"""Special tokens in named sets, by purpose.

    chat       ends of documents and turns; in every groundup vocabulary
    encoder    [MASK] hides a token, [CLS] represents a text, [SEP] ends each of two
    sentinels  <extra_id_0> … <extra_id_99> replace the spans that T5 removes
    middle     prefix, middle and suffix for fill-in-the-middle

They have the last ids of a vocabulary, in the order of the configuration: appending a set does not
change the ids of earlier ones. Source: BERT: Devlin et al. 2018, arXiv:1810.04805; T5: Raffel et
al. 2019, arXiv:1910.10683; fill-in-the-middle: Bavarian et al. 2022, arXiv:2207.14255, spelled as
in Qwen's vocabularies.
"""

from collections.abc import Iterable

DOCUMENT_END = "<|endoftext|>"
SPECIALS = (DOCUMENT_END, "<|im_start|>", "<|im_end|>")
MASK, CLS, SEPARATOR = "[MASK]", "[CLS]", "[SEP]"
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
PREFIX, MIDDLE, SUFFIX = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
SPECIAL_SETS: dict[str, tuple[str, ...]] = {
    "chat": SPECIALS,
    "encoder": (MASK, CLS, SEPARATOR),
    "sentinels": SENTINELS,
    "middle": (PREFIX, MIDDLE, SUFFIX),
}
"""Sets that a tokenizer configuration can name."""


def expand_special_sets(specials: Iterable[str]) -> tuple[str, ...]:
    """Special tokens with the names of sets expanded.

    >>> expand_special_sets(["chat", "encoder"])
    ('<|endoftext|>', '<|im_start|>', '<|im_end|>', '[MASK]', '[CLS]', '[SEP]')
    >>> expand_special_sets(["<|mine|>"])
    ('<|mine|>',)
    """
    return tuple(
        name for name_or_set in specials for name in SPECIAL_SETS.get(name_or_set, (name_or_set,))
    )
