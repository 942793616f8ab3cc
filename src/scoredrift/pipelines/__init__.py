"""What somebody with a retraining loop comes for: where it is, where it is going, and evidence that it drifts."""

from scoredrift.pipelines.course import Course, Interval
from scoredrift.pipelines.evidence import Evidence
from scoredrift.pipelines.monitor import Monitor, Reading

__all__ = ["Course", "Evidence", "Interval", "Monitor", "Reading"]
