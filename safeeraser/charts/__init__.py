"""Scores and logs -> Plotly figures, each with its numbers as a table and a sentence that says what it shows.

Every function is pure and returns a `Chart`; `handout.py` puts charts, answers and scores on a page to hand around. Not
covered: computing a score (`score/measuring.py`), showing a figure (`ui/`).
"""

from safeeraser.charts.attacked import relearning, under_attack
from safeeraser.charts.by_method import bars
from safeeraser.charts.by_run import official_against_clean, sarr_parts
from safeeraser.charts.categories import category_heatmap
from safeeraser.charts.chart import Chart, stamped, title_of, with_ink, without_title
from safeeraser.charts.comparable import Unlike, caveats, unlike
from safeeraser.charts.counting import counts
from safeeraser.charts.dumbbell import dumbbell
from safeeraser.charts.exports import ChartError, export
from safeeraser.charts.slicing import by_slice
from safeeraser.charts.tradeoff import against_sarr
from safeeraser.charts.training import TOTAL, Kind, along_training, losses, overlaid_losses, speed

__all__ = [
    "TOTAL",
    "Chart",
    "ChartError",
    "Kind",
    "Unlike",
    "against_sarr",
    "along_training",
    "bars",
    "by_slice",
    "category_heatmap",
    "caveats",
    "counts",
    "dumbbell",
    "export",
    "losses",
    "official_against_clean",
    "overlaid_losses",
    "relearning",
    "sarr_parts",
    "speed",
    "stamped",
    "title_of",
    "under_attack",
    "unlike",
    "with_ink",
    "without_title",
]
