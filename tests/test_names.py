"""Words of others, made fit for a line."""

import pytest

from gmvae.support.names import listed, printable


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("Käse 1", None, "Käse 1"),
        ("a\x1b[2Jb", None, r"a\x1b[2Jb"),
        ("a\nb\tc", None, r"a\nb\tc"),
        ("\udcff\u202e", None, r"\udcff\u202e"),
        ("abcdefgh", 8, "abcdefgh"),
        ("abcdefghi", 8, "abcde…hi"),
        ("\x1b" * 9, 4, r"\x1b\x1b…\x1b"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, most, shown):
    assert printable(text, most) == shown


def test_a_few_names_stand_for_many():
    assert listed([]) == ""
    assert listed("abcde") == "a, b, c, d, e"
    assert listed("abcdef") == "a, b, c, d, e and 1 more"
    assert listed(["x\n"] * 2_005) == r"x\n, x\n, x\n, x\n, x\n and 2,000 more"
    assert len(listed(["x" * 9_999])) == 255
