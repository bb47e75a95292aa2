"""What jaxtyping's hook puts around every function of groundup under pytest.

Types and shapes are checked as written; an int is a float where a float is asked for, as in Python.
"""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
