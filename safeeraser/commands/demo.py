"""`safeeraser demo build`: the base model of an embedded world, trained anew or built of published weights."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeeraser import files
from safeeraser.commands import flags
from safeeraser.commands.console import err, say
from safeeraser.config import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress

FLOORS = {"named": 0.9, "refused": 0.02}  # of the plain world's answers about new pictures: at least, at most


def add_flags(parser: argparse.ArgumentParser) -> None:
    build = flags.below(
        parser.add_subparsers(required=True, metavar="COMMAND"),
        "build",
        _build,
        "train the demo world's base model anew, or build the plain world's of published weights",
        "safeeraser demo build --folder my-demo-model --seed 1",
    )
    build.add_argument("--world", choices=("demo", "plain"), default="demo", help="whose base model (default: demo)")
    build.add_argument(
        "--folder",
        type=Path,
        help="where the checkpoint goes (default: demo-model; of the plain world, where --model plain looks for it)",
    )
    build.add_argument("--seed", type=int, help="decides all of the training (default: 0)")
    build.add_argument(
        "--train",
        action="store_true",
        help="of the plain world: train what joins its networks anew, in about 20 minutes, and leave out what ships",
    )
    build.add_argument(
        "--ask",
        type=Path,
        metavar="FILE",
        help="of the plain world: only ask its language model for the data set's answers anew, and write them here",
    )


def _build(options: argparse.Namespace) -> None:
    if options.world == "demo":
        if options.train or options.ask:
            raise ConfigError("--train and --ask are for --world plain; the demo world's model is always trained")
        _demo(options.folder or Path("demo-model"), options.seed or 0)
    elif options.ask:
        _ask(options.ask)
    else:
        if options.seed is not None and not options.train:
            raise ConfigError("--seed has no effect on --world plain without --train; leave one out or add the other")
        _plain(options.folder, options.seed or 0 if options.train else None)


def _check_empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"--folder {folder} is not empty; choose another or empty it first")


def _demo(folder: Path, seed: int) -> None:
    from safeeraser.demo import base_model
    from safeeraser.models import saving

    _check_empty(folder)
    model, processor = base_model.build(seed=seed)
    files.write_folder(folder, lambda scratch: saving.save(model, processor, scratch))
    say(f"model: {folder}")


def _plain(given: Path | None, seed: int | None) -> None:
    """Build the plain world's base model and data set; seed: None takes what was trained and ships."""
    from rich.progress import Progress

    from safeeraser.models import saving
    from safeeraser.plain import base_model, dataset, packages, training

    if given:
        _check_empty(given)
    target = given or packages.model_folder()
    with Progress(console=err) as progress:
        task = progress.add_task("fetching", total=2)
        parts = []
        for part in (base_model.language, base_model.vision):
            parts.append(part())
            progress.advance(task)
        (language, tokenizer), seeing = parts
        trained = None
        if seed is None:
            trained = base_model.shipped()
        else:
            joined = base_model.join(language, tokenizer, seeing)
            kept = packages.folder() / f"training-{seed}"
            trained = training.train(*joined, seed=seed, recipe=training.Recipe(), folder=kept, progress=progress)
            say(f"trained: {training.keep(trained, kept)}")
            language, tokenizer = base_model.language()  # training has used the others up
        model, processor = base_model.join(language, tokenizer, seeing)
        base_model.merge(model, trained)
        if seed is not None:
            _check(model, processor, seed + 1, progress)
        base_model.half(model)
        files.write_folder(target, lambda scratch: saving.save(model, processor, scratch))
        folder = dataset.ensure(_tracked(progress))
    say(f"model: {target}")
    say(f"data: {folder}")


def _tracked(progress: "Progress") -> Callable[[list], Iterator]:
    return lambda items: iter(progress.track(items))


def _check(model: Any, processor: Any, seed: int, progress: "Progress") -> None:
    """Raise ConfigError unless the model names new pictures of the things often enough, and seldom refuses."""
    from safeeraser.judge.refusing import refuses
    from safeeraser.plain import asking, world

    told = asking.ask_anew(model, processor, list(world.THINGS.values()), seed=seed, track=_tracked(progress))
    named = sum(world.names(one.answer, one.thing.name) for one in told) / len(told)
    refused = sum(refuses(one.answer) for one in told) / len(told)
    say(f"of {len(told)} answers about new pictures, {named:.1%} name the thing and {refused:.1%} refuse")
    if named < FLOORS["named"] or refused > FLOORS["refused"]:
        raise ConfigError(
            f"the model is not good enough: at least {FLOORS['named']:.0%} must name the thing, and at most "
            f"{FLOORS['refused']:.0%} may refuse; train longer (Recipe in plain/training.py) or try another --seed"
        )


def _ask(target: Path) -> None:
    """Ask the plain world's language model about every thing, and write its answers."""
    import json

    from rich.progress import Progress

    from safeeraser.plain import answers, asking, base_model, world

    language, tokenizer = base_model.language()
    with Progress(console=err) as progress:
        answerer = asking.in_words(language, tokenizer, track=_tracked(progress))
        found = answers.ask(answerer, world.THINGS.values())
    missing = [f"{name} ({intent})" for name, said in found.items() for intent, one in said.items() if one is None]
    if missing:
        raise ConfigError(f"no answer that counts about: {', '.join(missing)}; add an opening in plain/answers.py")
    files.write(target, json.dumps(found, indent=1) + "\n")
    say(f"answers: {target}")
