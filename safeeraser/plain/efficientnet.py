"""EfficientNet-Lite0 as a frozen vision tower that `LlavaForConditionalGeneration` takes and `from_pretrained` loads.

Architecture: arXiv 1905.11946, table 1, in the "lite" form of TensorFlow's TPU repository: no squeeze-and-excitation,
ReLU6, and convolutions padded as TensorFlow does. Covered: inference. Not covered: training it (its statistics stay).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

STEM = 32
EPSILON = 1e-3  # of the published batch normalisation


@dataclass(frozen=True)
class Stage:
    """So many blocks of one kind; kernel and stride (of the first block), expansion of the width, width."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class TowerConfig(PreTrainedConfig):
    """hidden_size: features of a picture token. Of a picture of image_size pixels, one token a patch_size square."""

    model_type = "efficientnet_lite0"

    hidden_size: int = 1280
    image_size: int = 224
    patch_size: int = 32
    num_hidden_layers: int = 1
    num_channels: int = 3


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": what is odd of the padding goes to the right and to the bottom."""

    def forward(self, input: Tensor) -> Tensor:
        padding: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            needed = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [needed // 2, needed - needed // 2]
        return super().forward(functional.pad(input, padding))


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPSILON)


class Block(nn.Module):
    """An inverted bottleneck: wider, depthwise, narrower; with a way around it where nothing changes its shape."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expand
        self.expands = stage.expand > 1
        self.skips = stride == 1 and inputs == stage.width
        if self.expands:
            self.expand_conv, self.bn0 = _conv(inputs, wide), _norm(wide)
        self.depthwise_conv, self.bn1 = _conv(wide, wide, stage.kernel, stride, groups=wide), _norm(wide)
        self.project_conv, self.bn2 = _conv(wide, stage.width), _norm(stage.width)

    def forward(self, inputs: Tensor) -> Tensor:
        wide = functional.relu6(self.bn0(self.expand_conv(inputs))) if self.expands else inputs
        wide = functional.relu6(self.bn1(self.depthwise_conv(wide)))
        narrow = self.bn2(self.project_conv(wide))
        return narrow + inputs if self.skips else narrow


class Tower(PreTrainedModel):
    """Pixels [n, 3, side, side] -> the last hidden state [n, tokens, hidden_size], row by row of the picture.

    The network's grid has a cell for each 32 pixels; cells of one patch are averaged.
    """

    config_class = TowerConfig
    config: TowerConfig
    main_input_name = "pixel_values"

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config)
        self.conv_stem, self.bn0 = _conv(config.num_channels, STEM, 3, 2), _norm(STEM)
        blocks: list[Block] = []
        width = STEM
        for stage in STAGES:
            for number in range(stage.blocks):
                blocks.append(Block(width, stage, 1 if number else stage.stride))
                width = stage.width
        self.blocks = nn.ModuleList(blocks)
        self.conv_head, self.bn1 = _conv(width, config.hidden_size), _norm(config.hidden_size)
        self.post_init()
        self.eval()

    def train(self, mode: bool = True) -> "Tower":
        """Stays in eval mode: the published statistics of its batch normalisation are part of what it knows."""
        return super().train(False)

    def forward(self, pixel_values: Tensor, **asked: Any) -> BaseModelOutput:
        grid = functional.relu6(self.bn0(self.conv_stem(pixel_values.to(self.dtype))))
        for block in self.blocks:
            grid = block(grid)
        grid = functional.relu6(self.bn1(self.conv_head(grid)))
        side = self.config.image_size // self.config.patch_size
        seen = functional.adaptive_avg_pool2d(grid, side).flatten(2).transpose(1, 2)
        # LLaVA chooses among the hidden states, of which there is one behind the pixels.
        return BaseModelOutput(last_hidden_state=seen, hidden_states=(pixel_values, seen))  # pyright: ignore

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take the published weights, without those of the classifier. Raises RuntimeError for any other weights."""
        own = {re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in weights.items()}
        classifier = {name for name in own if name.startswith("fc.")}
        self.load_state_dict({name: own[name] for name in own.keys() - classifier}, strict=True)


def register() -> None:
    """Make the Auto classes of transformers know the tower; more than once is as good as once."""
    AutoConfig.register(TowerConfig.model_type, TowerConfig, exist_ok=True)
    AutoModel.register(TowerConfig, Tower, exist_ok=True)
