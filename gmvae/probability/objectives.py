"""Which of Pyro's objectives and algorithms take the model and its guide, and what becomes of y.

With the amortised assignment y is a site of model and guide; with the exact one the model sums it
out, and z is all that is left. Each row is proved by the tests of ``tests/test_pyro_*.py`` named
beside it: every parameter moves, and under an exact posterior the bound is log p(x).

====================================  ===================  ==================  ===================
Pyro                                  y, amortised         y, exact            proof
====================================  ===================  ==================  ===================
``TraceEnum_ELBO``: SVI, module       enumerated           summed out          every_parameter
``Trace_ELBO``: SVI                   sampled [1]_         summed out          objective
``Trace_ELBO``: module                refused [2]_         summed out          module
``TraceGraph_ELBO``: SVI              sampled [1]_         summed out          objective
``TraceGraph_ELBO``: module           refused [3]_         refused [3]_        refused
``TraceMeanField_ELBO``: SVI, module  refused [4]_         summed out          mean_field
``RenyiELBO``: SVI                    refused [5]_         summed out          renyi
``RenyiELBO``: module                 refused [3]_         refused [3]_        refused
``ReweightedWakeSleep``: SVI          sampled [1]_         summed out          objective
``ReweightedWakeSleep``: module       refused [3]_         refused [3]_        refused
any other of Pyro's: SVI, module      refused [11]_        refused [11]_       refused
any but ``TraceEnum_ELBO``: own SVI   refused [6]_         summed out          pyros_own_svi
``Predictive``, without data          sampled              drawn from p(y|z)   predictive
``Predictive``, data and guide        sampled              no site y [8]_      predictive
``infer_discrete``, z conditioned on  p(y given z)         no site y           infer_discrete
NUTS over z                           refused [9]_         summed out          nuts
Autoguides over z                     enumerated [10]_     summed out          autoguide
``condition, block, scale, mask``     as with each         as with each        handlers
``pyro.render_model``                 a node               no node             render
Mini-batches, ``size``                enumerated           summed out          mini_batches
``compute_marginals``                 refused [7]_         no site y           marginals
====================================  ===================  ==================  ===================

.. [1] By :meth:`gmvae.GMVAE.svi`, which marks the guide's site.
.. [2] A guide whose site is marked otherwise is no module any more, and its parameters would be
   left out in silence.
.. [3] These compute gradients without a differentiable loss, which is what the module returns.
.. [4] It needs every site reparameterised, which a discrete one cannot be.
.. [5] The gradient of a sampled y has the factor alpha / (1 - alpha) in place of its score
   function: q(y | x) does not move at alpha = 0, and wrongly elsewhere, under plausible losses.
   ``RenyiELBO(alpha=0)`` is the importance-weighted bound, for the exact assignment alone.
   :meth:`gmvae.GMVAE.svi` refuses it.
.. [6] ``pyro.infer.SVI(model, guide, ...)`` made by hand. Pyro runs model and guide alike under
   ``Trace_ELBO``, which trains a sampled y rightly, and ``RenyiELBO``, which does not. Only the
   objective knows: :meth:`gmvae.GMVAE.svi` looks at it, the guide refuses any other. It
   cannot tell ``TraceTMC_ELBO``, which enumerates y too, and then leaves q(y | x) out of its
   estimate: it is not trained.
.. [7] Pyro's answer to enumeration in the guide.
.. [8] The sum over y leaves none to draw; :meth:`gmvae.MixturePrior.responsibilities` has
   p(y | z) at the z that are drawn.
.. [9] It enumerates y, and would draw one z for each component and take them for the latent.
.. [10] Of ``config_enumerate(model)`` with y hidden from the autoguide, under
   ``TraceEnum_ELBO``: ``AutoNormal(poutine.block(config_enumerate(model), hide=["y"]))``.
.. [11] Not proved here. ``TraceTMC_ELBO`` does not train q(y | x), and most of the ``Jit`` ones
   stop at parameters that torch.jit cannot trace (``JitTraceEnum_ELBO`` may run by hand).
"""

from pyro.infer import (
    ELBO,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)

from gmvae.support import checks
from gmvae.support.choices import Assignment
from gmvae.support.errors import ArgumentError

_PROVED = (
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
_EXACT = "Build the model with assignment='exact', which sums y out"
_SVI = "Take it through SVI: GMVAE.svi(optimiser, elbo)"


def check_svi(elbo: ELBO, assignment: Assignment) -> None:
    """Refuse an objective that Pyro's SVI cannot train the pair with.

    Raises:
        ArgumentError: it would fail, or leave q(y | x) untrained in silence.
    """
    checks.instance("elbo", elbo, ELBO, "an ELBO of pyro.infer, as TraceEnum_ELBO()")
    # One of a user's own counts as what it is derived from.
    pyros = next(kind for kind in type(elbo).__mro__ if kind.__module__.startswith("pyro."))
    if pyros not in (*_PROVED, ELBO):
        _refuse(elbo, "it is not known to train this pair. Take TraceEnum_ELBO")
    if assignment == "exact":
        return
    if isinstance(elbo, RenyiELBO):
        _refuse(elbo, f"its gradient leaves out the score of a sampled y. {_EXACT}")
    if isinstance(elbo, TraceMeanField_ELBO):
        _refuse(elbo, f"it needs every site reparameterised, and y is discrete. {_EXACT}")


def check_module(elbo: ELBO, assignment: Assignment) -> None:
    """Refuse an objective that has no differentiable loss of the pair.

    Raises:
        ArgumentError: as for :func:`check_svi`, or where only SVI can use the objective.
    """
    check_svi(elbo, assignment)
    if isinstance(elbo, (TraceGraph_ELBO, RenyiELBO, ReweightedWakeSleep)):
        _refuse(elbo, f"it has no differentiable loss. {_SVI}")
    if assignment == "amortised" and samples_y(elbo):
        _refuse(elbo, f"it samples y, and a module of it would not train the guide. {_SVI}")


def samples_y(elbo: ELBO) -> bool:
    """Whether the objective draws y where it is a site, rather than sum over it."""
    return not isinstance(elbo, TraceEnum_ELBO)


def default_objective(assignment: Assignment) -> ELBO:
    """The objective with y enumerated, or summed out by the model."""
    elbo = TraceEnum_ELBO if assignment == "amortised" else Trace_ELBO
    chosen: ELBO = elbo(max_plate_nesting=1)
    return chosen


def _refuse(elbo: ELBO, reason: str) -> None:
    raise ArgumentError(f"`elbo` expected another objective than {type(elbo).__name__}: {reason}.")
