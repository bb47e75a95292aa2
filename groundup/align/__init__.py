"""Align: which conversations is a model tuned on, and how is it tuned?

`make_examples` makes conversations from a corpus, refusals included; `show_examples` prints them
with the trained tokens marked.
"""

from .examples import Example, ExamplesConfig, make_examples, read_examples
from .finetune import FinetuneConfig, finetune
from .names import REFUSAL, is_refusal
from .show import show_examples

__all__ = [
    "REFUSAL",
    "Example",
    "ExamplesConfig",
    "FinetuneConfig",
    "finetune",
    "is_refusal",
    "make_examples",
    "read_examples",
    "show_examples",
]
