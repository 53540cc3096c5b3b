"""Pareto smoothing, R-hat, effective sizes and resampling, against ArviZ and exact counts."""

import numpy as np
import pytest
from scipy import stats

from gmvae.diagnostics import arviz_line
from gmvae.posterior import chains
from gmvae.posterior.pareto import effective_size, khat_threshold, psis
from gmvae.posterior.resampling import systematic, thinned


def of_arviz(log_weights):
    """ArviZ's own answer for one row; its line 1.x takes minus log w."""
    sign = 1 if arviz_line.is_old() else -1
    smoothed, khat = arviz_line.array_statistics().psislw(sign * log_weights)[:2]
    return np.asarray(smoothed), float(khat)


def assert_smoothed_as_arviz(log_weights):
    """Weights and k-hat of every row, (n, S)."""
    smoothed, khat = psis(log_weights)
    for i, row in enumerate(log_weights):
        expected, k = of_arviz(row - row.max())
        assert khat[i] == pytest.approx(k, abs=1e-8)
        assert np.exp(smoothed[i]) == pytest.approx(np.exp(expected), abs=1e-10)


@pytest.mark.parametrize("n_draws", [25, 100, 500, 2_256])
@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0])
def test_smoothing_is_arvizs(n_draws, spread):
    log_weights = spread * np.random.default_rng(n_draws).standard_t(4, size=(20, n_draws))
    assert_smoothed_as_arviz(log_weights)


def test_zero_weights_have_no_part():
    log_weights = np.random.default_rng(0).normal(size=(5, 300))
    log_weights[:, 100:] = -np.inf
    assert_smoothed_as_arviz(log_weights)


def test_all_the_mass_in_three_draws_is_the_worst_there_is():
    log_weights = np.where(np.arange(500) < 3, np.arange(500) * 0.1, -np.inf)
    assert np.isposinf(psis(log_weights)[1])


def test_the_sign():
    """Draws of a proposal too narrow by half are found out; of one too wide by half they are not.

    With 10,000 draws k-hat is .69 +- .09 (0.75 in the limit); the wrong sign shows -1.78.
    """
    rng = np.random.default_rng(0)
    for scale, low, high in ((0.5, 0.6, 0.8), (2.0, -np.inf, 0.2)):
        z = rng.normal(scale=scale, size=(20, 10_000))
        khat = psis(stats.norm.logpdf(z) - stats.norm.logpdf(z, scale=scale))[1]
        assert low <= np.median(khat) < high


def test_the_threshold_depends_on_the_number_of_draws():
    assert khat_threshold(100) == pytest.approx(0.5)
    assert khat_threshold(500) == pytest.approx(1 - 1 / np.log10(500))
    assert khat_threshold(10_000) == 0.7


def test_the_effective_size_of_even_and_of_uneven_weights():
    weights = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        assert effective_size(np.log(weights)).tolist() == [4, 2]


class TestChains:
    def chains(self, correlation=0.0, n=400, shift=0.0):
        noise = np.random.default_rng(1).normal(size=(4, n, 3))
        z = noise.copy()
        for i in range(1, n):
            z[:, i] = correlation * z[:, i - 1] + np.sqrt(1 - correlation**2) * noise[:, i]
        return z + shift * np.arange(4)[:, None, None]

    @pytest.mark.parametrize("correlation", [-0.4, 0.0, 0.6, 0.95])
    @pytest.mark.parametrize("shift", [0.0, 0.3])
    @pytest.mark.parametrize("n", [400, 401])
    def test_both_are_arvizs(self, correlation, shift, n):
        z = self.chains(correlation, n, shift)
        axes = {} if arviz_line.is_old() else {"chain_axis": 0, "draw_axis": 1}
        of_arviz = arviz_line.array_statistics()
        rhat, ess = chains.rhat(z), chains.effective_size(z)
        for i in range(3):
            assert rhat[i] == pytest.approx(of_arviz.rhat(z[..., i], **axes), abs=1e-9)
            assert ess[i] == pytest.approx(of_arviz.ess(z[..., i], **axes), rel=0.04)

    def test_a_spread_that_differs_is_seen_too(self):
        z = self.chains() * np.array([1, 1, 1, 3])[:, None, None]
        assert chains.rhat(z).min() > 1.05

    def test_what_never_changes_agrees_with_itself(self):
        assert chains.rhat(np.ones((4, 100, 1))) == 1


class TestResampling:
    def weights(self, n=40, spread=1.5):
        log_w = spread * np.random.default_rng(0).normal(size=(3, n))
        return np.exp(log_w) / np.exp(log_w).sum(-1, keepdims=True)

    def test_each_draw_comes_as_often_as_its_weight_says(self):
        weights = self.weights()
        rows = systematic(weights, 1_000, np.random.default_rng(0))
        for i in range(3):
            counts = np.bincount(rows[i], minlength=40)
            assert np.abs(counts - 1_000 * weights[i]).max() < 1
        # In random order: neighbours are not the same draw more often than others.
        alike = (rows[:, 1:] == rows[:, :-1]).mean()
        assert alike == pytest.approx((weights**2).sum(-1).mean(), abs=0.03)

    def test_a_draw_of_all_the_mass_is_the_only_one(self):
        weights = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        rows = systematic(weights, 5, np.random.default_rng(0))
        assert rows.tolist() == [[1] * 5, [2] * 5]

    def test_fewer_weighted_draws_are_different_and_keep_every_mean(self):
        weights, rng = self.weights(), np.random.default_rng(0)
        total = np.zeros_like(weights)
        for _ in range(4_000):
            rows, kept = thinned(weights, 15, rng)
            assert all(len(set(row)) == 15 for row in rows.tolist())
            assert kept.sum(-1) == pytest.approx(1)
            np.add.at(total, (np.arange(3)[:, None], rows), kept)
        assert np.abs(total / 4_000 - weights).max() < 0.004

    def test_heavy_draws_keep_their_weight(self):
        weights = np.array([[0.4, 0.3, 0.1, 0.1, 0.1]])
        rows, kept = thinned(weights, 3, np.random.default_rng(0))
        assert rows[0, :2].tolist() == [0, 1]
        assert kept[0] == pytest.approx([0.4, 0.3, 0.3])

    def test_all_of_them_are_as_they_were(self):
        weights = self.weights(5)
        rows, kept = thinned(weights, 5, np.random.default_rng(0))
        assert rows.tolist() == [[0, 1, 2, 3, 4]] * 3
        assert (kept == weights).all()
