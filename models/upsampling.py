"""Twice the size by bilinear interpolation, as two small matrix products where these are the better way."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Doubling(nn.Module):
    """`[B, C, F, T]` -> `[B, C, 2 F, 2 T]`, bilinear, corners kept (`align_corners=True`).

    On a GPU as a product along each axis: PyTorch's backward adds up with atomics there, in another order each time,
    and in single precision under autocast. On a CPU, where the products take longer, by PyTorch's own function.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return doubled_by_products(x)


def doubled_by_products(x: Tensor) -> Tensor:
    """What `Doubling` gives, by matrix products in the layout that x has in memory."""
    batch, channels, rows, columns = x.shape
    along_rows, along_columns = (doubling_matrix(size, x.device, x.dtype) for size in (rows, columns))
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        x = x.permute(0, 2, 3, 1)  # [B, F, T, C], as it lies in memory
        x = torch.matmul(along_rows, x.flatten(2)).view(batch * 2 * rows, columns, channels)
        x = torch.matmul(along_columns, x)  # [B * 2 F, 2 T, C]
        return x.view(batch, 2 * rows, 2 * columns, channels).permute(0, 3, 1, 2)
    x = torch.matmul(x, along_columns.T)  # [B, C, F, 2 T]
    return torch.matmul(along_rows, x)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def doubling_matrix(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Interpolation weights `[2 n, n]` from n places to 2 n; each output uses at most two neighbours."""
    place = torch.linspace(0, size - 1, 2 * size, dtype=torch.float64)[:, None]
    return (1 - (place - torch.arange(size)).abs()).clamp(min=0).to(device, dtype)
