"""`gmvae` for torchrun, where one process meets with something: a script.

``sharing.py WHAT NUMBER BLOCK COMMAND...``: that process, at that block of its answers, of which
each is of five images, and all are saved at once. The first process has those of the others too.
"""

import os
import signal
import sys
import time
from pathlib import Path

from gmvae_cli import answer_files, entry, scoring
from gmvae_cli.drafts import Draft

import gmvae.gmvae


def fail():
    raise ValueError("of its own")


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt():
    """As Ctrl-C does, when both have saved something: torchrun hears it, and hands it on."""
    while not list(Path().glob(".*.partial/1/saved.json")):
        time.sleep(0.1)
    os.kill(os.getppid(), signal.SIGINT)
    # What comes next is the signal.
    time.sleep(60)


MEETINGS = {"nothing": None, "fail": fail, "be killed": be_killed, "interrupt": interrupt}


def main(what, number, block, *arguments):
    gmvae.gmvae.ROWS = answer_files.ROWS = 5
    scoring.BETWEEN = 0.0
    meet, add, blocks = MEETINGS[what], Draft.add, iter(range(1, 100))

    def met(self, *columns):
        if meet is not None and os.environ["RANK"] == number and str(next(blocks)) == block:
            meet()
        add(self, *columns)

    Draft.add = met
    sys.argv = ["gmvae", *arguments]
    entry.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
