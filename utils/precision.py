"""How exactly a GPU computes in single precision, and whether it gives the same bits every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Whether products of single precision may round their factors to TF32, 10 bits, as GPUs since Ampere can: by the
# option `--tf32`, and what is being done. cuDNN does so by default; masks then differ by 1e-3 from exact ones.
TF32 = {"auto": ("train",), "yes": ("train", "eval"), "no": ()}


@contextmanager
def computing(what: str, tf32: str = "auto", deterministic: bool = False) -> Iterator[None]:
    """While entered a GPU computes as the options say; on other devices nothing changes.

    Args:
        what: `train` or `eval`. In training, where shapes are fixed, cuDNN tries its algorithms and takes the fastest.
        tf32: `auto`, `yes` or `no`.
        deterministic: only algorithms that give the same bits every time; PyTorch warns where it has none.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    allowed = what in TF32[tf32]
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = allowed, allowed, what == "train" and not deterministic
    by_bits = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # it is for those who read such memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(by_bits[0], warn_only=by_bits[1])
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def prepare_cublas() -> None:
    """Gives cuBLAS the workspace that it needs to be deterministic; before the first product on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
