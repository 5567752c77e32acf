"""What a command does before it loads libraries, which takes seconds."""

from __future__ import annotations

import signal


def start_command(name: str) -> None:
    """To be called with `__name__` at the head of a command, and of what its worker processes import again.

    Until `run_command` takes over, Ctrl-C ends the process at once, without a traceback. PyTorch's threads, which read
    their settings when it is imported, get those of `share_cores`. Where the module is only imported nothing happens.
    """
    if name not in ("__main__", "__mp_main__"):
        return
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from utils.threads import share_cores  # imports more, and Ctrl-C is taken care of only now

    share_cores()
