"""`python -m pytest -p fake_gpu.plugin`: the tests find a simulated GPU."""

from __future__ import annotations

from fake_gpu import device

_there = device.present()
ledger = _there.__enter__()


def pytest_terminal_summary(terminalreporter) -> None:
    terminalreporter.write_line(f"device mismatches: {len(ledger.mismatches)}")


def pytest_unconfigure() -> None:
    _there.__exit__(None, None, None)
