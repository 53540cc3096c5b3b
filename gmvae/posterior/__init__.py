"""A posterior that is certified for every image.

:meth:`gmvae.GMVAE.posterior` draws from p(z, y | x), y summed out and then given back as p(y | z).
Each image goes the first of these ways that is good enough:

- ``guide``: draws of q(z | x), weighted by p(x, z) / q(z | x).
- ``refined``: Student t distributions around the modes of p(x, z), fitted in rounds to the draws so
  far, all of them weighted as draws of one mixture with the guide and the prior.
- ``hmc``: Hamiltonian Monte Carlo with jumps between the modes.
- ``unresolved``: none of these; the draws are the best there are, and no more.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from gmvae.support.lazy import lazy_names

if TYPE_CHECKING:
    from gmvae.posterior.effort import Effort
    from gmvae.posterior.pareto import psis
    from gmvae.posterior.result import Pace, Posterior

__all__ = ["Effort", "Pace", "Posterior", "psis"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Effort": "effort",
        "Pace": "result",
        "Posterior": "result",
        "psis": "pareto",
    },
)
