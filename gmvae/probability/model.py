"""The generative model."""

import copy
from itertools import count
from typing import Any, TypeVar, get_args

import pyro
import torch
from pyro import poutine
from pyro.nn import PyroModule
from pyro.poutine.messenger import Messenger
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor, nn

from gmvae.probability.categorical import Categorical
from gmvae.probability.likelihood import Likelihood
from gmvae.probability.prior import MixturePrior
from gmvae.support import checks
from gmvae.support.choices import Assignment
from gmvae.support.errors import ArgumentError

Named = TypeVar("Named", bound=PyroModule)

_numbers = count()


class Model(PyroModule):  # type: ignore[misc]
    r"""The variational autoencoder with a Gaussian-mixture prior.

    For each image i of ``size``:

    .. code-block:: text

        y_i       ~ Categorical(pi)
        z_i | y_i ~ Normal(mu_{y_i}, Sigma_{y_i})
        x_i | z_i ~ likelihood(decoder(z_i))

    With ``assignment="exact"`` the same joint is written with y summed out, which gives a guide
    over z alone and the exact posterior of y given z:

    .. code-block:: text

        z_i       ~ sum_y pi_y Normal(mu_y, Sigma_y)
        y_i | z_i ~ p(y | z_i)            on labelled rows, and when generating
        x_i | z_i ~ likelihood(decoder(z_i))

    The decoder sees z alone, so it runs once a batch whatever the number of components.

    Shapes: B images in the batch, K components, D latent dimensions, (C, H, W) an image.

    Args:
        decoder: any module from (..., D) to the likelihood's parameters, (..., C, H, W).
        prior: the mixture on z.
        likelihood: from the decoder's output to a distribution of event shape (C, H, W).
        assignment: ``amortised``: y is a site, for a guide that has q(y | x);
            ``exact``: y is summed out.
        name: the root of the parameters' names in Pyro's parameter store; by default a new one
            for every instance, since two instances of one name would share their parameters
            under plain :class:`pyro.infer.SVI`.

    Raises:
        ArgumentError: a part of another type, or an unknown assignment.

    References:
        Jiang et al., *Variational deep embedding*, IJCAI 2017. Dilokthanakul et al., *Deep
        unsupervised clustering with Gaussian mixture variational autoencoders*, 2016.
    """

    def __init__(
        self,
        decoder: nn.Module,
        prior: MixturePrior,
        likelihood: Likelihood,
        assignment: Assignment = "amortised",
        name: str | None = None,
    ) -> None:
        super().__init__(f"gmvae_model_{next(_numbers)}" if name is None else name)
        checks.one_of("assignment", assignment, get_args(Assignment))
        checks.instance("decoder", decoder, nn.Module, "a module from latents to images")
        checks.instance("prior", prior, MixturePrior, "a gmvae.MixturePrior")
        checks.instance("likelihood", likelihood, nn.Module, "a gmvae.probability.Likelihood")
        self.assignment = assignment
        self.decoder = decoder
        self.prior = prior
        self.likelihood = likelihood

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return renamed_copy(self, memo)

    def forward(
        self, x: Tensor | None = None, y: Tensor | None = None, size: int | None = None
    ) -> Tensor:
        """Sample the sites ``y``, ``z`` and ``x`` in the plate ``images``.

        Args:
            x: a batch of images, (B, C, H, W); None to generate them.
            y: component indices, (B,), -1 where unknown. With the amortised assignment it is
                the guide that holds y to them (its q(y | x) is one-hot there).
            size: number of images that the batch stands for, at least B; by default B, or 1
                when generating.

        Returns:
            The images, (B, C, H, W).

        Raises:
            ArgumentError: ``y`` without ``x``, of another length or with a component that is not
                there; a ``size`` below the batch.
        """
        if x is None and y is not None:
            raise ArgumentError(
                "`y` expected None when images are generated; got labels. "
                "Use pyro.condition(model, data={'y': y})."
            )
        prior, likelihood = self.prior(), self.likelihood
        with images_plate(x, size):
            if self.assignment == "amortised":
                if x is not None and y is not None:
                    check_labels(y, len(x), self.prior.n_components)
                with _OneLatent():
                    component = pyro.sample("y", prior.y_dist())
                    z = pyro.sample("z", prior.z_dist(component))
            else:
                z = pyro.sample("z", prior.z_dist())
                _sample_y_given_z(prior, z, y, generating=x is None)
            x_dist = likelihood(self.decoder(z))
            _check_event(x_dist, x)
            image: Tensor = pyro.sample("x", x_dist, obs=x)
        return image


def renamed_copy(module: Named, memo: dict[int, Any]) -> Named:
    """What ``copy.deepcopy`` answers: the same module under a root name of its own.

    Under one name Pyro's store would take the two for one, and train the parameters of the first
    that it met.
    """
    copied: Named = module.__class__.__new__(module.__class__)
    memo[id(module)] = copied
    copied.__dict__.update(copy.deepcopy(module.__dict__, memo))
    name = f"{module._pyro_name}_copy_{next(_numbers)}"
    for part in copied.modules():
        if isinstance(part, PyroModule):
            part._pyro_name = name + part._pyro_name.removeprefix(module._pyro_name)
    return copied


def _check_event(x_dist: Any, x: Tensor | None) -> None:
    """Refuse images of another shape than the decoder's, which torch might broadcast."""
    if x is not None and tuple(x_dist.event_shape) != tuple(x.shape[1:]):
        raise ArgumentError(
            f"`x` expected images of shape {tuple(x_dist.event_shape)}, the event shape of the "
            f"likelihood; got {tuple(x.shape[1:])}. Give images of that shape, or another decoder."
        )


class _OneLatent(Messenger):  # type: ignore[misc]
    """Refuse a z that is drawn from p(z | y) while y is enumerated.

    Pyro would draw one for each component and take all of them for the latent. NUTS does so at
    its start, in silence, and then samples K unrelated latents. A z that a guide gives, or that is
    observed, is one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enumerated = False

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] == "y":
            self.enumerated = msg["infer"].get("_enumerate_dim") is not None
        elif self.enumerated and not msg["is_observed"] and not _replayed():
            raise ArgumentError(
                "`z` expected a value while y is enumerated; it would be drawn once for every "
                'component. Sum y out: assignment="exact", as for NUTS.'
            )


def _replayed() -> bool:
    """Whether the sites take the values of a guide."""
    return any(isinstance(handler, ReplayMessenger) for handler in _PYRO_STACK)


def images_plate(x: Tensor | None, size: int | None) -> pyro.plate:
    """The plate ``images`` over ``size``, with the batch as its subsample.

    Model and guide share it. Given its indices, the plate draws none of its own.

    Raises:
        ArgumentError: images that are no tensor of floats (B, C, H, W), or a ``size`` below the
            batch.
    """
    if x is not None:
        remedy = "Of gmvae.Images it is images.tensor()."
        checks.instance("x", x, Tensor, "a tensor (B, C, H, W)", remedy)
        if x.dim() != 4 or not x.is_floating_point():
            raise ArgumentError(
                f"`x` expected floats (B, C, H, W); got {tuple(x.shape)} of {checks.precision(x)}. "
                "Convert it; gmvae.data.from_arrays takes any array."
            )
    if size is not None:
        size = checks.whole("size", size, least=1)
    n = (1 if size is None else size) if x is None else len(x)
    if size is not None and size < n:
        raise ArgumentError(
            f"`size` expected at least the batch, {n}; got {size}. Give the number of all images."
        )
    return pyro.plate("images", n if size is None else size, subsample=torch.arange(n))


def check_precision(x: Any, module: nn.Module) -> None:
    """Refuse images of another precision, or on another device, than the module's parameters.

    Raises:
        ArgumentError: they are, and nothing casts them.
    """
    like = next((p for p in module.parameters() if p.is_floating_point()), None)
    if like is None or not isinstance(x, Tensor) or not x.is_floating_point():
        return
    # An autocast brings both to one precision.
    one_precision = x.dtype == like.dtype or torch.is_autocast_enabled(x.device.type)
    if x.device != like.device or not one_precision:
        raise ArgumentError(
            f"`x` expected {checks.precision(like)} on {like.device}, as the parameters; got "
            f"{checks.precision(x)} on {x.device}. Convert it with "
            f"x.to({str(like.device)!r}, {like.dtype})."
        )


def check_labels(y: Tensor, n_images: int, n_components: int) -> None:
    """Refuse component indices that do not fit: torch would broadcast or ignore some of them.

    Raises:
        ArgumentError: no integers, another shape than (n_images,), or an index below -1 or of
            n_components or above.
    """
    checks.instance("y", y, Tensor, "a tensor of component indices (B,)")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ArgumentError(
            f"`y` expected whole numbers; got {checks.precision(y)}. Convert it with y.long()."
        )
    if tuple(y.shape) != (n_images,):
        raise ArgumentError(
            f"`y` expected shape ({n_images},); got {tuple(y.shape)}. Give one index an image, -1 "
            "where it is unknown."
        )
    wrong = y[(y < -1) | (y >= n_components)]
    if len(wrong):
        raise ArgumentError(
            f"`y` expected components below {n_components}, or -1; got {int(wrong[0])}. Count them "
            "from 0."
        )


def _sample_y_given_z(
    prior: MixturePrior, z: Tensor, y: Tensor | None, *, generating: bool
) -> None:
    """The site y ~ p(y | z): sampled when generating, observed on the labelled rows else."""
    if generating:
        pyro.sample("y", _y_given_z(prior, z))
    elif y is not None:
        check_labels(y, z.shape[-2], prior.n_components)
        with poutine.mask(mask=y >= 0):
            pyro.sample("y", _y_given_z(prior, z), obs=y.clamp(min=0))


def _y_given_z(prior: MixturePrior, z: Tensor) -> Categorical:
    return Categorical(logits=prior.log_joint(z))
