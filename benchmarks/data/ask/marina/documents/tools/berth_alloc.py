"""Assign visitors to free berths."""

MAX_VISIT_DAYS = 21


def assign_berth(length_m, beam_m, shore_power=False):
    """Return the smallest free berth that fits; raises NoBerthError when none is free."""
    raise NotImplementedError


class NoBerthError(Exception):
    """No free berth is long enough."""


def release_after(days):
    """Berths that are empty for 3 days are released to visitors."""
    return days >= 3
