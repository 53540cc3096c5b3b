"""Shapes, and that entries of the leading dimensions do not see each other."""

import pytest
import torch
from torch import nn

from gmvae.networks import (
    MLP,
    Assigner,
    Encoder,
    Frozen,
    build_decoder,
    build_encoder,
    build_features,
    encoders,
)
from gmvae.networks.encoders import MOST_FULL, N_GAUSSIANS
from gmvae.networks.features import halvings
from gmvae.support.errors import ArgumentError

SIZES = [(1, 28, 28), (3, 8, 8), (1, 5, 7), (4, 1, 1), (1, 2, 19), (3, 33, 16)]
NETWORKS = ["mlp", "conv"]
LAYERS = (12, 8), (3, 4)

sizes = pytest.mark.parametrize("image_shape", SIZES, ids=str)
networks = pytest.mark.parametrize("network", NETWORKS)


@sizes
@networks
def test_encoders_take_any_image_and_any_leading_dimensions(network, image_shape):
    encoder = Encoder(build_features(network, image_shape, *LAYERS), 2)
    assigner = Assigner(build_features(network, image_shape, *LAYERS), 3)
    x = torch.rand(2, 1, 3, *image_shape)
    loc, scale = encoder(x)
    assert loc.shape == scale.shape == (2, 1, 3, 2)
    assert (scale > 0).all()
    assert assigner(x).shape == (2, 1, 3, 3)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(loc[i, 0, j], encoder(x[i, 0, j])[0])
            torch.testing.assert_close(scale[i, 0, j], encoder(x[i, 0, j])[1])
            torch.testing.assert_close(assigner(x)[i, 0, j], assigner(x[i, 0, j]))


@pytest.mark.parametrize("guide", ["diagonal", "full", "mixture"])
@pytest.mark.parametrize("d", [1, 3, MOST_FULL + 1])
def test_each_kind_of_guide_has_its_answer(guide, d):
    """Shapes, a factor that is lower triangular with a diagonal above 0, rows by themselves."""
    encoder = build_encoder(build_features("mlp", (1, 5, 7), *LAYERS), d, guide)
    x = 50 * torch.rand(2, 4, 1, 5, 7)
    answer = encoder(x)
    several = (N_GAUSSIANS,) if guide == "mixture" else ()
    full = guide == "full" or (guide == "mixture" and d <= MOST_FULL)
    square = (d,) if full else ()
    shapes = [(2, 4, *several, d), (2, 4, *several, d, *square), (2, 4, *several)]
    assert [tuple(part.shape) for part in answer] == shapes[: len(answer)]
    assert len(answer) == (3 if several else 2)
    diagonal = answer[1]
    if full:
        assert torch.equal(answer[1], answer[1].tril())
        assert d == 1 or answer[1].tril(-1).abs().sum() > 0
        diagonal = answer[1].diagonal(dim1=-2, dim2=-1)
    assert (diagonal > 0).all()
    for whole, part in zip(answer, encoder(x[1, 2]), strict=True):
        torch.testing.assert_close(whole[1, 2], part)
    sum(part.sum() for part in answer).backward()
    assert all(p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("guide", ["full", "mixture"])
def test_what_is_built_next_begins_alike_whatever_the_guide(guide):
    """And the first Gaussian as that of a diagonal guide."""
    built = []
    for kind in ("diagonal", guide):
        torch.manual_seed(4)
        encoder = build_encoder(build_features("mlp", (1, 5, 7), *LAYERS), 3, kind)
        built.append((encoder.loc.weight[:3], encoder.raw_scale.bias[:3], torch.rand(3)))
    for one, other in zip(*built, strict=True):
        assert torch.equal(one, other)


def test_the_entries_of_a_factor_stand_row_by_row():
    scale = torch.tensor([[1.0, 2.0, 3.0]])
    lower = torch.tensor([[0.5, -1.0, 0.25]])
    expected = torch.tensor([[[1.0, 0, 0], [1.0, 2.0, 0], [-3.0, 0.75, 3.0]]])
    torch.testing.assert_close(encoders._factor(scale, lower), expected)


@sizes
@networks
def test_decoders_give_any_image_at_any_leading_dimensions(network, image_shape):
    decoder = build_decoder(network, 2, image_shape, *LAYERS)
    z = torch.randn(2, 1, 3, 2)
    output = decoder(z)
    assert output.shape == (2, 1, 3, *image_shape)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(output[i, 0, j], decoder(z[i, 0, j]))


@sizes
@networks
def test_every_parameter_takes_part(network, image_shape):
    encoder = Encoder(build_features(network, image_shape, *LAYERS), 2)
    decoder = build_decoder(network, 2, image_shape, *LAYERS)
    loc, scale = encoder(torch.rand(20, *image_shape))
    decoder(loc + scale).square().sum().backward()
    for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("image_shape", "expected"),
    [
        ((1, 28, 28), [(28, 28), (14, 14), (7, 7), (4, 4)]),
        ((3, 4, 4), [(4, 4)]),
        ((1, 1, 9), [(1, 9), (1, 5), (1, 3)]),
    ],
)
def test_halvings(image_shape, expected):
    assert halvings(image_shape) == expected


@pytest.mark.parametrize(
    ("side", "channels", "expected"), [(64, (2, 5), [2, 5, 5, 5]), (6, (2, 3, 4), [2, 3, 4])]
)
def test_the_last_channel_count_repeats_and_none_is_left_out(side, channels, expected):
    features = build_features("conv", (1, side, side), (8,), channels)
    convolutions = [m for m in features.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == expected


def test_normalisation_is_over_the_batch_in_training_only():
    features = build_features("conv", (1, 8, 8), *LAYERS, batch_norm=True)
    x = torch.rand(6, 1, 8, 8)
    assert not torch.allclose(features(x)[:2], features(x[:2]))
    features.eval()
    torch.testing.assert_close(features(x)[:2], features(x[:2]))
    torch.testing.assert_close(features(x.reshape(2, 3, 1, 8, 8)), features(x).reshape(2, 3, -1))


def test_mlp_ends_without_a_rectifier():
    assert MLP([2, 3, 1])(torch.randn(100, 2)).min() < 0


@pytest.mark.parametrize(
    "build",
    [
        lambda n: build_features(n, (1, 4, 4), *LAYERS),
        lambda n: build_decoder(n, 2, (1, 4, 4), *LAYERS),
    ],
)
def test_an_unknown_network_is_refused(build):
    with pytest.raises(ArgumentError, match="`network` expected one of mlp, conv; got 'vit'"):
        build("vit")


def test_frozen_features_are_computed_once_for_a_batch_and_never_learn():
    features = build_features("conv", (1, 5, 7), *LAYERS)
    seen = []
    features.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    frozen = Frozen(features, features.n_features)
    one, other = torch.rand(2, 1, 5, 7), torch.rand(2, 1, 5, 7)
    for x in (one, one, other, other, one):
        torch.testing.assert_close(frozen(x), features.layers(x))
    assert [x is one for x in seen] == [True, False, True]
    assert not frozen(one).requires_grad
