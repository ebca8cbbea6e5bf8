"""Scores and logs -> Plotly figures, each with its numbers as a table and a sentence that says what it shows.

Every function is pure and returns a `Chart`; `handout.py` puts charts, answers and scores on a page to hand around. Not
covered: computing a score (`score/metrics.py`), showing a figure (`ui/`).
"""

from safeeraser.charts.by_method import bars
from safeeraser.charts.by_run import official_against_clean, sarr_parts
from safeeraser.charts.categories import category_heatmap
from safeeraser.charts.chart import Chart
from safeeraser.charts.comparable import mixed
from safeeraser.charts.counting import counts
from safeeraser.charts.exports import ChartError, export
from safeeraser.charts.tradeoff import forget_against_sarr
from safeeraser.charts.training import along_training, losses, speed

__all__ = [
    "Chart",
    "ChartError",
    "along_training",
    "bars",
    "category_heatmap",
    "counts",
    "export",
    "forget_against_sarr",
    "losses",
    "mixed",
    "official_against_clean",
    "sarr_parts",
    "speed",
]
