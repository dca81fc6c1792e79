"""What a neuron reads: its row of the layer's weights, then its bias."""

import numpy as np
import pytest

from nucleate import ArchitectureError, InitScale, Network
from nucleate.observe import neurons

NETWORK = Network.create(3, [5, 4], 2, scale=InitScale("gain", 1.0), bias=[True, False, True])


def test_a_neuron_is_its_input_weights_with_its_bias_last():
    vectors = neurons(NETWORK, 1)
    assert vectors.dtype == np.float64
    np.testing.assert_array_equal(vectors[:, :3], NETWORK.weights[0])
    np.testing.assert_array_equal(vectors[:, 3], NETWORK.biases[0])


def test_without_bias_it_is_its_input_weights():
    np.testing.assert_array_equal(neurons(NETWORK, 2), NETWORK.weights[1])


@pytest.mark.parametrize("layer", [-1, 0, 3])
def test_only_hidden_layers_have_neurons(layer):
    with pytest.raises(
        ArchitectureError, match=rf"no hidden layer {layer}; Network\(3-5-4-2.* has hidden layers 1 to 2"
    ):
        neurons(NETWORK, layer)
