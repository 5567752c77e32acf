"""Files of the data set that cannot be read and are skipped."""

from __future__ import annotations

from utils.errors import InputError, UnreadableError
from utils.progress import say


class Skipped:
    """The unreadable files of a run: up to `limit` distinct files are skipped; the next one ends the run.

    Args:
        limit: how many.
        files: path -> what is wrong with it, for files found earlier; more are added here.
    """

    def __init__(self, limit: int, files: dict[str, str] | None = None):
        self.limit, self.files = limit, {} if files is None else files

    def add(self, error: InputError) -> None:
        """Notes the file that an error is about.

        Raises:
            InputError: `error` itself, if it is not about a file of the data set, or exceeds the limit.
        """
        if not isinstance(error, UnreadableError) or not self.limit:
            raise error
        if error.path in self.files:
            return
        if len(self.files) >= self.limit:
            raise InputError(f"{error}; this is one more than --skip_bad_samples {self.limit} allows") from error
        self.files[error.path] = str(error)
        say(f"skipped: {error}")

    def report(self) -> str:
        """A line for each file."""
        return "\n".join([f"{len(self.files)} unreadable file(s) skipped:", *self.files.values()])
