"""Runs: their folders, their processes, how far they are, and how they are started."""
