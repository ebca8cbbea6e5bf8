"""The plain world's base model cut down: a random language model of two layers that spells, and a random tower."""

from functools import cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from safeeraser.plain import base_model
from safeeraser.plain.efficientnet import Tower, TowerConfig

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def tokenizer() -> PreTrainedTokenizerFast:
    """A token for each byte, in the shape of SmolLM2's."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({piece: n for n, piece in enumerate((*SPECIAL, *letters))}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=SPECIAL[0], bos_token=SPECIAL[1], eos_token=SPECIAL[2], pad_token=SPECIAL[2]
    )


def language() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer()),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        )
    ).eval()


@cache
def tower() -> Tower:
    torch.manual_seed(0)
    made = Tower(TowerConfig(image_size=64, patch_size=32, hidden_size=16))
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)  # else it makes zeros of every picture
    return made


def joined() -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Model and processor."""
    return base_model.join(language(), tokenizer(), tower())
