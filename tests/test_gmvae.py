"""The user's object: queries, and that chunks of images change nothing."""

import numpy as np
import pytest
import torch
from toys import (
    ASSIGNMENTS,
    COVARIANCES,
    QUERIES,
    SHAPE,
    D,
    K,
    as_tensor,
    random_images,
    seeded,
    tiny,
)

from gmvae.data import Images
from gmvae.probability.evidence import elbo_parts
from gmvae.support.errors import ArgumentError, ContentError


@pytest.fixture(params=ASSIGNMENTS)
def gmvae(request):
    return tiny(assignment=request.param)


def test_answers_have_their_shapes_and_ranges(gmvae):
    x = random_images(5)
    assert gmvae.encode(x).shape == (5, D)
    for probabilities in (gmvae.classify(x), gmvae.responsibilities(x)):
        assert probabilities.shape == (5, K)
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(5))
    for images in (gmvae.reconstruct(x), gmvae.decode(torch.randn(2, 5, D))[0]):
        assert images.shape == (5, *SHAPE)
        assert images.min() >= 0
        assert images.max() <= 1
    assert gmvae.log_prob(x, 5).shape == (5,)
    assert gmvae.elbo(x).elbo.shape == (5,)
    assert not any(t.requires_grad for t in (gmvae.encode(x), gmvae.sample(3)[0], *gmvae.elbo(x)))


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_queries_are_deterministic_and_chunks_equal_the_whole(network, query):
    gmvae = tiny(network=network, assigner_network=network)
    x = random_images(2_100)
    before = torch.get_rng_state()
    whole = as_tensor(getattr(gmvae, query)(x))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(whole, as_tensor(getattr(gmvae, query)(x)))
    parts = torch.cat([as_tensor(getattr(gmvae, query)(part)) for part in x.split(700)])
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("query", [*QUERIES, "elbo", "log_prob"])
def test_images_and_tensors_agree(gmvae, query):
    pixels = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), dtype=np.uint8)
    images = Images(pixels=pixels, labels=None)
    options = {"n_samples": 3} if query in ("elbo", "log_prob") else {}
    answers = []
    for x in (images, images.tensor()):
        torch.manual_seed(0)
        answer = getattr(gmvae, query)(x, **options)
        answers.append(torch.stack(answer) if query == "elbo" else as_tensor(answer))
    torch.testing.assert_close(*answers)


@pytest.mark.parametrize("query", ["classify", "elbo", "log_prob"])
def test_a_query_leaves_the_mode_as_it_was(query):
    gmvae = tiny(assigner_network="conv")
    buffers = {name: t.clone() for name, t in gmvae.named_buffers()}
    for mode in (True, False):
        gmvae.train(mode)
        getattr(gmvae, query)(random_images(3))
        assert all(module.training is mode for module in gmvae.modules())
    assert all(torch.equal(buffers[name], t) for name, t in gmvae.named_buffers())


def test_many_draws_are_chunked_too(gmvae):
    x = random_images(9)
    seen = []
    gmvae.model.decoder.register_forward_hook(lambda _m, i, _o: seen.append(i[0][..., 0].numel()))
    gmvae.log_prob(x, n_samples=10_000)
    assert max(seen) <= 20_000


def test_elbo_is_the_mean_of_its_own_draws(gmvae):
    x = random_images(4)
    parts = gmvae.elbo(x, n_samples=6, generator=seeded())
    again = gmvae.elbo(x, n_samples=6, generator=seeded())
    expected = elbo_parts(gmvae.model, gmvae.guide, x, None, 6, seeded())
    for one, other, third in zip(parts, again, expected, strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one, third.detach())


def test_predict_names_the_components(gmvae):
    x = random_images(300)
    components = gmvae.classify(x).argmax(-1).numpy()
    assert np.array_equal(gmvae.predict(x), components)
    gmvae.component_classes = (8, 1, 4)
    predicted = gmvae.predict(x)
    assert predicted.dtype == np.int64
    assert np.array_equal(predicted, np.array([8, 1, 4])[components])
    gmvae.component_classes = (8, None, 4)
    two = gmvae.classify(x)[:, [0, 2]].argmax(-1).numpy()
    assert np.array_equal(gmvae.predict(x), np.array([8, 4])[two])


@pytest.mark.parametrize("component", [None, 1])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_samples_come_from_the_prior(covariance, component):
    gmvae = tiny(covariance=covariance)
    decoded = []
    gmvae.model.decoder.register_forward_hook(lambda _m, inputs, _o: decoded.append(inputs[0]))
    before = torch.get_rng_state()
    images, y = gmvae.sample(20_000, component, seeded())
    assert torch.equal(before, torch.get_rng_state())
    assert images.shape == (20_000, *SHAPE)
    assert y.shape == (20_000,)
    assert images.min() >= 0
    assert images.max() <= 1
    prior, z = gmvae.model.prior, torch.cat(decoded)
    if component is None:
        shares = torch.bincount(y, minlength=K) / 20_000
        torch.testing.assert_close(shares, prior.weights.detach(), atol=0.015, rtol=0)
    else:
        assert (y == component).all()
    for k in y.unique():
        of_k = z[y == k]
        atol = 6 / len(of_k) ** 0.5
        torch.testing.assert_close(of_k.mean(0), prior.means[k].detach(), atol=atol, rtol=0)
        torch.testing.assert_close(
            of_k.T.cov(), prior.full_covariances[k].detach(), atol=2 * atol, rtol=0.05
        )
    again = gmvae.sample(20_000, component, seeded())
    assert torch.equal(again[0], images)
    assert torch.equal(again[1], y)
    assert not torch.equal(gmvae.sample(20_000, component, seeded(1))[0], images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "`n` expected at least 1; got 0. Choose a number in this range."),
        ((2, K), f"`component` expected 0 to {K - 1}; got {K}. Choose a number in this range."),
        ((2, -1), f"`component` expected 0 to {K - 1}; got -1. Choose a number in this range."),
    ],
)
def test_bad_samples(arguments, message):
    with pytest.raises(ArgumentError) as error:
        tiny().sample(*arguments)
    assert str(error.value) == message


@pytest.mark.parametrize("query", [*QUERIES, "elbo", "log_prob"])
@pytest.mark.parametrize(
    "shape", [(2, 1, 4, 3), (2, 12), (2, 3, 4), (0, *SHAPE), (2, 3, *SHAPE[1:])]
)
def test_images_of_another_shape_are_refused(query, shape):
    with pytest.raises(ContentError, match=r"`x` expected images of shape \(1, 3, 4\)"):
        getattr(tiny(), query)(torch.zeros(shape))


def test_a_model_in_double_precision_draws_samples():
    images, _ = tiny().double().sample(3, generator=torch.Generator().manual_seed(0))
    assert images.dtype == torch.float64


def test_images_of_any_precision_are_taken():
    gmvae, x = tiny(), torch.full((2, *SHAPE), 0.5)
    for dtype in (torch.float64, torch.float16):
        torch.testing.assert_close(gmvae.encode(x.to(dtype)), gmvae.encode(x))


NO_TENSORS = [np.zeros((2, *SHAPE), np.float32), [1, 2], None]


@pytest.mark.parametrize("z", NO_TENSORS)
def test_a_latent_that_is_no_tensor_is_refused(z):
    with pytest.raises(ArgumentError, match=r"`z` expected a tensor"):
        tiny().decode(z)


@pytest.mark.parametrize("query", [*QUERIES, "elbo", "log_prob"])
@pytest.mark.parametrize("x", NO_TENSORS)
def test_what_is_no_tensor_is_refused(query, x):
    with pytest.raises(ArgumentError, match=r"`x` expected a tensor .*; got (ndarray|list|None)"):
        getattr(tiny(), query)(x)


@pytest.mark.parametrize("query", [*QUERIES, "elbo", "log_prob"])
@pytest.mark.parametrize(
    ("x", "got"),
    [
        (torch.full((2, *SHAPE), 255.0), "got float32 between 255 and 255"),
        (torch.ones(2, *SHAPE, dtype=torch.uint8), "got uint8 between 1 and 1"),
        (torch.full((2, *SHAPE), -0.5), "got float32 between -0.5 and -0.5"),
        (torch.full((2, *SHAPE), np.nan), "got float32 between nan and nan"),
    ],
    ids=["bytes as floats", "bytes", "negative", "nan"],
)
def test_pixels_outside_0_to_1_are_refused(query, x, got):
    with pytest.raises(ContentError, match=got):
        getattr(tiny(), query)(x)


def test_grey_pixels_have_no_probability_under_a_model_of_binary_ones():
    gmvae, x = tiny(grey=False), random_images(3)
    assert gmvae.classify(x).shape == (3, K)
    for query in (gmvae.elbo, gmvae.log_prob):
        assert query(x.round())[0].isfinite().all()
        with pytest.raises(ContentError, match="`x` expected pixels 0 or 1"):
            query(x)


def test_draws_must_be_at_least_one(gmvae):
    for query in (gmvae.log_prob, gmvae.elbo):
        with pytest.raises(ArgumentError, match="`n_samples` expected at least 1; got 0"):
            query(random_images(2), n_samples=0)
