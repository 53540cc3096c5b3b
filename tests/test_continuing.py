"""A run that starts from a trained model: its components stay, new ones come after them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from gmvae.config import Config
from gmvae.data import Images, load
from gmvae.gmvae import GMVAE
from gmvae.networks import Encoder, MLPFeatures
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, InterruptedRunError
from gmvae.training import continuing
from gmvae.training.continuing import check_start, continued, grown, settings_of
from gmvae.training.fitting import fit
from gmvae.training.growing import MoreClusters, begin_rows, beside, explained, matched
from gmvae.training.phases import Placing, Trial
from gmvae.training.recipe import recipe
from gmvae.training.restarts import fit_restarts
from gmvae.training.state import begin

SETTINGS = Settings(n_components=3, epochs=2, warmup_epochs=2)
MORE = dataclasses.replace(SETTINGS, n_components=5)


@pytest.fixture(scope="module")
def digits():
    return load("digits", part="train").only([0, 1, 4, 6, 8]).subset(slice(0, 160))


@pytest.fixture(scope="module")
def start(digits):
    """A model of the default kind, hardly trained, whose components have names."""
    torch.manual_seed(0)
    gmvae = GMVAE(Config((1, 8, 8), 3)).eval()
    gmvae.component_classes = (4, 1, 8)
    gmvae.training_record = {"data": "before", "class_names": {"4": "four"}}
    return gmvae


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


class TestParts:
    def test_a_copy_with_more_components(self, start):
        gmvae = grown(start, 5)
        assert gmvae.config == dataclasses.replace(start.config, n_components=5)
        larger = gmvae.state_dict()
        for name, value in start.state_dict().items():
            part = larger[name][: len(value)] if value.dim() else larger[name]
            assert torch.equal(part, value), name
        assert gmvae.model.prior.means.shape == (5, 2)
        with torch.no_grad():
            gmvae.model.prior.means.add_(1.0)
        assert not torch.equal(gmvae.model.prior.means[:3], start.model.prior.means)

    def test_a_copy_of_a_user_s_own_modules(self):
        encoder = Encoder(MLPFeatures((1, 8, 8), (16,)), 2)
        start = GMVAE(Config((1, 8, 8), 2), encoder=encoder)
        gmvae = grown(start, 3)
        assert gmvae.config.custom == ("encoder",)
        assert same(gmvae.guide.encoder, encoder)
        assert gmvae.guide.encoder is not encoder

    def test_clusters_take_the_numbers_of_the_components(self):
        """Component 0 explains those of cluster 2 best, though more of cluster 0 go to it."""
        clusters = np.array([0] * 6 + [1] * 4 + [2] * 4)
        components = np.array([0] * 6 + [1] * 4 + [0] * 4)
        bounds = np.array([-30.0] * 6 + [-10.0] * 4 + [-10.0] * 4)
        numbered = matched(clusters, components, bounds, 2, 3)
        assert numbered.tolist() == [2] * 6 + [1] * 4 + [0] * 4

    def test_an_image_explained_as_those_of_its_cluster_goes_there(self):
        """Inside -10 +- 1, outside -30 +- 2: by hand the densities are 9 to 1 near -15.4."""
        inside = np.array([-9.0, -10.0, -11.0])
        outside = np.array([-28.0, -30.0, -32.0, -29.0, -31.0, -12.0, -20.0, -8.0])
        bounds = np.concatenate([inside, outside, [-10.0]])
        in_cluster = np.array([True] * 3 + [False] * 8 + [False])
        # The last is of another component, however well this one explains it.
        in_component = np.array([True] * 11 + [False])
        moved = explained(in_cluster, in_component, bounds)
        assert bounds[moved].tolist() == [-12.0, -8.0]

    def test_no_trial_takes_the_numbers_away(self, digits, start):
        """The clusters have been given the components' numbers; other nominees have their own."""
        clusters = np.arange(len(digits)) % 5

        class Several:
            def run(self, state, images):
                nominees = np.stack([clusters, (clusters + 1) % 5])
                merits = np.array([0.0, 9.0])
                return dataclasses.replace(
                    state, clusters=clusters, nominees=nominees, merits=merits
                )

        state = begin(grown(start, 5), MORE, np.full(len(digits), -1), None)
        more = MoreClusters(start, Several()).run(state, digits)
        tried = Trial().run(more, digits)
        np.testing.assert_array_equal(tried.clusters, more.clusters)

    def test_new_rows_of_the_last_layer(self):
        """By hand: of two features the old row sees the first, the new cluster has the second."""
        layer = nn.Linear(2, 3)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[5.0, 0.0], [9.0, 9.0], [8.0, 8.0]]))
            layer.bias.copy_(torch.tensor([1.0, 9.0, 8.0]))
        features = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 4.0], [2.0, 4.0]]).double()
        begin_rows(layer, features, np.array([0, 0, 1, 1]), 1)
        # From the middle, (2, 2), to the cluster's, (2, 4): 6 nats along (0, 2).
        assert layer.weight[1].tolist() == [0.0, 3.0]
        # Within the cluster the old logit is 5 * 2 + 1 = 11, and so is 4 * 3 + bias.
        assert layer.bias[1].item() == pytest.approx(-1.0)
        assert layer.weight[[0, 2]].tolist() == [[5.0, 0.0], [8.0, 8.0]]
        assert layer.bias[[0, 2]].tolist() == [1.0, 8.0]

    def test_nothing_is_explained_by_an_empty_cluster(self):
        yes, no = np.ones(3, bool), np.zeros(3, bool)
        assert not explained(no, yes, np.zeros(3)).any()
        assert not explained(yes, yes, np.zeros(3)).any()

    def test_places_beside_the_old_ones(self):
        """Old means at -1 and 1, at 5 from each: to the right the first free place is 6."""
        means = np.array([[-1.0, 0.0], [1.0, 0.0]])
        wanted = np.array([[0.5, 0.0], [0.5, 0.0], [0.0, 0.0]])
        places = beside(means, np.array([5.0, 5.0]), wanted, 5.0)
        assert places[0] == pytest.approx([6.0, 0.0])
        assert places[1] == pytest.approx([11.0, 0.0])
        # The third has no direction: that of an axis, and 5 from both old means.
        assert places[2] == pytest.approx([16.0, 0.0])

    def test_settings_of_a_model(self):
        start = GMVAE(Config((1, 8, 8), 4, 3, "diagonal", "conv", assignment="exact"))
        assert settings_of(start) == Settings(
            n_components=4,
            latent_dim=3,
            covariance="diagonal",
            network="conv",
            assignment="exact",
        )

    def test_without_new_components_only_joint_phase_and_that_of_the_guide_are_left(self, start):
        names = [phase.name for phase in continued(recipe(SETTINGS), start, SETTINGS)]
        assert names == ["joint", "covering"]
        more = [phase.name for phase in continued(recipe(MORE), start, MORE)]
        assert more == [phase.name for phase in recipe(MORE)]

    def test_what_a_user_set_of_the_placing_holds_for_more_places(self, start):
        placing = Placing(Placing.length.scaled(2), kl_weight=7.0, gap=3.0)
        (more,) = continued([placing], start, MORE)
        assert (more.length, more.kl_weight, more.gap) == (placing.length, 7.0, 3.0)


class TestLabels:
    def observed(self, digits, start, n_components, classes):
        observed = np.full(len(digits), -1)
        for value in classes:
            observed[np.flatnonzero(digits.labels == value)[:3]] = value
        settings = dataclasses.replace(SETTINGS, n_components=n_components)
        names = start.component_classes
        return begin(grown(start, n_components), settings, observed, None, None, names)

    def test_they_lead_to_the_components_that_they_name(self, digits, start):
        state = self.observed(digits, start, 5, (0, 1, 4, 6, 8))
        assert state.leading_classes.tolist() == [4, 1, 8, 0, 6]
        components = state.observed_components.numpy()
        expected = {4: 0, 1: 1, 8: 2, 0: 3, 6: 4, -1: -1}
        assert components.tolist() == [expected[value] for value in state.observed.tolist()]

    def test_of_other_classes_they_do_not_lead(self, digits, start):
        assert self.observed(digits, start, 4, (0, 1, 4, 6)).leading_classes is None
        assert self.observed(digits, start, 5, (0, 1, 4, 8)).leading_classes is None


@pytest.mark.usefixtures("quick")
class TestRuns:
    def test_components_keep_number_and_name(self, digits, start):
        before = {name: value.clone() for name, value in start.state_dict().items()}
        result = fit(digits, MORE, start=start)
        assert all(torch.equal(before[name], value) for name, value in start.state_dict().items())
        assert result.gmvae.component_classes == (4, 1, 8, None, None)
        record = result.gmvae.training_record
        assert (record["data"], record["start"]["data"]) == (digits.name, "before")
        assert record["class_names"] == {"4": "four"}
        # They move from where they are: not by more than two epochs' steps.
        moved = result.gmvae.model.prior.means[:3] - start.model.prior.means
        assert 0 < moved.abs().max() < 0.2
        assert result.history[0]["phase"] == "warm-up"

    def test_new_ones_are_named_by_labels(self, digits, start):
        observed = np.where(np.arange(len(digits)) < 100, digits.labels, -1)
        led = fit(digits, MORE, start=start, observed=observed)
        assert led.gmvae.component_classes == (4, 1, 8, 0, 6)
        settings = dataclasses.replace(MORE, n_components=4)
        named = fit(digits, settings, start=start, observed=observed)
        assert named.gmvae.component_classes[:3] == (4, 1, 8)

    def test_without_settings_it_is_the_model_s_own_kind(self, digits):
        torch.manual_seed(0)
        start = GMVAE(Config((1, 8, 8), 2, 3, assignment="exact"))
        result = fit(digits, start=start)
        assert result.gmvae.config == start.config
        assert {row["phase"] for row in result.history} == {"joint"}

    def test_the_exact_assignment_grows_too(self, digits):
        torch.manual_seed(0)
        start = GMVAE(Config((1, 8, 8), 2, assignment="exact"))
        settings = dataclasses.replace(MORE, n_components=3, assignment="exact")
        assert fit(digits, settings, start=start).gmvae.config.n_components == 3

    def test_stopped_anywhere_it_goes_on_to_the_same_bytes(self, digits, start, tmp_path):
        undisturbed = fit(digits, MORE, start=start)
        steps = iter(range(10_000))
        for _ in range(100):
            try:
                result = fit(
                    digits,
                    MORE,
                    start=start,
                    checkpoint=tmp_path,
                    stop=lambda: next(steps) % 3 == 2,
                )
            except InterruptedRunError:
                continue
            break
        assert same(undisturbed.gmvae, result.gmvae)
        assert undisturbed.history == result.history
        with torch.no_grad():
            other = grown(start, 3)
            other.model.prior.means.add_(1.0)
        with pytest.raises(ArgumentError, match="`checkpoint` expected a folder of this very run"):
            fit(digits, MORE, start=other, checkpoint=tmp_path)

    def test_several_runs_start_from_it(self, digits, start):
        best, _ = fit_restarts(digits, MORE, 2, n_jobs=1, start=start)
        assert best.gmvae.component_classes == (4, 1, 8, None, None)
        assert best.gmvae.training_record["start"]["data"] == "before"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latent_dim": 3}, "`latent_dim` expected 2, that of the model to start from; got 3"),
        ({"network": "conv"}, "`network` expected mlp, that of the model to start from; got conv"),
        ({"n_components": 2}, "`n_components` expected at least 3, those of the model to start"),
    ],
)
def test_settings_of_another_model(digits, start, changes, words):
    with pytest.raises(ArgumentError, match=words):
        fit(digits, dataclasses.replace(SETTINGS, **changes), start=start)


def test_images_of_another_kind(digits, start):
    wide = Images(np.random.default_rng(0).random((20, 1, 8, 9), dtype=np.float32))
    with pytest.raises(ArgumentError, match=r"`images` expected images of shape \(1, 8, 8\)"):
        check_start(start, wide, SETTINGS)
    binary = GMVAE(Config((1, 8, 8), 3, grey=False))
    with pytest.raises(ArgumentError, match="`images` expected pixels of 0 and 1"):
        check_start(binary, digits, SETTINGS)
    renamed = dataclasses.replace(digits, class_names={4: "vier"})
    with pytest.raises(ArgumentError, match="expected class 4 to be 'four', as the model"):
        check_start(start, renamed, SETTINGS)


def test_what_is_no_model_to_start_from(digits, start):
    with pytest.raises(ArgumentError, match=r"`start` expected a gmvae\.GMVAE"):
        fit(digits, SETTINGS, start="run")
    own = GMVAE(Config((1, 8, 8), 3), assigner=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    with pytest.raises(ArgumentError, match=r"`start` expected a q\(y \| x\) of gmvae's own"):
        fit(digits, SETTINGS, start=own)
    with pytest.raises(ArgumentError, match="`encoder` expected None beside `start`"):
        fit(digits, SETTINGS, start=start, encoder=nn.Identity())


def test_the_settings_of_a_model_are_all_of_their_group():
    assert continuing.OF_THE_MODEL == (
        "latent_dim",
        "covariance",
        "network",
        "likelihood",
        "guide",
        "assignment",
    )
