"""recipes: whole runs as functions; their few parameters are the flags of `groundup run NAME`.

They import every room and wire one's output to the next; nothing but the command line imports them.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from groundup.core import ConfigError

RECIPES = {
    "tiny": "from Python's own text to a chat model, an 8-bit copy, an index and a report",
    "encoder": "from hidden words to opinions: masked pre-training, then sentiment beside words",
    "translate": "from a manual in two languages to a model that translates it",
    "vectors": "from packages' English prose to vectors of words, tested and drawn",
}


def run(name: str | None = None) -> Callable[..., Any]:
    """Give the recipe of this name; without a name, list the recipes."""
    if name is None:
        rows = [f"  {recipe:<11}{about}" for recipe, about in RECIPES.items()]
        print("groundup run RECIPE [--help], where RECIPE is one of\n" + "\n".join(rows))
        print("or FILE.py:function, whose parameters are its flags.")
        return run
    if name not in RECIPES:
        raise ConfigError(
            f"There is no recipe `{name}`; expected {', '.join(RECIPES)} or FILE.py:function."
        )
    return getattr(import_module(f"groundup.recipes.{name}"), name)


__all__ = ["RECIPES", "run"]
