"""Align: conversations for supervised fine-tuning, and the fine-tuning itself.

`make_examples` creates conversations from a corpus, including refusals; `show_examples` prints them
with the trained tokens marked; `finetune` trains on them.
"""

from .examples import ChatExample, ExamplesConfig, make_examples, read_examples
from .finetune import FinetuneConfig, finetune
from .names import REFUSAL_TEXT, is_refusal
from .show import show_examples

__all__ = [
    "REFUSAL_TEXT",
    "ChatExample",
    "ExamplesConfig",
    "FinetuneConfig",
    "finetune",
    "is_refusal",
    "make_examples",
    "read_examples",
    "show_examples",
]
