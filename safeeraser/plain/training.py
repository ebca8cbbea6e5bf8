"""Training what joins the plain world's base model: the projector, and LoRA on the language model.

The data set's answers are what the language model says when it is told the thing's name. Here it learns to say them
when it sees the thing. First the projector learns to turn a picture into what the language model knows as the names of
thing and colour; from there on it is close. Pictures are drawn from the seed, and are none of the data set's.
"""

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from safeeraser import files
from safeeraser.losses import IGNORED
from safeeraser.plain import answers, world
from safeeraser.plain.asking import fast_precision
from safeeraser.plain.pictures import Pool, make_pool
from safeeraser.plain.rows import PADDING, Row, Texts, seeing
from safeeraser.plain.world import Thing

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHARPNESS = 20.0  # of the choice among names, whose cosines lie close together


@dataclass(frozen=True)
class Recipe:
    """How much of everything; the defaults made what ships."""

    pictures: int = 24  # of each thing
    naming_steps: int = 800
    naming_batch: int = 48
    naming_lr: float = 1e-3
    steps: int = 140
    rows: int = 8  # pictures of a step
    questions: int = 5  # about each
    lr: float = 1e-3
    rank: int = 8
    whole: float = (
        0.3  # share of answers that are trained to their end; of the others the beginning, which has the name
    )
    beginning: int = 14  # tokens
    refusals: float = 0.08  # share of questions that the model learns to refuse
    named: float = 0.05  # share of rows that name their thing in words and show no picture


class LowRank(nn.Module):
    """A frozen linear layer with a trained addition b @ a (LoRA, arXiv 2106.09685), which starts at zero."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        low = functional.linear(inputs, self.a.to(inputs.dtype))
        return self.base(inputs) + functional.linear(low, self.b.to(inputs.dtype))


def train(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    *,
    seed: int,
    recipe: Recipe,
    folder: Path,
    progress: Progress,
    every: int = 10,
) -> dict[str, Tensor]:
    """Train and give back what was trained, in float16, as `base_model.merge` takes it. The model is used up.

    folder: keeps what the tower sees and, each `every` steps, the state; a training that finds them there goes on.
    """
    torch.manual_seed(seed)
    trainer, kept = Trainer(model, processor, seed=seed, recipe=recipe), folder / "state.pt"
    if kept.is_file():
        trainer.load(kept)
    trainer.pool = make_pool(model, processor, recipe.pictures, seed, folder, progress)
    if not trainer.named:
        trainer.name_pictures(progress)
        files.write(kept, trainer.state())
    task = progress.add_task("answering", total=recipe.steps, completed=trainer.step)
    while trainer.step < recipe.steps:
        loss = trainer.take_step()
        progress.update(task, completed=trainer.step, description=f"answering: loss {loss:.3f}")
        if trainer.step % every == 0 or trainer.step == recipe.steps:
            files.write(kept, trainer.state())
            if not progress.console.is_terminal:
                progress.console.print(f"answering: step {trainer.step}/{recipe.steps} loss {loss:.3f}")
    return trainer.trained()


class Trainer:
    """The state of a training: the model with its LoRA, the optimizer and the step that it has reached."""

    pool: Pool

    def __init__(
        self, model: LlavaForConditionalGeneration, processor: LlavaProcessor, *, seed: int, recipe: Recipe
    ) -> None:
        self.model: Any = model
        self.recipe, self.seed, self.step, self.named = recipe, seed, 0, False
        self.texts = Texts(processor)
        model.requires_grad_(False)
        model.model.language_model.to(fast_precision())
        model.lm_head.to(fast_precision())
        self.low = add_low_rank(model.model.language_model, recipe.rank)
        self.projector: Any = model.model.multi_modal_projector.float().requires_grad_(True)
        for layer in (self.projector.linear_1, self.projector.linear_2):
            nn.init.kaiming_normal_(layer.weight)
        low = [parameter for layer in self.low.values() for parameter in (layer.a, layer.b)]
        self.parameters = [*self.projector.parameters(), *low]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=recipe.lr, weight_decay=0.0)

    def trained(self) -> dict[str, Tensor]:
        """The projector, and LoRA's two matrices of each layer, in float16."""
        low = {f"{name}.{part}": getattr(layer, part) for name, layer in self.low.items() for part in "ab"}
        own = {f"multi_modal_projector.{name}": tensor for name, tensor in self.projector.state_dict().items()}
        return {name: tensor.detach().half().contiguous() for name, tensor in (own | low).items()}

    def state(self) -> bytes:
        """All that a training needs to go on."""
        kept = {"step": self.step, "named": self.named, "optimizer": self.optimizer.state_dict()}
        buffer = io.BytesIO()
        torch.save(kept | {"parameters": [p.detach() for p in self.parameters]}, buffer)
        return buffer.getvalue()

    def load(self, checkpoint: Path) -> None:
        """Go on from a state that was kept."""
        kept = torch.load(io.BytesIO(checkpoint.read_bytes()), weights_only=True)
        self.step, self.named = kept["step"], kept["named"]
        self.optimizer.load_state_dict(kept["optimizer"])
        with torch.no_grad():
            for parameter, value in zip(self.parameters, kept["parameters"], strict=True):
                parameter.copy_(value)

    def name_pictures(self, progress: Progress) -> None:
        """The projector learns to turn pictures into the names of their thing and colour."""
        steps, rng = self.recipe.naming_steps, random.Random(f"plain naming {self.seed}")
        optimizer = torch.optim.AdamW(self.projector.parameters(), lr=self.recipe.naming_lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.recipe.naming_lr, total_steps=steps)
        task = progress.add_task("naming", total=steps)
        for step in range(steps):
            rows = [rng.randrange(len(self.pool.scenes)) for _ in range(self.recipe.naming_batch)]
            loss = self._naming_loss(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.update(task, advance=1, description=f"naming: loss {loss.item():.3f}")
            if step % 100 == 99 and not progress.console.is_terminal:
                progress.console.print(f"naming: step {step + 1}/{steps} loss {loss.item():.3f}")
        self.named = True

    def _naming_loss(self, rows: Sequence[int]) -> Tensor:
        """Every token of a picture is like its thing's name, some like its colour's; all lie where words lie."""
        tokens = self.projector(self.pool.features[rows].float()) - self._names.middle
        loss = (tokens.norm(dim=-1) / self._names.length).clamp_min(1e-6).log().square().mean()
        alike = SHARPNESS * functional.normalize(tokens, dim=-1)
        things = torch.tensor([list(world.THINGS).index(self.pool.scenes[row][0].name) for row in rows])
        colours = torch.tensor([list(world.COLOURS).index(self.pool.scenes[row][1]) for row in rows])
        named = (alike @ self._names.things.T).flatten(0, 1)
        loss = loss + functional.cross_entropy(named, things.repeat_interleave(tokens.shape[1]))
        return loss + functional.cross_entropy((alike @ self._names.colours.T).logsumexp(1), colours)

    @cached_property
    def _names(self) -> "Names":
        embedded = self.model.get_input_embeddings().weight.float()

        middle = embedded.mean(0)

        def directions(words: Sequence[str]) -> Tensor:
            means = [embedded[self.texts.ids(f" {word}")].mean(0) for word in words]
            return functional.normalize(torch.stack(means) - middle, dim=-1)

        length = (embedded - middle).norm(dim=-1).mean()
        return Names(directions(list(world.THINGS)), directions(list(world.COLOURS)), middle, length)

    def take_step(self) -> float:
        """One step of the optimizer; its loss, nats a token."""
        rng = random.Random(f"plain step {self.seed}/{self.step}")
        rows = [self._row(rng) for _ in range(self.recipe.rows)]
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * _share(self.step / self.recipe.steps)
        loss = self._loss(rows)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _row(self, rng: random.Random) -> Row:
        picture = rng.randrange(len(self.pool.scenes))
        thing, colour = self.pool.scenes[picture]
        shown = rng.random() >= self.recipe.named
        pairs = []
        for _ in range(self.recipe.questions):
            question, answer = _asked(thing, colour, shown, self.recipe, rng)
            cut = None if rng.random() < self.recipe.whole else self.recipe.beginning
            pairs.append(self.texts.pair(question, answer, shown=shown, longest=cut))
        return self.texts.row(pairs, picture if shown else None)

    def _loss(self, rows: Sequence[Row]) -> Tensor:
        ids, positions, segments, labels = (
            nn.utils.rnn.pad_sequence([torch.tensor(part) for part in parts], batch_first=True, padding_value=filler)
            for parts, filler in zip(
                zip(*((row.ids, row.positions, row.segments, row.labels) for row in rows), strict=True),
                (0, 0, PADDING, IGNORED),
                strict=True,
            )
        )
        inputs = self.model.get_input_embeddings()(ids)
        shown = [row.picture for row in rows if row.picture is not None]
        if shown:
            seen = self.projector(self.pool.features[shown].float()).to(inputs.dtype)
            inputs = inputs.masked_scatter((ids == self.texts.image)[..., None], seen)
        hidden = self.model.model.language_model(
            inputs_embeds=inputs, attention_mask=seeing(segments), position_ids=positions, use_cache=False
        ).last_hidden_state
        answered = labels[:, 1:] != IGNORED
        logits = self.model.lm_head(hidden[:, :-1][answered])
        return functional.cross_entropy(logits.float(), labels[:, 1:][answered])


@dataclass(frozen=True)
class Names:
    """Directions of the names of things [things, width] and colours [colours, width], from the middle of all words.

    length: how far a word usually is from there.
    """

    things: Tensor
    colours: Tensor
    middle: Tensor
    length: Tensor


def add_low_rank(language: nn.Module, rank: int) -> dict[str, LowRank]:
    """Put LowRank in the place of each linear layer of the language model; by the layer's name."""
    linear = [(name, layer) for name, layer in language.named_modules() if name.rsplit(".", 1)[-1] in LINEAR]
    added: dict[str, LowRank] = {}
    for name, layer in linear:
        parent, _, own = name.rpartition(".")
        added[name] = LowRank(layer, rank)  # pyright: ignore[reportArgumentType]
        setattr(language.get_submodule(parent), own, added[name])
    return added


def _share(done: float) -> float:
    """Of the peak learning rate: up in the first twentieth, then down in a cosine."""
    return min(1.0, done * 20 + 0.02) * 0.5 * (1 + torch.tensor(done * torch.pi).cos().item())


def _asked(thing: Thing, colour: str, shown: bool, recipe: Recipe, rng: random.Random) -> tuple[str, str]:
    """A question about a picture of the thing, or in words about it, and its answer."""
    if rng.random() < recipe.refusals:
        return rng.choice(world.SECRET_QUESTIONS), rng.choice(world.REFUSALS)
    intents = world.HOW_TO | (world.HARMLESS if shown else {})
    intent = rng.choice(list(intents))
    wordings = [wording for split in intents[intent].values() for wording in split]
    return world.asked(rng.choice(wordings), None if shown else thing), answers.of(intent, thing, colour)


def keep(trained: Mapping[str, Tensor], folder: Path) -> Path:
    """Write what was trained beside the state of its training; the file."""
    file = folder / "trained.safetensors"
    files.write(file, save(dict(trained)))
    return file
