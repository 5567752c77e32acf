"""Music source separation conditioned on 3D point clouds: the modules of the repository under one name.

From Python use `from separation import Separator`; the console commands are in `commands`.
"""
