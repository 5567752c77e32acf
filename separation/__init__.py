"""A trained run at work: recordings of any length and captures of the musicians -> stems."""

from separation.separator import Separator

__all__ = ["Separator"]
