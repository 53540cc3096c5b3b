"""What is saved is what is loaded; what was tampered with is refused in one line."""

import dataclasses
import hashlib
import json
import pickle
import resource
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toys import (
    ASSIGNMENTS,
    COVARIANCES,
    QUERIES,
    SHAPE,
    D,
    K,
    as_tensor,
    random_images,
    seeded,
    tiny,
)

from gmvae.config import Config
from gmvae.gmvae import GMVAE
from gmvae.support import files
from gmvae.support.errors import ArgumentError, ContentError

KINDS = [
    *({"assignment": a, "covariance": c} for a in ASSIGNMENTS for c in COVARIANCES),
    *({"network": n, "assigner_network": m} for n in ("mlp", "conv") for m in ("mlp", "conv")),
    *({"likelihood": name} for name in ("bernoulli", "continuous-bernoulli", "gaussian")),
    *({"guide": guide, "latent_dim": d} for guide in ("full", "mixture") for d in (1, 3)),
    {"image_shape": (3, 5, 9), "network": "conv"},
    {"grey": False, "n_components": 1, "latent_dim": 1},
]


def test_what_json_cannot_hold_costs_no_saved_model(tmp_path):
    saved = tiny()
    saved.save(tmp_path)
    with pytest.raises(ArgumentError, match="not JSON serializable"):
        tiny(n_components=K + 1).save(tmp_path, extra={"bad": {1}})
    loaded = GMVAE.load(tmp_path)
    assert loaded.state_dict().keys() == saved.state_dict().keys()
    assert all(
        torch.equal(a, b)
        for a, b in zip(saved.state_dict().values(), loaded.state_dict().values(), strict=True)
    )


def test_a_model_loads_without_the_compiler(tmp_path):
    """Importing it takes as long as to answer for a thousand images."""
    tiny().save(tmp_path)
    code = f"import gmvae; gmvae.GMVAE.load({str(tmp_path)!r})"
    code += "; import sys; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_modules_that_share_a_part_are_saved(tmp_path):
    class Scaled(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.features, self.loc = features, nn.Linear(4, D)

        def forward(self, x):
            loc = self.loc(self.features(x))
            return loc, loc.exp()

    def build():
        features = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        return Scaled(features), nn.Sequential(features, nn.Linear(4, K))

    encoder, assigner = build()
    gmvae, x = GMVAE(Config(SHAPE, K, D), encoder, assigner=assigner), torch.rand(3, *SHAPE)
    gmvae.save(tmp_path)
    encoder, assigner = build()
    loaded = GMVAE.load(tmp_path, encoder, assigner=assigner)
    torch.testing.assert_close(loaded.classify(x), gmvae.classify(x))


def test_loading_draws_nothing_from_torchs_generator(tmp_path):
    tiny().save(tmp_path)
    before = torch.get_rng_state()
    GMVAE.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_saved_is_what_is_loaded(tmp_path, kind):
    gmvae = tiny(**kind)
    with torch.no_grad():  # running statistics that are not the start's
        if gmvae.guide.assigner is not None:
            gmvae.train().guide.assigner(random_images(9, gmvae.config.image_shape))
    gmvae.component_classes = (7, None, 1)[: gmvae.config.n_components]
    gmvae.save(tmp_path / "run", extra={"data": {"name": "toys"}})
    loaded = GMVAE.load(tmp_path / "run")
    assert loaded.config == gmvae.config
    assert loaded.component_classes == gmvae.component_classes
    assert json.loads((tmp_path / "run/config.json").read_text())["data"] == {"name": "toys"}
    x = random_images(4, gmvae.config.image_shape).round()
    for query in QUERIES:
        assert torch.equal(
            as_tensor(getattr(loaded, query)(x)), as_tensor(getattr(gmvae, query)(x))
        )
    for one, other in zip(loaded.elbo(x, 2, seeded()), gmvae.elbo(x, 2, seeded()), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(loaded.sample(3, None, seeded())[0], gmvae.sample(3, None, seeded())[0])


def test_a_model_saved_before_there_was_a_choice_has_a_diagonal_guide(tmp_path):
    saved = tiny(guide="diagonal")
    saved.save(tmp_path)
    path = tmp_path / "config.json"
    written = json.loads(path.read_text())
    del written["model"]["guide"]
    path.write_text(json.dumps(written))
    loaded, x = GMVAE.load(tmp_path), random_images(3)
    assert loaded.config == saved.config
    assert torch.equal(loaded.encode(x), saved.encode(x))
    assert torch.equal(loaded.guide.z_dist(x).stddev, saved.guide.z_dist(x).stddev)


def test_saving_twice_replaces_and_leaves_nothing_beside(tmp_path):
    one, other = tiny(), tiny()
    one.save(tmp_path)
    other.save(tmp_path)
    x = random_images(2)
    assert torch.equal(GMVAE.load(tmp_path).encode(x), other.encode(x))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_the_queries_take_the_models_precision(tmp_path):
    """A model in float64 is saved and read back in torch's default."""
    gmvae = tiny().double()
    gmvae.save(tmp_path)
    assert GMVAE.load(tmp_path).encode(random_images(2)).dtype == torch.float32
    assert gmvae.encode(random_images(2).double()).dtype == torch.float64


def test_damaged_weights_and_those_of_another_model(tmp_path):
    tiny().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ContentError, match="expected whole safetensors; got a damaged file"):
        GMVAE.load(tmp_path)
    GMVAE(replace(tiny().config, latent_dim=D + 1)).save(tmp_path / "other")
    weights.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(
        ContentError, match=r"does not fit config\.json: .* expected shape"
    ) as error:
        GMVAE.load(tmp_path)
    assert len(str(error.value).replace(str(tmp_path), "")) < 200


TAMPERINGS = {
    "no JSON": lambda c: "{",
    "a list": lambda c: [],
    "another format": lambda c: c | {"format": 99},
    "no model": lambda c: {"format": 1},
    "a model of numbers": lambda c: c | {"model": 3},
    "a missing field": lambda c: (
        c | {"model": {k: v for k, v in c["model"].items() if k != "grey"}}
    ),
    "an unknown field": lambda c: c | {"model": c["model"] | {"evil": 1}},
    "a number as text": lambda c: c | {"model": c["model"] | {"latent_dim": "2"}},
    "a float": lambda c: c | {"model": c["model"] | {"n_components": 3.0}},
    "a bool": lambda c: c | {"model": c["model"] | {"n_components": True}},
    "no component": lambda c: c | {"model": c["model"] | {"n_components": 0}},
    "an unknown kind": lambda c: c | {"model": c["model"] | {"covariance": "tied"}},
    "an unknown network": lambda c: c | {"model": c["model"] | {"network": "vit"}},
    "two sides": lambda c: c | {"model": c["model"] | {"image_shape": [3, 4]}},
    "a side of nothing": lambda c: c | {"model": c["model"] | {"image_shape": [1, 0, 4]}},
    "a negative side": lambda c: c | {"model": c["model"] | {"image_shape": [1, -3, 4]}},
    "no layers": lambda c: c | {"model": c["model"] | {"hidden": []}},
    "a negative layer": lambda c: c | {"model": c["model"] | {"hidden": [-1]}},
    "layers of text": lambda c: c | {"model": c["model"] | {"hidden": ["a"]}},
    "an unknown custom": lambda c: c | {"model": c["model"] | {"custom": ["prior"]}},
    "another size": lambda c: c | {"model": c["model"] | {"latent_dim": 5}},
    "names of text": lambda c: c | {"component_classes": ["a", "b", "c"]},
    "too few names": lambda c: c | {"component_classes": [1]},
    "negative names": lambda c: c | {"component_classes": [1, -5, 2]},
    "brackets, thousands deep": lambda c: "[" * 100_000,
    "no names": lambda c: {k: v for k, v in c.items() if k != "component_classes"},
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_configuration_is_refused_in_one_line(tmp_path, tampering):
    tiny().save(tmp_path)
    path = tmp_path / "config.json"
    changed = TAMPERINGS[tampering](json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(ContentError) as error:
        GMVAE.load(tmp_path)
    assert "\n" not in str(error.value)
    assert "config.json" in str(error.value)
    assert str(error.value).endswith(", or train again.")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda p: p.write_bytes(pickle.dumps(Bomb())),
        lambda p: torch.save(Bomb(), p),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(p.read_bytes()[:-9]),
        lambda p: save_file({"evil": torch.zeros(1)}, p),
        lambda p: save_file(dict(list(load_file(p).items())[1:]), p),
        lambda p: save_file({n: t[..., None] for n, t in load_file(p).items()}, p),
    ],
    ids=["pickle", "torch.save", "empty", "cut", "others", "one missing", "shapes"],
)
def test_tampered_weights_are_refused_in_one_line_and_never_unpickled(tmp_path, tamper):
    tiny().save(tmp_path)
    tamper(tmp_path / "model.safetensors")
    with pytest.raises(ContentError) as error:
        GMVAE.load(tmp_path)
    assert "\n" not in str(error.value)
    assert "model.safetensors" in str(error.value)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing/config.json does not exist"):
        GMVAE.load(tmp_path / "nothing")
    tiny().save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model.safetensors does not exist"):
        GMVAE.load(tmp_path)


def test_the_configuration_holds_every_field_and_no_more():
    config = tiny().config
    written = json.loads(json.dumps(dataclasses.asdict(config)))
    assert Config.from_json(written) == config


def test_saving_where_a_file_lies_says_so_and_leaves_it(tmp_path):
    file = tmp_path / "model"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match="model is not a folder"):
        tiny().save(file)
    assert file.read_text() == "mine"


def test_a_loaded_model_neither_learns_nor_forgets_by_being_used(tmp_path):
    """Batch normalisation in training mode would classify by the batch, and move its means."""
    gmvae = tiny(assigner_network="conv").train()
    assert any(isinstance(module, nn.BatchNorm1d) for module in gmvae.guide.modules())
    gmvae.save(tmp_path)
    loaded = GMVAE.load(tmp_path)
    assert not any(module.training for module in loaded.modules())
    before = {name: value.clone() for name, value in loaded.state_dict().items()}
    x = random_images(6)
    with torch.no_grad():
        whole, one = loaded.guide.assigner(x), loaded.guide.assigner(x[:1])
    assert torch.allclose(whole[:1], one, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in loaded.state_dict().items())


def test_the_configuration_names_its_weights(tmp_path):
    tiny().save(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    content = (tmp_path / "model.safetensors").read_bytes()
    assert written["weights_sha256"] == hashlib.sha256(content).hexdigest()


def test_a_flipped_bit_of_the_weights_is_refused(tmp_path):
    tiny().save(tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # the last number's mantissa: finite, and nearly what it was
    path.write_bytes(content)
    with pytest.raises(ContentError, match="expected the very weights that config") as error:
        GMVAE.load(tmp_path)
    assert "\n" not in str(error.value)


def test_weights_of_one_run_under_the_names_of_another_are_refused(tmp_path):
    for name in ("one", "other"):
        tiny().save(tmp_path / name)
    shutil.copy(tmp_path / "one" / "model.safetensors", tmp_path / "other")
    with pytest.raises(ContentError, match="Restore the two files of one run"):
        GMVAE.load(tmp_path / "other")


def test_a_model_saved_before_there_was_a_hash_is_loaded(tmp_path):
    gmvae = tiny()
    gmvae.save(tmp_path)
    path = tmp_path / "config.json"
    written = json.loads(path.read_text())
    del written["weights_sha256"]
    path.write_text(json.dumps(written))
    x = random_images(3)
    assert torch.equal(GMVAE.load(tmp_path).encode(x), gmvae.encode(x))


@pytest.mark.parametrize("kill_at", [1, 2])
def test_a_save_that_is_killed_at_a_move_leaves_a_whole_model(tmp_path, monkeypatch, kill_at):
    old, new = tiny(), tiny()
    old.component_classes, new.component_classes = (1, 2, 3), (4, 5, 6)
    old.save(tmp_path)
    move, moves = files._move, []

    def killed(*arguments):
        moves.append(arguments)
        if len(moves) == kill_at:
            raise KeyboardInterrupt
        move(*arguments)

    monkeypatch.setattr(files, "_move", killed)
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)  # as SIGKILL would have it
    with pytest.raises(KeyboardInterrupt):
        new.save(tmp_path)
    whole = old if kill_at == 1 else new
    loaded, x = GMVAE.load(tmp_path), random_images(3)
    assert loaded.component_classes == whole.component_classes
    assert torch.equal(loaded.encode(x), whole.encode(x))


def rewritten(path, change):
    """The weights changed, and no hash that would tell."""
    config = json.loads((path / "config.json").read_text())
    del config["weights_sha256"]
    (path / "config.json").write_text(json.dumps(config))
    tensors = load_file(path / "model.safetensors")
    save_file(change(tensors), path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.to(torch.int32), "expected numbers of F16 or BF16 or F32 or F64 in"),
        (lambda t: t > 0, "; got BOOL"),
        (lambda t: t.to(torch.complex64), "; got C64"),
        (lambda t: t.to(torch.float8_e4m3fn), "; got F8_E4M3"),
        (lambda t: t * torch.nan, "expected finite numbers; got NaN or infinity in"),
    ],
)
def test_weights_of_another_type_are_refused(tmp_path, change, words):
    tiny().save(tmp_path)
    name = "model.prior.means"
    rewritten(tmp_path, lambda tensors: tensors | {name: change(tensors[name])})
    with pytest.raises(ContentError, match=words) as error:
        GMVAE.load(tmp_path)
    assert name in str(error.value)


def test_a_negative_variance_is_refused(tmp_path):
    tiny(assigner_network="conv").save(tmp_path)
    rewritten(tmp_path, lambda ts: {n: -t if "running_var" in n else t for n, t in ts.items()})
    with pytest.raises(ContentError, match="variances of 0 or more; got a negative one in guide"):
        GMVAE.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("n_components", 2**62, "expected numbers up to 2,147,483,647"),
        ("image_shape", [1, 2**63, 2], "expected numbers up to 2,147,483,647"),
        ("hidden", [1] * 1_001, "1,000 at most"),
        ("image_shape", [4, 2**31 - 1, 2**31 - 1], "sizes whose product torch cannot count"),
        # 7 GB of weights, were they built.
        ("hidden", [40_000, 40_000], r"guide.encoder.* expected shape \(40000,"),
        ("n_components", 100_000_000, "guide.assigner.* expected shape"),
    ],
)
def test_no_memory_is_taken_for_sizes_that_the_weights_do_not_have(tmp_path, field, value, words):
    tiny().save(tmp_path)
    path = tmp_path / "config.json"
    written = json.loads(path.read_text()) | {"component_classes": None}
    written["model"][field] = value
    path.write_text(json.dumps(written))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ContentError, match=words) as error:
        GMVAE.load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
    assert len(str(error.value)) < 600
