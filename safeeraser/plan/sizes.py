"""The arithmetic of planning: from the sizes of a model and of a batch to bytes and floating-point operations.

Pure numbers, no model library. Not covered: where the sizes come from (`model_sizes.py`, `tokens.py`), and how long it
takes (`forecast.py`). What is estimated rather than counted says so in `Part.what`.
"""

from dataclasses import dataclass

from safeeraser.config import RunConfig

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
# NF4 with double quantisation (QLoRA, arXiv 2305.14314, section 3): 4 bits, 8 bits for each block of 64 weights, and
# 32 bits for each 256 blocks.
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
# What a process holds on a GPU before its first tensor: driver, kernels and cuBLAS workspaces; rounded up.
CONTEXT = 0.6 * 2**30


@dataclass(frozen=True)
class Architecture:
    """The sizes of a model with the adapter of a run, in numbers of parameters or of features.

    parts: parameters of the base model by part. trained: parameters that training changes, by kind. linear: weights of
    the language model's linear layers that have LoRA, which every token meets. quantized: weights that 4-bit storage
    makes small. query, key_value: widths of attention's queries and of its keys. picture_tokens: that the model sees of
    a picture, as its configuration says. alone: in words, that pairs on a picture cannot share its tokens; None: they
    can. misread: in words, what the model takes for patches of a picture that is none. source: where this was read.
    """

    source: str
    parts: dict[str, int]
    trained: dict[str, int]
    linear: int
    quantized: int
    vision: int
    hidden: int
    intermediate: int
    layers: int
    query: int
    key_value: int
    vocabulary: int
    picture_tokens: int
    alone: str | None = None
    misread: str | None = None

    @property
    def parameters(self) -> int:
        return sum(self.parts.values())

    @property
    def trainable(self) -> int:
        return sum(self.trained.values())


@dataclass(frozen=True)
class Part:
    """A part of the memory: bytes, and in words what it is."""

    name: str
    bytes: float
    what: str


def weights(model: Architecture, config: RunConfig) -> Part:
    """The frozen weights, as they are stored."""
    width = BYTES[config.precision]
    if config.quantization == "none":
        return Part("base weights", width * model.parameters, f"{model.parameters:,} x {width} bytes, frozen")
    rest = model.parameters - model.quantized
    what = f"{model.quantized:,} x {NF4:.3f} bytes (4 bits and their scales), {rest:,} x {width} bytes, frozen"
    return Part("base weights", NF4 * model.quantized + width * rest, what)


def training(
    model: Architecture, config: RunConfig, *, tokens: int, answer_tokens: int, base_answer_tokens: int
) -> list[Part]:
    """Memory of a training step by part; tokens: of its largest backward pass, answer tokens: those that have a loss.

    base_answer_tokens: the answer tokens that are compared with the base model's prediction.
    """
    count, width, vocabulary = model.trainable, BYTES[config.precision], model.vocabulary
    parts = [
        weights(model, config),
        Part("trained weights", 4 * count, f"{count:,} x 4 bytes: LoRA, and the projector's copy if it is trained"),
        Part("gradients", 4 * count, f"{count:,} x 4 bytes"),
        Part("AdamW", 8 * count, f"{count:,} x 2 moments x 4 bytes"),
        _activations(model, config, tokens),
        # In the model's precision; then in fp32 as such, as log-probabilities, and as their gradient.
        Part(
            "logits",
            (width + 12) * vocabulary * answer_tokens,
            f"{answer_tokens:,} answer tokens x {vocabulary:,} x {width + 12} bytes (an estimate)",
        ),
    ]
    if base_answer_tokens:
        parts.append(
            Part(
                "base logits",
                (width + 8) * vocabulary * base_answer_tokens,
                f"{base_answer_tokens:,} answer tokens x {vocabulary:,} x {width + 8} bytes (an estimate)",
            )
        )
    return [*parts, _context()]


def answering(model: Architecture, config: RunConfig, *, prompt: int, answers: int) -> list[Part]:
    """Memory of answering by part; prompt: tokens of the longest prompt with its picture; answers: how many in all."""
    width, rows = BYTES[config.precision], min(config.answer_batch, answers)
    length = prompt + config.max_new_tokens
    parts = [weights(model, config)]
    if config.trains:
        parts.append(Part("trained weights", 4 * model.trainable, f"{model.trainable:,} x 4 bytes"))
    return [
        *parts,
        Part(
            "KV cache",
            rows * length * kv_bytes(model, config),
            f"{rows} answers x {length:,} tokens x {kv_bytes(model, config):,} bytes",
        ),
        Part("logits", rows * model.vocabulary * (width + 4), f"{rows} answers x {model.vocabulary:,} x {width + 4}"),
        _context(),
    ]


def kv_bytes(model: Architecture, config: RunConfig) -> int:
    """Bytes of the keys and values of one token in all layers."""
    return 2 * model.layers * model.key_value * BYTES[config.precision]


def training_flops(model: Architecture, *, tokens: int, base_tokens: int, pictures: int, checkpointing: bool) -> float:
    """Floating-point operations of training on so many tokens.

    Frozen weights take 2 operations a token forward and 2 for the gradient of what flows through them; LoRA's own take
    2 more for their gradient; checkpointing repeats the forward pass (arXiv 2205.05198, appendix A, without attention's
    products of queries and keys, which are a few percent at these lengths). base_tokens: passed forward through the
    base model. pictures: that the frozen vision tower encodes, a patch for each of their tokens.
    """
    again = 2 if checkpointing else 0
    adapter = model.trained.get("LoRA", 0)
    per_token = (4 + again) * model.linear + (6 + again) * adapter
    encoding = 2 * model.vision * model.picture_tokens * pictures
    return tokens * per_token + base_tokens * 2 * model.linear + encoding


def prefill_flops(model: Architecture, *, tokens: int, pictures: int) -> float:
    """Floating-point operations of reading prompts of so many tokens, with their pictures."""
    adapter = model.trained.get("LoRA", 0)
    return 2 * (model.linear + adapter) * tokens + 2 * model.vision * model.picture_tokens * pictures


def decode_bytes(model: Architecture, config: RunConfig, *, answers: int, prompt: int) -> float:
    """Bytes read from memory to write so many answers, all as long as they may get.

    Each token of a batch reads the weights once, and the keys and values of all its rows; prompt: tokens before the
    answer. The cache is counted at half of the answer, where it is on average.
    """
    batches = -(-answers // config.answer_batch)
    steps = batches * config.max_new_tokens
    cache = answers * config.max_new_tokens * (prompt + config.max_new_tokens / 2) * kv_bytes(model, config)
    return steps * weights(model, config).bytes + cache


def _activations(model: Architecture, config: RunConfig, tokens: int) -> Part:
    """What the forward pass keeps for the backward pass.

    Bytes a token and layer, counted as in arXiv 2205.05198 (section 4.1) for LLaMA's layer with LoRA, with attention
    that keeps no matrix of scores: the inputs of both norms in fp32; attention's queries, keys, values and output;
    three times the MLP's width; and the input of every LoRA layer, with one byte for its dropout (a GPU's). With
    checkpointing only each layer's input stays, and one layer at a time is computed again.
    """
    width, dropout = BYTES[config.precision], config.lora_dropout > 0
    norms = 2 * 4 * model.hidden
    attention = width * 2 * (model.query + model.key_value)
    mlp = width * 3 * model.intermediate
    # q, k, v take one input, gate and up one, o takes attention's output; dropout or a cast makes a copy for each.
    copied = dropout or width != 4
    inputs = (5 if copied else 2) * model.hidden + (model.query if copied else 0) + model.intermediate
    lora = (width + dropout) * inputs + 7 * width * config.lora_rank
    layer = norms + attention + mlp + lora
    last_norm = 4 * model.hidden
    if config.gradient_checkpointing:
        per_token = model.layers * width * model.hidden + layer + last_norm
        how = "each layer's input, and one layer in full"
    else:
        per_token, how = model.layers * layer + last_norm, "all layers"
    return Part("activations", tokens * per_token, f"{tokens:,} tokens x {per_token:,} bytes: {how} (an estimate)")


def _context() -> Part:
    return Part("CUDA context", CONTEXT, "driver and workspaces, on a GPU (an assumption)")
