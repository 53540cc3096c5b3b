"""Networks and likelihoods of one's own: trained, saved and asked for."""

from dataclasses import replace

import pytest
import torch
from pyro import distributions as dist
from torch import nn
from toys import ASSIGNMENTS, QUERIES, SHAPE, D, K, as_tensor, random_images, seeded, tiny

from gmvae.data import Images
from gmvae.diagnostics.evaluation import evaluate
from gmvae.gmvae import GMVAE
from gmvae.probability.likelihood import Bernoulli, Likelihood
from gmvae.support.errors import ArgumentError, ContentError


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


def test_modules_that_a_configuration_asks_for_are_to_be_given():
    with pytest.raises(ArgumentError, match=r"`config` expected no module .*custom=\('encoder',\)"):
        GMVAE(replace(tiny().config, custom=("encoder",)))


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
