"""Images to train on: their readers, the law of their pixels, a code, and features to look at them with."""

from scoredrift.datasets.cifar import cifar10, read_batch, read_jpegs
from scoredrift.datasets.classifier import FeatureNetwork, random_features, train_features
from scoredrift.datasets.components import PrincipalComponents
from scoredrift.datasets.distances import (
    PrecisionAndRecall,
    frechet_distance,
    kernel_distance,
    precision_and_recall,
)
from scoredrift.datasets.fashion import fashion_mnist, read_idx
from scoredrift.datasets.files import DataFiles
from scoredrift.datasets.handwriting import digits
from scoredrift.datasets.images import LabelledImages, PixelLaw, middles, spread_levels, to_bytes

__all__ = [
    "DataFiles",
    "FeatureNetwork",
    "LabelledImages",
    "PixelLaw",
    "PrecisionAndRecall",
    "PrincipalComponents",
    "cifar10",
    "digits",
    "fashion_mnist",
    "frechet_distance",
    "kernel_distance",
    "middles",
    "precision_and_recall",
    "random_features",
    "read_batch",
    "read_idx",
    "read_jpegs",
    "spread_levels",
    "to_bytes",
    "train_features",
]
