"""The phases of a run, a file each: ``run(state, images)`` gives the next state."""

from gmvae.training.phases.assignment import Assignment
from gmvae.training.phases.cells import Cells
from gmvae.training.phases.covering import Covering
from gmvae.training.phases.finding import Start
from gmvae.training.phases.joint import Joint
from gmvae.training.phases.phase import Length, Phase, train_phase
from gmvae.training.phases.pixel_axes import PixelAxes
from gmvae.training.phases.placing import Placing
from gmvae.training.phases.sharpening import Sharpening
from gmvae.training.phases.trial import Trial
from gmvae.training.phases.warm_up import WarmUp
from gmvae.training.state import State

__all__ = [
    "Assignment",
    "Cells",
    "Covering",
    "Joint",
    "Length",
    "Phase",
    "PixelAxes",
    "Placing",
    "Sharpening",
    "Start",
    "State",
    "Trial",
    "WarmUp",
    "train_phase",
]
