"""The trial: of several clusterings the one that a network can learn and views do not shake."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from gmvae.data import load
from gmvae.gmvae import GMVAE
from gmvae.settings import Settings
from gmvae.support.errors import InterruptedRunError
from gmvae.training.checkpoint import Checkpoints
from gmvae.training.phases import Length, Trial
from gmvae.training.phases.trial import together
from gmvae.training.state import begin, config_for

# Some forty steps of Adam: enough for two digits.
BRIEF = Length(epochs=40, steps=1, batch_size=256, lr=2e-3)
TRIAL = Trial(BRIEF, BRIEF)


@pytest.fixture(scope="module")
def digits():
    """Ninety 0s and twelve 6s, which a linear map tells apart."""
    images = load("digits", part="train")
    zeros, sixes = (np.flatnonzero(images.labels == c) for c in (0, 6))
    return images.subset(np.concatenate([zeros[:90], sixes[:12]]))


@pytest.fixture
def state(digits):
    torch.manual_seed(0)
    settings = Settings(n_components=2, latent_dim=2)
    model = GMVAE(config_for(digits, settings))
    return begin(model, settings, np.full(len(digits), -1), None)


def nominees(digits):
    """A cut through the 0s into even halves, and the kinds."""
    kinds = (digits.labels == 6).astype(int)
    across = (np.random.default_rng(0).random(len(kinds)) < 0.5).astype(int)
    return np.stack([across, kinds])


def nominating(state, clusterings, **more):
    """The state with these nominees, of equal merit; the first of them are its clusters."""
    equal = {"clusters": clusterings[0], "merits": np.zeros(len(clusterings))}
    return dataclasses.replace(state, nominees=clusterings, **(equal | more))


def test_the_kinds_are_kept_and_not_an_even_cut(state, digits):
    cut, kinds = nominees(digits)
    for order in (slice(None), slice(None, None, -1)):
        after = TRIAL.run(nominating(state, np.stack([cut, kinds])[order]), digits)
        assert adjusted_rand_score(kinds, after.clusters) == 1
        assert after.nominees is None
        assert after.merits is None


def test_merit_and_views_are_weighed_alike(state, digits):
    """What neighbours say of the cut is raised above all that views can say: at most 1."""
    cut, kinds = nominees(digits)
    tried = nominating(state, np.stack([cut, kinds]), merits=np.array([1.01, 0.0]))
    after = TRIAL.run(tried, digits).clusters
    # What a network learns of a cut by chance is a cut, too, and not the kinds.
    assert adjusted_rand_score(kinds, after) < 0.5


def sure(clusters, doubtful=(), n_components=3):
    """Probabilities of .9 for each image's cluster, of .5 for doubtful ones', (N, K)."""
    top = np.full(len(clusters), 0.9)
    top[list(doubtful)] = 0.5
    others = ((1 - top) / (n_components - 1))[:, None]
    return np.where(np.eye(n_components, dtype=bool)[clusters], top[:, None], others)


def erring(kinds, rows):
    """The kinds, but for these images, which are held to be of the next one."""
    clusters = kinds.copy()
    clusters[rows] = (kinds[rows] + 1) % 3
    return clusters


def test_where_the_best_one_doubts_those_much_alike_decide():
    kinds = np.arange(300) % 3
    # Three clusterings, numbered as it comes, each of which errs, in doubt, at four other images.
    numbers = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]])
    rows = [range(4 * j, 4 * j + 4) for j in range(3)]
    learned = [sure(numbers[j][erring(kinds, rows[j])], rows[j]) for j in range(3)]
    for best in range(3):
        np.testing.assert_array_equal(together(learned, best), numbers[best][kinds])


def test_the_best_one_counts_as_much_as_all_others():
    """Of ten that err alike, less sure than it is right."""
    kinds, rows = np.arange(300) % 3, range(4)
    others = [sure(erring(kinds, rows), rows)] * 10
    np.testing.assert_array_equal(together([sure(kinds), *others], 0), kinds)


def test_a_clustering_of_another_structure_has_no_say():
    kinds, across = np.arange(90) % 3, np.arange(90) // 30
    others = [sure(across)] * 2
    np.testing.assert_array_equal(together([sure(kinds), *others], 0), kinds)


def test_the_others_votes_do_not_empty_a_cluster():
    """An image that only the best one holds to be a kind of its own: it stays one."""
    best = np.repeat([0, 1, 2], [50, 49, 1])
    others = np.repeat([0, 1], [50, 50])
    np.testing.assert_array_equal(together([sure(best), *[sure(others)] * 2], 0), best)


def test_without_views_there_is_nothing_to_try(state, digits):
    settings = dataclasses.replace(state.settings, augment="none")
    cut, kinds = nominees(digits)
    tried = nominating(state, np.stack([cut, kinds]), settings=settings)
    after = TRIAL.run(tried, digits)
    assert after.clusters is tried.clusters
    assert state.history == []


def test_only_the_verdict_is_kept(state, digits):
    """The network is as it was, and the history has a row a nominee with what was measured."""
    before = copy.deepcopy(state.assigner.state_dict())
    TRIAL.run(nominating(state, nominees(digits)), digits)
    for name, value in state.assigner.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert [row["phase"] for row in state.history] == ["trial", "trial"]
    assert [row["epoch"] for row in state.history] == [1, 2]
    shares = [row["kept_by_views"] for row in state.history]
    assert 0 <= shares[0] < shares[1] <= 1


def test_it_ends_with_the_run_and_begins_again_to_the_same_bytes(state, digits, tmp_path):
    """Stopped at the 50th of some 160 steps, in the copy that learns the first clustering again."""
    steps = iter(range(1, 1_000))
    kept = Checkpoints(tmp_path, "this run", stop=lambda: next(steps) == 50)
    before = nominating(dataclasses.replace(state, checkpoints=kept), nominees(digits))
    other = copy.deepcopy(dataclasses.replace(before, checkpoints=None))
    torch_state = torch.get_rng_state()
    undisturbed = TRIAL.run(other, digits)

    torch.set_rng_state(torch_state)
    kept.end_phase(before)
    with pytest.raises(InterruptedRunError, match="interrupted; saved in"):
        TRIAL.run(before, digits)
    assert next(steps) == 51
    torch.manual_seed(99)
    resumed = TRIAL.run(Checkpoints(tmp_path, "this run").resume(before), digits)
    np.testing.assert_array_equal(resumed.clusters, undisturbed.clusters)
    assert resumed.history == undisturbed.history
    assert len(resumed.history) == 2
    assert torch.equal(resumed.generator.get_state(), undisturbed.generator.get_state())


@pytest.mark.parametrize("n", [None, 1])
def test_where_there_is_no_choice_nothing_is_tried(state, digits, n):
    cut, _ = nominees(digits)
    tried = nominating(state, nominees(digits)[:1])
    tried = tried if n else dataclasses.replace(tried, clusters=cut, nominees=None, merits=None)
    after = TRIAL.run(tried, digits)
    np.testing.assert_array_equal(after.clusters, cut)
    assert after.nominees is None
    assert state.history == []


def test_what_views_keep_is_information_over_entropy(state, digits):
    """Of a network of fixed answers, by the table of pairs written out."""

    class Fixed(torch.nn.Module):
        """Says 0 of an image and of its first view, 1 of the other one, by its call."""

        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            sure = torch.tensor([[8.0, 0.0], [0.0, 8.0]])
            kind = torch.arange(len(x)) % 2
            # The second view takes every fourth image for the other kind.
            if self.calls == 2:
                kind = torch.where(torch.arange(len(x)) % 4 == 0, 1 - kind, kind)
            self.calls += 1
            return sure[kind]

    _, share = dataclasses.replace(TRIAL, n_views=2).kept_by_views(Fixed(), state, digits)
    n = len(digits)
    kind = np.arange(n) % 2
    other = np.where(np.arange(n) % 4 == 0, 1 - kind, kind)
    top = np.exp(8) / (np.exp(8) + 1)
    q = np.array([[top, 1 - top], [1 - top, top]])
    joint = (q[kind].T @ q[kind] + q[kind].T @ q[other]) / (2 * n)
    joint = (joint + joint.T) / 2
    marginal = joint.sum(0)
    information = (joint * np.log(joint / np.outer(marginal, marginal))).sum()
    entropy = -(marginal * np.log(marginal)).sum()
    assert share == pytest.approx(information / entropy, rel=1e-6)
