"""Tokenizer: how do texts become ids, conversations ids and a loss mask, and corpora batches?"""

from .bpe import (
    CLS,
    DOCUMENT_END,
    MASK,
    MIDDLE,
    PATTERNS,
    PREFIX,
    SENTINELS,
    SEPARATOR,
    SPECIAL_SETS,
    SPECIALS,
    SUFFIX,
    ReferenceBPE,
    train_bpe,
    well_formed,
)
from .chat import CHATML_TEMPLATE, RenderedChat, render, template_digest
from .fast import FastTokenizer
from .files import (
    TokenizerConfig,
    load_bpe_tokenizer,
    save_tokenizer,
    train_tokenizer,
    write_tokenizer,
)
from .imported.gguf import tokenizer_of_gguf
from .imported.gguf_writing import gguf_of_tokenizer
from .imported.opening import load_tokenizer, required_vocab_size, save_imported
from .imported.sandbox import TemplateSandbox
from .imported.templates import PLAIN_TEMPLATE, ChatTemplate, load_chat_template
from .imported.tokenizer import ImportedTokenizer, SpecialFrame
from .loader import Loader, TextBatch
from .mixing import MixConfig, TokenShards, mix_named, mix_tokens, open_shards
from .packing import PackedSequences, first_fit, pack_examples
from .shards import (
    DocumentText,
    Shard,
    TokensConfig,
    document_special_ids,
    encode_corpus,
    write_tokens,
)

__all__ = [
    "CHATML_TEMPLATE",
    "CLS",
    "DOCUMENT_END",
    "MASK",
    "MIDDLE",
    "PATTERNS",
    "PLAIN_TEMPLATE",
    "PREFIX",
    "SENTINELS",
    "SEPARATOR",
    "SPECIALS",
    "SPECIAL_SETS",
    "SUFFIX",
    "ChatTemplate",
    "DocumentText",
    "FastTokenizer",
    "ImportedTokenizer",
    "Loader",
    "MixConfig",
    "PackedSequences",
    "ReferenceBPE",
    "RenderedChat",
    "Shard",
    "SpecialFrame",
    "TemplateSandbox",
    "TextBatch",
    "TokenShards",
    "TokenizerConfig",
    "TokensConfig",
    "document_special_ids",
    "encode_corpus",
    "first_fit",
    "gguf_of_tokenizer",
    "load_bpe_tokenizer",
    "load_chat_template",
    "load_tokenizer",
    "mix_named",
    "mix_tokens",
    "open_shards",
    "pack_examples",
    "render",
    "required_vocab_size",
    "save_imported",
    "save_tokenizer",
    "template_digest",
    "tokenizer_of_gguf",
    "train_bpe",
    "train_tokenizer",
    "well_formed",
    "write_tokenizer",
    "write_tokens",
]
