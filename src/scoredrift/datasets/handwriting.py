"""Handwritten digits, 8 × 8, which come with scikit-learn: small enough for every laptop.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (doi
10.24432/C50P49); the copy of scikit-learn has its 1797 test images.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from scoredrift.datasets.images import LabelledImages


def digits() -> LabelledImages:
    """The 1797 digits of scikit-learn as bytes ``[n, 1, 8, 8]``: their 17 grey levels spread over 0 … 255.

    >>> data = digits()
    >>> data.images.shape, int(data.images.max()), data.labels[:3].tolist()
    (torch.Size([1797, 1, 8, 8]), 255, [0, 1, 2])
    """
    found = load_digits()
    images = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)[:, None]
    return LabelledImages(images, torch.from_numpy(found.target).long(), tuple("0123456789"))
