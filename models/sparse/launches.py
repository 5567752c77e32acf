"""What takes the time on a device: a GPU waits for the host, a CPU works."""

from __future__ import annotations

import torch

LAUNCH_BOUND = ("cuda", "mps")


def is_launch_bound(device: torch.device) -> bool:
    """Whether layers as small as those of our nets take as long as their kernels need to be launched.

    Few large operations are best there even if they do more arithmetic, and the host should never wait for a number.
    """
    return device.type in LAUNCH_BOUND
