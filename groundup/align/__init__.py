"""Align: conversations for supervised fine-tuning, and the fine-tuning itself.

`make_examples` creates conversations from a corpus, including refusals; `show_examples` prints them
with the trained tokens marked; `finetune` trains on them.
"""

from .examples import ExamplesConfig, make_examples, read_examples, show_examples
from .exchanges import REFUSAL_TEXT, ChatExample, is_refusal
from .finetune import FinetuneConfig, finetune

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
