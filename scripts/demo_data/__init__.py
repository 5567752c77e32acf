"""Generator of the stand-in data set: jobs (plan), clouds (bodies) and recordings (voices)."""
