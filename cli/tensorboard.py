"""``--log tensorboard``: the curves of a training while it lasts, and its pictures."""

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.errors import ArgumentError

from .run_folder import beside

if TYPE_CHECKING:
    from gmvae.training.loop import Progress

TENSORBOARD = "tensorboard"


def check_log(log: str | None) -> None:
    """Refuse, before any work, another way of logging, or one that is not installed.

    Raises:
        ArgumentError: it is.
    """
    if log is None:
        return
    if log != TENSORBOARD:
        raise ArgumentError(f"`--log` expected {TENSORBOARD}; got {log}. Write --log tensorboard.")
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            "`--log tensorboard` expected TensorBoard; got none installed. Install it: "
            "pip install 'gmvae[tensorboard]'."
        ) from error


class Board:
    """What is written for TensorBoard, in a folder: a callback for ``fit``.

    The figures of an epoch are called by phase and name, ``joint/elbo``; each of several runs has
    a folder of its own.

    Attributes:
        folder: that it writes to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[int, Any] = {}

    def __call__(self, now: "Progress") -> None:
        """Write the figures of an epoch."""
        for name, value in now.metrics.items():
            self._writer(now.restart).add_scalar(f"{now.phase}/{name}", value, now.epoch)
        # As often as one looks: an epoch takes a second or more.
        self._writer(now.restart).flush()

    def show(self, pictures: Mapping[str, bytes]) -> None:
        """Write the pictures of the run that is kept, PNG files by name."""
        import numpy as np
        from PIL import Image

        for name, content in pictures.items():
            with Image.open(io.BytesIO(content)) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._writer(0).add_image(name, pixels, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, restart: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if restart not in self._writers:
            folder = self.folder / f"restart-{restart}" if restart else self.folder
            self._writers[restart] = SummaryWriter(str(folder))
        return self._writers[restart]


@contextmanager
def board(log: str | None, output: Path) -> Iterator[Board | None]:
    """Yield what the run into ``output`` is logged by; None where it is not to be.

    Beside the run folder lies the one of all its logs, each in a folder called by the time when it
    began: nothing is overwritten, and TensorBoard shows them side by side.

    Args:
        log: by what.
        output: the run folder.
    """
    if log is None:
        yield None
        return
    written = Board(beside(output, TENSORBOARD) / time.strftime("%Y-%m-%d_%H-%M-%S"))
    try:
        yield written
    finally:
        written.close()
