"""Reads an ADM file with the EBU ADM Renderer: `.venv-ear/bin/python tests/read_adm.py scene.wav samples.npy`.

It runs in an environment of its own, as that package needs older libraries than ours. Prints what it found as JSON.
"""

import json
import sys

import numpy as np
from ear.fileio import openBw64Adm


def main(path: str, samples: str) -> None:
    with openBw64Adm(path) as file:
        file.adm.validate()
        objects = []
        for one in file.adm.audioObjects:
            (pack,) = one.audioPackFormats
            (channel,) = pack.audioChannelFormats
            blocks = [
                {
                    "rtime": float(block.rtime),
                    "duration": float(block.duration),
                    "azimuth": block.position.azimuth,
                    "elevation": block.position.elevation,
                    "distance": block.position.distance,
                    "gain": block.gain,
                }
                for block in channel.audioBlockFormats
            ]
            track = one.audioTrackUIDs[0].trackIndex
            found = {"name": one.audioObjectName, "track": track, "metres": pack.absoluteDistance, "blocks": blocks}
            objects.append(found)
        np.save(samples, np.concatenate(list(file.iter_sample_blocks(4096))))
        print(json.dumps({"rate_hz": file.sampleRate, "bits": file.bitdepth, "objects": objects}))


if __name__ == "__main__":
    main(*sys.argv[1:])
