"""Networks in the recursion: resumed runs, warm starts, and laws on the line that are exact."""

import pytest
import torch

from scoredrift.divergences import kl_on_nodes, total_variation_on_nodes
from scoredrift.generations import FreshFraction, LineFit, NetworkFit, NetworkModel, WarmStart, recurse
from scoredrift.laws import Gaussian, GaussianMixture, mixture_of_three, on_nodes
from scoredrift.networks import PointNetwork, Recipe
from scoredrift.paths import generate_on_nodes
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import Flow

OU = OrnsteinUhlenbeck()
PLANE = Gaussian(torch.zeros(2), 0.5 * torch.eye(2))


def small(**options):
    recipe = options.pop("recipe", Recipe(steps=30, batch=16, check_every=10))
    dim = options.pop("dim", 2)
    return NetworkFit(lambda: PointNetwork(dim, width=8, depth=1), recipe, OU, steps=40, **options)


def run(fit, generations, folder=None):
    return recurse(
        fit, PLANE, regime=FreshFraction(0.5), generations=generations, size=64, seed=4, folder=folder,
        measure=lambda generation: {"spread": generation.drawn.var(0), "best": generation.model.trained.held_out.min()},
    )  # fmt: skip


def weights(model: NetworkModel):
    return torch.cat([p.reshape(-1) for p in model.trained.network.parameters()])


@pytest.mark.parametrize("warm", [False, True])
def test_a_resumed_recursion_of_networks_ends_with_the_same_bits(tmp_path, warm):
    def fit():
        own = small(folder=tmp_path / "networks")
        return WarmStart(own) if warm else own

    whole = run(WarmStart(small()) if warm else small(), 3)
    run(fit(), 1, tmp_path / "recursion")
    resumed = run(fit(), 3, tmp_path / "recursion")
    for name in ("spread", "best"):
        assert torch.equal(whole[name], resumed[name])
    assert torch.equal(whole.drawn, resumed.drawn)
    again = run(fit(), 3, tmp_path / "recursion")  # nothing left to do; the model is found again
    assert torch.equal(weights(again.model), weights(whole.model))


def test_a_warm_start_goes_on_from_the_weights_before():
    g = torch.Generator().manual_seed(0)
    x = PLANE.sample(64, generator=g)
    first = WarmStart(small())(x, generator=g)
    still = WarmStart(small(recipe=Recipe(steps=1, batch=16, rate=1e-12)))
    second = still.continued(x, lambda: first, generator=g)
    assert torch.allclose(weights(second), weights(first), atol=1e-6)
    assert not torch.allclose(weights(small()(x, generator=g)), weights(first), atol=1e-2)


def test_a_warm_start_without_a_folder_cannot_be_resumed(tmp_path):
    run(WarmStart(small()), 1, tmp_path)
    with pytest.raises(ValueError, match="give the fit a folder of its own"):
        run(WarmStart(small()), 2, tmp_path)


def test_a_warm_start_needs_a_network():
    with pytest.raises(ValueError, match="a warm start needs a NetworkModel"):
        WarmStart(small()).continued(torch.randn(64, 2), lambda: PLANE, generator=torch.Generator())


def test_a_finished_training_is_read_and_not_repeated(tmp_path):
    built = []

    def build():
        network = PointNetwork(2, width=8, depth=1)
        network.register_forward_hook(lambda *_: built.append(1) if network.training else None)
        return network

    fit = NetworkFit(build, Recipe(steps=20, batch=16), OU, folder=tmp_path)
    x = PLANE.sample(64, generator=torch.Generator().manual_seed(0))
    one = fit(x, generator=torch.Generator().manual_seed(1))
    calls = len(built)
    two = fit(x, generator=torch.Generator().manual_seed(1))
    assert calls >= 20
    assert len(built) == calls
    assert torch.equal(weights(one), weights(two))


def test_on_the_line_the_law_of_every_training_set_is_known():
    """q_1 = α p + (1−α) p̂^0, and with its flow the learned energy and the generated law, by quadrature."""
    p = mixture_of_three()
    recipe = Recipe(steps=500, rate=1e-2, averaging=0.98, check_every=100)
    fit = LineFit(NetworkFit(lambda: PointNetwork(1, width=48), recipe, OU, steps=100), nodes=701)
    found = []

    def look(generation):
        q = generation.trained_on
        nodes = fit.line
        if generation.index:
            blend = 0.3 * on_nodes(p, nodes) + 0.7 * on_nodes(generation.previous, nodes)
            assert torch.allclose(on_nodes(q, nodes), blend)
        error = Flow(q, OU).error(generation.model.network.score)
        law = generate_on_nodes(error, nodes, OU.geometric_grid(100))
        gap = total_variation_on_nodes(law.density, on_nodes(generation.model, nodes), nodes)
        found.append((gap, kl_on_nodes(law.density, on_nodes(q.diffuse(OU.t_min), nodes), nodes), law.energy))
        return {}

    recurse(fit, p, regime=FreshFraction(0.3), generations=1, size=4000, seed=1, measure=look)
    for gap, divergence, energy in found:
        assert gap < 0.02  # the two differ in their start alone: q_T and N(0, 1)
        assert 0.001 < divergence < 0.5 * energy < 0.2


def test_the_plane_has_no_quadrature():
    model = small()(PLANE.sample(64, generator=torch.Generator()), generator=torch.Generator())
    with pytest.raises(ValueError, match=r"dim = 2: quadrature is for the line"):
        model.law(torch.linspace(-8, 8, 801, dtype=torch.float64))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: NetworkFit(None, Recipe(1), OU), "build"),
        (lambda: NetworkFit(PointNetwork, {"steps": 1}, OU), "recipe"),
        (lambda: small().__class__(lambda: PointNetwork(1), Recipe(1), OU, steps=0), "steps"),
        (lambda: LineFit(small(dim=1), low=1.0, high=1.0), "high"),
        (lambda: LineFit(small(dim=1), nodes=2), "nodes"),
    ],
)
def test_bad_settings_are_refused(build, text):
    with pytest.raises(ValueError, match=text):
        build()


def test_a_model_of_a_network_is_a_source_of_mixtures():
    model = LineFit(small(dim=1))(torch.randn(64, 1).double(), generator=torch.Generator().manual_seed(0))
    assert isinstance(model.generated, GaussianMixture)
