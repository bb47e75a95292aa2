"""Guards whose journals are closed when a test ends."""

from collections.abc import Callable, Iterator

import pytest

from groundup.train.services.spikes import Guard


@pytest.fixture
def guarded() -> Iterator[Callable[..., Guard]]:
    made: list[Guard] = []

    def make(*given, **named) -> Guard:
        made.append(Guard(*given, **named))
        return made[-1]

    yield make
    for guard in made:
        guard.close()
