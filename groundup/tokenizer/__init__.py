"""Tokenizer: how do texts become ids, conversations ids and a loss mask, and corpora batches?"""

from .bpe import PATTERNS, BytePairs, train_bpe, well_formed
from .chat import TEMPLATE, Rendered, render, template_digest
from .fast import FastTokenizer
from .files import TokenizerConfig, load, save, train_tokenizer, write_tokenizer
from .imported.gguf import tokenizer_of_gguf
from .imported.opening import ids_needed, load_tokenizer, save_imported
from .imported.sandbox import Sandbox as TemplateSandbox
from .imported.templates import PLAIN, ChatTemplate, template_of
from .imported.tokenizer import Frame, ImportedTokenizer
from .loader import Batch, Loader
from .mixing import MixConfig, Reading, mix, mix_named, open_text
from .packing import Packed, pack_examples
from .shards import Shard, Text, TokensConfig, document_frame, tokens, write_tokens
from .specials import (
    DOCUMENT_END,
    FIRST,
    MASK,
    MIDDLE,
    PREFIX,
    SENTINELS,
    SEPARATOR,
    SPECIAL_SETS,
    SPECIALS,
    SUFFIX,
    spelt_out,
)
from .units import Cut, UnitTokenizer, measure_cut, train_units

__all__ = [
    "DOCUMENT_END",
    "FIRST",
    "MASK",
    "MIDDLE",
    "PATTERNS",
    "PLAIN",
    "PREFIX",
    "SENTINELS",
    "SEPARATOR",
    "SPECIALS",
    "SPECIAL_SETS",
    "SUFFIX",
    "TEMPLATE",
    "Batch",
    "BytePairs",
    "ChatTemplate",
    "Cut",
    "FastTokenizer",
    "Frame",
    "ImportedTokenizer",
    "Loader",
    "MixConfig",
    "Packed",
    "Reading",
    "Rendered",
    "Shard",
    "TemplateSandbox",
    "Text",
    "TokenizerConfig",
    "TokensConfig",
    "UnitTokenizer",
    "document_frame",
    "ids_needed",
    "load",
    "load_tokenizer",
    "measure_cut",
    "mix",
    "mix_named",
    "open_text",
    "pack_examples",
    "render",
    "save",
    "save_imported",
    "spelt_out",
    "template_digest",
    "template_of",
    "tokenizer_of_gguf",
    "tokens",
    "train_bpe",
    "train_tokenizer",
    "train_units",
    "well_formed",
    "write_tokenizer",
    "write_tokens",
]
