"""Doses of rennet."""

RENNET_ML_PER_100_L = 32  # strength 1:10000


def rennet(litres: float, winter: bool = False) -> float:
    """Millilitres of rennet for a vat; in winter 8 percent more."""
    return litres / 100 * RENNET_ML_PER_100_L * (1.08 if winter else 1.0)


class CurdTimer:
    """Rings the bell when the curd is firm, which takes 42 minutes at 31 degrees."""
