"""Which commit this code was made from. The build of the package runs this file too, where nothing else is
installed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTED = "commit.txt"  # instead of a git checkout an installed package has this


def git_commit() -> str | None:
    """The commit of this code, with `-dirty` after it if files were changed; None if that cannot be known.

    Only a checkout of this code itself counts, not one that holds the folder where the package is installed.
    """
    if not (ROOT / ".git").exists():
        noted = ROOT / NOTED
        return noted.read_text().strip() if noted.is_file() else None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
