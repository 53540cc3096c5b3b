"""The page to explore a latent space: what is in it, and which models it refuses."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from explored import decode, read, sprites, unpacked
from parsed import EVIL
from PIL import Image
from toys import K, Noise, random_images, tiny

from gmvae import ArgumentError, ContentError, Images, explore, load
from gmvae.explore import decoder, document, page, points, program, sheets
from gmvae.explore.decoder import MOST_DIMENSIONS
from gmvae.explore.points import look
from gmvae.networks import MLPDecoder
from gmvae.plots import Told
from gmvae.plots.style import COLOURS

ROOT = Path(os.environ.get("GMVAE_DATA_ROOT", "nowhere"))
mnist = pytest.mark.skipif(not (ROOT / "MNIST").exists(), reason="no MNIST under GMVAE_DATA_ROOT")


def some_images(n=7, labelled=True, **changes):
    rng = np.random.default_rng(0)
    labels = np.array([1, 4, 8])[np.arange(n) % 3] if labelled else None
    return replace(Images(rng.random((n, 1, 3, 4), dtype=np.float32), labels, "some"), **changes)


def test_its_public_names_are_there():
    assert [getattr(explore, name) for name in explore.__all__]
    assert dir(explore) == sorted(explore.__all__)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = tiny()
    model.component_classes = (1, None, 8)
    return model


@pytest.fixture(scope="module")
def made(model):
    return read(page(model, some_images()))


class TestContents:
    def test_it_says_what_it_shows(self, made):
        assert "Latent space of some" in made.parsed.text
        assert "7 encoded images." in made.parsed.text

    def test_latents_and_components_are_the_models(self, model, made):
        latents = unpacked(made.data["points"]["latents"], "f4").reshape(7, 2)
        assert np.array_equal(latents, model.encode(some_images()).numpy())
        components = unpacked(made.data["points"]["components"], "u2")
        assert np.array_equal(components, model.classify(some_images()).argmax(1).numpy())

    def test_probabilities_are_the_honest_ones_the_largest_first(self, model, made):
        record = made.data["points"]
        expected = Told(model, some_images()).honest
        which = unpacked(record["likeliest"], "u2").reshape(7, K)
        values = unpacked(record["probabilities"], "u2").reshape(7, K) / points.FULL
        assert np.allclose(values, np.take_along_axis(expected, which, 1), atol=1e-5)
        assert (np.diff(values, axis=1) <= 0).all()

    def test_the_mixture_is_the_models(self, model, made):
        record, z = made.data["mixture"], 3 * torch.randn(5, 2)
        means = unpacked(record["means"], "f8").reshape(K, 2)
        whitening = unpacked(record["whitening"], "f8").reshape(K, 2, 2)
        delta = np.einsum("kij,nkj->nki", whitening, z.numpy()[:, None] - means)
        logs = unpacked(record["constants"], "f8") - (delta**2).sum(-1) / 2
        expected = model.model.prior.log_joint(z).detach().numpy() + np.log(2 * np.pi)
        assert np.allclose(logs, expected, atol=1e-4)

    def test_a_mixture_so_narrow_that_its_covariance_has_no_factor(self):
        """In single precision: the page takes the factor by which the mixture is held."""
        narrow = tiny(covariance="full")
        prior = narrow.model.prior
        with torch.no_grad():
            prior.raw_scales[0] = torch.tensor([1000.0, -20.0])
            prior.lower[0, 1, 0] = 1000.0
        assert torch.linalg.cholesky_ex(prior.full_covariances.detach().double())[1].any()
        record = read(page(narrow, some_images())).data["mixture"]
        whitening = unpacked(record["whitening"], "f8").reshape(K, 2, 2)
        both = whitening @ prior.scale_tril.detach().double().numpy()
        assert np.allclose(both, np.eye(2), atol=1e-6)

    def test_images_are_whole_to_a_byte(self, made):
        expected = np.rint(some_images().pixels[:, 0] * 255)
        assert np.array_equal(sprites(made.data["points"]["sheets"], 7), expected)

    def test_components_and_classes_have_one_colour(self, made):
        groups = made.data["groups"]
        assert groups["component"]["names"] == ["0: class 1", "component 1", "2: class 8"]
        assert groups["component"]["short"] == ["class 1", "1", "class 8"]
        assert groups["class"]["names"] == ["1", "4", "8"]
        assert groups["class"]["looks"][0] == groups["component"]["looks"][0]
        assert groups["class"]["looks"][2] == groups["component"]["looks"][2]
        assert unpacked(made.data["points"]["classes"], "u2").tolist() == [0, 1, 2, 0, 1, 2, 0]

    def test_without_labels_there_are_no_classes(self, model):
        made = read(page(model, some_images(labelled=False), "mine"))
        assert made.data["groups"]["class"] is None
        assert made.data["points"]["classes"] is None
        assert made.data["points"]["files"] is None
        assert "mine" in made.parsed.text

    def test_of_too_many_an_even_share_is_shown_and_this_is_said(self, model, monkeypatch):
        monkeypatch.setattr(document, "MOST_POINTS", 3)
        made = read(page(model, some_images()))
        assert "3 encoded images, an even share of 7." in made.parsed.text
        assert made.data["points"]["n"] == 3
        assert unpacked(made.data["points"]["rows"], "u4").tolist() == [0, 3, 6]
        expected = np.rint(some_images().pixels[[0, 3, 6], 0] * 255)
        assert np.array_equal(sprites(made.data["points"]["sheets"], 3), expected)

    def test_above_two_dimensions_it_shows_the_plane_that_parts_the_components(self):
        model = tiny(latent_dim=5)
        made = read(page(model, some_images()))
        axes = np.array(made.data["plane"]["axes"])
        assert np.allclose(axes @ axes.T, np.eye(2), atol=1e-6)
        assert "in the plane of its 5 dimensions in which the components part most" in (
            made.parsed.text
        )

    @pytest.mark.parametrize("n_dimensions", [1, 2])
    def test_up_to_two_dimensions_it_is_the_latent_space_itself(self, n_dimensions):
        made = read(page(tiny(latent_dim=n_dimensions), some_images()))
        assert made.data["plane"]["axes"] == np.eye(2, n_dimensions).tolist()

    def test_it_is_the_same_each_time(self, model, made):
        assert read(page(model, some_images())).data == made.data


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
@pytest.mark.parametrize("shape", [(1, 9, 14), (3, 5, 6)])
def test_the_decoder_in_the_page_is_the_models(network, likelihood, shape):
    model = tiny(image_shape=shape, network=network, likelihood=likelihood)
    pixels = random_images(2, shape).numpy()
    record = read(page(model, Images(pixels))).data["decoder"]
    z = 3 * torch.randn(5, 2)
    expected = model.decode(z).numpy().reshape(5, -1)
    made = np.stack([decode(record, one) for one in z.double().numpy()])
    assert np.abs(made - expected).max() < 1e-5
    assert np.ptp(expected) > 0.01


class TestNames:
    def test_they_are_text_everywhere(self):
        names = [*EVIL.values(), "</script><script>alert(1)</script>", "<!--<script>"]
        n = len(names)
        model = tiny()
        model.names_by_hand = dict(enumerate(names[:K]))
        images = some_images(
            n, labelled=False, labels=np.arange(n), class_names=dict(enumerate(names))
        )
        made = read(page(model, replace(images, files=np.array(names), name=names[1]), names[3]))
        # As they are in the file with the list, and as they are shown on the page.
        assert made.data["points"]["files"] == names
        shown = {i: made.data["points"]["shown"].get(str(i), name) for i, name in enumerate(names)}
        assert [i for i in shown if shown[i] != names[i]] == [3, 4]
        assert shown[3] == r"a\x1b[31mred"
        assert made.data["groups"]["class"]["names"] == list(shown.values())
        assert made.data["groups"]["component"]["short"] == list(shown.values())[:K]
        assert r"a\x1b[31mred" in made.parsed.text

    def test_no_name_leaves_its_place_in_the_source(self):
        names = np.array(["</script><b onclick='x'>&", "\u2028"])
        source = page(tiny(), some_images(2, files=names))
        assert "<b onclick" not in source
        assert "\u2028" not in source
        assert read(source).data["points"]["files"] == names.tolist()


class TestSheets:
    def test_as_many_as_are_needed(self, monkeypatch):
        monkeypatch.setattr(sheets, "LARGEST_SHEET", 9)
        made = sheets.sheets(some_images(20))
        assert (made.columns, made.rows, len(made.addresses)) == (2, 3, 4)
        expected = np.rint(some_images(20).pixels[:, 0] * 255)
        assert np.array_equal(sprites(vars(made), 20), expected)

    def test_many_large_images_are_made_smaller_each_by_itself(self, monkeypatch):
        pixels = np.zeros((6, 3, 20, 40), np.uint8)
        pixels[:, 0], pixels[::2, 1] = 200, 255
        monkeypatch.setattr(sheets, "MOST_VALUES", pixels.size // 4)
        made = sheets.sheets(Images(pixels))
        assert (made.height, made.width) == (10, 20)
        colours = [(200, 255, 0), (200, 0, 0)] * 3
        for sprite, colour in zip(sprites(vars(made), 6), colours, strict=True):
            assert (sprite == colour).all()

    def test_a_sheet_is_a_png_file(self):
        made = sheets.sheets(some_images(1))
        assert Image.open(io.BytesIO(unpacked(made.addresses[0].split(",")[1], "u1"))).format
        assert (made.columns, len(made.addresses)) == (1, 1)


class TestRefused:
    def test_what_is_no_model_or_has_no_images(self):
        with pytest.raises(ArgumentError, match=r"`model` expected a gmvae.GMVAE; got"):
            page("run", some_images())
        with pytest.raises(ArgumentError, match=r"`images` expected gmvae.Images; got"):
            page(tiny(), some_images().pixels)
        with pytest.raises(ArgumentError, match="`images` expected at least one; got none"):
            page(tiny(), some_images().subset(slice(0)))
        with pytest.raises(ContentError, match="expected images of shape"):
            page(tiny(), Images(np.zeros((2, 1, 5, 5), np.uint8)))

    def test_a_likelihood_of_the_users_own(self):
        model = tiny()
        model.model.likelihood = Noise()
        with pytest.raises(
            ArgumentError, match=r"expected a likelihood that gmvae ships, .* Noise"
        ):
            page(model, some_images())

    def test_a_decoder_of_the_users_own_though_it_derives_from_ours(self):
        class Mine(MLPDecoder):
            pass

        model = tiny()
        model.model.decoder = Mine(2, (1, 3, 4), (8,))
        with pytest.raises(ArgumentError, match=r"expected a decoder that gmvae ships, .* Mine"):
            page(model, some_images())
        model.model.decoder = MLPDecoder(2, (1, 3, 4), (8,))
        model.model.decoder.layers[1] = torch.nn.GELU()
        with pytest.raises(ArgumentError, match=r"expected a decoder that gmvae ships, .* GELU"):
            page(model, some_images())

    # A decoder 2-8-16-12: 24 + 144 + 204 numbers, and of the mixture's three components twice
    # 2 + 4 each.
    @pytest.mark.parametrize(
        ("limit", "exact", "what"),
        [
            ("MOST_DIMENSIONS", 2, "latent dimensions, a slider each"),
            ("MOST_NUMBERS", 372 + 36, "numbers in decoder and mixture"),
            ("MOST_PRODUCTS", 16 + 128 + 192, "multiplications an image"),
        ],
    )
    def test_what_is_too_large_in_one_line_with_the_limit(self, limit, exact, what, monkeypatch):
        model = tiny(hidden=(16, 8))
        monkeypatch.setattr(decoder, limit, exact)
        assert program(model)
        monkeypatch.setattr(decoder, limit, exact - 1)
        with pytest.raises(ArgumentError, match=rf"at most {exact - 1}; got {exact} {what}") as e:
            page(model, some_images())
        assert "\n" not in str(e.value)

    def test_a_model_of_too_many_dimensions(self):
        with pytest.raises(ArgumentError, match="65 latent dimensions"):
            program(tiny(latent_dim=MOST_DIMENSIONS + 1))


# Brettel's and Vienot's successors: Machado, Oliveira and Fernandes, *A physiologically-based model
# for simulation of color vision deficiency*, 2009, of severity 1, on linear RGB.
SEEN = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "all colours": np.eye(3).tolist(),
}
# Steps of CIELAB, of which one is just seen side by side; small marks need several.
TOLD_APART = 10


@pytest.mark.parametrize("kind", SEEN)
def test_any_two_groups_are_told_apart_by_colour_or_by_mark(kind):
    from skimage.color import deltaE_ciede2000, rgb2lab

    looks = [look(i) for i in range(len(COLOURS))]
    srgb = np.array([[int(c[j : j + 2], 16) for j in (1, 3, 5)] for c, _ in looks]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SEEN[kind]).T, 0, 1)
    back = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(back)
    apart = deltaE_ciede2000(lab[:, None], lab[None])
    alike = [(i, j) for i, j in zip(*np.nonzero(apart < TOLD_APART), strict=True) if i < j]
    assert not [(i, j) for i, j in alike if looks[i][1] == looks[j][1]], apart.round()


def test_sixty_groups_look_each_another_way():
    assert len({look(i) for i in range(60)}) == 60


@mnist
def test_mnist_with_ten_thousand_points_stays_below_twelve_megabytes(monkeypatch):
    # Its views of every image take a minute, and bytes of other values are as many.
    monkeypatch.setattr(Told, "honest", property(lambda told: told.sharp))
    model = tiny(image_shape=(1, 28, 28), n_components=10, latent_dim=10, hidden=(500, 250))
    assert len(page(model, load("mnist", part="test"))) < 12 * 10**6
