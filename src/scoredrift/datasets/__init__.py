"""Images to train on: Fashion-MNIST, the law of its pixels, and features to look at it with."""

from scoredrift.datasets.classifier import FeatureNetwork, train_features
from scoredrift.datasets.components import PrincipalComponents
from scoredrift.datasets.fashion import fashion_mnist, read_idx
from scoredrift.datasets.images import LabelledImages, PixelLaw, spread_levels, to_bytes

__all__ = [
    "FeatureNetwork",
    "LabelledImages",
    "PixelLaw",
    "PrincipalComponents",
    "fashion_mnist",
    "read_idx",
    "spread_levels",
    "to_bytes",
    "train_features",
]
