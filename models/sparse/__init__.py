"""The built-in sparse engine: the part of MinkowskiEngine's interface our networks use, in plain PyTorch.

Same names, parameters, state-dict keys and numbers as MinkowskiEngine 0.5; any device PyTorch runs on.
`coordinates` says which voxels there are, `kernel_map` which of them meet, `functional` what happens to their
features, `tensor` holds them together, `modules` are the layers.
"""

from models.sparse.modules import (
    MinkowskiAvgPooling,
    MinkowskiBatchNorm,
    MinkowskiConvolution,
    MinkowskiGlobalMaxPooling,
    MinkowskiLinear,
    MinkowskiReLU,
)
from models.sparse.tensor import SparseTensor

__all__ = [
    "MinkowskiAvgPooling",
    "MinkowskiBatchNorm",
    "MinkowskiConvolution",
    "MinkowskiGlobalMaxPooling",
    "MinkowskiLinear",
    "MinkowskiReLU",
    "SparseTensor",
]
