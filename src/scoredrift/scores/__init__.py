"""Vector fields in space and time that know their divergence: scores, their errors, fields to inject.

s(x, t),    ∇·s(x, t),        e = ŝ − s*,        𝒜_t e = ∇·e + e·s*
"""

from scoredrift.scores.arithmetic import Field, ScaledField, Score, SumScore, evaluated
from scoredrift.scores.base import FunctionScore, ProbedScore
from scoredrift.scores.clocks import Clock, LogNoiseLevels, NoiseLevels, OwnTime, Timesteps
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
from scoredrift.scores.predicted import PredictedScore, as_network, from_diffusers
from scoredrift.scores.prediction_check import check_prediction
from scoredrift.scores.predictors import (
    Affine,
    DataPrediction,
    DenoiserPrediction,
    NoisePrediction,
    PreconditionedPrediction,
    Prediction,
    VelocityPrediction,
)

__all__ = [
    "Affine",
    "Clock",
    "ConstantField",
    "DataPrediction",
    "DenoiserPrediction",
    "ErrorEvaluation",
    "ErrorField",
    "Field",
    "Flow",
    "FunctionScore",
    "Images",
    "InjectedField",
    "LinearField",
    "LogNoiseLevels",
    "NoiseLevels",
    "NoisePrediction",
    "OwnTime",
    "PreconditionedPrediction",
    "PredictedScore",
    "Prediction",
    "ProbedScore",
    "RotationalField",
    "ScaledField",
    "Score",
    "ScoreDifference",
    "Split",
    "SumScore",
    "Timesteps",
    "VelocityPrediction",
    "as_network",
    "check_divergence",
    "check_prediction",
    "evaluated",
    "flow_of",
    "from_diffusers",
    "learned_flow_of",
    "split_linear",
]
