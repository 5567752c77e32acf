"""An evaluation: every mixture of a list separated, scored, and some of them drawn; by one process or several."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dataset.cache import Cache
from dataset.collate import Batch, collate_frames
from dataset.eval_list import describe
from dataset.frames import draw_frames
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.music import SourceDraw
from dataset.voxels import load_voxels
from from_options import frames_of, voxels_of, window_of
from models import SeparationNet
from models.separation_net import Separation
from runs.results import replacing_visuals
from runs.table import EvaluationTable
from runs.tensorboard_log import LOGGED_MIXTURES
from runs.visuals import Shown, draw_separation, write_separation
from utils.conditioning import Conditioning, format_conditioning
from utils.distributed import from_main, gathered, is_main, share_buffers
from utils.files import LONGEST_NAME, cut_bytes
from utils.host import to_host
from utils.metrics import score
from utils.precision import computing
from utils.progress import Progress, say
from utils.seeding import generator

# What an evaluation's scores depend on, beside the model.
EVALUATED_ON = (
    "list_val",
    "eval_list",
    "seed",
    "num_mix",
    "num_frames",
    "audLen",
    "distinct",
    "log_freq",
    "bss_eval",
    "masks",
)

CLOUDS_OF_CLASS = 40  # of the training, that an instrument's mean feature is taken from


def evaluate(
    model: SeparationNet, loader: BatchLoader, run: Path, options: argparse.Namespace, **about
) -> tuple[dict, dict[str, Shown]]:
    """Separates and scores every mixture of the list and writes the results into `run`.

    Several processes share the mixtures out; the first gathers and writes.

    Returns:
        Their summary, and the mixtures to log: name -> what there is to hear and see of it; in the first process alone.
    """
    share_buffers(model)
    with replacing_visuals(run) as visuals, computing("eval", options.tf32):
        means = class_means(model, options) if options.conditioning_report and not options.instruments else None
        conditioning = Conditioning(means) if options.conditioning_report else None
        shares = gathered(separate_and_score(model, loader, visuals, options, conditioning))
        if is_main():
            table, shown, conditioning = joined_shares(shares, visuals, loader, options)
    if not is_main():
        return from_main(None), {}
    about |= {name: getattr(options, name) for name in EVALUATED_ON}
    if conditioning:
        about["conditioning"] = conditioning.summary()
        say(format_conditioning(about["conditioning"]))
    table.write(run, **about)
    return from_main(table.summary()), shown


@torch.no_grad()
def separate_and_score(
    model: SeparationNet,
    loader: BatchLoader,
    visuals: Path,
    options: argparse.Namespace,
    conditioning: Conditioning | None = None,
) -> tuple[EvaluationTable, dict[str, Shown], Conditioning | None]:
    """The scores of this process's mixtures; the list's first `num_vis` are written, each in a folder of `visuals`.

    Mixtures to log, the list's first `LOGGED_MIXTURES`, are returned under the names of those folders, and in other
    processes than the first those to write too. `conditioning` collects what becomes of mixtures and clouds.
    """
    model.eval()
    device = next(model.parameters()).device
    table, shown, losses = EvaluationTable(), {}, []
    num_logged = LOGGED_MIXTURES if options.tensorboard else 0
    progress = Progress(loader, "evaluation", options.disp_iter)
    for batch in progress:
        batch = batch.to(device)
        result = model(batch.mixture, batch.clouds, batch.sources)
        masks = model.linear_masks(result.masks, result.spectrum.shape[-2], options.masks)  # [N, B, F, T]
        if conditioning:
            masks = torch.cat([masks, linear_mask_of_absent(model, batch, result, options.masks)])
        estimates = model.apply_linear_masks(result.spectrum, masks)  # [N, B, L'], or [N + 1, B, L']
        estimates, left = estimates.split([len(result.masks), len(masks) - len(result.masks)])
        length = estimates.shape[-1]
        sources, mixture = batch.sources[..., :length], batch.mixture[..., :length]  # [N, B, L'], [B, L']
        losses.append((result.loss, len(batch)))
        scores = score(sources, estimates, mixture, options.bss_eval)
        if conditioning:
            conditioning.add_mixtures(scores, sources, estimates, mixture, left[0])
            draws = [mixture[n] for n in range(len(sources)) for mixture in batch.draws]  # [N * B]
            clouds = [(draw.row.frames_path, draw.frames) for draw in draws]
            features = result.vision_features.flatten(0, 1)  # [N * B, C]
            conditioning.add_features(features, [draw.row.instrument for draw in draws], clouds)
        views = None
        for b, draws in enumerate(batch.draws):
            index = batch.indices[b]
            table.add({"index": index, **describe(draws, window_of(options))}, scores[b])
            if index < max(options.num_vis, num_logged):
                name = folder_name(index, draws)
                views = views or to_host(views_of(model, batch, result, estimates, options.masks))
                one = show(batch, views, b, options.audRate)
                if index < options.num_vis and is_main():
                    write_separation(visuals / name, one)
                if index < num_logged or not is_main():
                    shown[name] = one
    for loss, count in to_host(losses):
        table.loss.add(loss.item(), count)
    table.left_out = loader.left_out
    if conditioning:
        conditioning.read()  # it may be sent to another process
    return table, shown, conditioning


def folder_name(index: int, draws: list[SourceDraw]) -> str:
    """`0000_<instrument>-<recording>+...`: what a mixture's folder is called, no longer than a name on disk may be."""
    each = (LONGEST_NAME - len("0000_")) // len(draws) - 1
    names = (f"{draw.row.instrument}-{Path(draw.row.audio_path).stem[:40]}" for draw in draws)
    return f"{index:04d}_{'+'.join(cut_bytes(name, each) for name in names)}"


def joined_shares(
    shares: list[tuple[EvaluationTable, dict[str, Shown], Conditioning | None]],
    visuals: Path,
    loader: BatchLoader,
    options: argparse.Namespace,
) -> tuple[EvaluationTable, dict[str, Shown], Conditioning | None]:
    """What all processes found, the first one's first; writes the mixtures that it did not separate itself."""
    (table, shown, conditioning), *others = shares
    for other, more, report in others:
        table.merge(other)
        for error in other.left_out:
            loader.skipped.add(error)
        for name, one in more.items():
            if int(name[:4]) < options.num_vis:
                write_separation(visuals / name, one)
        shown |= more
        if conditioning:
            conditioning.merge(report)
    logged = sorted(shown)[:LOGGED_MIXTURES] if options.tensorboard else []
    return table, {name: shown[name] for name in logged}, conditioning


def linear_mask_of_absent(model: SeparationNet, batch: Batch, result: Separation, rule: str) -> torch.Tensor:
    """The mask of musicians who do not play in a batch's mixtures, beside those who do: `[1, B, F, T]`."""
    absent = model.look(batch.absent, len(batch))  # [1, B, C]
    masks = model.fuse(torch.cat([result.vision_features, absent]), result.sound_features)  # [N + 1, B, 1, F', T]
    return model.linear_masks(masks, result.spectrum.shape[-2], rule)[-1:]


@torch.no_grad()
def class_means(model: SeparationNet, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """The mean feature `[C]` of each instrument's clouds in `list_train`, evenly drawn from its performers.

    Raises:
        InputError: the list or a cloud cannot be read.
    """
    model.eval()
    device, rng, by_instrument = next(model.parameters()).device, generator(options.seed), {}
    read = Cache(options.cache).read_points
    for row in read_index(options.list_train):
        by_instrument.setdefault(row.instrument, {}).setdefault(row.frames_path, row)
    means = {}
    for instrument, performers in sorted(by_instrument.items()):
        rows = [list(performers.values())[n % len(performers)] for n in range(CLOUDS_OF_CLASS)]
        clouds = []
        for row in rows:
            frames = draw_frames(row.num_frames, frames_of(options), rng)
            clouds.append([load_voxels(row.frame_path(frame), voxels_of(options), read=read) for frame in frames])
        voxels = tuple(part.to(device) for part in collate_frames([clouds]))
        means[instrument] = model.look(voxels, num_mixtures=len(rows))[0].mean(dim=0)
    return to_host(means)


def views_of(
    model: SeparationNet, batch: Batch, result: Separation, estimates: torch.Tensor, rule: str
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What there is to hear and see of a batch; estimates `[N, B, L']`.

    Returns:
        waveforms: mixture `[B, L']`, sources and estimates `[N, B, L']`. pictures: magnitude and weight `[B, F', T]`,
        targets and masks `[N, B, F', T]`.
    """
    masks = model.ruled(result.masks[:, :, 0], rule)
    length = estimates.shape[-1]
    sounds = [batch.mixture[:, :length], batch.sources[:, :, :length], estimates]
    return sounds, [result.magnitude[:, 0], result.weight[:, 0], result.targets[:, :, 0], masks]


def show(batch: Batch, views: tuple[list[torch.Tensor], list[torch.Tensor]], b: int, rate_hz: int) -> Shown:
    """What there is to hear and see of mixture b of a batch, of whose `views_of` in main memory."""
    (mixture, sources, estimates), (magnitude, weight, targets, masks) = views
    sounds = mixture[b], sources[:, b], estimates[:, b]
    pictures = magnitude[b], weight[b] / weight[b].max(), targets[:, b], masks[:, b]
    clouds = [[draw.row.frame_path(frame) for frame in draw.frames] for draw in batch.draws[b]]
    return draw_separation(rate_hz, *(part.numpy() for part in (*sounds, *pictures)), clouds)
