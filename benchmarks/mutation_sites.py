"""Where cosmic-ray can change a source file, and what it makes of it."""

import ast
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        name: of a fault that was thought of; the operator of a random one.
        file: relative to the project.
        source: the whole file with the change in it.
        line: where it begins, from 1.
        old: the lines that go, stripped, without empty ones.
        new: those that come instead.
    """

    name: str
    file: str
    source: str
    line: int
    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def key(self) -> str:
        """The same for the same change of the same file."""
        return hashlib.sha256(f"{self.file}\n{self.source}".encode()).hexdigest()[:16]


def changed(name: str, file: str, before: str, after: str) -> Mutant:
    """The mutant that turns the source ``before`` into ``after``."""
    old, new = before.splitlines(), after.splitlines()
    pairs = zip(old, new, strict=False)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
    rows = list(ndiff(old[first:], new[first:])) if len(old) < 4_000 else []
    gone, come = (
        tuple(row[2:].strip() for row in rows if row.startswith(sign) and row[2:].strip())
        for sign in ("- ", "+ ")
    )
    return Mutant(name, file, after, first + 1, gone, come)


def drawn(root: Path, files: Sequence[str], n: int, seed: int) -> list[Mutant]:
    """``n`` mutants, uniformly over all places that an operator can change.

    At a place with several changes, as a ``+`` with eleven, one of these is drawn. Changes that
    give no Python or the same syntax tree are none, and another is drawn instead.
    """
    rng = random.Random(seed)
    places = [(file, place) for file in files for place in sorted(_changes(root / file).items())]
    rng.shuffle(places)
    mutants: list[Mutant] = []
    for file, (_, changes) in places:
        if len(mutants) == n:
            break
        before = (root / file).read_text(encoding="utf-8")
        rng.shuffle(changes)
        for operator, occurrence in changes:
            after = _applied(before, operator, occurrence)
            if after is not None:
                mutants.append(changed(operator.removeprefix("core/"), file, before, after))
                break
    return mutants


def _changes(path: Path) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """By place, (line, column): the operators that change it, and the how-manieth time."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    source = path.read_text(encoding="utf-8")
    nodes = list(ast_nodes(get_ast(source)))
    skipped = list(_types(ast.parse(source)))
    changes: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    for name in sorted(plugins.operator_names()):
        operator = plugins.get_operator(name)
        if operator.arguments():  # those replace a variable that has to be named
            continue
        starts = [start for node in nodes for start, _ in operator().mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for first, last in skipped):
                changes[start].append((name, occurrence))
    return changes


Span = tuple[tuple[int, int], tuple[int, int]]


def _types(tree: ast.Module) -> Iterator[Span]:
    """What only a type checker reads: unions of types, and blocks under TYPE_CHECKING."""
    of_types = [
        node
        for subscript in ast.walk(tree)
        if isinstance(subscript, ast.Subscript)
        for node in ast.walk(subscript.slice)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield _span(node)
        for name in ("annotation", "returns"):
            annotation = getattr(node, name, None)
            # An option of typer is told in an annotation, by a call.
            if annotation is not None and not any(
                isinstance(part, ast.Call) for part in ast.walk(annotation)
            ):
                yield _span(annotation)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            operands = (node.left, node.right)
            if node in of_types or any(isinstance(o, ast.Constant) for o in operands):
                yield _end(node.left), (node.right.lineno, node.right.col_offset)


def _span(node: ast.AST) -> Span:
    return (node.lineno, node.col_offset), _end(node)  # type: ignore[attr-defined]


def _end(node: ast.AST) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]


def _applied(source: str, operator: str, occurrence: int) -> str | None:
    """The source with the change, or None where it is no Python or nothing else than before."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    after: str | None = mutate_code(source, plugins.get_operator(operator)(), occurrence)
    try:
        same = after is None or ast.dump(ast.parse(after)) == ast.dump(ast.parse(source))
    except SyntaxError:
        return None
    return None if same else after
