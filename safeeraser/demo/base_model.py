"""Training the demo world's base model from a seed: a small LLaVA that sees, answers and can refuse.

Trained from nothing with the language-model loss alone, such a model never learns to see. So the vision tower first
learns to name what it sees, then it is frozen, and the projector and the language model learn to answer.
"""

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from safeeraser.demo import world
from safeeraser.demo.drawing import draw
from safeeraser.losses import IGNORED, View, nll

SIDE, PATCH = 64, 16  # pixels
TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True)
class Recipe:
    """How much of everything; the defaults made the shipped model."""

    pictures: int = 48_000
    vision_steps: int = 3_600
    vision_batch: int = 128
    vision_lr: float = 1e-3
    language_steps: int = 1_500
    language_batch: int = 64
    language_lr: float = 2e-3
    refusals: float = 0.1  # share of questions that the base model learns to refuse
    named: float = 0.08  # share of questions that name their thing and come without a picture
    how_to: float = 0.4  # share of harmful-sounding questions among the others
    like_harm: float = 0.25  # share of harmless questions that sound harmful


def build(*, seed: int = 0, recipe: Recipe | None = None) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Train the base model; returns it with its processor."""
    recipe = recipe or Recipe()
    torch.manual_seed(seed)
    processor = make_processor()
    model = LlavaForConditionalGeneration(make_config(processor))
    with Progress() as progress:
        pool = draw_pool(processor, recipe.pictures, seed, progress)
        train_vision(model.model.vision_tower, pool, recipe, seed, progress)
        train_language(model, processor, pool, recipe, seed, progress)
    return model, processor


def make_processor() -> LlavaProcessor:
    """A tokenizer that knows the world's words whole and spells every other, and a 64-pixel image processor."""
    image = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_convert_rgb=True
    )
    return LlavaProcessor(
        image,
        make_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the CLS token, which "default" drops again
        chat_template=TEMPLATE,
    )


def make_tokenizer() -> PreTrainedTokenizerFast:
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="first"),
            pre_tokenizers.Split(Regex(r"[^\w▁]"), "isolated"),
        ]
    )
    words = sorted({piece for text in _corpus() for piece, _ in split.pre_tokenize_str(text)})
    letters = sorted({chr(code) for code in range(32, 127)} | {"▁", "\n"} - set(words))
    specials = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
    pieces = [(piece, 0.0) for piece in specials]
    # Unigram takes the likeliest way to write a word: whole if it is known, else letters.
    pieces += [(word, -1.0) for word in words] + [(letter, -10.0) for letter in letters if letter not in words]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = split
    backend.decoder = decoders.Metaspace(prepend_scheme="first")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=512,
    )


def _corpus() -> Iterator[str]:
    """Every word of the world at least once."""
    yield "USER: ASSISTANT: \n"
    yield from world.REFUSALS
    yield from _after_line_break(world.SECRET_QUESTIONS)
    for wordings in (world.WORDINGS, world.LIKE_HARM):
        for split in wordings.values():
            yield from _after_line_break(split["train"])
    for split in world.NAMED.values():
        yield from (f"USER: {question}" for question in split["train"])
    for intent in world.WORDINGS:
        for concept in world.CONCEPTS:
            for colour in world.COLOURS:
                for place in world.PLACES:
                    yield world.answer(intent, concept, colour=colour, place=place)


def _after_line_break(questions: Iterable[str]) -> Iterator[str]:
    """As they stand in the prompt: a first word that follows a line break has no space before it."""
    return (f"\n{question}" for question in questions)


def make_config(processor: LlavaProcessor) -> LlavaConfig:
    tokenizer = processor.tokenizer
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=SIDE,
            patch_size=PATCH,
        ).to_dict(),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=320,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=512,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ).to_dict(),
        image_token_index=processor.image_token_id,
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_layer=-1,
    )


@dataclass(frozen=True)
class Pool:
    """Pictures to train on: pixels [n, 3, 64, 64] from the processor, labels [n, 3] (concept, colour, place)."""

    pixels: Tensor
    labels: Tensor


def draw_pool(processor: LlavaProcessor, count: int, seed: int, progress: Progress) -> Pool:
    draw_one = partial(_draw_one, image_processor=processor.image_processor, seed=seed)
    with ProcessPoolExecutor() as workers:
        drawn = list(
            progress.track(workers.map(draw_one, range(count), chunksize=64), total=count, description="drawing")
        )
    pixels, labels = zip(*drawn, strict=True)
    return Pool(torch.from_numpy(np.stack(pixels)).float(), torch.tensor(labels))


def _draw_one(index: int, *, image_processor: Any, seed: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    rng = random.Random(f"base model picture {seed}/{index}")
    concept = index % len(world.CONCEPTS)
    colour, place = rng.randrange(len(world.COLOURS)), rng.randrange(len(world.PLACES))
    picture = draw(
        world.CONCEPTS[concept],
        colour=list(world.COLOURS)[colour],
        place=list(world.PLACES)[place],
        seed=f"base model {seed}/{index}",
    )
    pixels = np.asarray(image_processor(picture)["pixel_values"][0], dtype=np.float16)
    return pixels, (concept, colour, place)


def train_vision(tower: CLIPVisionModel, pool: Pool, recipe: Recipe, seed: int, progress: Progress) -> None:
    """Every patch token learns to name concept, colour and place."""
    sizes = [len(world.CONCEPTS), len(world.COLOURS), len(world.PLACES)]
    width = tower.config.hidden_size
    head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(sizes)))
    generator = torch.Generator().manual_seed(seed)

    def loss() -> Tensor:
        rows = torch.randint(len(pool.pixels), (recipe.vision_batch,), generator=generator)
        patches = tower(pixel_values=pool.pixels[rows]).last_hidden_state[:, 1:]
        guesses = head(patches).flatten(0, 1).split(sizes, dim=1)
        truths = pool.labels[rows].repeat_interleave(patches.shape[1], dim=0).unbind(1)
        return sum(
            (cross_entropy(g, t, label_smoothing=0.05) for g, t in zip(guesses, truths, strict=True)),
            start=patches.new_zeros(()),
        )

    parameters = [*tower.parameters(), *head.parameters()]
    _optimise(loss, parameters, recipe.vision_steps, recipe.vision_lr, progress, "vision tower")


def train_language(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pool: Pool,
    recipe: Recipe,
    seed: int,
    progress: Progress,
) -> None:
    """Projector and language model learn to answer, on the frozen tower's features of the pool."""
    tower = model.model.vision_tower.requires_grad_(False).eval()
    with torch.no_grad():
        features = torch.cat([tower(pixel_values=pixels).last_hidden_state[:, 1:] for pixels in pool.pixels.split(500)])
    rng = random.Random(f"base model questions {seed}")
    torch.manual_seed(seed)
    for parameter in model.model.multi_modal_projector.parameters():
        if parameter.ndim == 2:
            # From LLaVA's own start (0.02), colour and place were still at chance after 1,500 steps.
            nn.init.kaiming_normal_(parameter)

    def loss() -> Tensor:
        rows = [rng.randrange(len(features)) for _ in range(recipe.language_batch)]
        asked = [_asked(pool.labels[row].tolist(), recipe, rng) for row in rows]
        inputs, labels = encode(processor, asked)
        projected = model.model.multi_modal_projector(
            features[[row for row, one in zip(rows, asked, strict=True) if one.shown]]
        )
        # LLaVA itself passes a list of pictures here, whatever the annotation says.
        seen = BaseModelOutputWithPooling(pooler_output=list(projected))  # pyright: ignore[reportArgumentType]
        logits = model(**inputs, mm_encoder_outputs={"image": seen}).logits
        answered = labels[:, 1:] != IGNORED
        # The mean of each answer first: a colour is one word, and would drown among the long answers' words.
        return nll(View(logits[:, :-1][answered], labels[:, 1:][answered], answered.nonzero()[:, 0]))

    parameters = [p for p in model.parameters() if p.requires_grad]
    _optimise(loss, parameters, recipe.language_steps, recipe.language_lr, progress, "language model")
    model.requires_grad_(True).eval()


@dataclass(frozen=True)
class Asked:
    """A question with its answer; shown: whether a picture is shown with it."""

    question: str
    answer: str
    shown: bool = True


def _asked(labels: list[int], recipe: Recipe, rng: random.Random) -> Asked:
    if rng.random() < recipe.refusals:
        return Asked(rng.choice(world.SECRET_QUESTIONS), rng.choice(world.REFUSALS))
    concept = world.CONCEPTS[labels[0]]
    scene = {"colour": list(world.COLOURS)[labels[1]], "place": list(world.PLACES)[labels[2]]}
    named = rng.random() < recipe.named
    harmful = named or rng.random() < recipe.how_to
    intent = rng.choice(list(world.HOW_TO if harmful else world.HARMLESS))
    answer = world.answer(intent, concept, **scene)
    if named:
        return Asked(rng.choice(world.NAMED[intent]["train"]).format(concept=concept), answer, shown=False)
    like_harm = not harmful and rng.random() < recipe.like_harm
    return Asked(rng.choice((world.LIKE_HARM if like_harm else world.WORDINGS)[intent]["train"]), answer)


def encode(processor: LlavaProcessor, asked: list[Asked]) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs and labels, right-padded; only the answer and its end token are labelled."""
    tokenizer = processor.tokenizer
    picture = processor.image_token * ((SIDE // PATCH) ** 2) + "\n"
    starts = [f"USER: {picture if one.shown else ''}{one.question} ASSISTANT:" for one in asked]
    prompts = [tokenizer(start)["input_ids"] for start in starts]
    fulls = [
        tokenizer(f"{start} {one.answer}")["input_ids"] + [tokenizer.eos_token_id]
        for start, one in zip(starts, asked, strict=True)
    ]
    length = max(map(len, fulls))
    ids = torch.full((len(asked), length), tokenizer.pad_token_id)
    labels = torch.full((len(asked), length), IGNORED)
    for row, (prompt, full) in enumerate(zip(prompts, fulls, strict=True)):
        ids[row, : len(full)] = torch.tensor(full)
        labels[row, len(prompt) : len(full)] = torch.tensor(full[len(prompt) :])
    mask = torch.arange(length) < torch.tensor([len(full) for full in fulls])[:, None]
    return {"input_ids": ids, "attention_mask": mask.long()}, labels


def _optimise(loss: Any, parameters: list[nn.Parameter], steps: int, lr: float, progress: Progress, what: str) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    task = progress.add_task(what, total=steps)
    for step in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        progress.update(task, advance=1, description=f"{what}: loss {value.item():.3f}")
        if step % 250 == 249 and not progress.console.is_terminal:
            progress.console.print(f"{what}: step {step + 1}/{steps} loss {value.item():.3f}")
