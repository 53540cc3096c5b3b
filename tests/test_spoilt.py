"""Spoilt files, hundreds of them: each is refused in one line, soon, and nothing is written."""

import os
import resource
import time

import h5py
import numpy as np
import pytest
import spoilt
import torch
import xarray as xr
from cli_toys import one_line
from gmvae_cli import app, config_file
from toys import tiny

from gmvae.data import load
from gmvae.diagnostics import arviz_bridge
from gmvae.gmvae import GMVAE
from gmvae.support.errors import ArgumentError, ContentError

# Seconds of CPU and bytes: far above what any takes, far below what a bomb would.
MOST_SECONDS, MOST_BYTES = 5, 400_000_000

torch.manual_seed(0)
MODEL = tiny()


def saved_model(folder):
    MODEL.save(folder)
    return (folder / "config.json").read_text(), (folder / "model.safetensors").read_bytes()


def tree():
    coords = {"chain": [0], "draw": range(20), "label": ["a", "b"]}
    draws = xr.Dataset({"z": (("chain", "draw", "label"), np.ones((1, 20, 2)))}, coords)
    return xr.DataTree.from_dict({"posterior": draws, "observed_data": xr.Dataset({"x": 1.0})})


def saved_tree(folder):
    arviz_bridge.write(tree(), folder / "a.nc")
    return (folder / "a.nc").read_bytes()


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return *saved_model(folder), saved_tree(folder)


def files_of(folder):
    return sorted((p.name, p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def check_refused(read, path, name, kinds=(ContentError, ArgumentError)):
    """One file: the line that it is refused in."""
    before, peak = files_of(path.parent), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    try:
        read(path)
    except kinds as error:
        line = str(error)
    except BaseException as error:
        pytest.fail(f"{name}: {type(error).__name__}: {str(error)[:300]}")
    else:
        pytest.fail(f"{name}: was read")
    assert time.process_time() - began < MOST_SECONDS, name
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown * 1024 < MOST_BYTES, f"{name}: {grown:,} kB"
    assert files_of(path.parent) == before, name
    line = line.replace(str(path.parent), "").replace(str(path.parent.parent), "")
    assert line.isprintable(), f"{name}: {line!r}"
    assert len(line) < 700, f"{name}: {line}"
    assert line.endswith("."), f"{name}: {line}"
    return line


def check_all(read, folder, suffix, contents, called="spoilt"):
    """All files of a table; those that fail are told together."""
    failures = []
    for number, (name, content) in enumerate(contents.items()):
        path = folder / str(number) / f"spoilt.{suffix}"
        path.parent.mkdir()
        path.write_bytes(content)
        try:
            line = check_refused(read, path, name)
            assert called in line or path.parent.name in line, f"{name}: {line}"
        except (AssertionError, pytest.fail.Exception) as failure:
            failures.append(str(failure).splitlines()[0])
        path.unlink()
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("suffix", spoilt.IMAGES)
def test_spoilt_images_are_refused(tmp_path, suffix):
    def read(path):
        return load(path.parent if suffix == "png" else path)

    check_all(read, tmp_path, suffix, spoilt.IMAGES[suffix]())


@pytest.mark.parametrize("part", ["config.json", "model.safetensors"])
def test_spoilt_models_are_refused(tmp_path, whole, part):
    config, weights, _ = whole

    def read(path):
        for name, content in (("config.json", config.encode()), ("model.safetensors", weights)):
            (path.parent / name).write_bytes(content)
        path.rename(path.parent / part)
        try:
            GMVAE.load(path.parent)
        finally:
            (path.parent / part).rename(path)
            for other in {"config.json", "model.safetensors"} - {part}:
                (path.parent / other).unlink()

    table = spoilt.configurations(config) if part == "config.json" else spoilt.weights(weights)
    check_all(read, tmp_path, "part", table, called=part)


@pytest.mark.parametrize("suffix", spoilt.IMAGES)
def test_the_command_line_refuses_them_with_code_1(tmp_path, named_run, capsys, suffix):
    """Every tenth, and nothing is written."""
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / f"spoilt.{suffix}"
    output = tmp_path / "labels.csv"
    for name, content in list(spoilt.IMAGES[suffix]().items())[::10]:
        path.write_bytes(content)
        data = str(folder if suffix == "png" else path)
        assert app.run(["classify", data, "--model", str(named_run), "-o", str(output)]) == 1, name
        assert "spoilt" in one_line(capsys), name
        assert [entry.name for entry in tmp_path.iterdir()] == ["data"], name


def test_spoilt_options_are_refused(tmp_path):
    check_all(config_file._read, tmp_path, "toml", spoilt.TOML)


def test_spoilt_trees_are_refused(tmp_path, whole):
    content = whole[2]
    table = {f"cut at {at}": content[:at] for at in (0, 4, 8, 40, 96, 500, 2_000, -1_000, -8, -1)}
    check_all(arviz_bridge.read, tmp_path, "nc", table | {"text": b"x", "zeros": bytes(5_000)})


def external_link(file):
    file["posterior/evil"] = h5py.ExternalLink("/etc/hostname", "/")


def external_storage(file):
    file.create_dataset("evil", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("evil", layout)


def unwritten(file):
    file.create_dataset("evil", (2**40,), "f8", chunks=(1024,), compression="gzip")


def no_scale(file):
    del file["posterior/draw"]


def odd_scale(file):
    file["posterior/z"].attrs["DIMENSION_LIST"] = 3


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (external_link, "got a link to the file /etc/hostname, as posterior/evil"),
        (external_storage, "got data of other files, as evil"),
        (virtual, "got data of other files, as evil"),
        (unwritten, "got 8,796,093,022,208 bytes that it does not hold, as evil"),
        (no_scale, "expected netCDF"),
        (odd_scale, "expected netCDF"),
    ],
)
def test_a_tree_that_reaches_for_more_than_it_holds_is_refused(tmp_path, spoil, words):
    path = tmp_path / "a.nc"
    arviz_bridge.write(tree(), path)
    with h5py.File(path, "a") as file:
        spoil(file)
    assert words in check_refused(arviz_bridge.read, path, spoil.__name__)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    def put(path):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        return path

    for name in ("a.npz", "a.npy", "a.idx", "a-idx1.gz"):
        assert "expected" in check_refused(load, put(tmp_path / "one" / name), name)
    for name in ("config.json", "model.safetensors"):
        MODEL.save(tmp_path / name)
        path = put(tmp_path / name / name)
        assert "regular file" in check_refused(lambda path: GMVAE.load(path.parent), path, name)
    assert "regular file" in check_refused(arviz_bridge.read, put(tmp_path / "a.nc"), "a tree")


def test_the_table_is_long_and_its_files_differ(whole):
    tables = [(suffix, make()) for suffix, make in spoilt.IMAGES.items()]
    tables += [("config.json", spoilt.configurations(whole[0]))]
    tables += [("model.safetensors", spoilt.weights(whole[1])), ("toml", spoilt.TOML)]
    files = {(suffix, content) for suffix, table in tables for content in table.values()}
    assert len(files) >= 300
    assert len(files) == sum(len(table) for _, table in tables)
