"""A survey is known by its method; a step is none."""

from groundup.core import Config
from groundup.corpus.engine.global_step import GlobalStep
from groundup.documents import PASS


class Settings(Config):
    """None."""


class Whole:
    """A survey that lets everything pass."""

    config = Settings()

    def rulings(self, shards, each, scratch):
        return each(lambda shard: scratch / shard.name, shards)


class Single:
    """A step."""

    config = Settings()

    def __call__(self, record):
        return PASS


def test_the_engine_can_tell_surveys_from_steps():
    assert isinstance(Whole(), GlobalStep) and not isinstance(Single(), GlobalStep)
