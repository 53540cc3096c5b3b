"""q(y | x) learns the clusters."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.data import Images
from gmvae.training.phases.phase import Length, train_phase
from gmvae.training.state import State


@dataclass(frozen=True)
class Assignment:
    r"""A network learns the clusters from views of their images, and corrects many of them.

    .. math:: \min\; -\sum_y t_{iy} \ln q(y \mid x_i')

    with :math:`x_i'` a view of image i and t its cluster, smoothed towards all. A network learns
    what is regular before what is not, so that after few steps it errs less than its teacher.

    In a second round a network of new parameters learns from the first one's answers
    (self-training: Xie et al., *Self-training with noisy student improves ImageNet
    classification*, CVPR 2020).

    Attributes:
        round: counted from 1; from 2 the network begins with new parameters.
        length: short on purpose: at 100 steps of 512 it knows the rule, and not the exceptions.
        smoothing: of the targets: about as many clusters as that are wrong.
    """

    round: int = 1
    length: Length = Length(epochs=1, steps=100, batch_size=512, lr=1e-3)
    smoothing: float = 0.1

    @property
    def name(self) -> str:
        """``assignment``, and which round from the second on."""
        return "assignment" if self.round == 1 else f"assignment {self.round}"

    def run(self, state: State, images: Images) -> State:
        """Trains ``state.assigner``."""
        assigner = state.assigner
        assert state.clusters is not None, "the phase `start` comes before"
        if self.round > 1:
            assigner.apply(reset_parameters)

        def objective(x: Tensor, y: Tensor, size: int) -> Tensor:
            logits = assigner(state.view(x, state.generator))
            return size * F.cross_entropy(logits, y, label_smoothing=self.smoothing)

        clusters = torch.as_tensor(state.clusters, device=state.device)
        train_phase(self, self.length, objective, assigner.parameters(), state, images, y=clusters)
        return state


def reset_parameters(module: nn.Module) -> None:
    """Draw the parameters of a layer again, where it has any."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
