"""The answer for a few images, in arrays, and how it is worked out from draws.

n images, S draws kept, T draws worked with, D latent dimensions, K components, P pixels.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from gmvae.posterior.pareto import Array
from gmvae.posterior.resampling import systematic, thinned
from gmvae.posterior.target import Target
from gmvae.probability.prior import MixturePrior

# The ways by which an image got its draws, in the order in which they are tried.
ROUTES = ("guide", "refined", "hmc", "unresolved")
# Draws that the expected pixels are a mean of: each is decoded once more.
PIXEL_DRAWS = 100


@dataclass
class Block:
    """What is known of the posteriors of n images; the last two only where they are asked for.

    Attributes:
        z: draws of equal weight, (n, S, D) float32.
        mean: of z, (n, D); like all means, of all the weighted draws, not of those kept alone.
        sd: of z, (n, D).
        mean_mcse: Monte Carlo standard error of the mean, (n, D).
        sd_mcse: that of the sd, (n, D).
        p_y: p(y | x), (n, K).
        p_y_mcse: its standard error, (n, K).
        log_evidence: log p(x), (n,) nats.
        log_evidence_mcse: its standard error, (n,).
        pixels: E(x' | x), expected pixels of a replicate, (n, P).
        pixels_mcse: their standard error, (n, P).
        route: the number of the way in `ROUTES`, (n,).
        guide_khat: of the guide's draws alone, (n,).
        guide_ess: the effective sample size of these, (n,).
        khat: of the weights in the end, (n,).
        ess: effective sample size of the weights, or the least of the chains' over latents, (n,).
        n_worked: T, draws that the figures are made of, (n,).
        modes: that were found, (n,); 0 where none was looked for.
        rhat: the largest of the chains', (n,); NaN where there are none.
        divergences: of their trajectories, (n,).
        weighted: draws of the proposals, (n, S, D) float32.
        log_weight: their weights, normalised, (n, S).
    """

    z: Array
    mean: Array
    sd: Array
    mean_mcse: Array
    sd_mcse: Array
    p_y: Array
    p_y_mcse: Array
    log_evidence: Array
    log_evidence_mcse: Array
    pixels: Array
    pixels_mcse: Array
    route: Array
    guide_khat: Array
    guide_ess: Array
    khat: Array
    ess: Array
    n_worked: Array
    modes: Array
    rhat: Array
    divergences: Array
    weighted: Array | None = None
    log_weight: Array | None = None

    @classmethod
    def empty(cls, sizes: "Sizes", weights: bool) -> "Block":
        """A block of n images to be filled in by :meth:`put`."""
        n, s, d, k, p = sizes.n, sizes.draws, sizes.latents, sizes.components, sizes.pixels
        number: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("log_evidence", "log_evidence_mcse", "guide_khat", "guide_ess", "khat", "ess", "rhat"),
            (n,),
        )
        shapes = number | {"mean": (n, d), "sd": (n, d)}
        shapes |= {"mean_mcse": (n, d), "sd_mcse": (n, d)}
        shapes |= {"p_y": (n, k), "p_y_mcse": (n, k)}
        arrays: dict[str, Array] = {name: np.full(s, np.nan) for name, s in shapes.items()}
        for name in ("pixels", "pixels_mcse"):
            arrays[name] = np.full((n, p), np.nan, np.float32)
        for name in ("route", "n_worked", "modes", "divergences"):
            arrays[name] = np.zeros(n, np.int32)
        arrays["z"] = np.full((n, s, d), np.nan, np.float32)
        if weights:
            arrays["weighted"] = np.full((n, s, d), np.nan, np.float32)
            arrays["log_weight"] = np.full((n, s), -np.inf)
        return cls(**arrays)

    def put(self, rows: Array | slice, **values: Array | float) -> None:
        """Write values of some of the images, by their numbers."""
        for name, value in values.items():
            getattr(self, name)[rows] = value

    def arrays(self) -> dict[str, Array]:
        """The arrays that are there, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: array for name, array in named.items() if array is not None}


@dataclass(frozen=True)
class Sizes:
    """The sizes of a block: n images, S draws, D latents, K components, P pixels."""

    n: int
    draws: int
    latents: int
    components: int
    pixels: int


def moments(prior: MixturePrior, z: Tensor, weights: Tensor) -> dict[str, Array]:
    r"""Means of z and of p(y | z) under weighted draws, and their Monte Carlo standard errors.

    The error of a mean f is the root of :math:`\sum_s w_s^2 (f_s - \bar f)^2`, as of
    self-normalised importance sampling (Owen, *Monte Carlo theory, methods and examples*, 9.2).

    Args:
        prior: the mixture, for p(y | z).
        z: draws, (T, n, D).
        weights: (T, n), of sum 1 over T.
    """
    y = prior.responsibilities(z.to(prior.means)).cpu().double()
    mean, mean_mcse = _mean(z, weights)
    variance, variance_mcse = _mean((z - mean).square(), weights)
    sd = variance.sqrt()
    sd_mcse = variance_mcse / (2 * sd).clamp(min=1e-300)
    p_y, p_y_mcse = _mean(y, weights)
    names = "mean", "mean_mcse", "sd", "sd_mcse", "p_y", "p_y_mcse"
    values = mean, mean_mcse, sd, sd_mcse, p_y, p_y_mcse
    return {name: value.numpy() for name, value in zip(names, values, strict=True)}


def _mean(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over T and its standard error, (n, ...) each."""
    mean = torch.einsum("sn,sni->ni", weights, values)
    error = torch.einsum("sn,sni->ni", weights.square(), (values - mean).square())
    return mean, error.sqrt()


def kept_draws(
    z: Tensor, weights: Tensor, n_draws: int, rng: np.random.Generator, weighted: bool
) -> dict[str, Array]:
    """Of weighted draws (T, n, D) those of equal weight, and where asked fewer weighted ones."""
    draws, w = z.transpose(0, 1).numpy(), weights.T.numpy()
    image = np.arange(len(w))[:, None]
    kept = {"z": draws[image, systematic(w, n_draws, rng)]}
    if weighted:
        rows, values = thinned(w, n_draws, rng)
        n = rows.shape[1]
        log_weight = np.full((len(w), n_draws), -np.inf)
        with np.errstate(divide="ignore"):
            log_weight[:, :n] = np.log(values / values.sum(-1, keepdims=True))
        thin = np.zeros((len(w), n_draws, draws.shape[-1]))
        thin[:, :n] = draws[image, rows]
        kept |= {"weighted": thin, "log_weight": log_weight}
    return kept


def expected_pixels(target: Target, z: Array, ess: Array) -> dict[str, Array]:
    """The mean of E(x' | z) over some of the draws (n, S, D), and its standard error, (n, P).

    The draws kept are themselves worth an effective sample size (n,) alone.
    """
    rows = np.linspace(0, z.shape[1] - 1, min(PIXEL_DRAWS, z.shape[1])).astype(int)
    like = target.x
    total = squares = torch.zeros((), dtype=torch.float64)
    model = target.model
    for part in torch.as_tensor(z[:, rows]).to(like).transpose(0, 1).split(target.at_once):
        x = model.likelihood.mean(model.decoder(part)).flatten(2).cpu().double()
        total, squares = total + x.sum(0), squares + x.square().sum(0)
    mean = total / len(rows)
    variance = (squares / len(rows) - mean.square()).clamp(min=0)
    share = torch.as_tensor(1 / len(rows) + 1 / ess).to(variance).unsqueeze(-1)
    return {"pixels": mean.numpy(), "pixels_mcse": (variance * share).sqrt().numpy()}
