"""Which of Pyro's objectives take the model and its guide: the others are refused.

The page on Pyro objectives (docs/how/objectives.md) has a table of them, and of what becomes of y.
Each of its rows is proved by a test of ``tests/test_pyro_*.py``.
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
