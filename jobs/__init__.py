"""Recordings to separate, from files to files."""
