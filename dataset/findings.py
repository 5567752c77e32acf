"""What may be wrong with a data set: the kinds of findings, and one finding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ERRORS = (  # training or evaluation would stop, or its scores would mean nothing
    *("wrong row", "unreadable recording", "NaN in recording", "missing frames", "unreadable cloud"),
    *("colours out of range", "too few frames", "too few instruments", "shared recording", "shared performer"),
)
WARNINGS = (  # it works, but perhaps not as meant
    *("silent recording", "short recording", "other rate", "clipped recording"),
    *("cloud without colours", "colours of another scale", "implausible height"),
)


@dataclass(frozen=True)
class Finding:
    """Something wrong with the file or line at `path`, to which the named lists lead; kind: of ERRORS or WARNINGS."""

    kind: str
    path: str
    reason: str
    lists: tuple[str, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.kind in ERRORS


def reason_of(error: Exception, path: str | Path, separator: str = ": ") -> str:
    """The message of an error in one line, without the path at its beginning."""
    return " ".join(str(error).removeprefix(f"{path}{separator}").split())
