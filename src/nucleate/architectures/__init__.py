"""Models beside the fully connected network: convolutions and transformers, and their descriptions."""

from nucleate.architectures.architecture import ARCHITECTURES, Architecture, get_architecture
from nucleate.architectures.blocks import Block
from nucleate.architectures.convolution import ConvNetwork, Step
from nucleate.architectures.model import Model
from nucleate.architectures.near_zero import closed_form
from nucleate.architectures.transformer import Transformer

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Block",
    "ConvNetwork",
    "Model",
    "Step",
    "Transformer",
    "closed_form",
    "get_architecture",
]
