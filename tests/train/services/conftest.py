"""Guards whose journals are closed when a test ends."""

from collections.abc import Callable, Iterator

import pytest

from groundup.train.services.spikes import SpikeDetector


@pytest.fixture
def guarded() -> Iterator[Callable[..., SpikeDetector]]:
    made: list[SpikeDetector] = []

    def make(*given, **named) -> SpikeDetector:
        made.append(SpikeDetector(*given, **named))
        return made[-1]

    yield make
    for guard in made:
        guard.close()
