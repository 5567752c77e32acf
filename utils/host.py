"""Copies between main memory, where the host reads and writes, and a device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor


def to_device(tensors: Sequence[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """Copies tensors to a device.

    Page-locked tensors are copied to a GPU on a stream of their own, at the same time as the work that the GPU still
    has to do, such as the rest of the previous iteration. What is launched afterwards waits for the copies; the host
    does not.
    """
    if device.type != "cuda":
        return tuple(tensor.to(device) for tensor in tensors)
    copying, computing = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        copies = tuple(tensor.to(device, non_blocking=True) for tensor in tensors)
    computing.wait_stream(copying)
    for copy in copies:
        copy.record_stream(computing)  # its memory is not given away while work on it is under way
    return copies


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def to_host(content: Any) -> Any:
    """Copies a tensor, or all tensors in dictionaries, lists and tuples, to main memory.

    The host waits for a GPU once, however many tensors there are: all are first copied into page-locked memory.
    """
    devices = set()
    copies = _copied(content, devices)
    for device in devices:
        torch.cuda.synchronize(device)
    return copies


class OnItsWay:
    """A tensor on its way to main memory. `value` waits for it alone, and not for what a GPU was given since."""

    def __init__(self, tensor: Tensor):
        self._copy, self._arrived = tensor.detach(), None
        if tensor.device.type == "cuda":
            page_locked = torch.empty_like(tensor, device="cpu", pin_memory=True, requires_grad=False)
            self._copy = page_locked.copy_(self._copy, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def value(self) -> Tensor:
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copy


def _copied(content: Any, devices: set[torch.device]) -> Any:
    if torch.is_tensor(content):
        if content.device.type != "cuda":
            return content.detach().cpu()
        devices.add(content.device)
        page_locked = torch.empty_like(content, device="cpu", pin_memory=True, requires_grad=False)
        return page_locked.copy_(content.detach(), non_blocking=True)
    if isinstance(content, dict):
        return {name: _copied(value, devices) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_copied(value, devices) for value in content)
    return content
