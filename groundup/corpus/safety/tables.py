"""The patterns and word lists of `safety.personal`, read from personal.toml."""

from pathlib import Path

from ..tables import Tables

PERSONAL = Tables(Path(__file__).with_name("personal.toml"))
