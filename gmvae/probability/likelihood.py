"""p(x | z): what the decoder's output means for pixels.

A likelihood turns the decoder's output, (..., C, H, W), into a distribution of event shape
(C, H, W). Bernoulli and continuous Bernoulli read it as logits, the Gaussian as logits of the
mean, so that every decoded image lies in [0, 1].
"""

import math
from typing import Any, get_args

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gmvae.support import checks
from gmvae.support.choices import LikelihoodName
from gmvae.support.errors import ContentError


class Likelihood(nn.Module):
    """The base: a subclass gives ``forward``, the distribution of x.

    Attributes:
        normalised: whether ``log_prob`` integrates (or sums) to 1 over the data that the model is
            one of. A distribution of torch or Pyro that validates refuses data outside its support,
            so this is True; a subclass that takes such data all the same has to say False.
    """

    normalised = True

    def forward(self, output: Tensor) -> Any:
        """p(x | z) of event shape (C, H, W), from the decoder's output (..., C, H, W)."""
        raise NotImplementedError("a likelihood's forward returns a distribution of the image")

    def mean(self, output: Tensor) -> Tensor:
        """E(x | z), (..., C, H, W), in [0, 1]."""
        mean: Tensor = self(output).mean
        return mean


class _Grey(dist.Bernoulli):  # type: ignore[misc]
    """A Bernoulli whose log-probability takes all of [0, 1], and nothing else."""

    def log_prob(self, value: Tensor) -> Tensor:
        # torch's own validation would refuse what lies between 0 and 1, and looks at the logits,
        # of which there may be hundreds an image.
        least, most = value.aminmax()
        if not (least >= 0 and most <= 1):  # NaN is neither
            raise ContentError(
                f"`x` expected pixels between 0 and 1; got {least.item():g} to {most.item():g}. "
                "Scale the pixels."
            )
        log_prob: Tensor = super().log_prob(value)
        return log_prob


class Bernoulli(Likelihood):
    r"""Independent Bernoulli pixels.

    A model with it is one of black-and-white images b. Pixels x between 0 and 1 ("grey") stand for
    the probabilities of white ones, and their log-probability, minus the cross-entropy of the
    literature, is the expected one:

    .. math:: E_{b \sim \mathrm{Bernoulli}(x)} \ln p(b \mid z)
        = \sum_i x_i \ln p_i + (1 - x_i) \ln (1 - p_i)

    So a bound on log p of grey images is one on :math:`E_b \ln p(b)`, also where it is
    importance weighted, since log-mean-exp is convex; it is no density of x (Loaiza-Ganem and
    Cunningham, 2019). There torch's validation is off; pixels outside [0, 1] are refused all the
    same.

    Args:
        grey: whether pixels between 0 and 1 are to be accepted.
    """

    def __init__(self, grey: bool = True) -> None:
        super().__init__()
        self.grey = grey

    def forward(self, output: Tensor) -> Any:
        """p(x | z) of event shape (C, H, W), from logits (..., C, H, W)."""
        if self.grey:
            return _Grey(logits=output, validate_args=False).to_event(3)
        return dist.Bernoulli(logits=output).to_event(3)


class _Continuous(dist.ContinuousBernoulli):  # type: ignore[misc]
    r"""A continuous Bernoulli of any logit :math:`\lambda`, also a sure decoder's.

    torch goes by way of the probability, which single precision cannot tell from 0 or 1 beyond
    logits of 16: there its density does not integrate to 1. Written in the logit, the normaliser
    is :math:`C = \lambda / \tanh(\lambda / 2)` and the mean
    :math:`1 / (1 - e^{-\lambda}) - 1 / \lambda`; near 0, where these are differences of large
    numbers, their series is used.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Log p(x), of x in [0, 1]."""
        if self._validate_args:
            self._validate_sample(value)
        logits, x = torch.broadcast_tensors(self.logits, value)
        log_c = continuous_log_normaliser(logits)
        return log_c - binary_cross_entropy_with_logits(logits, x, reduction="none")

    @property
    def mean(self) -> Tensor:
        """E(x), in (0, 1)."""
        return continuous_mean(self.logits)

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile at ``value`` in [0, 1], by which samples are drawn."""
        logits, u = torch.broadcast_tensors(self.logits, value)
        # Below, the quantile is u itself to single precision, and a divisor of 0 would be NaN.
        a = logits.abs().clamp(min=1e-6)
        beyond = torch.where(logits < 0, u, 1 - u)
        x = (1 + torch.log1p(beyond * torch.expm1(-a)) / a).clamp(0, 1)
        return torch.where(logits < 0, 1 - x, x)


def continuous_log_normaliser(logits: Tensor) -> Tensor:
    """Log C of a continuous Bernoulli, a pixel each."""
    a, small = _divisor(logits)
    series = math.log(2) + logits.square() / 12 - 7 * logits.pow(4) / 1440
    return torch.where(small, series, (a / torch.tanh(a / 2)).log())


def continuous_mean(logits: Tensor) -> Tensor:
    """E(x) of a continuous Bernoulli, in (0, 1), a pixel each."""
    a, small = _divisor(logits)
    above = -1 / torch.expm1(-a) - 1 / a
    series = 0.5 + logits / 12 - logits.pow(3) / 720
    return torch.where(small, series, torch.where(logits < 0, 1 - above, above))


def _divisor(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The absolute logits, 1 in place of small ones, and where those are."""
    # Below a tenth the terms that the series leave out are smaller than single precision sees.
    small = logits.abs() < 0.1
    # The branch that `where` does not take must have a finite gradient, too.
    return torch.where(small, torch.ones_like(logits), logits.abs()), small


class ContinuousBernoulli(Likelihood):
    """Independent continuous Bernoulli pixels: the normalised density on [0, 1] of that shape.

    Reference: Loaiza-Ganem and Cunningham, *The continuous Bernoulli: fixing a pervasive error
    in variational autoencoders*, NeurIPS 2019.
    """

    def forward(self, output: Tensor) -> Any:
        """p(x | z) of event shape (C, H, W), from logits (..., C, H, W)."""
        return _Continuous(logits=output).to_event(3)


class Gaussian(Likelihood):
    """Independent Gaussian pixels around sigmoid(output), with one scale.

    Args:
        scale: the standard deviation of a pixel, above 0; the start where it is learned.
        learned: whether the scale is a parameter.

    Raises:
        ArgumentError: a scale that is not above 0.
    """

    def __init__(self, scale: float = 0.1, learned: bool = True) -> None:
        super().__init__()
        scale = checks.number("scale", scale, "above 0, and finite", lambda s: 0 < s < math.inf)
        log_scale = torch.tensor(scale).log()
        if learned:
            self.log_scale = nn.Parameter(log_scale)
        else:
            # A frozen Parameter would become trainable inside a PyroModule.
            self.register_buffer("log_scale", log_scale)

    def forward(self, output: Tensor) -> Any:
        """p(x | z) of event shape (C, H, W), from logits of the mean (..., C, H, W)."""
        return dist.Normal(output.sigmoid(), self.log_scale.exp()).to_event(3)


def check_support(likelihood: Likelihood, binary: bool) -> None:
    """Refuse grey pixels where the likelihood gives them no probability.

    Args:
        likelihood: of the pixels.
        binary: whether all of them are 0 or 1.

    Raises:
        ContentError: they are not, and the likelihood is a Bernoulli of such pixels alone.
    """
    if isinstance(likelihood, Bernoulli) and not likelihood.grey and not binary:
        raise ContentError(
            "`x` expected pixels 0 or 1, as the model was trained on; got values between. "
            "Binarise the images."
        )


def named_likelihood(name: LikelihoodName, grey: bool = True) -> Likelihood:
    """The likelihood of that name; ``grey`` concerns ``bernoulli`` alone.

    Raises:
        ArgumentError: an unknown name.
    """
    checks.one_of("likelihood", name, get_args(LikelihoodName))
    if name == "bernoulli":
        return Bernoulli(grey)
    return ContinuousBernoulli() if name == "continuous-bernoulli" else Gaussian()
