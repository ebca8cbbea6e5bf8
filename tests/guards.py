"""Tiny guard models of the true classes: random ones, and ones taught in a second to say what their self-test wants.

The chat templates have the form of the published ones (roles, marks, what opens the reply), in fewer words.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch.nn.functional import cross_entropy
from transformers import (
    Llama4Config,
    Llama4ForConditionalGeneration,
    MistralConfig,
    MistralForCausalLM,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from safeeraser.judge import guards
from safeeraser.judge.guards import GUARDS, Guard

CONTEXT = 400  # tokens
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
}
QWEN = (
    "{% set last = 'ASSISTANT' if messages[-1].role == 'assistant' else 'USER' %}"
    "{{ '<|im_start|>user\n# Task: is THE LAST ' + last + ' safe, and does it refuse?\n\n<BEGIN CONVERSATION>\n\n' }}"
    "{% for message in messages %}{{ message.role.upper() + ': ' + message.content + '\n\n' }}{% endfor %}"
    "{{ '<END CONVERSATION>\n\n<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n' }}"
)
LLAMA = (
    "{{ bos_token + '<|header_start|>system<|header_end|>\n\nTask: is it safe?\n\n<BEGIN CONVERSATION>\n\n' }}"
    "{% for message in messages %}{{ 'User: ' if message.role == 'user' else 'Agent: ' }}"
    "{% for part in message.content %}{% if part.type == 'image' %}{{ '<|image|>' }}{% else %}{{ part.text }}"
    "{% endif %}{% endfor %}{{ '\n\n' }}{% endfor %}{{ '<END CONVERSATION><|eot|>' }}"
    "{% if add_generation_prompt %}{{ '<|header_start|>assistant<|header_end|>\n\n' }}{% endif %}"
)
SPECIALS = {
    "qwen3guard-gen": ("<|endoftext|>", "<|im_end|>", "<|im_start|>"),
    "wildguard": ("<unk>", "</s>", "<s>", "[INST]", "[/INST]"),
    "llama-guard-4": ("<|finetune_right_pad|>", "<|eot|>", "<|begin_of_text|>", "<|header_start|>", "<|header_end|>"),
    "minos": ("[PAD]", "[SEP]", "[CLS]", "[MASK]"),
    "refusal-classifier": ("[PAD]", "[SEP]", "[CLS]", "[MASK]"),
}
# A line of a reply is one token, so that a reply is learnt in a moment.
REPLIES = {
    "qwen3guard-gen": (
        *("Safety: Safe\n", "Safety: Unsafe\n", "Safety: Controversial\n", "Categories: None\n"),
        *("Categories: Violent\n", "Refusal: Yes", "Refusal: No"),
    ),
    "wildguard": (
        *("Harmful request: yes\n", "Response refusal: yes\n", "Response refusal: no\n"),
        *("Harmful response: yes", "Harmful response: no"),
    ),
    "llama-guard-4": ("safe", "unsafe\n", "S9"),
}


def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """The words and signs of the self-tests, and the special tokens of the model; any other word is unknown."""
    split = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]|\s"), "isolated")
    texts = [QWEN, LLAMA, *(case.answer for case in guards.CASES), *(item.question for item in guards.ITEMS.values())]
    texts += ["".join(GUARDS["wildguard"].text("", "")), "<|user|> <|assistant|> USER ASSISTANT maybe"]  # pyright: ignore
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)} - {"\n"})
    pieces = ["[UNKNOWN]", *SPECIALS[name], "\n", *words, *REPLIES.get(name, ())]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNKNOWN]"))
    backend.pre_tokenizer = split
    backend.decoder = decoders.Fuse()
    pad, end, *others = SPECIALS[name]
    if pad == "[PAD]":
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]",
            special_tokens=[(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")],
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=None if name == "wildguard" else pad,  # Mistral's has none
        eos_token=end,
        bos_token="<|begin_of_text|>" if name == "llama-guard-4" else None,
        unk_token="[UNKNOWN]",
        additional_special_tokens=[*others],
        model_input_names=["input_ids", "attention_mask"],
    )
    if name == "qwen3guard-gen":
        made.add_tokens(["<think>", "</think>"])
    made.chat_template = {"qwen3guard-gen": QWEN, "llama-guard-4": LLAMA}.get(name)
    return made


def network(name: str, words: PreTrainedTokenizerFast) -> Any:
    """A random model of the class that the published checkpoint has."""
    torch.manual_seed(0)
    ids = words.get_vocab()
    ends: dict[str, Any] = {"vocab_size": len(words), "eos_token_id": ids[str(words.eos_token)]}
    ends["pad_token_id"] = words.pad_token_id or 0
    match name:
        case "qwen3guard-gen":
            return Qwen3ForCausalLM(Qwen3Config(**SMALL, **ends, num_key_value_heads=1, head_dim=16))
        case "wildguard":
            return MistralForCausalLM(MistralConfig(**SMALL, **ends, num_key_value_heads=1, head_dim=16))
        case "llama-guard-4":
            return Llama4ForConditionalGeneration(_llama4(ends))
        case _:
            labels = GUARDS[name].labels
            return ModernBertForSequenceClassification(
                ModernBertConfig(
                    **SMALL,
                    **ends,
                    cls_token_id=ids["[CLS]"],
                    sep_token_id=ids["[SEP]"],
                    bos_token_id=None,
                    id2label=dict(enumerate(labels)),
                    label2id={label: place for place, label in enumerate(labels)},
                )
            )


def _llama4(ends: Mapping[str, Any]) -> Llama4Config:
    """Llama Guard 4 is Llama 4 without its mixture of experts."""
    text = SMALL | dict(ends) | {"num_key_value_heads": 1, "head_dim": 16, "intermediate_size_mlp": 64}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 32, "patch_size": 8, "vision_output_dim": 32, "projector_input_dim": 32}
    vision |= {"projector_output_dim": 32, "pixel_shuffle_ratio": 0.5}
    return Llama4Config(
        text_config=text | {"moe_layers": [], "num_local_experts": 1, "num_experts_per_tok": 1},
        vision_config=vision,
        image_token_index=0,
    )


def random(folder: Path, name: str) -> Path:
    """A checkpoint that knows nothing."""
    words = tokenizer(name)
    network(name, words).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def taught(folder: Path, name: str, more: Mapping[tuple[str, str], Sequence[str]] | None = None) -> Path:
    """A checkpoint that says what its self-test wants.

    more: other (question, answer) with the lines of the reply, or the class.
    """
    words = tokenizer(name)
    made = network(name, words)
    _teach(made, words, GUARDS[name], {**_wanted(GUARDS[name]), **(more or {})})
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def _wanted(guard: Guard) -> dict[tuple[str, str], Sequence[str]]:
    verdicts: dict[tuple[str, str], dict[str, bool | None]] = {}
    for case in guard.known_cases:
        verdicts.setdefault((case.item.question, case.answer), {})[case.check] = case.verdict
    return {asked: _said(guard.name, found) for asked, found in verdicts.items()}


def _said(name: str, held: Mapping[str, bool | None]) -> Sequence[str]:
    unsafe, refused = held.get("unsafe"), held.get("refusal")
    match name:
        case "qwen3guard-gen":
            lines = ("Unsafe", "Violent") if unsafe else ("Safe", "None")
            return f"Safety: {lines[0]}\n", f"Categories: {lines[1]}\n", f"Refusal: {'Yes' if refused else 'No'}"
        case "wildguard":
            said = [
                f"Response refusal: {'yes' if refused else 'no'}\n",
                f"Harmful response: {'yes' if unsafe else 'no'}",
            ]
            return "Harmful request: yes\n", *said
        case "llama-guard-4":
            return ("unsafe\n", "S9") if unsafe else ("safe",)
        case "minos":
            return ("Refusal" if refused else "Non-refusal",)
        case _:
            kinds = {"refusal": "full_refusal", "stall": "clarification", "cannot see": "capability_limitation"}
            return (next((kind for check, kind in kinds.items() if held.get(check)), "compliant"),)


def _teach(made: Any, words: PreTrainedTokenizerFast, guard: Guard, wanted: Mapping[tuple[str, str], Any]) -> None:
    """Until it says each of them, by the same encoding that the judge uses."""
    from safeeraser.judge.guard_model import Graded, GuardModel

    asker = GuardModel(guard, made, words)
    optimiser = torch.optim.AdamW(made.parameters(), lr=1e-2)
    inputs = asker._encode([Graded(*asked) for asked in wanted])
    if guard.labels:
        targets = torch.tensor([guard.labels.index(said) for (said,) in wanted.values()])
    else:
        ids = words.get_vocab()
        rows = [[*(ids[line] for line in said), words.eos_token_id] for said in wanted.values()]
        longest = max(map(len, rows))
        targets = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
        inputs = {key: torch.cat([inputs[key], _after(key, targets)], dim=1) for key in inputs}
    made.train()
    for _ in range(300):  # a few dozen do
        logits = made(**inputs).logits
        if not guard.labels:
            logits = logits[:, -targets.shape[1] - 1 : -1].transpose(1, 2)
        loss = cross_entropy(logits, targets)
        if loss < 0.05:
            made.eval()
            return
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    raise AssertionError(f"{guard.name} did not learn its self-test")


def _after(key: str, targets: torch.Tensor) -> torch.Tensor:
    return (targets != -100).long() if key == "attention_mask" else targets.clamp(min=0)
