"""Vector fields in space and time that know their divergence: scores, their errors, fields to inject.

s(x, t),    ∇·s(x, t),        e = ŝ − s*,        𝒜_t e = ∇·e + e·s*
"""

from scoredrift.scores.arithmetic import Field, ScaledField, Score, SumScore, evaluated
from scoredrift.scores.base import FunctionScore, ProbedScore
from scoredrift.scores.errors import (
    ErrorEvaluation,
    ErrorField,
    InjectedField,
    ScoreDifference,
    check_divergence,
)
from scoredrift.scores.fields import ConstantField, LinearField, RotationalField, Split, split_linear
from scoredrift.scores.flow import Flow, flow_of, learned_flow_of
from scoredrift.scores.networks import Images

__all__ = [
    "ConstantField",
    "ErrorEvaluation",
    "ErrorField",
    "Field",
    "Flow",
    "FunctionScore",
    "Images",
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
    "evaluated",
    "flow_of",
    "learned_flow_of",
    "split_linear",
]
