"""Vector fields in space and time that know their divergence: scores, their errors, fields to inject.

s(x, t),    ∇·s(x, t),        e = ŝ − s*,        𝒜_t e = ∇·e + e·s*
"""

from scoredrift.scores.base import Flow, FunctionScore, ProbedScore, Score, SumScore
from scoredrift.scores.errors import (
    ErrorEvaluation,
    ErrorField,
    InjectedField,
    ScoreDifference,
    check_divergence,
)
from scoredrift.scores.fields import (
    ConstantField,
    LinearField,
    RotationalField,
    ScaledField,
    Split,
    split_linear,
)

__all__ = [
    "ConstantField",
    "ErrorEvaluation",
    "ErrorField",
    "Flow",
    "FunctionScore",
    "InjectedField",
    "LinearField",
    "ProbedScore",
    "RotationalField",
    "ScaledField",
    "Score",
    "ScoreDifference",
    "Split",
    "SumScore",
    "check_divergence",
    "split_linear",
]
