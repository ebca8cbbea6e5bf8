"""`safeeraser` with the model split over CPU processes by FSDP2; accelerate itself splits on GPUs alone.

Started by test_processes.py. What differs from `accelerate launch --use_fsdp --fsdp_version 2` is who calls
`fully_shard`.
"""

import sys
from typing import Any

from accelerate import Accelerator
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from safeeraser import cli
from safeeraser.unlearn import train


class Sharding(Accelerator):
    """An Accelerator that splits the model's layers and the rest of it."""

    def prepare(self, *prepared: Any, **how: Any) -> Any:
        model, optimizer = prepared
        mesh = init_device_mesh("cpu", (self.num_processes,))
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        places = {id(parameter): name for name, parameter in model.named_parameters()}
        names = [places[id(parameter)] for parameter in trained]
        for layer in (module for module in model.modules() if isinstance(module, LlamaDecoderLayer)):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        split = dict(model.named_parameters())
        optimizer.param_groups[0]["params"] = [split[name] for name in names]
        return model, optimizer


if __name__ == "__main__":
    train.Accelerator = Sharding  # type: ignore[misc]
    sys.exit(cli.main())
