"""A model as functions and programs: they answer as the model does."""

import builtins
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_toys import one_line
from gmvae_cli import app, export
from toys import COVARIANCES, SHAPE, seeded, tiny

from gmvae import Config, Images
from gmvae.answers import EXTRAS, answers
from gmvae.gmvae import GMVAE
from gmvae.portable import Classification, Classified, Decoding, export_onnx, parts
from gmvae.portable.programs import export_torch, onnx_difference
from gmvae.probability.likelihood import Bernoulli
from gmvae.support.errors import ArgumentError

LIKELIHOODS = ["bernoulli", "continuous-bernoulli", "gaussian"]
# Images that no training has seen, all black or white among them: densities far out.
SEEN = torch.cat(
    [
        torch.rand(20, *SHAPE, generator=seeded()),
        torch.zeros(1, *SHAPE),
        torch.ones(1, *SHAPE),
    ]
)


def trained(augment="affine", **changes):
    """A model that knows its views and how well it explains its training images."""
    gmvae = tiny(**changes).eval()
    likely = gmvae.log_joint(SEEN)
    # As far apart as those of a training; two may be the same.
    quantiles = np.linspace(float(likely.min()), float(likely.max()), 101)
    quantiles[3] = quantiles[2]
    gmvae.training_record = {
        "log_joint_quantiles": quantiles.tolist(),
        "log_joint_by_complexity": {
            "slopes": [-20.0, 7.0],
            "least": [0.3, 0.1],
            "most": [0.5, 0.6],
        },
        "settings": {"augment": augment},
    }
    return gmvae


def check_answers(gmvae, classified, x=SEEN):
    """Fail where these are not the answers of the model, to single precision."""
    of_model = answers(gmvae, Images(x.numpy()), EXTRAS)
    scales = gmvae.guide.z_dist(x.to(gmvae.model.prior.means)).stddev.detach()
    expected = {name: getattr(of_model, name) for name in Classified._fields if name != "scales"}
    for name, value in (expected | {"scales": scales}).items():
        torch.testing.assert_close(
            torch.as_tensor(getattr(classified, name)),
            torch.as_tensor(value),
            rtol=0,
            atol=1e-4,
            check_dtype=False,
            msg=lambda words, name=name: f"{name}: {words}",
        )


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_function_answers_as_the_model(covariance, likelihood):
    gmvae = trained(covariance=covariance, likelihood=likelihood)
    check_answers(gmvae, Classification(gmvae)(SEEN))


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": "none"},
        {"assignment": "exact"},
        {"guide": "full"},
        {"guide": "mixture"},
        {"guide": "mixture", "assignment": "exact"},
        {"network": "conv", "image_shape": (3, 8, 8), "assigner_network": "conv"},
        {"latent_dim": 1},
    ],
    ids=["no views", "exact", "full", "mixture", "mixture, exact", "conv, colour", "one dimension"],
)
def test_other_models_too(changes):
    x = torch.rand(5, *changes.get("image_shape", SHAPE))
    gmvae = tiny(**{k: v for k, v in changes.items() if k != "augment"}).eval()
    gmvae.training_record = {
        "log_joint_quantiles": np.linspace(-90, 0, 101).tolist(),
        "settings": {"augment": changes.get("augment", "affine")},
    }
    check_answers(gmvae, Classification(gmvae)(x), x)
    torch.testing.assert_close(Decoding(gmvae)(gmvae.encode(x)), gmvae.reconstruct(x))


def test_a_mixture_so_narrow_that_its_covariance_has_no_factor():
    gmvae = trained(covariance="full")
    prior = gmvae.model.prior
    with torch.no_grad():
        prior.raw_scales[0] = torch.tensor([1000.0, -20.0])
        prior.lower[0, 1, 0] = 1000.0
        prior.logits[1] = -200.0  # and one of no weight, in single precision
    assert torch.linalg.cholesky_ex(prior.full_covariances.detach().double())[1].any()
    z = torch.randn(7, 2, generator=seeded())
    found = Classification(gmvae).log_joint(z)
    torch.testing.assert_close(found, prior.log_joint(z).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("assignment", ["exact", "amortised"])
def test_the_encoder_answers_once_an_image(assignment):
    function = Classification(trained("none", assignment=assignment))
    asked = []
    function.encoder.register_forward_hook(lambda *_: asked.append(1))
    function(SEEN)
    assert asked == [1]


def test_in_double_precision():
    gmvae = trained().double()
    classified = Classification(gmvae)(SEEN.double())
    assert classified.outlier.dtype == torch.float64
    check_answers(gmvae, classified, SEEN)


def test_a_model_that_does_not_know_its_outliers_says_so():
    gmvae = trained()
    del gmvae.training_record["log_joint_quantiles"]
    assert Classification(gmvae)(SEEN).outlier.tolist() == [-1.0] * len(SEEN)


def test_it_is_a_copy():
    gmvae = trained()
    function, decoder = Classification(gmvae), Decoding(gmvae)
    before = function(SEEN), decoder(torch.zeros(1, 2))
    with torch.no_grad():
        for parameter in gmvae.parameters():
            parameter.zero_()
    assert all(map(torch.equal, before[0], function(SEEN)))
    assert torch.equal(before[1], decoder(torch.zeros(1, 2)))
    assert all(parameter.requires_grad for parameter in gmvae.parameters())


def test_a_likelihood_of_ones_own_is_refused():
    class Own(Bernoulli):
        pass

    gmvae = GMVAE(Config(SHAPE, 3), likelihood=Own())
    with pytest.raises(ArgumentError, match="expected a likelihood that gmvae ships; got Own"):
        Classification(gmvae)


@pytest.mark.parametrize("n", [1, 2, 22])
def test_a_program_of_torch_takes_any_number_of_images(n, tmp_path):
    gmvae = trained()
    for part in parts(gmvae):
        export_torch(part, tmp_path / f"{part.name}.pt2")
    program = torch.export.load(tmp_path / "encoder.pt2").module()
    with torch.no_grad():
        check_answers(gmvae, Classified(*program(SEEN[:n])), SEEN[:n])
        decoded = torch.export.load(tmp_path / "decoder.pt2").module()(torch.ones(n, 2))
    torch.testing.assert_close(decoded, gmvae.decode(torch.ones(n, 2)), rtol=0, atol=1e-6)


class TestOnnx:
    @pytest.fixture(autouse=True)
    def packages(self):
        for name in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(name, reason=f"no {name}: pip install 'gmvae[onnx]'")

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_it_answers_as_the_model_any_number_of_images(self, likelihood, tmp_path):
        import onnxruntime

        gmvae = trained(likelihood=likelihood, network="conv" if likelihood[0] == "b" else "mlp")
        for part in parts(gmvae):
            path = tmp_path / f"{part.name}.onnx"
            export_onnx(part, path)
            assert onnx_difference(part, path) <= 1e-4
            assert [file.name for file in tmp_path.glob(f"{part.name}*")] == [path.name]
        session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"))
        for n in (1, 2, len(SEEN)):
            found = session.run(None, {"images": SEEN[:n].numpy()})
            check_answers(gmvae, Classified(*found), SEEN[:n])

    def test_what_differs_is_seen(self, tmp_path):
        part, _ = parts(trained())
        export_onnx(part, tmp_path / "encoder.onnx")
        with torch.no_grad():
            part.function.means.add_(1.0)
        assert onnx_difference(part, tmp_path / "encoder.onnx") > 0.01


def test_without_what_writes_onnx(monkeypatch, named_run, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    real = importlib.import_module

    def no_onnx(name, *more):
        if name == "onnxscript":
            raise ImportError(name)
        return builtins if name == "onnx" else real(name, *more)

    monkeypatch.setattr("gmvae.portable.programs.import_module", no_onnx)
    assert app.run(["export", "--onnx", "--model", str(named_run)]) == 2
    assert one_line(capsys) == (
        "Error: `--onnx` expected the packages onnx, onnxscript, onnxruntime; got no onnxscript. "
        "Install them: pip install 'gmvae[onnx]'."
    )
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_folder(named_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert app.run(["export", "--model", str(named_run)]) == 2
    assert "`--onnx` or `--pt2` expected, or both; got neither" in one_line(capsys)
    assert app.run(["export", "--pt2", "--model", str(named_run), "-o", "out"]) == 0
    assert capsys.readouterr().out == "Programs of encoder and decoder: out\n"
    written = {path.name for path in Path("out").iterdir()}
    assert written == {"encoder.pt2", "decoder.pt2", "interface.json"}
    interface = json.loads(Path("out/interface.json").read_text())
    assert interface == {
        "encoder": {"argument": {"images": ["N", 1, 8, 8]}, "results": list(Classified._fields)},
        "decoder": {"argument": {"latents": ["N", 2]}, "results": ["images"]},
        "components": [1, 4, 8],
    }


def test_a_program_that_differs_is_not_written(named_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("check_onnx", "export_onnx"):
        monkeypatch.setattr(f"gmvae.portable.{name}", lambda *_: None)
    for value, code in ((1e-4, 0), (2e-4, 1), (float("nan"), 1)):
        monkeypatch.setattr("gmvae.portable.onnx_difference", lambda *_, v=value: v)
        arguments = ["export", "--onnx", "--force", "--model", str(named_run), "-o", "out"]
        assert app.run(arguments) == code
    assert "expected to answer as the model does, to 0.0001" in capsys.readouterr().err
    assert export.LARGEST_DIFFERENCE == 1e-4
