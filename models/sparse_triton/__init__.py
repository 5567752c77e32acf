"""The built-in sparse engine with kernels of its own, for GPUs where Triton is installed.

Layers, parameters and numbers are those of `models.sparse`; a pass launches a third as many kernels as plain PyTorch
does, and multiplies only what meets. Double precision, and boxes too large for a table, take the plain way.
"""

from __future__ import annotations

import sys

from models.sparse import (
    MinkowskiAvgPooling,
    MinkowskiBatchNorm,
    MinkowskiConvolution,
    MinkowskiGlobalMaxPooling,
    MinkowskiLinear,
    MinkowskiReLU,
)
from models.sparse.tensor import SparseTensor as PlainSparseTensor
from models.sparse_triton.convolution import convolve
from models.sparse_triton.kernel_maps import find_rows, turn_rows
from models.sparse_triton.normalisation import batch_norm

__all__ = [
    "MinkowskiAvgPooling",
    "MinkowskiBatchNorm",
    "MinkowskiConvolution",
    "MinkowskiGlobalMaxPooling",
    "MinkowskiLinear",
    "MinkowskiReLU",
    "SparseTensor",
    "batch_norm",
    "convolve",
    "find_rows",
    "turn_rows",
]


class SparseTensor(PlainSparseTensor):
    """A `models.sparse.SparseTensor` whose layers run on the kernels of this package."""

    kernels = sys.modules[__name__]
