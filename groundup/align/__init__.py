"""Align: which conversations is a model tuned on, and how is it tuned?

`make_examples` makes conversations from a corpus, refusals included; `show_examples` prints them
with the trained tokens marked.
"""

from .examples import Example, ExamplesConfig, make_examples, read_examples
from .finetune import FinetuneConfig, finetune
from .names import is_refusal, refuse
from .show import show_examples

__all__ = [
    "Example",
    "ExamplesConfig",
    "FinetuneConfig",
    "finetune",
    "is_refusal",
    "make_examples",
    "read_examples",
    "refuse",
    "show_examples",
]
