"""What somebody with a retraining loop comes for: where it is, where it is going, and evidence that it drifts."""

from scoredrift.pipelines.course import Course, Interval
from scoredrift.pipelines.evidence import Evidence
from scoredrift.pipelines.model_check import check_model
from scoredrift.pipelines.model_report import ModelFinding, ModelReport
from scoredrift.pipelines.monitor import Monitor, Reading
from scoredrift.pipelines.readers import SampleFeatures, read_features, standard_features

__all__ = [
    "Course",
    "Evidence",
    "Interval",
    "ModelFinding",
    "ModelReport",
    "Monitor",
    "Reading",
    "SampleFeatures",
    "check_model",
    "read_features",
    "standard_features",
]
