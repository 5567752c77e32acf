"""The simulated GPU itself. Import it before PyTorch, which asks for a device's hooks once and for all."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

from fake_gpu.ledger import Ledger

TORCH = Path(importlib.util.find_spec("torch").origin).parent


def load_guard() -> None:
    """Gives a PyTorch without CUDA the hooks that C++ asks for; compiled on first use by g++, in ten seconds."""
    if "torch" in sys.modules:
        raise ImportError("fake_gpu.device must be imported before torch")
    cache = Path(tempfile.gettempdir()) / f"fake-gpu-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    source = Path(__file__).with_name("guard.cpp")
    library = cache / f"guard-{importlib.metadata.version('torch')}-{source.stat().st_mtime_ns}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        command = ["g++", "-std=c++20", "-O1", "-fPIC", "-shared", f"-I{TORCH}/include", str(source), "-o", str(made)]
        subprocess.run([*command, f"-L{TORCH}/lib", "-lc10", "-ltorch_cpu"], check=True)
        made.rename(library)
    ctypes.CDLL(str(TORCH / "lib" / "libtorch_cpu.so"), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library))


load_guard()
os.environ["TRITON_INTERPRET"] = "1"  # its kernels run on the CPU as well

import torch  # noqa: E402
import torch._dynamo  # noqa: E402  # which looks at PyTorch's functions as they are before some are exchanged
from torch.utils._mode_utils import no_dispatch  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten  # noqa: E402

GPU = torch.device("cuda", 0)
LEDGER = Ledger()
HALF = (torch.float16, torch.bfloat16)
PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "convolution", "convolution_backward"}
# The host waits for these: it reads a number, or the size of the result depends on the data.
WAITING = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "argwhere", "masked_select", "_unique", "_unique2"),
    *("unique_dim", "unique_consecutive", "bincount", "histc", "_linalg_check_errors", "linalg_lstsq", "linalg_eigh"),
}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
# Take a CPU tensor without dimensions as a number, beside those that PyTorch marks as pointwise.
TAKE_NUMBERS = {*INDEXING, "fill_", "masked_fill", "masked_fill_", "_fused_sgd_", "_fused_adam_"}


class GpuTensor(torch.Tensor):
    """A tensor on the simulated GPU; `inner` is the real one, on the CPU."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        self = torch.Tensor._make_wrapper_subclass(
            *(cls, inner.size()),
            **{"strides": inner.stride(), "storage_offset": inner.storage_offset()},
            **{"dtype": inner.dtype, "layout": inner.layout, "device": GPU},
        )
        self.inner = inner
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})

    def tolist(self):
        LEDGER.wait("tolist")
        return self.inner.tolist()

    def numpy(self, *, force: bool = False):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, dtype=None):
        return self.numpy()

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def untyped_storage(self):
        return self.inner.untyped_storage()

    def __tensor_flatten__(self):
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(tensors, context, size, stride):
        return GpuTensor(tensors["inner"])

    def __reduce_ex__(self, protocol):
        raise RuntimeError("a tensor on a GPU is saved: such a file needs a GPU to be read without map_location")

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            with torch.no_grad():
                copy = self.detach().clone()
            is_parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(copy, self.requires_grad) if is_parameter else copy
        return memo[id(self)]


def wrapped(inner: torch.Tensor) -> GpuTensor:
    if torch.is_inference_mode_enabled() and not inner.is_inference():
        with torch.inference_mode(False):
            return GpuTensor(inner)
    return GpuTensor(inner)


def unwrapped(value: object) -> object:
    return value.inner if isinstance(value, GpuTensor) else value


def tensors_of(values: object) -> list[torch.Tensor]:
    return [value for value in tree_flatten(values)[0] if isinstance(value, torch.Tensor)]


def is_composite(func) -> bool:
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return func._schema.name.startswith("aten::") and has_kernel(func.name(), "CompositeImplicitAutograd")


def dispatch(func, args: tuple, kwargs: dict) -> object:
    """An operation with a tensor on the GPU, or that makes one."""
    name = func._schema.name.split("::")[1]
    if name == "is_pinned":
        return False
    if is_composite(func):  # in inference mode these come whole
        with GpuMode():
            return func._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
    if name == "_to_copy":
        return to_copy(func, args, kwargs)
    if name == "copy_":
        return copy_(func, *args, **kwargs)
    everything, form = tree_flatten((args, kwargs))
    on_gpu = [value for value in everything if isinstance(value, GpuTensor)]
    check_devices(func, name, everything)
    if on_gpu and name in WAITING:
        LEDGER.wait(name)
    if name in INDEXING and any(t.dtype in (torch.bool, torch.uint8) for t in tensors_of(args[1])):
        LEDGER.wait("boolean mask")
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        LEDGER.wait(name)
    makes_gpu = torch.device(kwargs["device"]).type == "cuda" if kwargs.get("device") is not None else bool(on_gpu)
    inner_args, inner_kwargs = tree_unflatten([unwrapped(value) for value in everything], form)
    if inner_kwargs.get("device") is not None:
        inner_kwargs = {**inner_kwargs, "device": torch.device("cpu")}
    page_locked = inner_kwargs.pop("pin_memory", None)
    result = compute(func, name, inner_args, inner_kwargs)
    if page_locked:
        return pinned(result)
    LEDGER.launch(name, tensors_of((inner_args, inner_kwargs)) + tensors_of(result), inner_args, result)
    written_to = {id(tensor.inner): tensor for tensor in on_gpu}
    if torch.Tag.inplace_view in func.tags:  # the wrapper has the shape of what it wraps
        with no_dispatch():
            before = torch._C._meta_in_tls_dispatch_include()
            torch._C._set_meta_in_tls_dispatch_include(True)
            try:
                func(*args, **kwargs)
            finally:
                torch._C._set_meta_in_tls_dispatch_include(before)

    def back(value: object) -> object:
        if not isinstance(value, torch.Tensor):
            return value
        return written_to[id(value)] if id(value) in written_to else wrapped(value) if makes_gpu else value

    return tree_map(back, result)


def compute(func, name: str, args: tuple, kwargs: dict) -> object:
    """The operation on the CPU; products of half precision are summed in single precision, as a GPU does."""
    if name == "_conj":
        return torch.conj_physical(args[0])
    halves = [tensor.dtype for tensor in tensors_of(args) if tensor.dtype in HALF]
    if name not in PRODUCTS or not halves:
        return func(*args, **kwargs)
    out = kwargs.pop("out", None)
    args = tree_map(lambda v: v.float() if isinstance(v, torch.Tensor) and v.dtype in HALF else v, args)
    overload = getattr(torch.ops.aten, name).default
    result = tree_map(lambda v: v.to(halves[0]) if isinstance(v, torch.Tensor) else v, overload(*args, **kwargs))
    return result if out is None else out.copy_(result)


def check_devices(func, name: str, everything: list) -> None:
    """Raises, as CUDA does, where a tensor on the GPU meets one that is not."""
    tensors = [value for value in everything if isinstance(value, torch.Tensor)]
    others = [tensor for tensor in tensors if not isinstance(tensor, GpuTensor)]
    if not others or len(others) == len(tensors):
        return
    if name in INDEXING and isinstance(tensors[0], GpuTensor) and all(not t.is_floating_point() for t in others):
        LEDGER.wait("index from the host")
        return
    takes_numbers = torch.Tag.pointwise in func.tags or name in TAKE_NUMBERS or name == "where"
    written = {id(v) for a, v in zip(func._schema.arguments, everything, strict=False) if a.is_write}
    if any(t.dim() or not takes_numbers or id(t) in written for t in others):
        found = f"{func}: {[(str(t.device), list(t.shape)) for t in tensors]}"
        LEDGER.mismatches.append(found)
        raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu ({found})")


def to_copy(func, args: tuple, kwargs: dict) -> torch.Tensor:
    source, device = args[0], kwargs.get("device")
    from_gpu = isinstance(source, GpuTensor)
    to_gpu = from_gpu if device is None else torch.device(device).type == "cuda"
    rest = {name: value for name, value in kwargs.items() if name not in ("device", "non_blocking", "pin_memory")}
    result = func(unwrapped(source), **rest)
    if to_gpu != from_gpu and not (to_gpu and kwargs.get("non_blocking") and is_pinned(source)):
        LEDGER.wait("copy to the GPU" if to_gpu else "copy to the host")
    LEDGER.launch("_to_copy", [unwrapped(source), result], (), result)
    return wrapped(result) if to_gpu else result


def copy_(func, target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    to_gpu, from_gpu = isinstance(target, GpuTensor), isinstance(source, GpuTensor)
    if to_gpu != from_gpu and not (non_blocking and is_pinned(source if to_gpu else target)):
        LEDGER.wait("copy to the GPU" if to_gpu else "copy to the host")
    func(unwrapped(target), unwrapped(source))
    LEDGER.launch("copy_", [unwrapped(target), unwrapped(source)], (), None)
    return target


class GpuMode(TorchDispatchMode):
    """Sends what makes tensors on the GPU, and copies to it, to `dispatch`."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        asked = [kwargs.get("device"), *(value for value in args if isinstance(value, torch.device))]
        if any(device is not None and torch.device(device).type == "cuda" for device in asked):
            return dispatch(func, args, kwargs)
        if any(issubclass(kind, GpuTensor) for kind in types):
            return dispatch(func, args, kwargs)
        if func._schema.name == "aten::_pin_memory":
            return pinned(args[0])
        if kwargs.get("pin_memory"):
            return pinned(func(*args, **{**kwargs, "pin_memory": False}))
        return func(*args, **kwargs)


def pinned(tensor: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, GpuTensor):
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    copy = torch.empty_like(tensor).copy_(tensor)
    copy.is_pinned_here = True
    return copy


def is_pinned(tensor: torch.Tensor, device: object = None) -> bool:
    return getattr(tensor, "is_pinned_here", False)


class Stream:
    """The one stream there is; `Event` is the same."""

    device, stream_id, device_index, cuda_stream = GPU, 0, 0, 0

    def __init__(self, *args, **kwargs) -> None: ...
    def wait_stream(self, other) -> None: ...
    def wait_event(self, event) -> None: ...
    def wait(self, stream=None) -> None: ...
    def record(self, stream=None) -> None: ...
    def record_event(self, event=None):
        return event or Stream()

    def query(self) -> bool:
        return True

    def elapsed_time(self, other) -> float:
        return 0.0

    def synchronize(self) -> None:
        LEDGER.wait("synchronize")


_tensor = torch.tensor


def tensor(data, *args, device=None, requires_grad: bool = False, **kwargs) -> torch.Tensor:
    """`torch.tensor`, which makes tensors where modes do not see it."""
    if device is None or torch.device(device).type != "cuda":
        return _tensor(data, *args, device=device, requires_grad=requires_grad, **kwargs)
    return _tensor(data, *args, **kwargs).to(GPU).requires_grad_(requires_grad)


def stand_ins() -> list[tuple[object, str, object]]:
    """(object, attribute, what says there that a GPU is present)."""
    about = types.SimpleNamespace(
        name="make-believe", major=9, minor=0, total_memory=80 * 2**30, multi_processor_count=132
    )
    state = torch.zeros(16, dtype=torch.uint8)
    nothing, zero, true = (lambda *a, **k: None), (lambda *a, **k: 0), (lambda *a, **k: True)
    of_cuda = {
        **dict.fromkeys(("_lazy_init", "set_device", "reset_peak_memory_stats", "empty_cache"), nothing),
        **dict.fromkeys(("manual_seed", "manual_seed_all", "set_rng_state", "set_rng_state_all"), nothing),
        **dict.fromkeys(("current_device", "memory_allocated", "max_memory_allocated"), zero),
        **dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported"), true),
        **{"device_count": lambda: 1, "synchronize": lambda device=None: LEDGER.wait("synchronize")},
        **dict.fromkeys(("current_stream", "default_stream"), lambda device=None: Stream()),
        **{"Event": Stream, "Stream": Stream, "get_device_name": lambda device=None: about.name},
        **{"get_device_properties": lambda device=None: about, "get_device_capability": lambda device=None: (9, 0)},
        "stream": lambda stream: contextlib.nullcontext(),
        **{"get_rng_state": lambda *a: state.clone(), "get_rng_state_all": lambda: [state.clone()]},
    }
    of_accelerators = {
        **{"is_available": true, "device_count": lambda: 1, "current_device_index": zero, "set_device_index": nothing},
        "current_accelerator": lambda check_available=False: torch.device("cuda"),
    }
    return [
        *((torch.cuda, name, value) for name, value in of_cuda.items()),
        *((torch.accelerator, name, value) for name, value in of_accelerators.items()),
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        (torch, "tensor", tensor),
        (torch.Tensor, "pin_memory", pinned),
        (torch.Tensor, "record_stream", lambda tensor, stream: None),
        (torch.Tensor, "is_pinned", is_pinned),
    ]


@contextlib.contextmanager
def present():
    """While entered there is a GPU; gives the `Ledger` of what it is asked to do."""
    LEDGER.clear()
    with contextlib.ExitStack() as stack:
        for owner, name, new in stand_ins():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, new)
        stack.enter_context(GpuMode())
        yield LEDGER
