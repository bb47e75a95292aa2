from groundup.core import Config
from ..record import Record, Ruling, PASS
class LinesConfig(Config):
    "x"
class Lines:
    def __init__(self, config: LinesConfig) -> None: self.config=config
    def __call__(self, record: Record) -> Ruling: return PASS
