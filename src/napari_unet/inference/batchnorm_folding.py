"""The network in the form that computes fastest, and how much it may then differ."""

import copy
import os
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.network.unet import UNet

SHORT_TYPES = ("avx512_bf16", "amx_bf16", "bf16")  # names of the instructions on x86 and Arm
# Environment that keeps oneDNN, which computes for torch, from a processor's newer instructions;
# the first that is set counts.
MASKS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
# Their values without the instructions for bfloat16, which oneDNN reads in any case.
WITHOUT_SHORT = {
    "sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni",
}  # fmt: skip


def folded(network: UNet) -> UNet:
    """Return a copy for inference, with every BatchNorm inside the convolution before it.

    In evaluation mode a BatchNorm multiplies and adds numbers that do not change, so they can be
    multiplied into the convolution's weights and added to its bias once (as e.g. in Jacob et al.,
    2018, arXiv:1712.05877, section 3.2). The result is the same but for rounding.
    """
    copied = copy.deepcopy(network).eval()
    for block in [m for m in copied.modules() if isinstance(m, nn.Sequential)]:
        for i in reversed(range(1, len(block))):
            before, norm = block[i - 1], block[i]
            if isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(before, nn.ConvTranspose2d)
                block[i - 1] = fuse_conv_bn_eval(before, norm, transpose=transposed)  # type: ignore[type-var]
                del block[i]
    return copied


def pick_precision(wanted: str, device: torch.device) -> torch.dtype:
    """Return the type to compute in.

    Parameters
    ----------
    wanted : {"auto", "float32", "bfloat16"}
        "auto" takes the short type where a processor multiplies it in one instruction.
    device : torch.device
        Where to compute.
    """
    if wanted == "auto":
        return torch.bfloat16 if device.type == "cpu" and computes_bfloat16() else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def computes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in one instruction; others only emulate it.

    A processor whose instructions are masked (`MASKS`) emulates it, too.
    """
    mask = next((os.environ[name] for name in MASKS if os.environ.get(name)), "")
    if mask.lower() in WITHOUT_SHORT:
        return False
    # a table of the processor's instructions, in torch from 2.11 on
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in SHORT_TYPES)
