"""From a device into main memory, where the host works and writes files from."""

from __future__ import annotations

from typing import Any

import torch


def to_host(content: Any) -> Any:
    """The same tensor, or dictionaries, lists and tuples with their tensors in main memory.

    The host waits for a GPU once, however many tensors there are: each is copied into page-locked memory meanwhile.
    """
    devices = set()
    copies = _copied(content, devices)
    for device in devices:
        torch.cuda.synchronize(device)
    return copies


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
