"""Model and guide as guests of Pyro's objectives: moved and right, or refused.

"Right" is checked where the answer is known: one linear-Gaussian component under its exact
posterior, where every bound is log p(x).
"""

import re
from functools import partial
from pathlib import Path

import pyro
import pytest
import torch
from pages import TOP
from pyro import poutine
from pyro.infer import (
    SVI,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTMC_ELBO,
)
from toys import (
    ASSIGNMENTS,
    COVARIANCES,
    GUIDES,
    LinearGaussian,
    exact_guide,
    random_images,
    tiny,
    unmoved,
)

from gmvae.probability.evidence import elbo_parts
from gmvae.probability.guide import SAMPLED_RIGHTLY
from gmvae.support.errors import ArgumentError

Y = torch.tensor([-1, 0, 1, -1, 2, -1, -1])


VECTORISED = {"num_particles": 3, "vectorize_particles": True, "max_plate_nesting": 1}


OBJECTIVES = {
    "Trace": lambda: Trace_ELBO(),
    "Trace, vectorised": lambda: Trace_ELBO(**VECTORISED),
    "TraceGraph": lambda: TraceGraph_ELBO(),
    "TraceEnum": lambda: TraceEnum_ELBO(max_plate_nesting=1),
    "TraceMeanField": lambda: TraceMeanField_ELBO(),
    "Renyi": lambda: RenyiELBO(0.5, num_particles=3),
    "Renyi, vectorised": lambda: RenyiELBO(0.0, **VECTORISED),
    "ReweightedWakeSleep": lambda: ReweightedWakeSleep(3, vectorize_particles=False),
}


NO_SITE_TO_ENUMERATE = "ignore:TraceEnum_ELBO found no sample sites:UserWarning"


SAMPLED_Y = [
    "Trace",
    "Trace, vectorised",
    "TraceGraph",
    "ReweightedWakeSleep",
]


def sampling_y(guide):
    """The guide with y drawn, for objectives that cannot enumerate it."""
    return poutine.infer_config(
        guide, lambda site: {"enumerate": None} if site["name"] == "y" else {}
    )


@pytest.mark.parametrize("labels", [None, Y], ids=["unlabelled", "some labelled"])
@pytest.mark.parametrize(
    ("covariance", "kind"), [*zip(COVARIANCES, GUIDES, strict=True), ("full", "diagonal")]
)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("how", ["module", "SVI"])
def test_every_parameter_moves_after_one_step_in_every_instance(
    how, assignment, covariance, kind, labels
):
    x = random_images(len(Y))
    network = "conv" if covariance == "full" and kind == "diagonal" else "mlp"
    for _ in range(2):
        gmvae = tiny(
            assignment=assignment,
            covariance=covariance,
            guide=kind,
            network=network,
            assigner_network=network,
            likelihood="gaussian",
        )
        if how == "module":
            objective = gmvae.elbo_module()
            assert set(map(id, objective.parameters())) == set(map(id, gmvae.parameters()))
            optimiser = torch.optim.SGD(objective.parameters(), lr=1e-2)

            def step():
                objective(x, labels, size=100).backward()  # noqa: B023
                optimiser.step()  # noqa: B023
        else:
            elbo = OBJECTIVES["TraceEnum" if assignment == "amortised" else "Trace"]()
            svi = SVI(gmvae.model, gmvae.guide, pyro.optim.Adam({"lr": 1e-2}), elbo)

            def step():
                svi.step(x, labels, size=100)  # noqa: B023

        assert unmoved(gmvae, step) == []


@pytest.mark.filterwarnings(NO_SITE_TO_ENUMERATE)
@pytest.mark.parametrize("labels", [None, Y], ids=["unlabelled", "some labelled"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", GUIDES)
def test_y_summed_out_works_with_every_objective(kind, objective, labels):
    gmvae = tiny(assignment="exact", guide=kind)
    optimiser = pyro.optim.ClippedAdam({"lr": 1e-2})
    svi = SVI(gmvae.model, gmvae.guide, optimiser, OBJECTIVES[objective]())
    assert unmoved(gmvae, lambda: svi.step(random_images(len(Y)), labels)) == []


@pytest.mark.filterwarnings(NO_SITE_TO_ENUMERATE)
@pytest.mark.parametrize("objective", ["Trace", "Trace, vectorised", "TraceEnum", "TraceMeanField"])
@pytest.mark.parametrize("kind", GUIDES)
def test_y_summed_out_works_through_the_module(kind, objective):
    gmvae, x = tiny(assignment="exact", guide=kind), random_images(len(Y))
    module = gmvae.elbo_module(OBJECTIVES[objective]())
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)

    def step():
        module(x, Y).backward()
        optimiser.step()

    assert unmoved(gmvae, step) == []


UNPROVED = {
    "TraceTMC": TraceTMC_ELBO,
    "JitTrace": JitTrace_ELBO,
    "JitTraceEnum": JitTraceEnum_ELBO,
}


MODULE, AMORTISED = "no differentiable loss", "assignment='exact'"
REFUSED = [
    *(
        (door, assignment, objective, f"{objective}_ELBO.* Take TraceEnum_ELBO")
        for door in ("module", "svi")
        for assignment in ASSIGNMENTS
        for objective in UNPROVED
    ),
    ("module", "amortised", "Trace", "samples y"),
    ("module", "amortised", "TraceGraph", MODULE),
    ("module", "amortised", "TraceMeanField", AMORTISED),
    ("module", "amortised", "Renyi", AMORTISED),
    ("module", "amortised", "ReweightedWakeSleep", MODULE),
    ("module", "exact", "TraceGraph", MODULE),
    ("module", "exact", "Renyi", MODULE),
    ("module", "exact", "ReweightedWakeSleep", MODULE),
    ("svi", "amortised", "TraceMeanField", AMORTISED),
    ("svi", "amortised", "Renyi", AMORTISED),
    ("svi", "amortised", "Renyi, vectorised", AMORTISED),
]


@pytest.mark.parametrize(("door", "assignment", "objective", "words"), REFUSED)
def test_what_pyro_cannot_do_is_refused_with_the_reason(door, assignment, objective, words):
    gmvae, elbo = tiny(assignment=assignment), (OBJECTIVES | UNPROVED)[objective]()
    doors = {
        "module": gmvae.elbo_module,
        "svi": partial(gmvae.svi, pyro.optim.Adam({"lr": 1e-2})),
    }
    with pytest.raises(ArgumentError, match=words):
        doors[door](elbo)


def test_an_objective_of_ones_own_counts_as_what_it_is_derived_from():
    class Own(TraceEnum_ELBO):
        pass

    gmvae = tiny()
    svi = gmvae.svi(pyro.optim.Adam({"lr": 1e-2}), Own(max_plate_nesting=1))
    assert unmoved(gmvae, lambda: svi.step(random_images(len(Y)))) == []


def test_why_tensor_monte_carlo_is_refused():
    """It sums y out of the model, whatever the guide says of it."""
    gmvae, x = tiny().double(), random_images(5, dtype=torch.float64)
    TraceTMC_ELBO(max_plate_nesting=1).differentiable_loss(gmvae.model, gmvae.guide, x).backward()
    gradients = {name: p.grad.abs().max() for name, p in gmvae.guide.named_parameters()}
    assert gradients["encoder.loc.weight"] > 1e-3
    assert gradients["assigner.logits.weight"] < 1e-12


def test_parameters_that_pyro_would_copy_are_refused():
    gmvae = tiny(assigner_network="conv").to(memory_format=torch.channels_last)
    with pytest.raises(ArgumentError, match=r"got others in guide\.assigner.*contiguous_format"):
        gmvae.svi(pyro.optim.Adam({"lr": 1e-2}))


@pytest.mark.parametrize("objective", ["TraceGraph", "Renyi", "ReweightedWakeSleep"])
def test_why_some_modules_are_refused(objective):
    gmvae = tiny(assignment="exact")
    module = OBJECTIVES[objective]()(gmvae.model, gmvae.guide)
    with pytest.raises((NotImplementedError, AttributeError, TypeError)):
        module(random_images(3)).backward()


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_mini_batches_estimate_the_whole(assignment):
    """The mean of the scaled losses of equal batches is the loss of the whole."""
    gmvae = tiny(assignment=assignment).double()
    x, y = random_images(6, dtype=torch.float64), Y[:6]
    elbo = gmvae.elbo_module()
    torch.manual_seed(0)
    whole = elbo(x, y)
    torch.manual_seed(0)  # fewer than 16 draws come one by one: the same noise, in parts
    parts = [elbo(x[i : i + 2], y[i : i + 2], size=6) for i in (0, 2, 4)]
    torch.testing.assert_close(sum(parts) / 3, whole)


def test_every_row_of_the_table_names_its_proof():
    page = (TOP / "docs" / "how" / "objectives.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| `(\w+)` \|$", page, flags=re.MULTILINE)
    assert len(rows) == 21
    files = Path(__file__).parent.glob("test_pyro_*.py")
    tests = re.findall(r"^def (test_\w+)", "".join(f.read_text() for f in files), re.MULTILINE)
    assert len(tests) > len(rows)
    for proof in rows:
        assert any(proof in name for name in tests), proof


@pytest.mark.parametrize("objective", SAMPLED_Y)
@pytest.mark.parametrize("kind", GUIDES)
def test_a_sampled_y_works_with_objectives_that_have_its_score(kind, objective):
    gmvae = tiny(guide=kind)
    svi = gmvae.svi(pyro.optim.Adam({"lr": 1e-2}), OBJECTIVES[objective]())
    assert unmoved(gmvae, lambda: svi.step(random_images(len(Y)))) == []


@pytest.mark.parametrize("objective", SAMPLED_Y)
def test_a_y_meant_to_be_enumerated_is_never_sampled_in_silence(objective):
    gmvae, elbo = tiny(), OBJECTIVES[objective]()
    with pytest.warns(UserWarning, match="need to use TraceEnum_ELBO"):
        elbo.loss(gmvae.model, gmvae.guide, random_images(3))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_trace_mean_field_refuses_a_discrete_site():
    gmvae = tiny()
    with pytest.raises(NotImplementedError, match="fully reparameterized"):
        TraceMeanField_ELBO().loss(gmvae.model, gmvae.guide, random_images(3))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "TraceEnum"])
def test_a_sampled_y_in_pyros_own_svi_is_refused(objective, marked):
    gmvae, elbo = tiny(), OBJECTIVES[objective]()
    guide = sampling_y(gmvae.guide) if marked else gmvae.guide
    svi = SVI(gmvae.model, guide, pyro.optim.Adam({"lr": 1e-2}), elbo)
    with pytest.raises(ArgumentError, match=r"Use TraceEnum_ELBO, or GMVAE\.svi"):
        svi.step(random_images(3))


def test_renyi_of_infinite_particles_trains_no_sampled_q_of_y():
    """Why the table says: y summed out. Pyro's gradient has no score term at alpha = 0."""
    gmvae = tiny()
    elbo = OBJECTIVES["Renyi, vectorised"]()
    sampled = poutine.infer_config(
        sampling_y(gmvae.guide), lambda site: {SAMPLED_RIGHTLY: True} if site["name"] == "y" else {}
    )
    svi = SVI(gmvae.model, sampled, pyro.optim.Adam({"lr": 1e-2}), elbo)
    stuck = unmoved(gmvae, lambda: svi.step(random_images(len(Y))))
    assert stuck
    assert all(name.startswith("guide.assigner") for name in stuck)


@pytest.mark.filterwarnings(NO_SITE_TO_ENUMERATE)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_bound_is_log_p_of_x_under_the_exact_posterior(objective, assignment):
    truth = LinearGaussian(1, assignment=assignment)
    guide = exact_guide(truth)
    if assignment == "amortised":
        if objective == "TraceMeanField":
            pytest.skip("refuses a discrete site")
        if objective != "TraceEnum":
            guide = sampling_y(guide)
    loss = OBJECTIVES[objective]().loss(truth.model, guide, truth.x)
    loss = loss[0] if objective == "ReweightedWakeSleep" else loss
    expected = -truth.log_evidence().sum().item()
    assert float(loss) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", GUIDES)
def test_enumeration_and_vectorised_particles_agree(kind):
    """Particles add a dimension on the left of the plate, enumeration one more: same bound."""
    gmvae, x = tiny(guide=kind), random_images(7)
    elbo = TraceEnum_ELBO(2_000, max_plate_nesting=1, vectorize_particles=True)
    with torch.no_grad():
        loss = elbo.loss(gmvae.model, gmvae.guide, x, Y)
        parts = elbo_parts(gmvae.model, gmvae.guide, x, Y, n_samples=2_000)
    assert loss == pytest.approx(-parts.elbo.sum().item(), rel=0.02)
