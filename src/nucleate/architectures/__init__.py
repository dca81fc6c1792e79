"""Models beside the fully connected network: convolutions and transformers, and their descriptions."""

from nucleate.architectures.architecture import ARCHITECTURES, Architecture, get_architecture
from nucleate.architectures.convolution import ConvNetwork, Step
from nucleate.architectures.near_zero import EvenTransformer, closed_form
from nucleate.architectures.transformer import Block, Transformer

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Block",
    "ConvNetwork",
    "EvenTransformer",
    "Step",
    "Transformer",
    "closed_form",
    "get_architecture",
]
