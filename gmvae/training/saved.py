"""State and loop of a run as tensors and JSON, and back."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from gmvae.training.loop import LoopState
from gmvae.training.state import State, with_components

Tensors: TypeAlias = dict[str, Tensor]
Record: TypeAlias = dict[str, Any]

# Of a state: what changes from phase to phase.
ARRAYS = (
    "pixels",
    "view_neighbours",
    "representation",
    "sample",
    "places",
    "cells",
    "cell_links",
    "clusters",
    "nominees",
    "merits",
    "prominences",
)

# How safetensors calls the types of numbers.
_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
# Rows of a tensor that are copied before they are written: of a hundred numbers each 4 MB.
_ROWS = 10_000


def write_tensors(path: Path, tensors: Mapping[str, Tensor], record: Record) -> None:
    """Write a file of safetensors, whose header holds ``record``: a part at a time.

    safetensors' own ``save`` makes the file in memory first, beside tensors that have to be whole
    copies: of a million images' arrays twice a gigabyte. Its ``save_file`` does not say that the
    disk is full.

    Raises:
        OSError: the file cannot be written.
    """
    # Wide numbers first: each lies at a multiple of its width.
    names = sorted(tensors, key=lambda name: -tensors[name].element_size())
    header: Record = {"__metadata__": {"record": json.dumps(record)}}
    start = 0
    for name in names:
        tensor = tensors[name]
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            tensor = tensors[name].detach()
            for part in tensor.split(_ROWS) if tensor.dim() else [tensor]:
                # Numbers side by side, whatever the strides of the part.
                numbers = torch.empty(part.numel(), dtype=part.dtype).copy_(part.reshape(-1))
                file.write(numbers.view(torch.uint8).numpy().data)


def generators(state: State) -> Record:
    """Every source of random numbers, as it is."""
    generators: Record = {
        "rng": state.rng.bit_generator.state,
        "torch": torch.get_rng_state(),
        "generator": state.generator.get_state(),
    }
    if state.device.type == "cuda":
        generators["cuda"] = torch.cuda.get_rng_state(state.device)
    return generators


def set_generators(state: State, record: Record, tensors: Tensors, prefix: str) -> None:
    """Put every source of random numbers back; ``prefix`` names the tensors among the others."""
    state.rng.bit_generator.state = record["rng"]
    torch.set_rng_state(tensors[f"{prefix}.torch"])
    state.generator.set_state(tensors[f"{prefix}.generator"])
    if state.device.type == "cuda":
        torch.cuda.set_rng_state(tensors[f"{prefix}.cuda"], state.device)


def state_tensors(state: State, now: Record) -> Tensors:
    """The networks of a state, and ``now``, its :func:`generators`."""
    tensors: Tensors = {
        **{f"gmvae.{name}": value for name, value in state.gmvae.state_dict().items()},
        **{f"now.{name}": value for name, value in now.items() if torch.is_tensor(value)},
    }
    if state.gmvae.guide.assigner is None:
        parts = state.assigner.state_dict()
        tensors |= {f"assigner.{name}": value for name, value in parts.items()}
    return tensors


def array_tensors(state: State) -> Tensors:
    """The arrays of a state, those that it has."""
    arrays = {name: getattr(state, name) for name in ARRAYS}
    return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}


def with_arrays(state: State, tensors: Tensors) -> State:
    """The state with these arrays, made for as many components as ``tensors`` are of."""
    arrays: Record = {name: tensors[name].numpy() for name in ARRAYS if name in tensors}
    if state.settings.n_components is None and "clusters" in arrays:
        # Their number has been found since the run began.
        state = with_components(state, len(tensors["gmvae.model.prior.logits"]))
    return replace(state, **arrays)


def shared(state: State) -> State:
    """The state of the first process, in all of them."""
    now = generators(state)
    ours: tuple[Record, Tensors] = (
        {"history": state.history, "rng": now["rng"]},
        # Each process has a device of its own.
        {name: tensor.cpu() for name, tensor in state_tensors(state, now).items()}
        | array_tensors(state),
    )
    record, tensors = state.processes.same(ours)
    if state.processes.is_first:
        return state
    state.history[:] = record["history"]
    state = with_arrays(state, tensors)
    fill(state, tensors)
    set_generators(state, record, tensors, "now")
    return state


@torch.no_grad()
def fill(state: State, tensors: Tensors) -> None:
    """Put saved values into the networks, which keep their way of lying in memory."""
    modules: list[tuple[str, nn.Module]] = [("gmvae.", state.gmvae)]
    if state.gmvae.guide.assigner is None:
        modules.append(("assigner.", state.assigner))
    for prefix, module in modules:
        for name, value in module.state_dict().items():
            value.copy_(tensors[prefix + name])


def loop_record(loop: LoopState) -> Record:
    """What JSON can hold of a loop."""
    return {
        "epoch": loop.epoch,
        "step": loop.step,
        "total": loop.total,
        "ended": loop.ended,
        "loss": loop.best.loss,
        "waited": loop.best.waited,
        "rate": {**loop.rate.state_dict(), "lr_lambdas": [None] * len(loop.rate.base_lrs)},
        "lr": [group["lr"] for group in loop.optimiser.param_groups],
    }


def loop_tensors(loop: LoopState) -> Tensors:
    """The other part of it: parameters, moments, the best so far."""
    tensors = {f"trained.{i}": value for i, value in enumerate(loop.parameters)}
    for i, parameter in enumerate(loop.parameters):
        moments = loop.optimiser.state.get(parameter, {})
        tensors |= {f"adam.{i}.{name}": value for name, value in moments.items()}
    tensors |= {f"best.{i}": value for i, value in enumerate(loop.best.values or [])}
    if loop.order is not None:
        tensors["order"] = loop.order
    return tensors


@torch.no_grad()
def fill_loop(loop: LoopState, record: Record, tensors: Tensors) -> None:
    """Put saved values into a loop."""
    loop.epoch, loop.step, loop.total = record["epoch"], record["step"], record["total"]
    loop.ended, loop.order = record["ended"], tensors.get("order")
    loop.best.loss, loop.best.waited = record["loss"], record["waited"]
    for i, parameter in enumerate(loop.parameters):
        parameter.copy_(tensors[f"trained.{i}"])
        prefix = f"adam.{i}."
        moments = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        if moments:
            loop.optimiser.state[parameter] = {
                name: value.to(parameter.device)
                if value.dim() == 0
                # As Adam would make it: where the parameter's entries lie side by side.
                else torch.zeros_like(parameter, memory_format=torch.preserve_format).copy_(value)
                for name, value in moments.items()
            }
    if "best.0" in tensors:
        loop.best.values = [
            torch.empty_like(tensor).copy_(tensors[f"best.{i}"])
            for i, tensor in enumerate(loop.best.tensors)
        ]
    loop.rate.load_state_dict(record["rate"])
    for group, lr in zip(loop.optimiser.param_groups, record["lr"], strict=True):
        group["lr"] = lr
