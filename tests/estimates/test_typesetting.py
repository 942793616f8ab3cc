"""Numbers set for reading are the same numbers, and nothing else is touched."""

import pytest

from agreement import numbers
from scoredrift import Estimate
from scoredrift.estimates import typeset


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("-0.0165", "−0.0165"),
        ("(6.589 ± 0.084)e-06", "(6.589 ± 0.084)·10⁻⁶"),
        ("from -1.5 to 2e+10", "from −1.5 to 2·10¹⁰"),
        ("1e-05", "10⁻⁵"),
        ("1.0e+00", "1.0"),
        ("-.5 or [-1]", "−.5 or [−1]"),
        # words and ranges with hyphens, names with digits
        ("Euler-Maruyama, 10-15, x-2, C1e5, 2e5a", "Euler-Maruyama, 10-15, x-2, C1e5, 2e5a"),
    ],
)
def test_signs_and_powers(plain: str, shown: str) -> None:
    assert typeset(plain) == shown
    assert typeset(shown) == shown


def test_the_numbers_stay_what_they_are() -> None:
    for value in (-1.5e-9, 2.0, -3.25e12, 0.0):
        for stderr in (0.0, abs(value) / 30):
            (before,) = numbers(str(Estimate(value, stderr)))
            (after,) = numbers(typeset(str(Estimate(value, stderr))))
            assert (after.value, after.error) == (before.value, before.error)


@pytest.mark.parametrize("bad", [1.0, None, b"1e-3"])
def test_only_texts_are_taken(bad: object) -> None:
    with pytest.raises(ValueError, match="text = "):
        typeset(bad)
