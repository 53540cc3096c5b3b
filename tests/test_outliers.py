"""The outlier score: the share of training images that are explained better, for what they hold."""

import math

import numpy as np
import pytest
import torch
from toys import seeded, tiny

from gmvae.answers import answers
from gmvae.data import Images
from gmvae.outliers import BY_COMPLEXITY, QUANTILES, Outliers, complexity, how_explained

PLAIN = {QUANTILES: [-3.0, -2.0, -1.0]}


def images(n):
    return Images(torch.rand(n, *tiny().config.image_shape, generator=seeded()).numpy())


def test_complexity_is_brightness_and_edges():
    x = torch.tensor([[[[0.0, 1.0], [1.0, 1.0]]]])
    # Of four steps, two down and two across, two are of 1.
    torch.testing.assert_close(complexity(x), torch.tensor([[3 / 4, 2 / 4]]))
    # Of two channels alike the same; of one row of numbers there is nothing above the next.
    torch.testing.assert_close(complexity(x.expand(1, 2, 2, 2)), torch.tensor([[3 / 4, 2 / 4]]))
    row = torch.tensor([[[[0.0, 1.0, 0.5]]]])
    torch.testing.assert_close(complexity(row), torch.tensor([[1.5 / 3, 1.5 / 3]]))


def test_the_score_is_the_share_explained_better_less_what_complexity_is_worth():
    model, some = tiny().eval(), images(101)
    size = complexity(some.tensor()).double().numpy()
    log_joint = model.log_joint(some).double().numpy()
    # Ridge regression with a penalty of one image on standardised complexities, as an augmented
    # least squares problem.
    z = (size - size.mean(0)) / size.std(0)
    y = np.concatenate([log_joint - log_joint.mean(), np.zeros(2)])
    slopes = np.linalg.lstsq(np.concatenate([z, np.eye(2)]), y, rcond=None)[0] / size.std(0)
    record = how_explained(model, some)
    np.testing.assert_allclose(record[BY_COMPLEXITY]["slopes"], slopes, atol=1e-3)
    values = log_joint - size @ slopes
    # Of 101 images the per cents are the images themselves, the worst explained first.
    np.testing.assert_allclose(record[QUANTILES], np.sort(values), atol=2e-3)
    model.training_record = record
    scores = answers(model, some, ["outlier"]).outlier
    assert scores.dtype == np.float32
    better = (values[None] > values[:, None]).mean(1) * 101 / 100
    np.testing.assert_allclose(scores, better, atol=5e-3)
    # Far beyond the ends there is nothing more to say.
    model.training_record = record | {QUANTILES: [v + 1e4 for v in record[QUANTILES]]}
    assert (answers(model, some, ["outlier"]).outlier == 1).all()


def test_of_two_images_explained_alike_the_one_with_less_in_it_is_the_stranger():
    worth = {"slopes": [-10.0, 0.0], "least": [0.0, 0.0], "most": [0.2, 1.0]}
    outliers = Outliers(PLAIN | {BY_COMPLEXITY: worth})
    dark, light, lighter = (torch.full((1, 1, 2, 2), grey) for grey in (0.0, 0.1, 0.9))
    log_joint = torch.tensor([-2.5])
    assert outliers(dark, log_joint) == pytest.approx(0.75, abs=1e-3)
    assert outliers(light, log_joint) == pytest.approx(0.25, abs=1e-3)
    # No more is made of a brightness than of the most that the training images have.
    assert outliers(lighter, log_joint) == outliers(torch.full((1, 1, 2, 2), 0.2), log_joint)


def test_a_model_of_before_has_the_plain_share():
    x = torch.rand(3, 1, 4, 4, generator=seeded())
    scores = Outliers(PLAIN)(x, torch.tensor([-4.0, -1.5, 0.0]))
    # Worse than all it is by a whole reach, from the middle to the least.
    rare = math.exp(-1) / 2_000
    expected = torch.tensor([1 - rare, 1 - 0.75 * 1_999 / 2_000 - 1 / 2_000, 0.0])
    torch.testing.assert_close(scores, expected, check_dtype=False)


@pytest.mark.parametrize(
    "record",
    [
        {QUANTILES: "many"},
        {QUANTILES: [[1.0], 2.0]},
        {QUANTILES: [0.0, 1.0], BY_COMPLEXITY: 3},
        {QUANTILES: [0.0, 1.0], BY_COMPLEXITY: {"slopes": [1.0, 2.0, 3.0]}},
    ],
)
def test_a_record_without_sense_is_none(record):
    model = tiny().eval()
    model.training_record = record
    assert answers(model, images(3), ["outlier"]).outlier is None


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_images_or_all_the_same_have_a_score(n):
    model = tiny().eval()
    for some in (images(n), Images(np.zeros((n, *model.config.image_shape), np.float32))):
        model.training_record = how_explained(model, some)
        scores = answers(model, some, ["outlier"]).outlier
        assert ((scores >= 0) & (scores <= 1)).all()
