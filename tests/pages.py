"""What a page of the documentation names: paths and names that have to be there."""

import re
from importlib import import_module
from pathlib import Path

import gmvae

TOP = Path(__file__).parent.parent


class Page:
    """A page in Markdown.

    Attributes:
        text: all of it.
        code: its blocks of Python.
        paths: what it names as a file or a folder, in a sentence.
        names: what it names as a Python object, ``Class`` or ``Class.attribute``.
    """

    def __init__(self, path):
        self.text = (TOP / path).read_text(encoding="utf-8")
        self.code = re.findall(r"```python\n(.*?)```", self.text, flags=re.DOTALL)
        prose = re.sub(r"```\w*\n.*?```", "", self.text, flags=re.DOTALL)
        words = sorted(set(re.findall(r"`([^`\n]+)`", prose)))
        # `.ci/run` is named by its folder, a file at the top by its ending.
        self.paths = [w for w in words if re.fullmatch(r"[\w./-]+", w) and is_path(w)]
        self.names = [w for w in words if re.fullmatch(r"[A-Za-z_]+(\.[a-z_]+)?", w)]
        self.names = [w for w in self.names if w not in self.paths]


def is_path(word):
    return "/" in word or word.endswith((".py", ".md"))


def check_path(path):
    """Fail where there is no such file or folder, from the top or from `gmvae/`."""
    assert (TOP / path).exists() or (TOP / "gmvae" / path).exists()


def check_name(name, homes):
    """Fail where there is no such object.

    Args:
        name: ``Class`` or ``Class.attribute``.
        homes: the modules of those that are no public names of the package.
    """
    first, _, attribute = name.partition(".")
    found = getattr(import_module(homes[first]) if first in homes else gmvae, first)
    if attribute:
        set_at_birth = found.__init__.__code__.co_names
        assert hasattr(found, attribute) or attribute in {*found.__annotations__, *set_at_birth}
