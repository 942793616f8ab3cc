"""What somebody with a retraining loop comes for: where it is, where it is going, and evidence that it drifts."""

from scoredrift.pipelines.budget import Budget, Regimes
from scoredrift.pipelines.course import Course, Interval
from scoredrift.pipelines.evidence import Evidence
from scoredrift.pipelines.excess import ExcessEnergy
from scoredrift.pipelines.model_check import check_model
from scoredrift.pipelines.model_report import ModelFinding, ModelReport
from scoredrift.pipelines.monitor import Monitor, Reading
from scoredrift.pipelines.readers import SampleFeatures, read_features, standard_features
from scoredrift.pipelines.shares import ClassShare, class_shares, nearest_ratio
from scoredrift.pipelines.shifts import feature_shifts

__all__ = [
    "Budget",
    "ClassShare",
    "Course",
    "Evidence",
    "ExcessEnergy",
    "Interval",
    "ModelFinding",
    "ModelReport",
    "Monitor",
    "Reading",
    "Regimes",
    "SampleFeatures",
    "check_model",
    "class_shares",
    "feature_shifts",
    "nearest_ratio",
    "read_features",
    "standard_features",
]
