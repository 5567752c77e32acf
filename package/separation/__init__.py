"""Separation with a trained run, from any folder: `from separation import Separator`."""

from point_cloud_source_separation import separation as _separation

__all__ = _separation.__all__


def __getattr__(name: str) -> object:
    """Imports a class when it is first used, as there: `PortableSeparator` needs no PyTorch."""
    return getattr(_separation, name)
