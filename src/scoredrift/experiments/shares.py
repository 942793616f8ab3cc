"""Shares of cases, with the errors that counting has."""

from __future__ import annotations

from typing import NamedTuple

from scipy.stats import binomtest

from scoredrift import _checks


class Share(NamedTuple):
    """How often something happened, with the ends of an interval that holds with probability 0.95.

    Args:
        hits: how often.
        total: of how many.
        low, high: ends, by Clopper and Pearson: as if cases were independent.

    >>> print(Share.of(9, 10))
    0.900 (0.555 to 0.997)
    """

    hits: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, total: int) -> Share:
        """With its interval.

        Args:
            hits: how often, from 0 to ``total``.
            total: of how many ≥ 1.

        Raises:
            ValueError: more than the total.
        """
        total = _checks.count("total", total)
        hits = _checks.count("hits", hits, least=0)
        if hits > total:
            _checks.refuse("hits", hits, f"there are {total}")
        low, high = binomtest(hits, total).proportion_ci()
        return cls(hits, total, float(low), float(high))

    @property
    def value(self) -> float:
        """Hits over total."""
        return self.hits / self.total

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"
