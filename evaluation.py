"""An evaluation: every mixture of a list separated, scored, and some of them drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dataset.collate import Batch, collate_clouds
from dataset.eval_list import describe
from dataset.frames import draw_frames
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.points import load_voxels
from models import SeparationNet
from models.separation_net import Separation
from utils.conditioning import Conditioning, format_conditioning
from utils.metrics import Scores, score
from utils.progress import Progress, say
from utils.results import EvaluationTable, replacing_visuals
from utils.seeding import generator
from utils.tensorboard_log import LOGGED_MIXTURES
from utils.visuals import Shown, draw_separation, write_separation

# What an evaluation's scores depend on, beside the model.
EVALUATED_ON = ("list_val", "eval_list", "seed", "num_mix", "num_frames", "audLen", "distinct", "log_freq", "bss_eval")

CLOUDS_OF_CLASS = 40  # of the training, that an instrument's mean feature is taken from


def evaluate(
    model: SeparationNet, loader: BatchLoader, run: Path, options: argparse.Namespace, **about
) -> tuple[dict, dict[str, Shown]]:
    """Separates and scores every mixture of the list and writes the results into `run`.

    Returns:
        Their summary, and the mixtures to log: name -> what there is to hear and see of it.
    """
    with replacing_visuals(run) as visuals:
        means = class_means(model, options) if options.conditioning_report and not options.instruments else None
        conditioning = Conditioning(means) if options.conditioning_report else None
        table, shown = separate_and_score(model, loader, visuals, options, conditioning)
    about |= {name: getattr(options, name) for name in EVALUATED_ON}
    if conditioning:
        about["conditioning"] = conditioning.summary()
        say(format_conditioning(about["conditioning"]))
    table.write(run, **about)
    return table.summary(), shown


@torch.no_grad()
def separate_and_score(
    model: SeparationNet,
    loader: BatchLoader,
    visuals: Path,
    options: argparse.Namespace,
    conditioning: Conditioning | None = None,
) -> tuple[EvaluationTable, dict[str, Shown]]:
    """The scores of every mixture; the first `num_vis` are written, each in a folder of `visuals`.

    The first `LOGGED_MIXTURES` are returned for the log, under the names of those folders. `conditioning` collects what
    becomes of mixtures and clouds.
    """
    model.eval()
    device = next(model.parameters()).device
    table, shown = EvaluationTable(), {}
    num_logged = LOGGED_MIXTURES if options.tensorboard else 0
    progress = Progress(loader, "evaluation", options.disp_iter)
    for batch in progress:
        batch = batch.to(device)
        result = model(batch.mixture, batch.clouds, batch.sources)
        estimates = model.apply_masks(result.spectrum, result.masks)  # [N, B, L']
        length = estimates.shape[-1]
        sources, mixture = batch.sources[..., :length], batch.mixture[..., :length]  # [N, B, L'], [B, L']
        table.loss.add(result.loss.item(), len(batch))
        scores = score(sources, estimates, mixture, options.bss_eval)
        if conditioning:
            look_into(conditioning, model, batch, result, estimates, scores)
        for b, draws in enumerate(batch.draws):
            made_of = {"index": batch.indices[b], **describe(draws, options.audLen, options.audRate)}
            table.add(made_of, scores[b])
            if len(table.rows) <= max(options.num_vis, num_logged):
                names = "+".join(f"{draw.row.instrument}-{Path(draw.row.audio_path).stem[:40]}" for draw in draws)
                name = f"{batch.indices[b]:04d}_{names}"
                one = show(model, batch, result, estimates, b, options.audRate)
                if len(table.rows) <= options.num_vis:
                    write_separation(visuals / name, one)
                if len(table.rows) <= num_logged:
                    shown[name] = one
    table.left_out = loader.left_out
    return table, shown


def look_into(
    conditioning: Conditioning,
    model: SeparationNet,
    batch: Batch,
    result: Separation,
    estimates: torch.Tensor,
    scores: list[Scores | None],
) -> None:
    """Adds a batch to the report on conditioning: estimates `[N, B, L']` and their scores."""
    length = estimates.shape[-1]
    absent = model.look(batch.absent, len(batch))  # [B, C]
    masks = model.fuse(torch.cat([result.vision_features, absent[None]]), result.sound_features)
    left = model.apply_masks(result.spectrum, masks[-1:])[0]  # [B, L'], of the one that does not play
    conditioning.add_mixtures(scores, batch.sources[..., :length], estimates, batch.mixture[..., :length], left)
    for n, features in enumerate(result.vision_features):  # [B, C]
        draws = [mixture[n] for mixture in batch.draws]
        clouds = [(draw.row.frames_path, draw.frames) for draw in draws]
        conditioning.add_features(features, [draw.row.instrument for draw in draws], clouds)


@torch.no_grad()
def class_means(model: SeparationNet, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """The mean feature `[C]` of each instrument's clouds in `list_train`, evenly drawn from its performers.

    Raises:
        InputError: the list or a cloud cannot be read.
    """
    model.eval()
    device, rng, by_instrument = next(model.parameters()).device, generator(options.seed), {}
    for row in read_index(options.list_train):
        by_instrument.setdefault(row.instrument, {}).setdefault(row.frames_path, row)
    means = {}
    for instrument, performers in sorted(by_instrument.items()):
        rows = [list(performers.values())[n % len(performers)] for n in range(CLOUDS_OF_CLASS)]
        features = []
        for row in rows:
            frames = draw_frames(row.num_frames, options.num_frames, options.stride_frames, rng)
            settings = (options.voxel_size, bool(options.rgbs_feature), None, rng)
            voxels = collate_clouds([load_voxels(row.frame_path(frame), *settings) for frame in frames])
            features.append(model.look([part.to(device) for part in voxels], num_mixtures=1)[0])
        means[instrument] = torch.stack(features).mean(dim=0)
    return means


def show(
    model: SeparationNet, batch: Batch, result: Separation, estimates: torch.Tensor, b: int, rate_hz: int
) -> Shown:
    """What there is to hear and see of mixture b of a batch; estimates `[N, B, L']`."""
    masks = result.masks[:, b, 0]  # [N, F', T]
    if model.binary_mask:
        masks = (masks > model.mask_thres).to(masks.dtype)
    length = estimates.shape[-1]
    sounds = (batch.mixture[b, :length], batch.sources[:, b, :length], estimates[:, b])
    pictures = (result.magnitude[b, 0], result.weight[b, 0] / result.weight[b].max(), result.targets[:, b, 0], masks)
    clouds = [[draw.row.frame_path(frame) for frame in draw.frames] for draw in batch.draws[b]]
    return draw_separation(rate_hz, *(part.cpu().numpy() for part in (*sounds, *pictures)), clouds)
