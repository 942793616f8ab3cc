"""The table of ``datasets``: codes and bytes."""

import numpy as np
import torch
from property_cases import Entry, Fixed, Tensors, array

from scoredrift import datasets
from scoredrift.datasets import PrincipalComponents

OWN = "takes bytes, labels and files: bad input of every kind is in tests/datasets"
TRAINS = "trains or holds a network: bad input of every kind is in tests/datasets"
CARRIES = "carries data, networks and settings from one to the other"
EXEMPT: dict[str, str] = {
    "datasets.DataFiles": OWN,
    "datasets.FeatureNetwork": TRAINS,
    "datasets.random_features": TRAINS,
    "datasets.train_features": TRAINS,
    "datasets.LabelledImages": OWN,
    "datasets.PixelLaw": OWN,
    "datasets.PrecisionAndRecall": "a tuple of results, without arithmetic",
    "datasets.frechet_distance": "computed by torchmetrics; bad input of every kind is in tests/datasets",
    "datasets.kernel_distance": "computed by torchmetrics; bad input of every kind is in tests/datasets",
    "datasets.precision_and_recall": "compares all pairs; bad input of every kind is in tests/datasets",
    "datasets.digits": "reads data",
    "datasets.cifar10": OWN,
    "datasets.fashion_mnist": OWN,
    "datasets.read_batch": OWN,
    "datasets.read_jpegs": OWN,
    "datasets.read_idx": OWN,
    "datasets.middles": OWN,
    "datasets.spread_levels": OWN,
    "experiments.IMAGE_CASES": "settings by name",
    "experiments.IMAGE_ERRORS": "an experiment with its settings",
    "experiments.INJECTED": "names",
    "experiments.aligned_weights": "compared with a regression in tests/experiments",
    "experiments.injected_errors": "a choice of fields; compared with closed forms in tests/experiments",
    "experiments.EARLY_STOPS": "three times",
    "experiments.IMAGE_NETWORKS": "an experiment with its settings",
    "experiments.IMAGE_STOPS": "an experiment with its settings",
    "experiments.Photographs": CARRIES,
    "experiments.PhotographMeasure": CARRIES,
    "experiments.photographs_of": CARRIES,
    "experiments.run_image_networks": CARRIES,
    "experiments.small_photographs": "reads data",
    "experiments.run_image_errors": CARRIES,
    "experiments.shrunk": "means of pixels; bad input is in tests/experiments",
    "experiments.FASHION": "an experiment with its settings",
    "experiments.FASHION_FEATURES": "an experiment with its settings",
    "experiments.Both": CARRIES,
    "experiments.FASHION_CRITICAL": "an experiment with its settings",
    "experiments.FASHION_ENERGIES": "an experiment with its settings",
    "experiments.FASHION_REGIMES": "an experiment with its settings",
    "experiments.FASHION_RESCUE": "an experiment with its settings",
    "experiments.FASHION_SAMPLERS": "an experiment with its settings",
    "experiments.REGIMES": "settings by name",
    "experiments.RIDGES": "numbers",
    "experiments.SAMPLERS": "settings by name",
    "experiments.CodeEnergies": TRAINS,
    "experiments.SamplerMeasure": TRAINS,
    "experiments.run_energies": TRAINS,
    "experiments.run_regimes": TRAINS,
    "experiments.run_rescue": TRAINS,
    "experiments.run_samplers": TRAINS,
    "experiments.FASHION_FORECAST": "an experiment with its settings",
    "experiments.FASHION_PILOT": "an experiment with its settings",
    "experiments.FASHION_PIXELS": "an experiment with its settings",
    "experiments.ByteFit": TRAINS,
    "experiments.ByteModel": TRAINS,
    "experiments.CodeLaw": CARRIES,
    "experiments.Look": "a tuple of results, without arithmetic",
    "experiments.PictureMeasure": CARRIES,
    "experiments.Pictures": CARRIES,
    "experiments.code_fit": TRAINS,
    "experiments.digits_pictures": TRAINS,
    "experiments.fashion_features": "reads a stored result",
    "experiments.fashion_pictures": "reads data",
    "experiments.pixel_fit": TRAINS,
    "experiments.respread": "images in, images out; bad input is in tests/experiments",
    "experiments.run_codes": TRAINS,
    "experiments.run_pixels": TRAINS,
    "experiments.spread_forecast": "compared with a recursion in tests/experiments",
    "experiments.through_code": CARRIES,
    "experiments.training_points": CARRIES,
    "experiments.in_features": "moments of samples; compared with draws in tests/experiments",
    "generations.Selected": "compared with truncated laws, and bad input refused, in tests/generations",
    "generations.LinearResponse": "a tuple of results; its eigenvalues are compared in tests/generations",
    "generations.linear_response": "compared with recursions, and bad input refused, in tests/generations",
    "generations.response_forecast": "compared with recursions, and bad input refused, in tests/generations",
}

CODE = PrincipalComponents(
    torch.tensor([0.5, -1.0, 2.0]).double(),
    torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]).double(),
    2.0,
    0.9,
)
X = torch.tensor([[1.0, 0.5, 0.25], [-0.5, 2.0, 1.5]], dtype=torch.float64)
LEVELS = (torch.tensor([[3.0, 100.0, 255.0, 17.0]], dtype=torch.float64) + 0.5) / 128 - 1


def encoded(x):
    x = array(x, 2)
    assert x.shape[1] == 3
    return (x - CODE.mean.numpy()) @ CODE.directions.numpy().T / 2


def decoded(z):
    z = array(z, 2)
    assert z.shape[1] == 2
    return CODE.mean.numpy() + 2 * z @ CODE.directions.numpy()


def levels(x):
    x = array(x, 2)
    assert x.shape[1] == 4
    assert np.isfinite(x).all()
    return np.clip(np.floor(128 * (x + 1)), 0, 255).reshape(-1, 1, 2, 2)


ENTRIES = [
    Entry("datasets.PrincipalComponents", lambda x: CODE.encode(x), {"x": Tensors(X)}, encoded, single=None),
    Entry(
        "datasets.PrincipalComponents.decode",
        lambda z: CODE.decode(z),
        {"z": Tensors(X[:, :2].clone())},
        decoded,
        single=None,
    ),
    Entry(
        "datasets.to_bytes",
        lambda x, shape: datasets.to_bytes(x, shape).double(),
        {"x": Tensors(LEVELS), "shape": Fixed((1, 2, 2))},
        lambda x, shape: levels(x),
    ),
]
