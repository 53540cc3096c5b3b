"""Do the tests notice small faults? Those of faults/named.toml, and mutants drawn at random.

    OMP_NUM_THREADS=1 python benchmarks/mutants.py --named --random 150 --seed 0 --jobs 2

Each fault is put into a copy of the project by itself, and the tests that run its line are run, the
quickest first, until one fails; a fault that hangs is noticed. Every test is first run once without
a fault, to learn which lines it runs and how long it takes. What is done is kept in the folder
``--work``, and begun again where it was left; what was noticed is not tried again there.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from mutation_children import ROOT, Job, project_files, run_all, state_of
from mutation_sites import Mutant, changed, drawn
from mutation_tests import Reach, Verdict, judging, reach
from runs import RESULTS, circumstances

FAULTS = Path(__file__).parent / "faults"
# Where the random ones are: the mathematics is held by known answers, the wiring less so.
DRAWN_FROM = ("gmvae/training/**/*.py", "gmvae/diagnostics/**/*.py", "cli/**/*.py")

Outcome = tuple[Mutant, Verdict]


def named_faults() -> list[Mutant]:
    """The faults of faults/named.toml.

    Raises:
        ValueError: the text of one is not in exactly one place.
    """
    records = tomllib.loads((FAULTS / "named.toml").read_text(encoding="utf-8"))["fault"]
    faults = []
    wrong = []
    for record in records:
        try:
            faults.append(_put_in(record))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("`old` of a named fault expected once in one file:\n" + "\n".join(wrong))
    return faults


def _put_in(record: dict[str, Any]) -> Mutant:
    """The fault that a record of named.toml describes."""
    old, new = ([t] if isinstance(t, str) else t for t in (record["old"], record["new"]))
    paths = [path for path in ROOT.glob(record["file"]) if old[0] in path.read_text("utf-8")]
    before = paths[0].read_text("utf-8") if len(paths) == 1 else ""
    after = before
    for gone, come in zip(old, new, strict=True):
        if before.count(gone) != 1:
            times = before.count(gone) if before else f"in {len(paths)} files"
            raise ValueError(f"{record['name']}: {gone!r} is {times} times in {record['file']}")
        after = after.replace(gone, come)
    return changed(record["name"], str(paths[0].relative_to(ROOT)), before, after)


def random_mutants(n: int, seed: int) -> list[Mutant]:
    paths = {path for pattern in DRAWN_FROM for path in ROOT.glob(pattern)}
    return drawn(ROOT, sorted(str(path.relative_to(ROOT)) for path in paths), n, seed)


@cache
def equivalents() -> dict[tuple[str, str, str], str]:
    """By file, old and new line: why a mutant changes nothing that could be noticed."""
    records = tomllib.loads((FAULTS / "equivalent.toml").read_text(encoding="utf-8"))
    return {(r["file"], r["old"], r["new"]): r["why"] for r in records.get("mutant", [])}


def reason(mutant: Mutant) -> str | None:
    """Why the mutant is no fault, where that has been said."""
    return equivalents().get((mutant.file, " ".join(mutant.old), " ".join(mutant.new)))


def judged(
    mutants: list[Mutant], tests: Reach, work: Path, n_jobs: int, most: float
) -> list[Outcome]:
    """What became of each, from ``work`` or by running ``most`` seconds of tests."""
    records = work / "verdicts.jsonl"
    state = state_of(ROOT, project_files(ROOT))
    verdicts: dict[str, Verdict] = {}
    for line in records.read_text(encoding="utf-8").splitlines() if records.exists() else ():
        record = json.loads(line)
        if record["noticed"] or record["state"] == state:
            verdicts[record["key"]] = Verdict(**{k: record[k] for k in Verdict.__annotations__})

    def tell(mutant: Mutant, verdict: Verdict) -> None:
        verdicts[mutant.key] = verdict
        with records.open("a", encoding="utf-8") as file:
            about = {"key": mutant.key, "state": state, "shown": _shown(mutant)}
            print(json.dumps({**about, **asdict(verdict)}), file=file)
        print(_line(mutant, verdict), flush=True)

    def jobs() -> Iterator[Job]:
        for mutant in mutants:
            if mutant.key in verdicts or reason(mutant):
                continue
            chosen = tests.tests(ROOT, mutant.file, mutant.line, most)
            if chosen:
                yield judging(mutant.file, mutant.source, chosen, partial(tell, mutant))
            else:
                tell(mutant, Verdict(False, "", 0, 0.0))

    run_all(jobs(), n_jobs)
    # Of those that change nothing.
    nothing = Verdict(False, "", 0, 0.0)
    return [(mutant, verdicts.get(mutant.key, nothing)) for mutant in mutants]


def _line(mutant: Mutant, verdict: Verdict) -> str:
    how = (
        f"noticed by {verdict.by}" if verdict.noticed else f"NOT NOTICED by {verdict.n_tests} tests"
    )
    return f"{mutant.file}:{mutant.line} {mutant.name}: {how} ({verdict.seconds:.0f} s)"


def section(title: str, outcomes: list[Outcome]) -> Iterator[str]:
    """The lines of the page about one kind of faults."""
    alike = [(mutant, why) for mutant, _ in outcomes if (why := reason(mutant))]
    unnoticed = [m for m, verdict in outcomes if not verdict.noticed and not reason(m)]
    n = len(outcomes) - len(alike)
    share = f", {(n - len(unnoticed)) / n:.1%}" if n else ""
    yield f"## {title}\n\n{n - len(unnoticed)} of {n} noticed{share}."
    if alike:
        yield f"{len(alike)} more change nothing:\n"
        yield from (f"{_shown(mutant)}\n  {why}" for mutant, why in alike)
        yield ""
    if unnoticed:
        yield "\nNot noticed:\n"
        yield from map(_shown, unnoticed)
    yield ""


def _shown(mutant: Mutant) -> str:
    changes = [f"  `- {line}`" for line in mutant.old] + [f"  `+ {line}`" for line in mutant.new]
    return "\n".join([f"- {mutant.file}:{mutant.line}, {mutant.name}", *changes])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--named", action="store_true", help="the faults of faults/named.toml")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="drawn mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--jobs", type=int, default=2, help="tests run at a time")
    parser.add_argument("--most", type=float, default=300.0, help="seconds of tests a fault")
    parser.add_argument("--only", default="", help="only faults of files with this in their path")
    parser.add_argument("--tests", default="test_*.py", help="the files in tests/ to be run")
    parser.add_argument("--list", action="store_true", help="show the faults and stop")
    default = Path(tempfile.gettempdir()) / "gmvae-mutants"
    parser.add_argument("--work", type=Path, default=default, help="where what is done is kept")
    arguments = parser.parse_args()

    kinds: dict[str, list[Mutant]] = {}
    if arguments.named:
        kinds["Named"] = named_faults()
    if arguments.random:
        title = f"Drawn at random, seed {arguments.seed}"
        kinds[title] = random_mutants(arguments.random, arguments.seed)
    kinds = {t: [m for m in mutants if arguments.only in m.file] for t, mutants in kinds.items()}
    if arguments.list:
        print(*(_shown(m) for mutants in kinds.values() for m in mutants), sep="\n")
        return 0

    arguments.work.mkdir(parents=True, exist_ok=True)
    paths = sorted(ROOT.joinpath("tests").glob(arguments.tests))
    tests = reach([f"tests/{path.name}" for path in paths], arguments.work, arguments.jobs)
    if tests.broken:
        print("Fail without any fault, and are left out:", *tests.broken, sep="\n", file=sys.stderr)
    how = (tests, arguments.work, arguments.jobs, arguments.most)
    outcomes = {title: judged(mutants, *how) for title, mutants in kinds.items()}
    text = "\n".join(page(outcomes))
    print(text)
    if not arguments.only and arguments.tests == "test_*.py":
        (RESULTS / "mutants.md").write_text(text, encoding="utf-8")
    return 0


def page(outcomes: dict[str, list[Outcome]]) -> Iterator[str]:
    """The lines of results/mutants.md."""
    about: dict[str, Any] = circumstances()
    yield "# Faults that the tests notice\n"
    yield f"`python {' '.join(_command())}`, commit {about['commit']}, {about['machine']}\n"
    for title, of_kind in outcomes.items():
        yield from section(title, of_kind)


def _command() -> list[str]:
    """The command line without the folder of this machine."""
    words = ["benchmarks/mutants.py", *sys.argv[1:]]
    if "--work" in words:
        at = words.index("--work")
        del words[at : at + 2]
    return words


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    # The children are ended, and what is done is kept.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
