"""Work done in children of a process that has torch already, each in a copy of the project.

A child is forked before the package is imported, and imports it from a copy of its own: what it
runs is what lies there.
"""

import contextlib
import hashlib
import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Imported once, by the parent: together they take longer than most tests.
HEAVY = (
    *("torch", "torchvision", "pyro", "pyro.infer.autoguide", "arviz", "matplotlib.pyplot"),
    *("sklearn.manifold", "sklearn.mixture", "sklearn.semi_supervised", "skimage.metrics"),
    *("scipy.stats", "typer.testing", "rich.table", "h5netcdf", "xarray", "safetensors.torch"),
    *("nbformat", "coverage"),
)
# Exit codes of a child beside pytest's: its copy is none, or an exception got past pytest.
NOT_BEGUN, ESCAPED = 70, 71
# Bytes of addresses of a child: a number that grows by a mutant must not take all memory.
MEMORY = 24 * 2**30


def project_files(root: Path) -> list[str]:
    """What a copy needs: all that git knows or would add."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.splitlines() if (root / name).is_file())


def state_of(root: Path, files: Iterable[str]) -> str:
    """One word for what is in the files, those of the benchmarks left out."""
    digest = hashlib.sha256()
    for file in sorted(f for f in files if not f.startswith("benchmarks/")):
        digest.update(file.encode() + (root / file).read_bytes())
    return digest.hexdigest()[:16]


def _copied(root: Path, folder: Path) -> Path:
    """The project, and a folder in which the command line has the name it is installed under."""
    for name in project_files(root):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)
    (folder / ".path").mkdir()
    (folder / ".path" / "gmvae_cli").symlink_to(folder / "cli")
    return folder


def _enter(copy: Path) -> None:
    """Make this forked process one that imports from the copy, quiet and by itself."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    log = os.open(copy / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.chdir(copy)
    here = [str(copy), str(copy / ".path")]
    sys.path[:] = here + [
        p for p in sys.path if p and Path(p).resolve() not in (ROOT, ROOT / "benchmarks")
    ]
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONPATH=os.pathsep.join(here), PYTHONDONTWRITEBYTECODE="1")
    (copy / ".tmp").mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(copy / ".tmp")
    os.environ.pop("PYTEST_ADDOPTS", None)
    sys.argv = ["pytest"]
    # Processes that a test starts read the main module again.
    sys.modules["__main__"] = pytest
    importlib.invalidate_caches()
    if "gmvae" in sys.modules:
        raise RuntimeError("gmvae was imported before the copy was made")
    for name, folder in (("gmvae", "gmvae"), ("gmvae_cli", "cli")):
        spec = find_spec(name)
        origin = Path(spec.origin if spec and spec.origin else "").resolve()
        if origin.parent != (copy / folder).resolve():
            raise RuntimeError(f"{name} would be imported from {origin}, not from the copy {copy}")


@dataclass
class Job:
    """Work for a child: to be done in a copy of the project, ``prepare``d first."""

    prepare: Callable[[Path], None]
    work: Callable[[Path], int]
    done: Callable[[Path, int | None, float], None]
    limit: float


def run_all(jobs: Iterable[Job], n_jobs: int) -> None:
    """Each job in a child of its own, ``n_jobs`` at a time; those past their limit are killed."""
    for name in HEAVY:
        importlib.import_module(name)
    importlib.import_module("matplotlib").use("Agg")  # in this process: kernels draw inline
    importlib.import_module("torch").set_num_threads(1)
    running: dict[int, tuple[Job, Path, float]] = {}
    waiting = iter(jobs)
    try:
        while True:
            while len(running) < n_jobs and (job := next(waiting, None)) is not None:
                copy = _copied(ROOT, Path(tempfile.mkdtemp(prefix="mutant-")).resolve())
                job.prepare(copy)
                running[_fork(job, copy)] = job, copy, time.monotonic()
            if not running:
                return
            time.sleep(0.05)
            for process, (job, copy, began) in list(running.items()):
                ended, status = os.waitpid(process, os.WNOHANG)
                seconds = time.monotonic() - began
                if not ended and seconds < job.limit:
                    continue
                _kill(process, reap=not ended)
                del running[process]
                job.done(copy, os.waitstatus_to_exitcode(status) if ended else None, seconds)
                shutil.rmtree(copy, ignore_errors=True)
    finally:
        for process, (_, copy, _) in running.items():
            _kill(process, reap=True)
            shutil.rmtree(copy, ignore_errors=True)


def _fork(job: Job, copy: Path) -> int:
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = NOT_BEGUN
    try:
        _enter(copy)
        code = ESCAPED
        code = job.work(copy)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _kill(process: int, reap: bool) -> None:
    """End a child and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if reap:
        os.waitpid(process, 0)
