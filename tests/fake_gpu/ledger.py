"""What a simulated GPU was asked to do: launches of kernels, waits of the host, arithmetic and memory traffic."""

from __future__ import annotations

import collections
import sys
import threading
from pathlib import Path
from typing import NamedTuple

ROOT = str(Path(__file__).resolve().parents[2])
OURS = str(Path(__file__).parent)

# Kernels of one call where it is not one, after CUDA's sources: radix sort has a histogram, a scan and passes.
LAUNCHES = {
    **dict.fromkeys(("sort", "argsort", "topk"), 8),
    **dict.fromkeys(("nonzero", "nonzero_static", "masked_select", "cumsum"), 3),
    **dict.fromkeys(("_unique2", "unique_dim", "unique_consecutive"), 12),
    **dict.fromkeys(("convolution", "native_batch_norm", "native_batch_norm_backward", "cudnn_batch_norm"), 2),
    **dict.fromkeys(("scatter_reduce", "index_add_", "_fft_r2c", "_fft_c2r", "binary_cross_entropy"), 2),
    **dict.fromkeys(("index_put_", "index_put", "convolution_backward", "linalg_cholesky_ex", "cholesky_solve"), 6),
    "linalg_solve_ex": 6,
}
# Operations that only look at a tensor in another way, or that allocate.
VIEWS = {
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "as_strided", "expand", "select", "slice", "narrow"),
    *(
        "split",
        "split_with_sizes",
        "unsafe_split",
        "chunk",
        "unbind",
        "t",
        "transpose",
        "permute",
        "movedim",
        "swapaxes",
    ),
    *("unsqueeze", "squeeze", "detach", "alias", "diagonal", "unfold", "view_as_real", "view_as_complex", "lift_fresh"),
    *("real", "imag", "conj", "_conj", "resolve_conj", "resolve_neg", "set_", "empty", "empty_like", "empty_strided"),
    *("new_empty", "new_empty_strided", "_local_scalar_dense", "is_pinned"),
}
MULTIPLICATIONS = {  # of two products' arguments and result
    "mm": lambda args, result: args[0].shape[1] * result.numel(),
    "bmm": lambda args, result: args[0].shape[2] * result.numel(),
    "addmm": lambda args, result: args[1].shape[1] * result.numel(),
    "convolution": lambda args, result: args[1][0].numel() * result.numel(),
    "convolution_backward": lambda args, result: args[2][0].numel() * args[0].numel() * sum(args[-1][:2]),
}


class Operation(NamedTuple):
    """One operation on the GPU: its name, kernels, multiplications, their type, bytes read and written, and place."""

    name: str
    launches: int
    multiplications: int
    dtype: str
    moved: int
    place: str


class Ledger:
    """Counts since it was made or cleared.

    Attributes:
        waits: (what for, place in our code) -> how often the host waited. operations: in their order. mismatches:
            operations whose tensors lay on two devices.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.waits: collections.Counter[tuple[str, str]] = collections.Counter()
        self.operations: list[Operation] = []
        self.mismatches: list[str] = []

    @property
    def num_waits(self) -> int:
        return self.waits.total()

    @property
    def num_launches(self) -> int:
        return sum(operation.launches for operation in self.operations)

    def wait(self, what: str) -> None:
        with self.lock:
            self.waits[what, place()] += 1

    def launch(self, name: str, tensors: list, args: tuple, result: object, launches: int | None = None) -> None:
        """Notes an operation on `tensors`, inputs and outputs."""
        if name in VIEWS:
            return
        if launches is None:
            launches = LAUNCHES.get(name, 1)
            if name.startswith(("_foreach", "_fused", "_amp_foreach")):
                launches = 1 + len(tensors) // 100
        multiplications = MULTIPLICATIONS[name](args, result) if name in MULTIPLICATIONS else 0
        moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if name in ("index_select", "index", "gather"):  # reads what it takes, not all there is
            taken = tensors[-1]
            moved = 2 * taken.numel() * taken.element_size()
        dtype = str(tensors[0].dtype).removeprefix("torch.") if tensors else ""
        with self.lock:
            self.operations.append(Operation(name, launches, multiplications, dtype, moved, place()))

    def report(self, top: int = 40) -> str:
        """Mismatches, and the places that wait and launch most."""
        by_place = collections.Counter()
        for operation in self.operations:
            by_place[operation.place] += operation.launches
        lines = [f"device mismatches: {len(self.mismatches)}", *self.mismatches[:top]]
        lines += [f"waits of the host: {self.num_waits}"]
        lines += [f"{count:8d}  {what}, {where}" for (what, where), count in self.waits.most_common(top)]
        lines += [f"launches: about {self.num_launches}"]
        lines += [f"{count:8d}  {where}" for where, count in by_place.most_common(top)]
        return "\n".join(lines)

    def seconds(self, multiplications_per_s: dict[str, float], bytes_per_s: float) -> float:
        """The least seconds of all operations, one after another, on a GPU with these rates.

        Each takes as long as its arithmetic or its memory traffic, whichever is longer.

        Args:
            multiplications_per_s: by type, `float32` and so on.
        """
        rate = multiplications_per_s
        return sum(max(o.multiplications / rate.get(o.dtype, 1e99), o.moved / bytes_per_s) for o in self.operations)


def place() -> str:
    """`file:line` of the nearest frame in our own code."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOT) and not name.startswith(OURS) and "/.venv/" not in name:
            return f"{name[len(ROOT) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "PyTorch"
