"""Generator of the open data set: notes, music, bodies and the camera that sees them; jobs are in plan.py."""
