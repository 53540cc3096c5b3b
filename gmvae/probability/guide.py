"""The amortised posterior."""

from itertools import count
from typing import Any

import pyro
import torch
from pyro.nn import PyroModule
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.trace_messenger import TraceMessenger
from torch import Tensor, nn

from gmvae.probability.categorical import Categorical
from gmvae.probability.families import location, posterior
from gmvae.probability.model import check_labels, check_precision, images_plate, renamed_copy
from gmvae.probability.prior import MixturePrior
from gmvae.support.errors import ArgumentError

_numbers = count()

# Finite, so that 0 * log 0 is 0 in the bound; its exponential is exactly 0 in every precision.
_LOG_ZERO = -1e4

# What GMVAE.svi writes into y's ``infer`` where the objective has the score of a sampled y.
SAMPLED_RIGHTLY = "gmvae_sampled_rightly"


class Guide(PyroModule):  # type: ignore[misc]
    r"""The posterior :math:`q(z \mid x)\, q(y \mid x)`, amortised.

    For each image i of the batch:

    .. code-block:: text

        y_i | x_i ~ Categorical(assigner(x_i))      enumerated in parallel; one-hot where labelled
        z_i | x_i ~ one Gaussian or several (encoder(x_i))

    z does not depend on y, so the decoder runs once a batch. Without an assigner there is no
    site y: the guide of a model that sums y out (``assignment="exact"``), for which the
    posterior of y is p(y | z) of the mixture.

    Args:
        encoder: any module from images (B, C, H, W) to the parameters of q(z | x): location and
            scale, (B, D) each, or what else :mod:`gmvae.probability.families` has in its table.
        assigner: any module from images (B, C, H, W) to logits of y, (B, K).
        prior: the model's mixture, in place of an assigner.
        name: the root of the parameters' names, as in :class:`gmvae.Model`.

    Raises:
        ArgumentError: both or neither of ``assigner`` and ``prior``.
    """

    def __init__(
        self,
        encoder: nn.Module,
        assigner: nn.Module | None = None,
        prior: MixturePrior | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(f"gmvae_guide_{next(_numbers)}" if name is None else name)
        if (assigner is None) == (prior is None):
            raise ArgumentError(
                "`assigner` or `prior` expected, one of them; got both or neither. Give the "
                "assigner for q(y | x), the prior for the exact assignment."
            )
        self.encoder = encoder
        self.assigner = assigner
        # In a tuple, out of torch's sight: the mixture's parameters belong to the model, and
        # registered here too they would have a second name in Pyro's parameter store.
        self._prior = (prior,)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Guide":
        return renamed_copy(self, memo)

    def forward(self, x: Tensor, y: Tensor | None = None, size: int | None = None) -> None:
        """Sample the sites ``y`` (with an assigner) and ``z`` in the plate ``images``.

        Args:
            x: a batch of images, (B, C, H, W).
            y: component indices, (B,), -1 where unknown.
            size: number of images that the batch stands for, at least B; by default B.

        Raises:
            ArgumentError: images of another precision, or on another device, than the encoder's
                parameters.
        """
        check_precision(x, self.encoder)
        with images_plate(x, size):
            if self.assigner is not None:
                with _NoBlindSampling():
                    pyro.sample("y", self.y_dist(x, y), infer={"enumerate": "parallel"})
            pyro.sample("z", self.z_dist(x))

    def z_dist(self, x: Tensor) -> Any:
        """q(z | x), of batch shape (B,) and event shape (D,)."""
        return posterior(self.encoder(x))

    def location(self, x: Tensor) -> Tensor:
        """The encoded images, (B, D): means of q(z | x), or of its heaviest Gaussian."""
        return location(self.encoder(x))

    def y_dist(self, x: Tensor, y: Tensor | None = None) -> Any:
        """q(y | x) of batch shape (B,), one-hot on the rows that ``y`` knows.

        Without an assigner: p(y | z) at the encoded image.
        """
        return Categorical(logits=self._logits(x, y))

    def log_q_y(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Log q(y | x) of every y, (B, K): of :meth:`y_dist`, whose checks take time in a bound."""
        return self._logits(x, y).log_softmax(-1)

    def _logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Of q(y | x), (B, K), not normalised."""
        if self.assigner is not None:
            logits: Tensor = self.assigner(x)
        else:
            (prior,) = self._prior
            assert prior is not None
            logits = prior.log_joint(self.location(x))
        return logits if y is None else held_to(y, logits)


class _NoBlindSampling(Messenger):  # type: ignore[misc]
    """Refuse a y that is sampled in a step of Pyro's SVI, unless ``GMVAE.svi`` made it.

    Under some objectives q(y | x) would not move, with plausible losses; a guide cannot see under
    which it runs, ``GMVAE.svi`` can.
    """

    def _pyro_post_sample(self, msg: Any) -> None:
        infer = msg["infer"]
        enumerated = (
            infer.get("_enumerate_dim") is not None or infer.get("enumerate") == "sequential"
        )
        # A site that is hidden is not trained: so TraceEnum_ELBO counts the plates.
        fine = enumerated or msg["is_observed"] or msg["stop"] or infer.get(SAMPLED_RIGHTLY)
        if not fine and _in_svi_step():
            raise ArgumentError(
                "`y` expected to be enumerated while q(y | x) is trained; it is sampled. Use "
                "TraceEnum_ELBO, or GMVAE.svi(optimiser, elbo) for another objective."
            )


def _in_svi_step() -> bool:
    """Whether parameters are being collected, as ``pyro.infer.SVI.step`` does around its loss."""
    return any(isinstance(h, TraceMessenger) and h.param_only for h in _PYRO_STACK)


def held_to(y: Tensor, logits: Tensor) -> Tensor:
    """The logits (..., B, K), made one-hot on the rows that ``y`` (B,) knows (y >= 0).

    Raises:
        ArgumentError: ``y`` of another length, or with a component that is not there.
    """
    check_labels(y, *logits.shape[-2:])
    components = torch.arange(logits.shape[-1], device=logits.device)
    certain = torch.where(components == y.unsqueeze(-1), 0.0, _LOG_ZERO).to(logits.dtype)
    return torch.where((y >= 0).unsqueeze(-1), certain, logits)
