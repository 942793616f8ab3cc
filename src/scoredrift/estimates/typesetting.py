"""Numbers as they stand in prose: a minus is a minus, and powers of ten are powers of ten."""

from __future__ import annotations

import re

from scoredrift import _checks

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# A number with an exponent, and a sign before a number that is no hyphen in a word or a range.
_POWER = re.compile(r"(?P<front>\)|(?<![\w.])\d+(?:\.\d+)?)[eE](?P<power>[-+]?\d+)(?!\w)")
_MINUS = re.compile(r"(?<![\w)\]])-(?=\.?\d)")


def typeset(text: str) -> str:
    """Text whose numbers are set for reading: −0.5 for -0.5, 2.5·10⁻⁶ for 2.5e-06.

    Args:
        text: numbers as Python prints them, among other words.

    Returns:
        The same text with minus signs and raised powers of ten.

    Raises:
        ValueError: something that is not a text.

    >>> typeset("(6.589 ± 0.084)e-06, -0.5 and 1e+03")
    '(6.589 ± 0.084)·10⁻⁶, −0.5 and 10³'
    """
    if not isinstance(text, str):
        _checks.refuse("text", repr(text), "pass a text, such as f'{value:.3g}'")

    def raised(found: re.Match[str]) -> str:
        if int(found["power"]) == 0:
            return found["front"]
        power = str(int(found["power"])).translate(_RAISED)
        return f"10{power}" if found["front"] == "1" else f"{found['front']}·10{power}"

    return _POWER.sub(raised, _MINUS.sub("−", text))
