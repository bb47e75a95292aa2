"""What jaxtyping's hook puts around every function of groundup under pytest.

Types and shapes are checked as written; an int is a float where a float is asked for, as in Python.
While torch.compile traces a function there are no tensors to check, so the checks step aside.
"""

import torch
from beartype import BeartypeConf, beartype
from jaxtyping import config

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
type(config).jaxtyping_disable = property(lambda self: torch.compiler.is_compiling())
