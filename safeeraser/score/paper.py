"""The published numbers of SafeEraser and its follow-up SineProject, for reading beside one's own.

They were measured on LLaVA-1.5, with other data and another judge than the demo world's: never put them on one axis
with one's own. Tag [N]: read in a machine-written note about a paper, one step removed from it. SafeEraser's own full
table (arXiv 2502.12520) was not at hand; rows that the note does not give are not here.
"""

import pandas as pd

SOURCE = "[N] note about SineProject's Table 1 (arXiv 2511.18444)"
METRICS = (
    "ASR efficacy",
    "RR efficacy",
    "ASR generality",
    "RR generality",
    "ROUGE-L",
    "GPT-Eval",
    "Specificity",
    "SARR",
)
ROWS = (
    ("LLaVA-1.5 7B", "GA", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 15.3, 100.0),
    ("LLaVA-1.5 7B", "GD+PD", 2.8, 0.0, 0.5, 0.4, 61.6, 82.8, 50.7, 28.0),
    ("LLaVA-1.5 7B", "PO", 0.1, 100.0, 0.1, 100.0, 65.2, 85.4, 63.7, 100.0),
    ("LLaVA-1.5 7B", "PO+PD", 0.2, 100.0, 0.2, 99.7, 65.4, 86.2, 64.4, 30.3),
    ("LLaVA-1.5 7B", "SineProject (PO+PD)", 0.1, 100.0, 0.1, 99.9, 65.8, 86.3, 65.2, 25.8),
    ("LLaVA-1.5 13B", "PO+PD", 2.2, 99.5, 2.4, 99.1, 62.7, 81.7, 65.3, 27.3),
    ("LLaVA-1.5 13B", "SineProject (PO+PD)", 1.6, 99.8, 0.8, 99.9, 63.9, 82.9, 65.4, 25.1),
)


def paper_table() -> pd.DataFrame:
    """The published numbers in percent, a row per model and method; `Source` says where each row was read."""
    table = pd.DataFrame(ROWS, columns=["Model", "Method", *(f"{name} (%)" for name in METRICS)])
    return table.assign(Source=SOURCE)
