"""Stems and places -> what a listener among the musicians hears, for headphones, ambisonics and loudspeakers."""

from spatial.geometry import Listener, Path
from spatial.render import render

__all__ = ["Listener", "Path", "render"]
