"""How much memory a training takes beside the file of its images, by their number.

    OMP_NUM_THREADS=1 python benchmarks/training_memory.py [N ...]

Each N in a process of its own: MNIST's training images over and over, other noise on each, as a
memory map of bytes; a quick run of ten components, its joint phase one epoch, kept while it trains
as ``gmvae train`` keeps it. What counts is the memory that no file backs (``RssAnon``), looked at
every hundredth of a second: pages of the map lie in the system's cache, which takes them back when
it needs them.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from runs import circumstances

import gmvae
from gmvae.data import Images
from gmvae.training.phases import Phase
from gmvae.training.recipe import recipe
from gmvae.training.state import State

RESULTS = Path(__file__).parent / "results" / "scoring" / "training_memory.md"
SIZES = (100_000, 1_000_000)
SETTINGS = gmvae.Settings(n_components=10, latent_dim=10, effort="quick")


def write_rows(path: Path, n: int) -> None:
    """MNIST over and over with noise of a twelfth of white, a part at a time."""
    digits = gmvae.load("mnist", part="train").pixels[:, 0]
    rows = np.lib.format.open_memmap(path, "w+", np.uint8, (n, *digits.shape[1:]))
    rng = np.random.default_rng(0)
    for start in range(0, n, 10_000):
        part = digits[np.arange(start, min(start + 10_000, n)) % len(digits)].astype(np.int16)
        part += rng.integers(-20, 21, part.shape, np.int16)
        rows[start : start + len(part)] = part.clip(0, 255)
        rows.flush()


def megabytes() -> float:
    """The memory of this process that no file backs."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


class Peaks:
    """The largest memory of each part of a run; what is between two parts counts to the first."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}
        self.part = "imports"
        self._ended = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look while this block runs."""
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            part = self.part
            self.of[part] = max(self.of.get(part, 0.0), megabytes())
            time.sleep(0.01)


@dataclass(frozen=True)
class Watched:
    """A phase that says when it begins."""

    phase: Phase
    peaks: Peaks

    @property
    def name(self) -> str:
        """That of the phase."""
        return self.phase.name

    def run(self, state: State, images: Images) -> State:
        """As the phase."""
        self.peaks.part = self.name
        return self.phase.run(state, images)


def train(n: int) -> None:
    """Write, train and print the peaks: in a process of its own."""
    peaks = Peaks()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        write_rows(path, n)
        with peaks.watched():
            images = gmvae.load(path)
            phases = [Watched(phase, peaks) for phase in recipe(SETTINGS, n)]
            peaks.part = "images"
            gmvae.fit(images, SETTINGS, phases=phases, checkpoint=Path(folder) / "kept")
    for part, peak in peaks.of.items():
        print(f"{part},{peak:.0f}")


def peaks_of(n: int) -> dict[str, int]:
    """The peak of each part, MB."""
    command = [sys.executable, __file__, "--child", str(n)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    rows = (line.split(",") for line in done.stdout.splitlines())
    return {part: int(peak) for part, peak in rows}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        train(int(sys.argv[2]))
        return
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    about = circumstances()
    peaks = [peaks_of(n) for n in sizes]
    lines = [
        f"| peak of memory that no file backs, MB | {' | '.join(f'{n:,}' for n in sizes)} |",
        "|---" * (1 + len(sizes)) + "|",
    ]
    for part in peaks[0]:
        lines.append(f"| {part} | {' | '.join(f'{of.get(part, 0):,}' for of in peaks)} |")
    lines.append(f"| **all** | {' | '.join(f'{max(of.values()):,}' for of in peaks)} |")
    text = "\n".join(lines)
    typed = f"`OMP_NUM_THREADS=1 python benchmarks/training_memory.py {' '.join(map(str, sizes))}`"
    about_it = f"{typed}, commit {about['commit']}, {about['machine']}"
    RESULTS.write_text(f"{about_it}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
