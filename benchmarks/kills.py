"""Is a killed run lost? SIGKILL at random moments, then ``--resume``, until it has ended.

    python benchmarks/kills.py --kills 200
    python benchmarks/kills.py --kills 40 -- mnist --classes 1,4,8 --epochs 5

What stands after ``--`` is handed to ``gmvae train``. One run is left alone; others of the same
seed are killed again and again, each as often as it takes to end, until so many kills have been
made. The model and the history of each have to be those of the undisturbed run, byte for byte.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runs import GMVAE, circumstances

COMPARED = ("model.safetensors", "history.csv")


def train(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """``gmvae train`` in a process of its own."""
    return subprocess.Popen(
        [*GMVAE, "train", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def killed(
    arguments: list[str], folder: Path, longest: float, rng: random.Random
) -> tuple[int, float]:
    """Kill a run, and go on with it, until it has ended.

    Returns:
        How often it was killed, and the seconds that it may take: fewer than ``longest`` where it
        was never killed and took fewer.
    """
    kills = 0
    following = [*arguments, "-o", "run"]
    slower = 1.0
    while True:
        began = time.monotonic()
        process = train(following, folder)
        # Where the machine has more to do than in the undisturbed run, one that lives no longer
        # than that might never end.
        slower *= 1.1
        try:
            # From its start on: imports, the moment before the first checkpoint, all phases, the
            # last move.
            process.wait(timeout=rng.uniform(0, longest * slower))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        if (folder / "run").exists():
            return kills, longest if kills else min(longest, time.monotonic() - began)
        # Killed before anything was written down, it is asked for again.
        kept = (folder / ".run.unfinished" / "asked.json").exists()
        following = ["--resume", "run"] if kept else [*arguments, "-o", "run"]


def main() -> int:
    """Run, kill and compare; 1 where a run differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("arguments", nargs="*", help="of gmvae train")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        began = time.monotonic()
        if train([*asked.arguments, "-o", "run"], top).wait() != 0:
            raise RuntimeError("the undisturbed run failed")
        longest = whole = time.monotonic() - began
        kills = runs = same = 0
        while kills < asked.kills:
            folder = top / f"killed-{runs}"
            folder.mkdir()
            # On average a run is killed a few times before it ends.
            # The undisturbed run may have been slower than others, for what else the machine did.
            more, longest = killed(asked.arguments, folder, longest, rng)
            kills, runs = kills + more, runs + 1
            same += all(
                (folder / "run" / file).read_bytes() == (top / "run" / file).read_bytes()
                for file in COMPARED
            )
            print(f"{kills} kills, {same} of {runs} runs the same", flush=True)
    words = " ".join(["gmvae train", *asked.arguments])
    print(f"`{words}`, {whole:.0f} s undisturbed; {circumstances()}")
    return int(same < runs)


if __name__ == "__main__":
    sys.exit(main())
