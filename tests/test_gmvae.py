"""The user's object: queries, chunks, and what is saved is what is loaded."""

import dataclasses
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from pyro import distributions as dist
from safetensors.torch import load_file, save_file
from torch import nn
from toys import ASSIGNMENTS, COVARIANCES, SHAPE, D, K, random_images, tiny

from gmvae.config import Config
from gmvae.data import Images
from gmvae.diagnostics.evaluation import evaluate
from gmvae.gmvae import GMVAE
from gmvae.probability.evidence import elbo_parts
from gmvae.probability.likelihood import Bernoulli, Likelihood
from gmvae.support.errors import ArgumentError, ContentError

QUERIES = ["encode", "classify", "responsibilities", "predict", "reconstruct"]
KINDS = [
    *({"assignment": a, "covariance": c} for a in ASSIGNMENTS for c in COVARIANCES),
    *({"network": n, "assigner_network": m} for n in ("mlp", "conv") for m in ("mlp", "conv")),
    *({"likelihood": name} for name in ("bernoulli", "continuous-bernoulli", "gaussian")),
    {"image_shape": (3, 5, 9), "network": "conv"},
    {"grey": False, "n_components": 1, "latent_dim": 1},
]


@pytest.fixture(params=ASSIGNMENTS)
def gmvae(request):
    return tiny(assignment=request.param)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def as_tensor(answer):
    return torch.as_tensor(answer)


class OwnEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 2 * D)

    def forward(self, x):
        loc, raw = self.linear(x.flatten(-3)).chunk(2, -1)
        return loc, raw.exp()


class OwnDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(D, 12)

    def forward(self, z):
        return self.linear(z).reshape(*z.shape[:-1], *SHAPE)


class OwnAssigner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, K)

    def forward(self, x):
        return self.linear(x.flatten(-3))


class Laplace(Likelihood):
    """A density on all numbers, with a parameter of its own."""

    def __init__(self, scale=0.2):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(scale).log())

    def forward(self, output):
        return dist.Laplace(output.sigmoid(), self.log_scale.exp()).to_event(3)


class GreyPoisson(Likelihood):
    """Counts, to which grey pixels are handed all the same."""

    normalised = False

    def forward(self, output):
        return dist.Poisson(output.sigmoid(), validate_args=False).to_event(3)


OWN = {
    "encoder": OwnEncoder,
    "decoder": OwnDecoder,
    "assigner": OwnAssigner,
    "likelihood": Laplace,
}


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


def test_what_json_cannot_hold_costs_no_saved_model(tmp_path):
    saved = tiny()
    saved.save(tmp_path)
    with pytest.raises(ArgumentError, match="not JSON serializable"):
        tiny(n_components=K + 1).save(tmp_path, extra={"bad": {1}})
    loaded = GMVAE.load(tmp_path)
    assert loaded.state_dict().keys() == saved.state_dict().keys()
    assert all(
        torch.equal(a, b)
        for a, b in zip(saved.state_dict().values(), loaded.state_dict().values(), strict=True)
    )


def test_modules_that_share_a_part_are_saved(tmp_path):
    class Scaled(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.features, self.loc = features, nn.Linear(4, D)

        def forward(self, x):
            loc = self.loc(self.features(x))
            return loc, loc.exp()

    def build():
        features = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        return Scaled(features), nn.Sequential(features, nn.Linear(4, K))

    encoder, assigner = build()
    gmvae, x = GMVAE(Config(SHAPE, K, D), encoder, assigner=assigner), torch.rand(3, *SHAPE)
    gmvae.save(tmp_path)
    encoder, assigner = build()
    loaded = GMVAE.load(tmp_path, encoder, assigner=assigner)
    torch.testing.assert_close(loaded.classify(x), gmvae.classify(x))


def test_a_model_in_double_precision_draws_samples():
    images, _ = tiny().double().sample(3, generator=torch.Generator().manual_seed(0))
    assert images.dtype == torch.float64


def test_loading_draws_nothing_from_torchs_generator(tmp_path):
    tiny().save(tmp_path)
    before = torch.get_rng_state()
    GMVAE.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_model_neither_learns_nor_forgets_by_being_used(tmp_path):
    """Batch normalisation in training mode would classify by the batch, and move its means."""
    gmvae = tiny(assigner_network="conv").train()
    assert any(isinstance(module, nn.BatchNorm1d) for module in gmvae.guide.modules())
    gmvae.save(tmp_path)
    loaded = GMVAE.load(tmp_path)
    assert not any(module.training for module in loaded.modules())
    before = {name: value.clone() for name, value in loaded.state_dict().items()}
    x = random_images(6)
    with torch.no_grad():
        whole, one = loaded.guide.assigner(x), loaded.guide.assigner(x[:1])
    assert torch.allclose(whole[:1], one, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in loaded.state_dict().items())


def test_modules_that_a_configuration_asks_for_are_to_be_given():
    with pytest.raises(ArgumentError, match=r"`config` expected no module .*custom=\('encoder',\)"):
        GMVAE(replace(tiny().config, custom=("encoder",)))


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


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_saved_is_what_is_loaded(tmp_path, kind):
    gmvae = tiny(**kind)
    with torch.no_grad():  # running statistics that are not the start's
        if gmvae.guide.assigner is not None:
            gmvae.train().guide.assigner(random_images(9, gmvae.config.image_shape))
    gmvae.component_classes = (7, None, 1)[: gmvae.config.n_components]
    gmvae.save(tmp_path / "run", extra={"data": {"name": "toys"}})
    loaded = GMVAE.load(tmp_path / "run")
    assert loaded.config == gmvae.config
    assert loaded.component_classes == gmvae.component_classes
    assert json.loads((tmp_path / "run/config.json").read_text())["data"] == {"name": "toys"}
    x = random_images(4, gmvae.config.image_shape).round()
    for query in QUERIES:
        assert torch.equal(
            as_tensor(getattr(loaded, query)(x)), as_tensor(getattr(gmvae, query)(x))
        )
    for one, other in zip(loaded.elbo(x, 2, seeded()), gmvae.elbo(x, 2, seeded()), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(loaded.sample(3, None, seeded())[0], gmvae.sample(3, None, seeded())[0])


def test_saving_twice_replaces_and_leaves_nothing_beside(tmp_path):
    one, other = tiny(), tiny()
    one.save(tmp_path)
    other.save(tmp_path)
    x = random_images(2)
    assert torch.equal(GMVAE.load(tmp_path).encode(x), other.encode(x))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_the_queries_take_the_models_precision(tmp_path):
    """A model in float64 is saved and read back in torch's default."""
    gmvae = tiny().double()
    gmvae.save(tmp_path)
    assert GMVAE.load(tmp_path).encode(random_images(2)).dtype == torch.float32
    assert gmvae.encode(random_images(2).double()).dtype == torch.float64


@pytest.mark.parametrize("names", [*((name,) for name in OWN), tuple(OWN)], ids="+".join)
def test_modules_of_ones_own_are_asked_for(tmp_path, names):
    config = tiny().config
    gmvae = GMVAE(config, **{name: OWN[name]() for name in names})
    assert gmvae.config.custom == tuple(n for n in OWN if n in names)
    gmvae.save(tmp_path)
    for missing in names:
        given = {name: OWN[name]() for name in names if name != missing}
        with pytest.raises(ArgumentError) as error:
            GMVAE.load(tmp_path, **given)
        assert f"load(folder, {missing}=...)" in str(error.value)
        assert "\n" not in str(error.value)
    loaded = GMVAE.load(tmp_path, **{name: OWN[name]() for name in names})
    x = random_images(4)
    for query in QUERIES:
        assert torch.equal(
            as_tensor(getattr(loaded, query)(x)), as_tensor(getattr(gmvae, query)(x))
        )


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_a_likelihood_of_ones_own_is_trained_and_saved(tmp_path, assignment):
    gmvae = GMVAE(tiny(assignment=assignment).config, likelihood=Laplace())
    before = {name: t.detach().clone() for name, t in gmvae.named_parameters()}
    loss, x = gmvae.elbo_module(), random_images(9)
    optimiser = torch.optim.Adam(loss.parameters(), 0.01)
    loss(x).backward()
    optimiser.step()
    assert "model.likelihood.log_scale" in before
    for name, t in gmvae.named_parameters():
        assert not torch.equal(t, before[name]), name
    gmvae.save(tmp_path)
    loaded = GMVAE.load(tmp_path, likelihood=Laplace(0.9))
    assert torch.equal(loaded.log_prob(x, 5, seeded()), gmvae.log_prob(x, 5, seeded()))


def test_what_pixels_may_be_is_a_matter_of_ones_own_likelihood():
    """The configuration's ``grey`` concerns the named one, which is not used."""
    x = random_images(4)
    assert GMVAE(tiny(grey=False).config, likelihood=Laplace()).log_prob(x, 5).isfinite().all()
    with pytest.raises(ContentError, match="`x` expected pixels 0 or 1"):
        GMVAE(tiny().config, likelihood=Bernoulli(grey=False)).log_prob(x, 5)


@pytest.mark.parametrize(("kind", "normalised"), [(Laplace, True), (GreyPoisson, False)])
def test_a_likelihood_of_ones_own_says_whether_it_is_a_density(kind, normalised):
    gmvae = GMVAE(tiny().config, likelihood=kind())
    images = Images(pixels=random_images(6).numpy())
    assert evaluate(gmvae, images, n_samples=2)["likelihood_normalised"] is normalised


def test_networks_of_ones_own_that_do_not_fit(tmp_path):
    tiny().save(tmp_path / "plain")
    with pytest.raises(ArgumentError, match=r"`decoder`: .* saved with none. Leave it out."):
        GMVAE.load(tmp_path / "plain", decoder=OwnDecoder())
    GMVAE(tiny().config, decoder=OwnDecoder()).save(tmp_path / "own")
    with pytest.raises(ContentError, match=r"does not fit config\.json") as error:
        GMVAE.load(tmp_path / "own", decoder=nn.Sequential(OwnDecoder()))
    assert "\n" not in str(error.value)
    with pytest.raises(ArgumentError, match=r"`assigner` expected None with the exact assignment"):
        GMVAE(tiny(assignment="exact").config, assigner=OwnAssigner())
    with pytest.raises(ArgumentError, match=r"`likelihood` expected a .*Likelihood; got Linear"):
        GMVAE(tiny().config, likelihood=nn.Linear(2, 2))


def test_damaged_weights_and_those_of_another_model(tmp_path):
    tiny().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ContentError, match="expected whole safetensors; got a damaged file"):
        GMVAE.load(tmp_path)
    GMVAE(replace(tiny().config, latent_dim=D + 1)).save(tmp_path / "other")
    weights.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(
        ContentError, match=r"does not fit config\.json: .* expected shape"
    ) as error:
        GMVAE.load(tmp_path)
    assert len(str(error.value).replace(str(tmp_path), "")) < 200


TAMPERINGS = {
    "no JSON": lambda c: "{",
    "a list": lambda c: [],
    "another format": lambda c: c | {"format": 99},
    "no model": lambda c: {"format": 1},
    "a model of numbers": lambda c: c | {"model": 3},
    "a missing field": lambda c: (
        c | {"model": {k: v for k, v in c["model"].items() if k != "grey"}}
    ),
    "an unknown field": lambda c: c | {"model": c["model"] | {"evil": 1}},
    "a number as text": lambda c: c | {"model": c["model"] | {"latent_dim": "2"}},
    "a float": lambda c: c | {"model": c["model"] | {"n_components": 3.0}},
    "a bool": lambda c: c | {"model": c["model"] | {"n_components": True}},
    "no component": lambda c: c | {"model": c["model"] | {"n_components": 0}},
    "an unknown kind": lambda c: c | {"model": c["model"] | {"covariance": "tied"}},
    "an unknown network": lambda c: c | {"model": c["model"] | {"network": "vit"}},
    "two sides": lambda c: c | {"model": c["model"] | {"image_shape": [3, 4]}},
    "a side of nothing": lambda c: c | {"model": c["model"] | {"image_shape": [1, 0, 4]}},
    "a negative side": lambda c: c | {"model": c["model"] | {"image_shape": [1, -3, 4]}},
    "no layers": lambda c: c | {"model": c["model"] | {"hidden": []}},
    "a negative layer": lambda c: c | {"model": c["model"] | {"hidden": [-1]}},
    "layers of text": lambda c: c | {"model": c["model"] | {"hidden": ["a"]}},
    "an unknown custom": lambda c: c | {"model": c["model"] | {"custom": ["prior"]}},
    "another size": lambda c: c | {"model": c["model"] | {"latent_dim": 5}},
    "names of text": lambda c: c | {"component_classes": ["a", "b", "c"]},
    "too few names": lambda c: c | {"component_classes": [1]},
    "negative names": lambda c: c | {"component_classes": [1, -5, 2]},
    "brackets, thousands deep": lambda c: "[" * 100_000,
    "no names": lambda c: {k: v for k, v in c.items() if k != "component_classes"},
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_configuration_is_refused_in_one_line(tmp_path, tampering):
    tiny().save(tmp_path)
    path = tmp_path / "config.json"
    changed = TAMPERINGS[tampering](json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(ContentError) as error:
        GMVAE.load(tmp_path)
    assert "\n" not in str(error.value)
    assert "config.json" in str(error.value)
    assert str(error.value).endswith(", or train again.")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda p: p.write_bytes(pickle.dumps(Bomb())),
        lambda p: torch.save(Bomb(), p),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(p.read_bytes()[:-9]),
        lambda p: save_file({"evil": torch.zeros(1)}, p),
        lambda p: save_file(dict(list(load_file(p).items())[1:]), p),
        lambda p: save_file({n: t[..., None] for n, t in load_file(p).items()}, p),
    ],
    ids=["pickle", "torch.save", "empty", "cut", "others", "one missing", "shapes"],
)
def test_tampered_weights_are_refused_in_one_line_and_never_unpickled(tmp_path, tamper):
    tiny().save(tmp_path)
    tamper(tmp_path / "model.safetensors")
    with pytest.raises(ContentError) as error:
        GMVAE.load(tmp_path)
    assert "\n" not in str(error.value)
    assert "model.safetensors" in str(error.value)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing/config.json does not exist"):
        GMVAE.load(tmp_path / "nothing")
    tiny().save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model.safetensors does not exist"):
        GMVAE.load(tmp_path)


def test_the_configuration_holds_every_field_and_no_more():
    config = tiny().config
    written = json.loads(json.dumps(dataclasses.asdict(config)))
    assert Config.from_json(written) == config


def test_saving_where_a_file_lies_says_so_and_leaves_it(tmp_path):
    file = tmp_path / "model"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match="model is not a folder"):
        tiny().save(file)
    assert file.read_text() == "mine"
