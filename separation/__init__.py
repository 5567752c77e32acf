"""Separation with a trained run: recordings of any length and captures of the musicians -> stems."""

from importlib import import_module

_PLACES = {"Separator": "separator", "PortableSeparator": "portable"}

__all__ = ["PortableSeparator", "Separator"]  # noqa: F822  (see __getattr__)


def __getattr__(name: str) -> object:
    """Imports a class when it is first used: `PortableSeparator` needs no PyTorch."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
