"""Which tests run which lines, and whether those that run a changed line notice."""

import ast
import json
import re
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from mutation_children import NOT_BEGUN, ROOT, Job, project_files, run_all, state_of

# A child may last so many times as long as without the mutant, and so many seconds more.
SLOWER, LONGER = 4.0, 60.0


@dataclass
class Reach:
    """What the tests reach: seconds of each, and by file and line the tests that run it."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    # Those that run processes, in which it is not seen what they reach.
    outside: set[str] = field(default_factory=set)

    def tests(self, root: Path, file: str, line: int, most: float) -> dict[str, float]:
        """The tests that may notice a change of the line, and their seconds.

        Those that run its statement. Where none does, since it runs on import or in a process of
        its own, those that run processes, or anything in the functions of the file or of files
        that import it. Of many the quickest, ``most`` seconds of them.
        """
        source = (root / file).read_text(encoding="utf-8")
        of_file = self.lines.get(file, {})
        names: set[str] = set()
        if line in _in_functions(source):
            names = set().union(*(of_file.get(i, ()) for i in _statement(source, line)))
        if not names:
            names = set(self.outside)
            for other in {file, *_importers(root, file)} & set(self.lines):
                called = _in_functions((root / other).read_text(encoding="utf-8"))
                names = names.union(*(self.lines[other].get(i, ()) for i in called))
        quickest = sorted(names, key=lambda name: (self.seconds[name], name))
        spent = accumulate(self.seconds[name] for name in quickest)
        within = sum(seconds <= most for seconds in spent)
        return {name: self.seconds[name] for name in quickest[: max(1, within)]}


def _in_functions(source: str) -> set[int]:
    """The lines that run when a function is called, not on import."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    ranges = (range(f.body[0].lineno, (f.end_lineno or 0) + 1) for f in functions)
    return set().union(*ranges)


def _statement(source: str, line: int) -> set[int]:
    """The lines of the innermost statement around a line, without what is nested in it."""
    around = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if not around:
        return {line}
    inner = max(around, key=lambda node: node.lineno)
    body = getattr(inner, "body", None)
    last = body[0].lineno - 1 if body else inner.end_lineno or line
    return {line, *range(inner.lineno, max(last, inner.lineno) + 1)}


def _importers(root: Path, file: str) -> Iterator[str]:
    """The files of the project that name it in an import."""
    path = Path(file)
    module = r"\.".join(path.with_suffix("").parts)
    package = r"\.".join(path.parent.parts)
    if package == "cli":  # which imports its own modules by relative names
        module, package = rf"\.{path.stem}", r"\."
    names = rf"^\s*(from|import) {module}\b|^\s*from {package} import .*\b{path.stem}\b"
    for other in sorted((*root.glob("gmvae/**/*.py"), *root.glob("cli/*.py"))):
        if re.search(names, other.read_text(encoding="utf-8"), re.MULTILINE):
            yield str(other.relative_to(root))


class _Chosen:
    """A plugin of pytest: only these tests, the quickest files and in them the quickest first."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.files: dict[str, float] = defaultdict(float)
        for name, duration in seconds.items():
            self.files[name.split("::")[0]] += duration

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        def key(item: pytest.Item) -> tuple[float, str, float]:
            file = item.nodeid.split("::")[0]
            return self.files.get(file, 0.0), file, self.seconds.get(item.nodeid, 0.0)

        # Where a change renames tests, all of the files are run.
        if set(self.seconds) <= {item.nodeid for item in items}:
            items[:] = [item for item in items if item.nodeid in self.seconds]
        items.sort(key=key)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        # Ends the process where a test, with what it sets up for others, does not end.
        file = item.nodeid.split("::")[0]
        signal.alarm(round(SLOWER * self.files.get(file, 0.0) + LONGER))


class _Watched:
    """A plugin of pytest: how long each test takes, and what it and its fixtures run."""

    def __init__(self, coverage: Any) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = defaultdict(float)
        self.broken: set[str] = set()
        # By context the tests that it is part of: a fixture of a module is set up in the first.
        self.users: dict[str, set[str]] = defaultdict(set)
        self.context = ""
        self.outside: set[str] = set()
        sys.addaudithook(self._heard)

    def _heard(self, event: str, _: object) -> None:
        if event == "subprocess.Popen":
            self.outside.add(self.context)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.users[item.nodeid].add(item.nodeid)
            for definitions in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
                for definition in definitions:
                    self.users[self._name(definition)].add(item.nodeid)

    @staticmethod
    def _name(definition: Any) -> str:
        return f"fixture {definition.baseid} {definition.argname}"

    def _switch(self, context: str) -> str:
        before, self.context = self.context, context
        self.coverage.switch_context(context)
        return before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._switch(item.nodeid)
        result = yield
        self._switch("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        before = self._switch(self._name(fixturedef))
        try:
            return (yield)
        finally:
            self._switch(before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.broken.add(report.nodeid)

    def record(self, copy: Path) -> dict[str, Any]:
        """Ready for JSON: seconds and broken tests, and by file and line the tests."""
        data = self.coverage.get_data()
        lines: dict[str, dict[int, list[str]]] = {}
        for file in data.measured_files():
            by_line = data.contexts_by_lineno(file).items()
            lines[str(Path(file).relative_to(copy))] = {
                line: sorted(set().union(*(self.users[context] for context in contexts)))
                for line, contexts in by_line
            }
        outside = sorted(set().union(*(self.users[context] for context in self.outside)))
        broken = sorted(self.broken)
        return {"seconds": self.seconds, "broken": broken, "outside": outside, "lines": lines}


PYTEST = ["-q", "-p", "no:cacheprovider", "-n", "0", "--tb=short"]


def _watch(test_file: str, copy: Path) -> int:
    """Run a file of tests as they are; leave in the copy what they reach."""
    import coverage

    sources = [str(copy / "gmvae"), str(copy / "cli")]
    watch = coverage.Coverage(data_file=None, config_file=False, source=sources)
    watch.start()
    plugin = _Watched(watch)
    code = pytest.main([*PYTEST, test_file], plugins=[plugin])
    watch.stop()
    (copy / "reach.json").write_text(json.dumps(plugin.record(copy)), encoding="utf-8")
    return int(code)


def _judge(seconds: dict[str, float]) -> int:
    """Run these tests until one fails."""
    files = sorted({name.split("::")[0] for name in seconds})
    return int(pytest.main([*PYTEST, "-x", *files], plugins=[_Chosen(seconds)]))


def reach(test_files: list[str], work: Path, n_jobs: int) -> Reach:
    """What the files of tests reach, from the folder ``work`` or by running them."""
    files = project_files(ROOT)
    tests = set(ROOT.joinpath("tests").glob("test_*.py"))
    common = [name for name in files if ROOT / name not in tests]
    paths = {f: work / f"{Path(f).stem}-{state_of(ROOT, [*common, f])}.json" for f in test_files}
    jobs = [_watching(f, path) for f, path in paths.items() if not path.exists()]
    run_all(jobs, n_jobs)
    total = Reach()
    for path in paths.values():
        record = json.loads(path.read_text(encoding="utf-8"))
        sound = {name: s for name, s in record["seconds"].items() if name not in record["broken"]}
        total.seconds |= sound
        total.broken += record["broken"]
        total.outside |= set(record["outside"]) & set(sound)
        for file, lines in record["lines"].items():
            of_file = total.lines.setdefault(file, defaultdict(set))
            for line, names in lines.items():
                of_file[int(line)] |= set(names) & set(sound)
    return total


def _watching(test_file: str, path: Path) -> Job:
    def done(copy: Path, code: int | None, seconds: float) -> None:
        if not (copy / "reach.json").is_file():
            raise RuntimeError(
                f"{test_file} did not end:\n{(copy / 'log.txt').read_text()[-3000:]}"
            )
        print(f"{test_file}: {seconds:.0f} s", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copy / "log.txt", path.with_suffix(".log"))
        shutil.copyfile(copy / "reach.json", path)

    return Job(lambda _: None, lambda copy: _watch(test_file, copy), done, 3_600.0)


@dataclass(frozen=True)
class Verdict:
    """Whether a change was noticed, by which test, among how many, and in how many seconds."""

    noticed: bool
    by: str
    n_tests: int
    seconds: float


def judging(
    file: str, source: str, tests: dict[str, float], tell: Callable[[Verdict], None]
) -> Job:
    """The job to run tests on a copy in which ``file`` has this source."""

    def prepare(copy: Path) -> None:
        (copy / file).write_text(source, encoding="utf-8")

    def done(copy: Path, code: int | None, seconds: float) -> None:
        log = (copy / "log.txt").read_text(encoding="utf-8", errors="replace")
        if code == NOT_BEGUN or (code == 4 and "loading conftest" not in log):
            raise RuntimeError(f"{file}: no verdict (exit code {code}):\n{log[-3000:]}")
        failed = re.search(r"^(FAILED|ERROR) (.*)$", log, re.MULTILINE)
        slow = code in (None, -signal.SIGALRM)
        by = "time" if slow else failed[2][:160] if failed else f"exit code {code}"
        # 5: no test was run.
        noticed = code not in (0, 5)
        tell(Verdict(noticed, by if noticed else "", len(tests), seconds))

    limit = SLOWER * sum(tests.values()) + LONGER
    return Job(prepare, lambda _: _judge(tests), done, limit)
