"""Special tokens by what they are for: a vocabulary takes the sets that its models will need.

    chat       ends of documents and of turns; every vocabulary of ours has these
    encoder    [MASK] hides a token, [CLS] stands for a text, [SEP] ends each of two
    sentinels  <extra_id_0> … <extra_id_99> stand for the spans that T5 takes out
    middle     prefix, middle and suffix of a text whose middle is to be filled in

They have the last ids of a vocabulary in the order in which they are asked for, so what was asked
for first keeps its distance from the plain tokens, and the default set gives the ids that it gave.
Source: BERT: Devlin et al. 2018, arXiv:1810.04805; T5: Raffel et al. 2019, arXiv:1910.10683; names
of the middle's: Bavarian et al. 2022, arXiv:2207.14255, spelt as in Qwen's vocabularies.
"""

from collections.abc import Iterable

DOCUMENT_END = "<|endoftext|>"
SPECIALS = (DOCUMENT_END, "<|im_start|>", "<|im_end|>")
MASK, FIRST, SEPARATOR = "[MASK]", "[CLS]", "[SEP]"
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
PREFIX, MIDDLE, SUFFIX = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
SPECIAL_SETS: dict[str, tuple[str, ...]] = {
    "chat": SPECIALS,
    "encoder": (MASK, FIRST, SEPARATOR),
    "sentinels": SENTINELS,
    "middle": (PREFIX, MIDDLE, SUFFIX),
}
"""What a tokenizer's configuration may ask for by name."""


def spelt_out(specials: Iterable[str]) -> tuple[str, ...]:
    """Special tokens with the names of sets replaced by what is in them.

    >>> spelt_out(["chat", "encoder"])
    ('<|endoftext|>', '<|im_start|>', '<|im_end|>', '[MASK]', '[CLS]', '[SEP]')
    >>> spelt_out(["<|mine|>"])
    ('<|mine|>',)
    """
    return tuple(name for given in specials for name in SPECIAL_SETS.get(given, (given,)))
