"""The model card of an exported model: what it does, what it was scored on, and what its owner has to fill in."""

from __future__ import annotations

from pathlib import PurePath

from utils.metrics import METRICS

FILL_IN = "*to be filled in*"


def model_card(settings: dict, scores: dict | None) -> str:
    """Markdown, with the metadata that model hubs read at its head.

    Args:
        settings: option -> value, those that a separation needs.
        scores: of these weights, as `runs.summary.summary_of_best` has them; None if it was not evaluated.
    """
    lines = [
        *("---", "license: other", "license_name: to-be-filled-in", "pipeline_tag: audio-to-audio"),
        *("tags: [audio, source-separation, point-cloud]", "---", ""),
        *("# Music source separation conditioned on 3D point clouds", ""),
        f"Separates a mixture of instruments into stems. {_condition(settings)}",
        *("", "## Use", ""),
        *("    from separation import Separator", '    separator = Separator.from_pretrained("<this folder>")', ""),
        *("or `python scripts/separate.py --run <this folder> ...`.", "", "## Settings", ""),
        *("| Setting | Value |", "| --- | --- |"),
        *(f"| `{name}` | {_shown(value)} |" for name, value in settings.items()),
        *("", "## Scores", "", *_score_lines(scores)),
        *("", "## Data, instruments, licence", ""),
        f"- {'Instruments' if settings['instruments'] else 'Instruments it was scored on'}: "
        f"{_instruments(settings, scores)}",
        f"- Training data: {FILL_IN}",
        f"- Licence of these weights: {FILL_IN}",
        f"- Limits and intended use: {FILL_IN}",
        *("", "The method is that of F. Lluís, V. Chatziioannou, A. Hofmann, arXiv:2102.02028.", ""),
    ]
    return "\n".join(lines)


def _condition(settings: dict) -> str:
    if settings["arch_vision"] == "label":
        return "The name of an instrument says which one to listen for."
    seen = "coloured point cloud" if settings["rgbs_feature"] else "point cloud (metres, Y up)"
    return f"A {seen} of each musician says which instrument to listen for."


def _score_lines(scores: dict | None) -> list[str]:
    if scores is None or not scores.get("n_scored"):
        return [f"Not evaluated. {FILL_IN}"]
    heads, values, mixture = [], [], []
    for name, metric in METRICS.items():
        if scores.get(name) is not None:
            heads.append(metric.label + (f" ({metric.unit})" if metric.unit else ""))
            values.append(f"{scores[name]:.2f}")
            before = scores.get(f"{name}_mixture")
            mixture.append("" if before is None else f"{before:.2f}")
    masks = {"auto": "", "binary": ", with binary masks"}.get(
        scores.get("masks", "auto"), f", with `--masks {scores.get('masks')}`"
    )
    epoch = f", after epoch {scores['epoch']} of its training" if "epoch" in scores else ""
    return [
        f"Means of {scores['n_scored']} mixtures of {scores.get('num_mix')} sources, made from the list "
        f"`{_list_of(scores)}` with seed {scores.get('seed')}{epoch}{masks}.",
        "",
        f"| | {' | '.join(heads)} |",
        f"| --- | {' | '.join('---' for _ in heads)} |",
        f"| mixture | {' | '.join(mixture)} |",
        f"| separated | {' | '.join(values)} |",
    ]


def _list_of(scores: dict) -> str:
    """The name of the list that the mixtures were made from; those of an earlier evaluation with the run's name."""
    if scores.get("eval_list"):
        return "/".join(PurePath(scores["eval_list"]).parts[-2:])
    return PurePath(scores.get("list_val", "")).name


def _instruments(settings: dict, scores: dict | None) -> str:
    names = settings["instruments"] or sorted((scores or {}).get("per_instrument", {}))
    return ", ".join(" ".join(name.replace("|", "/").split()) for name in names) or FILL_IN


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value}"
