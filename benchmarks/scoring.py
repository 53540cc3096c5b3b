"""How fast images are scored, beside the bare networks, and in how much memory.

    OMP_NUM_THREADS=1 python benchmarks/scoring.py [times] [memory] [batches]

Each command runs on a memory map of bytes, 28 x 28, in turn with the forward passes of its network
alone on as many images, floats that are in memory already; CPU seconds of this process, medians of
five. The command's seconds hold all but the start of Python: it reads the model, looks at the range
of the pixels, scores and writes. Peaks of resident memory are those of a process of its own, whose
imports are in them. The model is that of ten classes, its weights as chance made them.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gmvae_cli import app
from runs import circumstances

from gmvae import GMVAE, Config
from gmvae.outliers import QUANTILES

RESULTS = Path(__file__).parent / "results" / "scoring"
REPEATS = 5
# Images of a floating-point pass: one batch of the library's.
BATCH = 1_024
# By its name: how it is typed, the network it has to ask, and the share of the rows it gets here.
COMMANDS = {
    "encode": ("encode -o z.npz", "encoder", 1.0),
    "classify --columns label": ("classify -o y.csv --columns label", "assigner", 0.125),
    "reconstruct to .npy": ("reconstruct -o r.npy", "both", 0.125),
    "classify": ("classify -o a.csv", "views", 0.05),
}


def model_of_ten() -> GMVAE:
    """A model of ten classes that was not trained, of views and with outlier scores."""
    torch.manual_seed(0)
    model = GMVAE(Config((1, 28, 28), 10, latent_dim=10)).eval()
    quantiles = np.linspace(-600.0, -500.0, 101).tolist()
    settings = {"seed": 0, "augment": "affine"}
    record = {"data": "rows.npy", "labels_observed": 0, "settings": settings}
    model.training_record = record | {QUANTILES: quantiles}
    return model


def write_rows(path: Path, n: int) -> None:
    """Noise of MNIST's size as bytes, a part at a time."""
    rows = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 28, 28))
    rng = np.random.default_rng(0)
    for start in range(0, n, 10_000):
        size = (min(10_000, n - start), 28, 28)
        rows[start : start + 10_000] = rng.integers(0, 256, size, np.uint8)
        rows.flush()


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def alone(model: GMVAE, network: str, n: int) -> Callable[[], None]:
    """The forward passes of a network on ``n`` images, and nothing else."""
    x = torch.rand(BATCH, 1, 28, 28)
    encoder, assigner, decoder = model.guide.encoder, model.guide.assigner, model.model.decoder
    z = torch.randn(BATCH, 10)
    ways: dict[str, Callable[[], object]] = {
        "encoder": lambda: encoder(x),
        "assigner": lambda: assigner(x),
        "both": lambda: (encoder(x), decoder(z)),
        "views": lambda: (encoder(x), decoder(z), [assigner(x) for _ in range(9)]),
    }

    def passes() -> None:
        with torch.inference_mode():
            for _ in range(round(n / BATCH)):
                ways[network]()

    return passes


def measured(name: str, n: int, model: GMVAE) -> tuple[float, float]:
    """Median seconds of the command and of its networks alone, in turn."""
    typed, network, _ = COMMANDS[name]
    arguments = [*typed.split(), "rows.npy", "--model", "run", "--force", "-q"]
    both: list[tuple[float, float]] = []
    for _ in range(REPEATS + 1):
        bare = seconds(alone(model, network, n))
        both.append((seconds(lambda: app.run(arguments)), bare))
    command, bare = zip(*both[1:], strict=True)  # the first warms caches up
    return statistics.median(command), statistics.median(bare)


def peak(typed: str) -> float:
    """Of a process of its own, in MB."""
    # Not what getrusage tells, in which a parent's memory is counted from before the start.
    code = f"""
import sys
from gmvae_cli import app
if app.run({[*typed.split(), "rows.npy", "--model", "run", "--force", "-q"]!r}):
    sys.exit(1)
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def batches(model: GMVAE, n_images: int) -> str:
    """Microseconds an image of each network, by the images at a time."""
    networks = {"encoder": model.guide.encoder, "assigner": model.guide.assigner}
    lines = ["| images at a time | encoder, us | assigner, us |", "|---|---|---|"]
    for size in (64, 256, 512, 1_024, 2_048, 4_096):
        x = torch.rand(size, 1, 28, 28)
        cells = []
        for network in networks.values():

            def passes(network: torch.nn.Module = network, x: torch.Tensor = x) -> None:
                with torch.inference_mode():
                    for _ in range(n_images // len(x)):
                        network(x)

            taken = statistics.median(seconds(passes) for _ in range(REPEATS))
            cells.append(f"{taken / n_images * 1e6:.1f}")
        lines.append(f"| {size:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def times(model: GMVAE, n_rows: int) -> str:
    """A table: each command beside its bare networks."""
    lines = [
        "| command | images | CPU s | networks alone, CPU s | images a CPU s | alone / command |",
        "|---|---|---|---|---|---|",
    ]
    for name, (_, _, share) in COMMANDS.items():
        n = round(n_rows * share)
        write_rows(Path("rows.npy"), n)
        command, bare = measured(name, n, model)
        lines.append(
            f"| `{name}` | {n:,} | {command:.2f} | {bare:.2f} | {n / command:,.0f} | "
            f"{bare / command:.2f} |"
        )
    return "\n".join(lines)


def memory(model: GMVAE, n_rows: int) -> str:
    """A table: the peaks of `encode` for a tenth of so many images, and for all."""
    lines = ["| command | images | peak of resident memory, MB |", "|---|---|---|"]
    for n in (n_rows // 10, n_rows):
        write_rows(Path("rows.npy"), n)
        lines.append(f"| `encode` | {n:,} | {peak(COMMANDS['encode'][0]):,.0f} |")
    return "\n".join(lines)


PARTS = {"times": (times, 80_000), "memory": (memory, 1_000_000), "batches": (batches, 4_096)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    about, model = circumstances(), model_of_ten()
    for part in parser.parse_args().parts or PARTS:
        work, n = PARTS[part]
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            model.save("run")
            text = work(model, n)
        typed = f"`OMP_NUM_THREADS=1 python benchmarks/scoring.py {part}`"
        path = RESULTS / f"{part}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{typed}, commit {about['commit']}, {about['machine']}\n\n{text}\n")
        print(text, flush=True)


if __name__ == "__main__":
    main()
