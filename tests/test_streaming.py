"""A model asked a batch at a time, against the queries that ask it of all images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toys import SHAPE, random_images, tiny

from gmvae import Images
from gmvae.data import npy
from gmvae.data.images import let_go, pixel_range
from gmvae.networks import Assigner, build_features
from gmvae.streaming import bare
from gmvae.support.errors import ContentError


def assigner():
    """Of convolutions, its normalisation far from the identity."""
    network = Assigner(build_features("conv", (1, 8, 8), (16,), (3, 4), batch_norm=True), 3)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.running_mean, part.weight.data, part.bias.data):
                values.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    return network


def test_a_bare_network_answers_as_the_network_without_normalising():
    network, x = assigner(), random_images(9, (1, 8, 8))
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    copy = bare(network)
    assert not any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in copy.modules())
    assert network.training
    torch.testing.assert_close(copy(x), network.eval()(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dict(network.state_dict()), weights, rtol=0, atol=0)


def test_a_module_of_the_users_is_asked_itself():
    class Mine(Assigner):
        """It may do anything."""

    mine = Mine(build_features("mlp", SHAPE, (4,), ()), 3)
    assert bare(mine) is mine


@pytest.mark.parametrize("assignment", ["amortised", "exact"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_every_answer_is_that_of_the_query(assignment, kind, monkeypatch):
    monkeypatch.setattr("gmvae.gmvae.ROWS", 3)
    model = tiny(assignment=assignment).train()
    pixels = np.random.default_rng(0).integers(0, 256, (8, *SHAPE), dtype=np.uint8)
    images = Images(pixels if kind is np.uint8 else (pixels / 255).astype(np.float32))
    expected = {
        "latents": model.encode(images),
        "probabilities": model.classify(images),
        "responsibilities": model.responsibilities(images),
        "reconstructions": model.reconstruct(images),
        "log_joint": model.log_joint(images),
    }
    seen = []
    for batch in model.batches(images, first=3):
        seen.append((batch.rows.start, batch.rows.stop))
        for name, values in expected.items():
            answer = getattr(batch, name)
            torch.testing.assert_close(answer, values[batch.rows], rtol=1e-5, atol=1e-5)
            assert not answer.requires_grad
        assert torch.is_grad_enabled()
    assert seen == [(3, 6), (6, 8)]
    assert all(part.training for part in model.modules())


def test_networks_are_asked_once(monkeypatch):
    model, asked = tiny().eval(), []
    for name in ("encoder", "assigner"):
        getattr(model.guide, name).register_forward_hook(lambda *_, name=name: asked.append(name))
    (batch,) = model.batches(random_images(4))
    for name in ("latents", "responsibilities", "reconstructions", "log_joint", "probabilities"):
        getattr(batch, name)
    assert sorted(asked) == ["assigner", "encoder"]


def test_what_is_no_image_of_the_model_is_refused():
    with pytest.raises(ContentError, match="expected images of shape"):
        next(tiny().batches(torch.zeros(2, 1, 5, 5)))


def test_bytes_become_floats_as_they_always_did():
    images = Images(np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1))
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(images.tensor().numpy().ravel(), expected)
    images.tensor().zero_()
    assert images.pixels.ravel()[255] == 255


def resident_of_files():
    """MB of this process's memory that are files."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssFile:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_what_was_read_of_a_memory_map_is_given_back(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((64, 2**20), np.uint8))
    array = npy.mapped(tmp_path / "a.npy")
    before = resident_of_files()
    assert array.sum() == 64 * 2**20
    assert resident_of_files() - before > 60
    let_go(array[3:, None])
    assert resident_of_files() - before < 8
    assert pixel_range(array, "a") == (1, 1)
    assert resident_of_files() - before < 8
    let_go(np.ones(3))
