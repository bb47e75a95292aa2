"""What an engine opens, and how much it holds."""

from pydantic import Field

from groundup.core import Config


class EngineSettings(Config):
    """What an engine opens."""

    model: str = ""
    """Directory of a language model or of a text encoder; empty: none."""
    index: str = ""
    """Directory of an index; empty: none."""
    prompt: str = ""
    """File of the prompt for answers from documents; empty: the one of `groundup ask`."""
    risk: str = ""
    """Of answers from documents, as `groundup calibrate` promised it; empty: none is promised."""
    bits: int = 0
    """Round the weights to 8 or 4 bits; 0: as they are."""
    cache_tokens: int = Field(default=32_768, ge=1)
    """Tokens of all requests that the cache holds."""
    max_running: int = Field(default=128, ge=1)
    """Requests that are computed at a time."""
