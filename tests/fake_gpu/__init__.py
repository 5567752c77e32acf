"""A simulated GPU for machines that have none: tensors that claim to be on cuda:0 and are computed on the CPU.

    python -m fake_gpu script.py ARGUMENTS...        (with `tests` on the path) a whole program, in one process
    python -m pytest -p fake_gpu.plugin tests/...    tests: those of devices find one named cuda

Tensors of two devices in one operation raise, as on a GPU; `ledger` counts waits of the host and launches of kernels.
What it cannot show: speed, races of streams, kernels that CUDA lacks, NCCL, CUDA graphs, torch.compile, atomics.
"""
