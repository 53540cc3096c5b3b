"""The README's session can be typed, in order, in an empty folder."""

import re
import shlex
import shutil
from pathlib import Path

from cli_spies import Spies, spies
from cli_toys import COMMANDS

__all__ = ["spies"]

README = Path(__file__).parents[1] / "README.md"


def session() -> list[list[str]]:
    """The lines of the first block below the heading, without ``gmvae`` and remarks."""
    block = re.search(r"## The command line\n.*?```sh\n(.*?)```", README.read_text("utf-8"), re.S)
    assert block is not None
    return [shlex.split(line, comments=True)[1:] for line in block[1].splitlines()]


def test_each_line_works_after_those_above_it(spies: Spies) -> None:
    """Nothing is trained; but what is there already is refused as ever."""
    for path in Path().iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    lines = session()
    for line in lines:
        assert spies.run(line).at("command.code") == 0, (line, spies.at("command.err"))
    assert {line[0] for line in lines} == {*COMMANDS}
