"""Black images through modules of a user's own: who is named where one fails."""

import pytest
import torch
from toys import SHAPE, Noise, tiny

from gmvae.probability.dry_run import check_shapes
from gmvae.support.errors import ArgumentError


class Failing(Noise):
    """Fails on what the decoder answers."""

    def forward(self, output):
        raise ValueError("too dark.")


class OfOnePixel(Noise):
    """Whose mean is one number an image."""

    def mean(self, output):
        return output.mean((-1, -2, -3))


def refused(likelihood):
    gmvae = tiny()
    gmvae.model.likelihood = likelihood
    with torch.no_grad(), pytest.raises(ArgumentError) as error:
        check_shapes(gmvae.model, gmvae.guide, SHAPE)
    return str(error.value)


def test_a_likelihood_that_fails_is_named_with_its_reason():
    assert refused(Failing()) == (
        "`likelihood` expected to take a tensor (2, 1, 3, 4); got from it ValueError: too dark. "
        "Change what it takes."
    )


def test_a_likelihood_whose_mean_is_no_image_is_named():
    assert refused(OfOnePixel()) == (
        "`likelihood` expected to answer mean images (2, 1, 3, 4) of a tensor (2, 1, 3, 4); got "
        "(2,). Change what it returns."
    )
