"""Components are numbered by their weight, and nothing else changes."""

import numpy as np
import pytest
import torch
from toys import ASSIGNMENTS, COVARIANCES, random_images, tiny

from gmvae.data import load
from gmvae.settings import Settings
from gmvae.training.fitting import fit
from gmvae.training.ordering import order_components

ORDER = [2, 0, 1]


def weighted(weights=(0.3, 0.2, 0.5), **changes):
    gmvae = tiny(**changes)
    with torch.no_grad():
        gmvae.model.prior.logits.copy_(torch.tensor(weights).log())
    return gmvae


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_largest_comes_first_with_all_that_is_its_own(covariance, assignment):
    gmvae, x = weighted(covariance=covariance, assignment=assignment), random_images(6)
    prior = gmvae.model.prior
    means, covariances = (t.detach().clone() for t in (prior.means, prior.full_covariances))
    q_y, p_y_z = gmvae.classify(x), gmvae.responsibilities(x)
    elbo = gmvae.elbo(x, generator=torch.Generator().manual_seed(0)).elbo
    order_components(gmvae)
    assert prior.weights.tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert torch.equal(prior.means, means[ORDER])
    assert torch.equal(prior.full_covariances, covariances[ORDER])
    torch.testing.assert_close(gmvae.classify(x), q_y[:, ORDER])
    torch.testing.assert_close(gmvae.responsibilities(x), p_y_z[:, ORDER])
    again = gmvae.elbo(x, generator=torch.Generator().manual_seed(0)).elbo
    torch.testing.assert_close(again, elbo)


def test_those_of_the_same_weight_stay():
    gmvae = weighted([1 / 3] * 3)
    means = gmvae.model.prior.means.detach().clone()
    order_components(gmvae)
    assert torch.equal(gmvae.model.prior.means, means)


@pytest.mark.usefixtures("quick")
class TestFit:
    class Weigh:
        """A last phase that gives the components these weights, and the means 0, 1 and 2."""

        name = "weigh"

        def run(self, state, images):
            prior = state.gmvae.model.prior
            with torch.no_grad():
                prior.logits.copy_(torch.tensor([0.2, 0.3, 0.5]).log())
                prior.means.copy_(torch.arange(3.0).unsqueeze(-1).expand(3, 2))
            return state

    def fitted(self, observed=None):
        digits = load("digits", part="train").only([1, 4, 8]).subset(slice(0, 60))
        if observed is not None:
            observed = np.where(np.isin(digits.labels, observed), digits.labels, -1)
        settings = Settings(n_components=3, assignment="exact")
        return fit(digits, settings, observed=observed, phases=[self.Weigh()]).gmvae

    def test_ends_in_this_order(self):
        gmvae = self.fitted()
        assert gmvae.model.prior.means[:, 0].tolist() == [2.0, 1.0, 0.0]

    def test_but_not_where_the_classes_are_the_order(self):
        gmvae = self.fitted([1, 4, 8])
        assert gmvae.model.prior.means[:, 0].tolist() == [0.0, 1.0, 2.0]
        assert gmvae.component_classes == (1, 4, 8)

    def test_names_by_majority_follow(self):
        gmvae = self.fitted([4])
        assert gmvae.model.prior.means[:, 0].tolist() == [2.0, 1.0, 0.0]
        digits = load("digits", part="train").only([1, 4, 8]).subset(slice(0, 60)).only([4])
        used = set(gmvae.classify(digits).argmax(-1).tolist())
        assert [name is not None for name in gmvae.component_classes] == [
            k in used for k in (0, 1, 2)
        ]
