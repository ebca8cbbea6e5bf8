"""Judges: what is asked about an answer (`contract.py`), who answers (a file each), and grading (`grading.py`)."""
