"""How many components: known numbers are found, and dead components go without a trace."""

import dataclasses
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from toys import random_images, tiny

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.metrics import effective_number
from gmvae.probability.likelihood import Likelihood
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, ContentError, TrainingError
from gmvae.training import selection
from gmvae.training.candidates import n_peaks
from gmvae.training.fitting import fit
from gmvae.training.held_out import hold_out
from gmvae.training.jobs import Outcome
from gmvae.training.loop import Progress
from gmvae.training.recipe import EFFORTS
from gmvae.training.restarts import seeds_from
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
    monkeypatch.setitem(EFFORTS, "standard", 0.15)


@pytest.fixture(scope="module")
def three_patterns():
    """150 images of three patterns with noise: three clusters, beyond doubt."""
    rng = np.random.default_rng(0)
    patterns = rng.random((3, 1, 6, 6)) > 0.5
    kind = np.arange(150) % 3
    pixels = np.abs(patterns[kind] - 0.15 * rng.random((150, 1, 6, 6))).astype(np.float32)
    return Images(pixels, kind.astype(np.int64))


@pytest.mark.usefixtures("brief")
def test_runs_of_the_true_number_find_the_same_clusters(three_patterns):
    """Three patterns: three components are stable, and all in use."""
    told = []
    (three,) = compare_components(
        three_patterns, [3], SETTINGS, n_restarts=2, n_jobs=1, callback=told.append
    )
    assert three.stability == pytest.approx(1)
    assert three.effective_components == pytest.approx(3, abs=0.1)
    assert {progress.restart for progress in told} == {1, 2}


@pytest.fixture
def scripted(monkeypatch):
    """Runs that end with models of known parameters, without training; their jobs."""
    script = SimpleNamespace(jobs=[], calls=[], diverged=set(), models={}, kind={}, prominences={})

    def run_jobs(jobs, callback, n_jobs, stop=None):
        script.jobs = jobs
        script.calls.append((callback, n_jobs))
        outcomes = []
        for job in jobs:
            torch.manual_seed(job.number)
            gmvae = tiny(n_components=job.settings.n_components, **script.kind).eval()
            script.models[job.number] = gmvae
            gmvae.save(job.folder)
            diverged = job.number in script.diverged
            figures, splits = {"loss": 1.0, "elbo": -1.0}, script.prominences.get(job.number, ())
            outcomes.append(None if diverged else Outcome([], (), figures, splits))
        return outcomes

    monkeypatch.setattr(selection, "run_jobs", run_jobs)
    return script


@pytest.fixture
def images():
    return Images(random_images(80).numpy())


def mean_pairwise(clusterings):
    pairs = list(combinations(clusterings, 2))
    return sum(adjusted_rand_score(one, other) for one, other in pairs) / len(pairs)


def test_figures_of_each_number_by_their_formulas(images, scripted):
    """Three runs of four components and three of two, on 16 held-out images of 80."""
    two, four = compare_components(images, [4, 2], SETTINGS, n_restarts=3, n_samples=7)
    _, _, held_out = hold_out(images, SETTINGS)
    assert len(held_out) == 16
    for candidate, k, runs in ((four, 4, (1, 2, 3)), (two, 2, (4, 5, 6))):
        models = [scripted.models[number] for number in runs]
        log_probs = [
            gmvae.log_prob(held_out, 7, torch.Generator().manual_seed(SETTINGS.seed)).double()
            for gmvae in models
        ]
        shares = [gmvae.classify(held_out).double().mean(0) for gmvae in models]
        clusterings = [gmvae.classify(held_out).argmax(-1) for gmvae in models]
        perplexities = [(-(share * share.log()).sum()).exp().item() for share in shares]
        assert candidate.n_components == k
        assert candidate.log_likelihoods == pytest.approx(
            [values.mean().item() for values in log_probs], rel=1e-5
        )
        assert candidate.log_likelihood == pytest.approx(
            sum(candidate.log_likelihoods) / 3, rel=1e-9
        )
        squares = (log_probs[0] - log_probs[0].mean()).square().sum().item()
        assert candidate.standard_error == pytest.approx((squares / 15 / 16) ** 0.5, rel=1e-4)
        assert candidate.stability == pytest.approx(mean_pairwise(clusterings))
        assert candidate.effective_components == pytest.approx(np.mean(perplexities), rel=1e-5)
        assert candidate.likelihood_normalised is True
    assert 0 < abs(four.stability) < 1


def test_what_the_density_says_is_of_each_restart(images, scripted):
    """The K - 1st split makes K components; of a split that is not there the prominence is 0."""
    scripted.prominences = {1: (9.0, 4.5, 3.6), 2: (5.0,), 3: (9.0, 4.4), 4: (), 5: (2.0,)}
    one, two, four = compare_components(images, [4, 2, 1], SETTINGS, 2)
    assert (four.n_peaks, four.splits, four.split) == ((3, 2), (3.6, 0.0), 1.8)
    assert (two.n_peaks, two.splits, two.split) == ((3,), (9.0,), 9.0)
    assert (one.n_peaks, one.splits, one.split) == ((1,), (), None)
    # 1, 2, 3, 3: the lower of the middle two.
    assert n_peaks([one, two, four]) == 2
    assert n_peaks([candidate(2, 1.0)]) is None


def test_a_component_is_empty_that_no_image_is_of(images, scripted, monkeypatch):
    """Of three one has none of the held-out images, and one training image; another has none."""
    components = iter([[0] * 16, [0] * 63 + [1]])

    def classify(self, images):
        return torch.eye(3)[next(components)]

    monkeypatch.setattr(GMVAE, "classify", classify)
    (three,) = compare_components(images, [3], SETTINGS, 1)
    assert three.empty_components == 1


def test_every_run_is_told_the_same_but_for_its_number_and_its_seed(images, scripted):
    def tell(progress):
        raise AssertionError

    compare_components(images, (4, 2), SETTINGS, 2, callback=tell, n_jobs=5)
    train, _, held_out = hold_out(images, SETTINGS)
    ((told, n_jobs),) = scripted.calls
    assert n_jobs == 5
    with pytest.raises(AssertionError):
        told(Progress("joint", 1, 1))
    seeds = seeds_from(SETTINGS.seed, 2)
    assert [(job.settings.n_components, job.settings.seed) for job in scripted.jobs] == [
        (k, seed) for k in (4, 2) for seed in seeds
    ]
    assert [job.number for job in scripted.jobs] == [1, 2, 3, 4]
    for job in scripted.jobs:
        expected = dataclasses.replace(
            SETTINGS, n_components=job.settings.n_components, seed=job.settings.seed, held_out=0.0
        )
        assert job.settings == expected
        assert np.array_equal(job.images.pixels, train.pixels)
        assert np.array_equal(job.held_out.pixels, held_out.pixels)
        assert job.observed is None
        assert job.device == "cpu"
        assert not job.folder.exists()


def test_images_of_one_s_own_are_measured_on_and_all_others_trained_on(images, scripted):
    own = Images(random_images(5).numpy())
    settings = dataclasses.replace(SETTINGS, held_out=0.0)
    (candidate,) = compare_components(images, [2], settings, held_out=own)
    assert all(job.images is images for job in scripted.jobs)
    generator = torch.Generator().manual_seed(SETTINGS.seed)
    expected = scripted.models[1].log_prob(own, 50, generator).mean().item()
    assert candidate.log_likelihoods[0] == pytest.approx(expected, rel=1e-5)
    assert len(candidate.log_likelihoods) == 2


def test_a_single_image_has_no_spread_and_a_single_run_no_stability(images, scripted):
    (candidate,) = compare_components(
        images, [2], SETTINGS, 1, held_out=Images(random_images(1).numpy())
    )
    assert candidate.standard_error == 0
    assert candidate.stability is None


def test_runs_that_diverged_are_left_out(images, scripted):
    scripted.diverged = {1, 3}
    (candidate,) = compare_components(images, [2], SETTINGS, 3)
    _, _, held_out = hold_out(images, SETTINGS)
    generator = torch.Generator().manual_seed(SETTINGS.seed)
    expected = scripted.models[2].log_prob(held_out, 50, generator).mean().item()
    assert candidate.log_likelihoods == pytest.approx([expected], rel=1e-5)
    assert candidate.stability is None
    scripted.diverged = {3, 4}
    with pytest.raises(TrainingError, match="every run with 3 components diverged"):
        compare_components(images, [2, 3], SETTINGS, 2)


@pytest.mark.parametrize("normalised", [False, True])
def test_it_says_whether_the_likelihood_is_a_density(images, scripted, normalised, monkeypatch):
    monkeypatch.setattr(Likelihood, "normalised", normalised)
    (candidate,) = compare_components(images, [3], SETTINGS, n_restarts=1)
    assert candidate.likelihood_normalised is normalised


@pytest.mark.usefixtures("brief")
def test_figures_are_those_of_a_run_alone(three_patterns):
    (candidate,) = compare_components(three_patterns, [3], SETTINGS, n_restarts=1, n_jobs=1)
    train, _, held_out = hold_out(three_patterns, SETTINGS)
    gmvae = fit(train, dataclasses.replace(SETTINGS, n_components=3), held_out=held_out).gmvae
    log_probs = gmvae.log_prob(held_out, 50, torch.Generator().manual_seed(0)).numpy()
    assert candidate.log_likelihood == pytest.approx(log_probs.mean(), rel=1e-5)
    share = gmvae.classify(held_out).mean(0).numpy()
    assert candidate.effective_components == pytest.approx(effective_number(share), rel=1e-5)


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
        # The more components may be the likelier, and those before them count.
        ([candidate(2, 1.0, -5.0), candidate(3, 1.0, -4.0), candidate(4, 1.0, -4.2)], 3),
        ([candidate(2, 0.0, -5.0)], 2),
        ([candidate(2, -0.1, -5.0), candidate(3, -0.3, -5.0)], 2),
        ([candidate(2, None), candidate(3, 0.1)], 3),
    ],
)
def test_the_most_stable(candidates, k):
    assert most_stable(candidates).n_components == k


def test_the_likelihood_of_a_number_is_the_mean_of_its_runs():
    assert Candidate(2, (-4.0, -5.0, -9.0), True, 0.1, 1.0, 2.0).log_likelihood == -6.0


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
        ({"numbers": [0]}, "`numbers` expected at least 1; got 0"),
        ({"n_samples": 0}, "`n_samples` expected at least 1; got 0"),
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


@pytest.mark.parametrize(
    ("least", "kept"),
    [({}, [0, 1]), ({"least_share": 0.01}, [0, 1]), ({"least_share": 0.0101}, [0])],
    ids=["default", "at it", "below it"],
)
def test_a_component_of_the_least_share_stays(monkeypatch, least, kept):
    """Shares .985, .01 and .005, a hundredth being what is asked for by default."""
    gmvae = tiny().eval()
    shares = torch.tensor([[0.985, 0.01, 0.005]], dtype=torch.float64)
    monkeypatch.setattr(GMVAE, "classify", lambda self, images: shares)
    before = gmvae.model.prior.means.clone()
    smaller = pruned(gmvae, Images(random_images(3).numpy()), **least)
    assert torch.equal(smaller.model.prior.means, before[kept])
    assert torch.equal(smaller.model.prior.raw_scales, gmvae.model.prior.raw_scales[kept])
    assert gmvae.config.n_components == 3
    assert not smaller.training


def test_no_model_of_ones_own_modules_is_pruned():
    decoder = tiny().model.decoder
    gmvae = GMVAE(tiny().config, decoder=decoder)
    with pytest.raises(ArgumentError, match=r"its own making; got the user's decoder\. Prune"):
        pruned(gmvae, Images(random_images(3).numpy()))
    with pytest.raises(ArgumentError, match=r"`gmvae` expected a gmvae\.GMVAE; got"):
        pruned(decoder, Images(random_images(3).numpy()))


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
