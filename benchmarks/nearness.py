"""What the vicinal term does to whole drawings, and whether two runs differ: the figures of `docs/vicinal.md`.

    python benchmarks/nearness.py RUN
    python benchmarks/nearness.py RUN --against OTHER

RUN: how near (`models/vicinity.py`) to a harmful training picture the held-out harmful pictures are of which a question
is answered. --against: SARR unseen, RR generality and safe accuracy unseen of both runs, tested by thing.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from safeeraser import stages
from safeeraser.data.source import Source
from safeeraser.models import families, loading, vicinity
from safeeraser.models.encoder import Encoder
from safeeraser.runs.folder import Run
from safeeraser.score.compared import difference
from safeeraser.unlearn import examples

TESTED = ("sarr_unseen", "rr_generality", "safe_accuracy_unseen")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run's name or folder")
    parser.add_argument("--against", metavar="OTHER", help="another run, to test the difference from it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.find(options.run)
    source = Source(run.config.data)
    if options.against:
        tell_difference(run, Run.find(options.against), source)
    else:
        tell_nearness(run, source)


def tell_difference(run: Run, other: Run, source: Source) -> None:
    for metric in TESTED:
        there, here = (stages.answer_scores(one, source, run.config.judge, metric) for one in (other, run))
        if found := difference(there, here, source.items):
            values = f"{100 * found.a:.1f} -> {100 * found.b:.1f}"
            print(f"{metric}: {values}, n = {found.n}, p = {found.p:.2g} by {found.unit}")


def tell_nearness(run: Run, source: Source) -> None:
    refused = stages.answer_scores(run, source, run.config.judge, "rr_generality")
    answered = Counter(source.items[id].picture for (id, _), score in refused.items() if not score)
    pictures = list(dict.fromkeys(source.items[id].picture for id, _ in refused))
    found = dict(zip(pictures, nearest(run, source, pictures), strict=True))
    for picture, count in sorted(answered.items(), key=lambda row: found[row[0]]):
        assert picture is not None
        print(f"{found[picture]:.2f}  {count} answered  {picture.parent.name}/{picture.name}")
    quarters = np.quantile(list(found.values()), (0, 0.25, 0.5, 0.75, 1))
    print(f"{sum(answered.values())} of {len(refused)} questions, {len(answered)} of {len(pictures)} pictures")
    print("all pictures, minimum, quartiles, maximum:", " ".join(f"{value:.2f}" for value in quarters))


def nearest(run: Run, source: Source, pictures: list[Path | None]) -> list[float]:
    """The cosine of each picture's mean deviation to that of the nearest harmful training picture."""
    network, processor = loading.load(run.config.model)
    encoder, projector = Encoder(processor), families.projector(network)
    harmful, safe = examples.pictures(source.dataset)
    near = vicinity.Vicinity.of(network, projector, encoder, harmful=harmful, safe=safe)
    print(f"radius: {near.radius:.2f}")
    keys = normalize(near.deviations[: len(harmful)].mean(1), dim=1)
    cosines = []
    for picture in pictures:
        assert picture is not None
        deviation = vicinity.tower_features(network, projector, encoder, picture)[0].float() - near.mean
        cosines.append((keys @ normalize(deviation.mean(0), dim=0)).max().item())
    return cosines


if __name__ == "__main__":
    main()
