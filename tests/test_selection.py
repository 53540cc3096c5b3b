"""How many components: known numbers are found, and dead components go without a trace."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from toys import random_images, tiny

from gmvae.data import Images
from gmvae.metrics import effective_number
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, ContentError, TrainingError
from gmvae.training import recipe
from gmvae.training.fitting import fit
from gmvae.training.held_out import hold_out
from gmvae.training.selection import (
    Candidate,
    compare_components,
    equally_stable,
    most_stable,
    pruned,
)

SETTINGS = Settings(augment="none", epochs=2, warmup_epochs=8, held_out=0.2)


@pytest.fixture
def brief(monkeypatch):
    """Phases just long enough for three patterns that differ in every pixel."""
    for name in ("_ASSIGN", "_SHARPEN", "_PLACE", "_JOIN"):
        length = dataclasses.replace(getattr(recipe, name), epochs=15, steps=1, batch_size=64)
        monkeypatch.setattr(recipe, name, length)


@pytest.fixture(scope="module")
def three_patterns():
    """150 images of three patterns with noise: three clusters, beyond doubt."""
    rng = np.random.default_rng(0)
    patterns = rng.random((3, 1, 6, 6)) > 0.5
    kind = np.arange(150) % 3
    pixels = np.abs(patterns[kind] - 0.15 * rng.random((150, 1, 6, 6))).astype(np.float32)
    return Images(pixels, kind.astype(np.int64))


@pytest.mark.usefixtures("brief")
def test_the_number_whose_restarts_agree_is_the_true_one(three_patterns):
    told = []
    found = compare_components(
        three_patterns, [5, 3], SETTINGS, n_restarts=2, n_jobs=1, callback=told.append
    )
    assert [c.n_components for c in found] == [3, 5]
    assert found[0].stability == pytest.approx(1)
    assert found[0].effective_components == pytest.approx(3, abs=0.1)
    assert most_stable(found) is found[0]
    assert {progress.restart for progress in told} == {1, 2, 3, 4}


@pytest.mark.usefixtures("brief")
def test_figures_are_those_of_the_runs_on_the_held_out_images(three_patterns):
    (found,) = compare_components(three_patterns, [3], SETTINGS, n_restarts=1, n_jobs=1)
    train, _, held_out = hold_out(three_patterns, SETTINGS)
    gmvae = fit(train, dataclasses.replace(SETTINGS, n_components=3), held_out=held_out).gmvae
    evidence = gmvae.log_prob(held_out, 50, torch.Generator().manual_seed(0)).numpy()
    assert found.log_likelihood == pytest.approx(evidence.mean(), rel=1e-5)
    assert found.standard_error == pytest.approx(
        evidence.std(ddof=1) / np.sqrt(len(held_out)), rel=1e-4
    )
    share = gmvae.classify(held_out).mean(0).numpy()
    assert found.effective_components == pytest.approx(effective_number(share), rel=1e-5)
    assert found.stability is None


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_it_says_whether_the_likelihood_is_a_density(three_patterns, likelihood):
    settings = dataclasses.replace(SETTINGS, likelihood=likelihood)
    (found,) = compare_components(three_patterns, [3], settings, n_restarts=1, n_jobs=1)
    assert found.likelihood_normalised == (likelihood == "gaussian")


def candidate(k, stability, log_likelihood=-1.0):
    return Candidate(k, (log_likelihood,), True, 0.1, stability, float(k))


@pytest.mark.parametrize(
    ("candidates", "k"),
    [
        ([candidate(1, 1.0), candidate(2, 0.6), candidate(3, 0.9)], 3),
        ([candidate(2, 0.901, -5.0), candidate(4, 0.899, -4.0)], 4),
        ([candidate(2, 0.93, -5.0), candidate(4, 0.90, -4.0)], 2),
        # A tenth is the standard error.
        ([candidate(2, 1.0, -5.0), candidate(3, 1.0, -5.05), candidate(4, 0.8, -4.0)], 3),
        ([candidate(2, 1.0, -5.0), candidate(3, 1.0, -5.2)], 2),
    ],
)
def test_the_most_stable(candidates, k):
    assert most_stable(candidates).n_components == k


def test_equally_stable_is_to_two_decimals_and_of_two_or_more():
    candidates = [candidate(1, 1.0), candidate(2, 0.901), candidate(3, 0.89), candidate(4, 0.899)]
    assert [c.n_components for c in equally_stable(candidates)] == [2, 4]


def test_without_stability_there_is_no_most_stable():
    with pytest.raises(ArgumentError, match="two or more components with a stability; got none"):
        most_stable([candidate(1, 1.0), candidate(3, None)])


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"numbers": []}, r"`numbers` expected distinct numbers; got \[\]"),
        ({"numbers": [2, 2]}, r"`numbers` expected distinct numbers; got \[2, 2\]"),
        ({"callback": 3}, "`callback` expected a function; got 3"),
        (
            {"settings": dataclasses.replace(SETTINGS, held_out=0.0)},
            "`settings` expected a held-out part to compare on; got held_out=0",
        ),
        ({"n_restarts": 0}, "`n_restarts` expected at least 1; got 0"),
        ({"numbers": [2, 9999]}, "`n_components` expected at most the number of images to train"),
    ],
)
def test_what_cannot_be_compared(three_patterns, changes, fragment):
    with pytest.raises(ArgumentError, match=fragment):
        compare_components(three_patterns, **({"numbers": [2]} | changes))


def test_too_few_images_to_hold_some_out(three_patterns):
    with pytest.raises(ContentError, match="expected images enough to hold 5% of them out"):
        compare_components(three_patterns.subset(slice(0, 5)), [2])


@pytest.mark.usefixtures("brief")
def test_a_number_whose_runs_all_diverge_is_said(three_patterns):
    settings = dataclasses.replace(SETTINGS, lr=1e30)
    with pytest.raises(TrainingError, match="every run with 3 components diverged"):
        compare_components(three_patterns, [3], settings, 1, n_jobs=1)


def with_a_dead_component(dead=1, **changes):
    gmvae = tiny(**changes).eval()
    with torch.no_grad():
        gmvae.model.prior.logits[dead] = -60.0
        if gmvae.guide.assigner is not None:
            gmvae.guide.assigner.logits.bias[dead] = -60.0
    return gmvae


@pytest.mark.parametrize("assignment", ["amortised", "exact"])
def test_a_pruned_model_says_the_same_of_every_image(assignment):
    gmvae, x = with_a_dead_component(assignment=assignment), random_images(30)
    gmvae.component_classes = (4, 7, 9)
    images = Images(x.numpy())
    smaller = pruned(gmvae, images)
    assert smaller.config.n_components == 2
    assert smaller.component_classes == (4, 9)
    torch.testing.assert_close(smaller.classify(x), gmvae.classify(x)[:, [0, 2]])
    torch.testing.assert_close(smaller.responsibilities(x), gmvae.responsibilities(x)[:, [0, 2]])
    one, other = (g.log_prob(x, 20, torch.Generator().manual_seed(0)) for g in (gmvae, smaller))
    torch.testing.assert_close(one, other)
    assert adjusted_rand_score(gmvae.classify(x).argmax(-1), smaller.classify(x).argmax(-1)) == 1


def test_nothing_is_pruned_where_all_components_are_in_use_and_the_largest_stays():
    gmvae, images = tiny().eval(), Images(random_images(30).numpy())
    assert pruned(gmvae, images, 0.0).config.n_components == 3
    assert pruned(gmvae, images, 0.99).config.n_components == 1


def test_a_pruned_model_keeps_its_precision_and_names_only_where_there_are_some():
    gmvae, images = with_a_dead_component().double(), Images(random_images(30).numpy())
    gmvae.component_classes = (None, 7, None)
    before = torch.get_rng_state()
    smaller = pruned(gmvae, images)
    assert torch.equal(torch.get_rng_state(), before)
    assert smaller.model.prior.means.dtype == torch.float64
    assert smaller.component_classes is None
    assert set(smaller.predict(images)) <= {0, 1}


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range(share):
    with pytest.raises(ArgumentError, match="`least_share` expected 0 to below 1"):
        pruned(tiny(), Images(random_images(3).numpy()), share)
