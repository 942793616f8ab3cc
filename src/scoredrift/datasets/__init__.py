"""Images to train on: their readers, the law of their pixels, a code, and features to look at them with."""

from scoredrift.datasets.classifier import FeatureNetwork, train_features
from scoredrift.datasets.components import PrincipalComponents
from scoredrift.datasets.fashion import fashion_mnist, read_idx
from scoredrift.datasets.handwriting import digits
from scoredrift.datasets.images import LabelledImages, PixelLaw, middles, spread_levels, to_bytes

__all__ = [
    "FeatureNetwork",
    "LabelledImages",
    "PixelLaw",
    "PrincipalComponents",
    "digits",
    "fashion_mnist",
    "middles",
    "read_idx",
    "spread_levels",
    "to_bytes",
    "train_features",
]
