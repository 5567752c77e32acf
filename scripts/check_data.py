"""Reads every recording and cloud of the index files once and tells what is wrong with them.

    python scripts/check_data.py --list_train data/train.csv --list_val data/val.csv --list_test data/test.csv

Prints a table of the lists and a line for each finding. The exit code is 0 when nothing is wrong or there are warnings
alone, and 2 when there are errors: what training or evaluation would stop at, and recordings or performers that lists
share, which makes scores meaningless.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
from dataclasses import asdict
from itertools import groupby

from dataset.check import ListSummary, Needs, check_data
from dataset.findings import ERRORS, WARNINGS, Finding
from utils.errors import InputError, run_command
from utils.files import write_json
from utils.options import ArgumentParser, real, whole
from utils.parallel import usable_cores
from utils.progress import say


def main() -> int:
    options = parse_arguments()
    needs = Needs(
        num_mix=options.num_mix,
        num_frames=options.num_frames,
        stride_frames=options.stride_frames,
        aud_len=options.audLen,
        aud_rate=options.audRate,
        voxel_size=options.voxel_size,
        clouds=options.clouds,
    )
    summaries, findings = check_data(options.lists, needs, options.workers)
    if options.json:
        write_json(options.json, as_json(options.lists, summaries, findings))
    say(format_table(list(options.lists), summaries))
    for line in format_findings(findings, options.most):
        say(line)
    errors = sum(found.is_error for found in findings)
    say(f"{errors} error(s), {len(findings) - errors} warning(s)")
    return 2 if errors else 0


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    for name in ("train", "val", "test"):
        add(
            f"--list_{name}",
            default=f"data/{name}.csv",
            help=f"index file; '' leaves it out (default: data/{name}.csv)",
        )
    defaults = Needs()
    add("--audRate", type=whole(1), default=defaults.aud_rate, help="sampling rate in Hz, as in main.py")
    add("--audLen", type=whole(2), default=defaults.aud_len, help="samples of a mixture, as in main.py")
    add("--num_mix", type=whole(2), default=defaults.num_mix, help="sources in a mixture, as in main.py")
    add("--num_frames", type=whole(1), default=defaults.num_frames, help="frames of each source, as in main.py")
    add("--stride_frames", type=whole(1), default=defaults.stride_frames, help="frames from one to the next")
    add("--voxel_size", type=real(0, exclusive=True), default=defaults.voxel_size, help="edge of a voxel in metres")
    add("--clouds", default="all", choices=["all", "sampled", "none"], help="frames to read; sampled: 5 of a performer")
    add("--workers", type=whole(0), default=0, help="processes; 0 takes all cores")
    add("--most", type=whole(0), default=20, help="lines for the findings of one kind (default: 20)")
    add("--json", type=Path, help="file for the table and all findings")
    options = parser.parse_args()
    options.workers = options.workers or usable_cores()
    lists = {name: getattr(options, f"list_{name}") for name in ("train", "val", "test")}
    options.lists = {name: path for name, path in lists.items() if path}
    if not options.lists:
        raise InputError("--list_train, --list_val and --list_test are all empty: there is nothing to check")
    return options


def format_table(names: list[str], summaries: list[ListSummary]) -> str:
    """A column for each list: sizes, rows of each instrument, problems of each kind that occurs."""
    lines = [("", names), ("rows", [summary.rows for summary in summaries])]
    lines.append(("hours", [f"{summary.hours:.2f}" for summary in summaries]))
    lines.append(("performers", [summary.performers for summary in summaries]))
    lines.append(("frames", [summary.frames for summary in summaries]))
    lines.append(("instruments", [len(summary.instruments) for summary in summaries]))
    for instrument in sorted({name for summary in summaries for name in summary.instruments}):
        lines.append((f"  {instrument}", [summary.instruments.get(instrument, 0) for summary in summaries]))
    for heading, kinds in (("errors", ERRORS), ("warnings", WARNINGS)):
        lines.append((heading, [sum(summary.problems[kind] for kind in kinds) for summary in summaries]))
        for kind in kinds:
            if any(summary.problems[kind] for summary in summaries):
                lines.append((f"  {kind}", [summary.problems[kind] for summary in summaries]))
    return "\n".join(f"{label:24}" + "".join(f"{value:>10}" for value in values) for label, values in lines)


def format_findings(findings: list[Finding], most: int) -> list[str]:
    """Lines `error: FILE: REASON` or `warning: ...`, at most `most` of a kind; findings of a kind come together."""
    lines = []
    for kind, group in groupby(findings, lambda found: found.kind):
        of_kind = list(group)
        level = "error" if of_kind[0].is_error else "warning"
        lines += [f"{level}: {found.path}: {found.reason}" for found in of_kind[:most]]
        if len(of_kind) > most:
            lines.append(f"{level}: {kind}: and {len(of_kind) - most} more")
    return lines


def as_json(names: list[str], summaries: list[ListSummary], findings: list[Finding]) -> dict:
    """The table, and all findings with their level."""
    return {
        "lists": {name: vars(summary) for name, summary in zip(names, summaries, strict=True)},
        "findings": [{"level": "error" if found.is_error else "warning", **asdict(found)} for found in findings],
    }


if __name__ == "__main__":
    run_command(main)
