"""`python -m fake_gpu SCRIPT ARGUMENTS...`: runs a program with a simulated GPU, then tells what it asked of it."""

from __future__ import annotations

import runpy
import sys
import traceback
from pathlib import Path

from fake_gpu import device


def main() -> int:
    script, *arguments = sys.argv[1:]
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    with device.present() as ledger:
        try:
            runpy.run_path(script, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
    print(ledger.report(), file=sys.stderr)
    return code if not ledger.mismatches else 1


if __name__ == "__main__":
    sys.exit(main())
