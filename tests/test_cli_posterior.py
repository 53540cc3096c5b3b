"""``gmvae posterior``: its file, value by value, and what it says."""

import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr
from certified import stat
from cli_spies import images_called, printed_json, spies, untrained
from gmvae_cli import app, posterior
from toys import SHAPE, seeded, tiny

from gmvae.diagnostics import arviz_bridge, arviz_line
from gmvae.posterior import Effort, files
from gmvae.posterior.block import Block
from gmvae.posterior.files import write_blocks
from gmvae.posterior.result import Posterior, Tally, words_of

__all__ = ["spies"]


def test_the_file_holds_what_the_library_answers(spies, monkeypatch):
    monkeypatch.setattr("gmvae.posterior.work._IMAGES", 7)
    spies.run(["posterior", "other", "--weights", "--draws", "50"])
    assert spies.at("command.made") == ["gmvae-run-posterior.nc"]
    expected = untrained().posterior(images_called("other"), 50, weights=True, generator=seeded(0))
    tree = arviz_bridge.read("gmvae-run-posterior.nc")
    assert expected.tree.identical(tree)
    assert tree["posterior"]["z"].dtype == np.float32
    assert tree["posterior"]["z"].dims == ("chain", "draw", "image", "latent")
    counts = {name: int((expected.route == name).sum()) for name in expected.routes}
    lines = spies.at("command.out").splitlines()
    assert lines[0] == f"other: 24 images, {words_of(counts)}."
    mean, error = expected.log_evidence.mean(), stat(expected, "log_evidence_mcse")
    assert lines[1] == f"Mean log p(x): {mean:.3f} +- {np.sqrt((error**2).sum()) / 24:.3f} nats."
    assert lines[-1] == "Posterior: gmvae-run-posterior.nc"


def test_in_json_is_what_the_library_answers(spies):
    spies.run(["posterior", "other", "--draws", "50", "-o", "a.nc", "--json"])
    expected = untrained().posterior(images_called("other"), 50, generator=seeded(0))
    khat, ess, error = (stat(expected, name) for name in ("khat", "ess", "log_evidence_mcse"))
    assert printed_json(spies) == {
        "output": "a.nc",
        "images": "other",
        "n_images": 24,
        "skipped": [],
        "routes": expected.routes,
        "certified": expected.certified.mean(),
        "unresolved": [],
        "khat": pytest.approx({"median": np.median(khat), "largest": khat.max()}),
        "ess": pytest.approx({"median": np.median(ess), "smallest": ess.min()}),
        "log_evidence": pytest.approx(expected.log_evidence.mean()),
        "log_evidence_mcse": pytest.approx(np.sqrt((error**2).sum()) / 24),
    }


def test_the_khats_of_chains_are_of_no_account():
    gmvae, tally = tiny(), Tally()
    (block,) = gmvae.posterior_blocks(torch.rand(4, *SHAPE), 40, generator=seeded())
    block.route[:] = [0, 2, 2, 3]
    block.khat[:] = [0.1, 9.0, 8.0, 0.7]
    block.ess[:] = [300.0, 100.0, 200.0, 5.0]
    tally.add(block)
    record = tally.record()
    assert record["khat"] == pytest.approx({"median": 0.4, "largest": 0.7})
    assert record["ess"] == {"median": 150.0, "smallest": 5.0}
    assert (record["certified"], record["unresolved"]) == (0.75, [3])
    assert record["routes"] == {"guide": 1, "refined": 0, "hmc": 2, "unresolved": 1}
    chains = Tally()
    block.route[:] = 2
    chains.add(block)
    assert chains.record()["khat"] is None


def test_arviz_reads_it(spies):
    spies.run(["posterior", "other", "-o", "a.nc"])
    with arviz_line.quiet():
        data = arviz_line.arviz().from_netcdf("a.nc")
        table = arviz_line.arviz().summary(data, var_names=["z"], coords={"image": [0, 3]})
    assert len(table) == 4
    with xr.open_datatree("a.nc", engine="h5netcdf") as tree:
        assert set(tree["sample_stats"]["route"].to_numpy()) <= {"guide", "refined"}
        assert all(variable.attrs["about"] for variable in tree["posterior"].data_vars.values())


def test_the_images_without_a_certificate_are_named(spies, monkeypatch):
    monkeypatch.setattr(posterior, "MOST_NAMED", 3)
    # A climb too few: no weight is trusted, and nothing else is tried.
    monkeypatch.setattr("gmvae.posterior.importance.khat_threshold", lambda _: -np.inf)
    arguments = ["--starts", "0", "--rounds", "0", "--hmc-draws", "0"]
    spies.run(["posterior", "other", *arguments])
    lines = spies.at("command.out").splitlines()
    assert lines[0] == "other: 24 images, 0 certified, 24 unresolved."
    assert lines[2] == "Unresolved: images 0, 1, 2 and 21 more."


def test_a_failure_on_the_way_leaves_no_file(spies, monkeypatch):
    monkeypatch.setattr("gmvae.posterior.work._IMAGES", 7)
    monkeypatch.setattr(Tally, "add", broken := Broken(Tally.add))
    assert spies.run(["posterior", "other"]).at("command.code") != 0
    assert broken.calls == 4
    assert spies.at("command.made") == []


class Broken:
    """Works three times."""

    def __init__(self, real):
        self.real, self.calls = real, 0

    def __get__(self, owner, _):
        return lambda block: self(owner, block)

    def __call__(self, owner, block):
        self.calls += 1
        if self.calls > 3:
            raise OSError("the disk is full")
        self.real(owner, block)


def test_files_of_pictures_are_named(tmp_path):
    gmvae = tiny()
    names = np.array(["a.png", "ä long one.png", "c"])
    blocks = gmvae.posterior_blocks(torch.rand(3, *SHAPE), 30, generator=seeded())
    assert all(isinstance(b, Block) for b in write_blocks(tmp_path / "a.nc", blocks, 3, names))
    tree = arviz_bridge.read(tmp_path / "a.nc")
    assert tree["sample_stats"]["file"].to_numpy().tolist() == names.tolist()


def test_arrays_of_all_images_are_written_in_parts(tmp_path, monkeypatch):
    """Whole chunks of the file, 16 images each; it holds what it would all at once."""
    x = torch.rand(37, *SHAPE)
    (block,) = tiny().posterior_blocks(x, 30, weights=True, generator=seeded())
    assert len(list(write_blocks(tmp_path / "a.nc", [block], 37))) == 1
    monkeypatch.setattr(files, "CHUNK_BYTES", 1)
    parts = files.stored_blocks(block.arrays())
    sizes = [len(part.route) for part in write_blocks(tmp_path / "b.nc", parts, 37)]
    assert sizes == [16, 16, 5]
    trees = [arviz_bridge.read(tmp_path / name) for name in ("a.nc", "b.nc")]
    assert trees[0].identical(trees[1])


def test_memory_is_flat_in_the_number_of_images(tmp_path, monkeypatch):
    """What is held at a time is a batch's, be they five or twenty."""
    monkeypatch.setattr("gmvae.posterior.work._IMAGES", 8)
    gmvae = tiny()

    def peak(n):
        x, effort = torch.rand(n, *SHAPE), Effort(0, 0, 0)
        blocks = gmvae.posterior_blocks(x, 2_000, effort=effort, generator=seeded())
        written = write_blocks(tmp_path / f"{n}.nc", blocks, n)
        tracemalloc.start()
        for _ in written:
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(8)
    few, many = peak(40), peak(160)
    # The draws of 120 images more are 1.9 MB; the file holds them.
    assert many - few < 200_000
    assert (tmp_path / "160.nc").stat().st_size > 160 * 2_000 * 2 * 4


def test_quiet_says_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny().save("model", extra={"training": {}})
    np.savez("some.npz", data=np.random.default_rng(0).random((5, *SHAPE), dtype=np.float32))
    assert app.run(["posterior", "some.npz", "--model", "model", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ((3, 0, 0, 0), "3 certified (3 guide)"),
        ((42, 91, 1, 0), "134 certified (42 guide, 91 refined, 1 hmc)"),
        ((1_000, 0, 0, 2), "1,000 certified (1,000 guide), 2 unresolved"),
        ((0, 0, 0, 2), "0 certified, 2 unresolved"),
    ],
)
def test_the_ways_in_words(routes, words):
    names = "guide", "refined", "hmc", "unresolved"
    assert words_of(dict(zip(names, routes, strict=True))) == words


def test_a_posterior_says_what_it_is():
    found = tiny().posterior(torch.rand(4, *SHAPE), 40, generator=seeded())
    assert repr(found).startswith("Posterior(4 images, 40 draws of 2 latent dimensions; ")
    assert isinstance(found, Posterior)
    assert len(found) == 4
    assert found.z.shape == (4, 40, 2)
    assert found.pixels.shape == (4, 12)
    assert found.p_y.shape == (4, 3)
