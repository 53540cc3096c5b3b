"""Several processes that train one model together, to what one process would get.

Each of them draws the same order, the same views and the same noise, and computes the same loss;
only the networks, which take the time, are divided: each process asks them of its own rows of a
batch, and gets the answers for the others' rows from the others. So whatever a phase minimises, a
statistic of the batch too, is what it is in one process, and no row is lost or doubled.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function

from gmvae.support.errors import ArgumentError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Value = TypeVar("Value")
# Layers whose answer for a row depends on the others of its batch, or on draws.
_NOT_BY_ROWS = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class Network(NamedTuple):
    """A network that treats the rows of a batch one by one, and how many dimensions a row has."""

    module: nn.Module
    row_dim: int


@dataclass(frozen=True)
class Processes:
    """The processes of a run.

    Attributes:
        fabric: that has launched them; None for one alone, where all here costs nothing.
    """

    fabric: "Fabric | None" = None

    @property
    def n(self) -> int:
        """How many there are."""
        return 1 if self.fabric is None else self.fabric.world_size

    @property
    def number(self) -> int:
        """That of this one, from 0."""
        return 0 if self.fabric is None else self.fabric.global_rank

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks, writes and decides for all."""
        return self.number == 0

    def same(self, value: Value) -> Value:
        """The value of the first process, in all of them."""
        return value if self.fabric is None else self.fabric.broadcast(value)

    def once(self, ask: Callable[[], Value]) -> Value:
        """What the first process answers, which alone is asked, in all of them."""
        return self.same(cast(Value, ask() if self.is_first else None))

    def agree(self, value: Value) -> bool:
        """Whether all processes have the same value; each of them learns it."""
        if self.fabric is None or self.n == 1:
            return True
        # Where these processes can reduce it: NCCL takes no tensor of the CPU.
        others = torch.tensor(int(self.same(value) != value), device=self.fabric.device)
        torch.distributed.all_reduce(others)
        return int(others) == 0

    def rows(self, n: int) -> slice:
        """Which of n rows are those of this process."""
        return slice(n * self.number // self.n, n * (self.number + 1) // self.n)

    def whole(self, part: Tensor, n: int) -> Tensor:
        """The rows of all processes, (n, ...), of those of each."""
        # As a sum with zeros, which is exact: parts may differ in length.
        whole = part.new_zeros(n, *part.shape[1:])
        whole[self.rows(n)] = part
        torch.distributed.all_reduce(whole)
        return whole

    @contextmanager
    def divided(self, networks: Sequence[Network]) -> Iterator[list[nn.Module]]:
        """Within this block each process asks these networks of its own rows alone.

        One that is training and normalises over the batch, or drops out, is asked of all.

        Yields:
            Those that are divided.
        """
        with ExitStack() as hooks:
            divided = [] if self.n == 1 else [one for one in networks if _by_rows(one.module)]
            for network in divided:
                hooks.enter_context(_Division(self, network).hooked())
            yield [network.module for network in divided]

    def sum_gradients(self, parameters: Sequence[Tensor], divided: Sequence[nn.Module]) -> None:
        """Put the gradients together, in place: afterwards all processes have the same.

        Those of divided networks are of each process's rows; all others were computed by every
        process, and the first one's count.
        """
        if self.n == 1:
            return
        of_rows = {id(p) for module in divided for p in module.parameters()}
        gradients = []
        for parameter in parameters:
            if parameter.grad is not None:
                if id(parameter) not in of_rows and not self.is_first:
                    parameter.grad.zero_()
                gradients.append(parameter.grad)
        together = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(together)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, total in zip(gradients, together.split(sizes), strict=True):
            gradient.copy_(total.view_as(gradient))


ALONE = Processes()


def processes_of(fabric: "Fabric | None") -> Processes:
    """The processes that a Fabric has launched; one alone for None.

    Raises:
        ArgumentError: it is no Fabric, or has launched none yet.
    """
    if fabric is None:
        return ALONE
    if not hasattr(fabric, "world_size") or not hasattr(fabric, "broadcast"):
        raise ArgumentError(
            f"`fabric` expected a lightning_fabric.Fabric; got {type(fabric).__name__}. Install it "
            "with pip install 'gmvae[distributed]'."
        )
    if fabric.world_size > 1 and not torch.distributed.is_initialized():
        raise ArgumentError(
            "`fabric` expected processes that run; got one that was not launched. Call "
            "fabric.launch() first."
        )
    return Processes(fabric)


def _by_rows(network: nn.Module) -> bool:
    """Whether its answer for a row is that for the row alone."""
    return not any(part.training and isinstance(part, _NOT_BY_ROWS) for part in network.modules())


class _Part(Function):
    """The rows of this process; their gradient is put together from all."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, processes: Processes) -> Tensor:
        ctx.processes, ctx.n = processes, len(whole)
        return whole[processes.rows(len(whole))].clone()

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.whole(gradient[0], ctx.n), None


class _Whole(Function):
    """The rows of all processes; the gradient of those of this one is its own."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, processes: Processes, n: int) -> Tensor:
        ctx.rows = processes.rows(n)
        return processes.whole(part, n)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[0][ctx.rows], None, None


class _Division:
    """What is done before and after a network is asked, so that each process asks its rows."""

    def __init__(self, processes: Processes, network: Network) -> None:
        self.processes, self.network = processes, network
        # Of the call that is running: the dimensions before a row's.
        self.leading = torch.Size()

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Within this block it is done."""
        module = self.network.module
        hooks = (
            module.register_forward_pre_hook(self.before),
            module.register_forward_hook(self.after),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def before(self, module: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        """The rows of this process, (n, ...), of an input (..., *row)."""
        (x,) = arguments
        split = x.dim() - self.network.row_dim
        self.leading = x.shape[:split]
        return (_Part.apply(x.reshape(-1, *x.shape[split:]), self.processes),)

    def after(self, module: nn.Module, arguments: Any, output: Any) -> Any:
        """The answers for all rows, (..., *answer): a tensor, or several."""
        parts = output if isinstance(output, tuple) else (output,)
        n = self.leading.numel()
        flat = torch.cat(
            [part.flatten(1) if part.dim() > 1 else part[:, None] for part in parts], 1
        )
        whole = _Whole.apply(flat, self.processes, n)
        widths = [part.shape[1:].numel() for part in parts]
        answers = tuple(
            columns.reshape(*self.leading, *part.shape[1:])
            for columns, part in zip(whole.split(widths, 1), parts, strict=True)
        )
        return answers if isinstance(output, tuple) else answers[0]
