"""What a diagnosis asks of the certified posterior: intervals, components, a value a draw."""

import numpy as np
import pytest
import torch
from certified import answer, linear_gaussian, two_modes
from toys import K, tiny

from gmvae.data import Images
from gmvae.diagnostics import arviz_bridge
from gmvae.diagnostics.certified import certified_draws, components_of, coverage
from gmvae.diagnostics.marginal import log_marginals
from gmvae.diagnostics.simulation import calibrate, ranks_among, simulate


def test_leave_one_out_of_the_values_is_the_evidence():
    """Given the networks images say nothing of each other: each is predicted by log p(x)."""
    truth, guide = linear_gaussian(60)
    posterior = answer(truth.model, guide, truth.x)
    images = SimpleImages(truth.x)
    values = log_marginals(truth.model, guide, images, posterior.z)
    assert values.shape == (500, 60)
    elpd, khat = arviz_bridge.loo(values)
    off = elpd - truth.log_evidence().numpy()
    assert khat.max() < 0.63
    assert np.abs(off).max() < 0.4
    assert abs(off.mean()) < 0.03


def test_of_two_modes_it_takes_one_and_is_right():
    model, guide, x = two_modes()
    posterior = answer(model, guide, x)
    elpd, khat = arviz_bridge.loo(log_marginals(model, guide, SimpleImages(x), posterior.z))
    assert khat.max() < 0.63
    assert elpd == pytest.approx(posterior.log_evidence, abs=0.5)
    assert abs((elpd - posterior.log_evidence).mean()) < 0.1


class SimpleImages:
    """Images of any precision and range, a batch at a time: the models here are no networks."""

    def __init__(self, x):
        self._x = x

    def __len__(self):
        return len(self._x)

    def __getitem__(self, rows):
        return self._x[rows]


def test_central_intervals():
    """Of 10 draws 0 to 9, a truth at t has t draws below: inside the 80 % from 2 to 8."""
    z = np.broadcast_to(np.arange(10.0)[None, :, None], (11, 10, 1))
    truth = (np.arange(11.0) - 0.5)[:, None]
    assert coverage(z, truth, 0.8).tolist() == [7 / 11]
    assert coverage(z, truth, 0.3).tolist() == [3 / 11]


def test_it_is_what_a_user_gets():
    gmvae = tiny()
    x = torch.rand(5, 1, 3, 4)
    images = Images(x.numpy())
    found = certified_draws(gmvae.model, gmvae.guide, images, 60, 3)
    expected = gmvae.posterior(x, 60, generator=torch.Generator().manual_seed(3))
    assert found.tree.identical(expected.tree)
    y = components_of(gmvae.model, gmvae.guide, found.z)
    assert y.shape == (60, 5, K)
    at = gmvae.model.prior.responsibilities(torch.as_tensor(found.z)).detach().numpy()
    assert np.moveaxis(y, 0, 1) == pytest.approx(at, abs=1e-5)


@pytest.mark.parametrize("widen", [0.6, 1.5])
def test_a_guide_that_is_too_narrow_or_too_wide_is_corrected(widen):
    """Of its own draws the ranks of the truth crowd at the ends or in the middle."""
    truth, guide = linear_gaussian(1, widen)
    simulated = simulate(truth.model, guide, 600)
    assert calibrate(truth.model, guide, simulated).p_value < 1e-6
    posterior = certified_draws(truth.model, guide, simulated.x, 500, 3)
    assert posterior.certified.all()
    assert ranks_among(posterior.z, simulated, 499).p_value > 0.01
