"""Modules that several files of tests take."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

nn = torch.nn
TOKENS = {"vocab_size": 20, "bos_token_id": 0, "eos_token_id": 0}


def gpt2():
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, n_positions=6, **TOKENS)
    return transformers.GPT2LMHeadModel(config)


def llama():
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 4, "num_key_value_heads": 2}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_hidden_layers=1, **sizes, **TOKENS))


def mixtral():
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2}
    experts = {"num_local_experts": 3, "num_experts_per_tok": 2}
    config = transformers.MixtralConfig(num_hidden_layers=1, **sizes, **experts, **TOKENS)
    return transformers.MixtralForCausalLM(config)


class Block(nn.Module):
    """A block of a residual network."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
