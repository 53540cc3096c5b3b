"""The entry point ``gmvae``: what happens before any command is read.

Imports nothing heavy, so that an interruption is answered from the first moment on.
"""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# As a shell counts: 128 and the number of the signal.
INTERRUPTED = 130
INTERRUPTED_LINE = "interrupted; nothing was written."
# Those that ask a process to end and that Python answers by ending at once, nothing cleared.
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class EndedFromOutside(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}; nothing was written.")
        self.code = 128 + number


def main() -> None:
    """Run the command line of this process: the entry point ``gmvae``."""
    # Read when torch is imported. Threads that spin while they wait for each other double the
    # time of a run where another program holds one of the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A training step is small, and what is counted as a CPU is often one of the two hyperthreads
    # of a core: a run takes up to half longer with a thread on each than on every other one.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    try:
        with _signals_raised():
            from .app import run

            code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _said(INTERRUPTED_LINE, INTERRUPTED)
    except EndedFromOutside as error:
        code = _said(str(error), error.code)
    # At its end Python would search all that torch has made for rubbish, for a second.
    gc.freeze()
    sys.exit(code)


def _said(line: str, code: int) -> int:
    print(f"Error: {line}", file=sys.stderr, flush=True)
    return code


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Within this block a signal that asks for the end is raised, so that what is open is cleared.

    One that is ignored, as SIGHUP under nohup, stays so.
    """

    def end(number: int, frame: FrameType | None) -> None:
        # A second one would leave the clearing half done.
        for ending in ENDING:
            signal.signal(ending, signal.SIG_IGN)
        raise EndedFromOutside(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    heard = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    try:
        for number in heard:
            signal.signal(number, end)
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
