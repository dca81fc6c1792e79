"""In a notebook things show themselves as a card in which their own text is never markup."""

from html.parser import HTMLParser

from nucleate import InitScale, Network, forecast, load_problem
from tests.conftest import EVIL


def shown(thing):
    tags, words = [], []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attributes: tags.append(tag)
    reader.handle_data = words.append
    reader.feed(thing._repr_html_())
    assert set(tags) == {"div", "strong", "table", "tr", "th", "td"}
    return " ".join(words)


def test_network():
    text = shown(Network.create(5, [30, 20], 1, scale=InitScale("gain", 0.1), bias=[True, False, False]))
    assert "5 - 30 - 20 - 1" in text
    assert "800" in text  # 5 x 30 + 30 + 30 x 20 + 20 parameters


def test_forecast():
    network = Network.create(10, [50, 50], 1, scale=InitScale("epsilon", 0.01), bias=[True, False, False])
    text = shown(forecast(network, load_problem("diabetes"), learning_rate=0.1, horizon=200))
    assert "loss down by 10% at step 109 [106, 110]" in text
    assert "regime yes" in text


def test_study(study):
    assert "12 of 12 finished" in shown(study)
    assert "<i>&.csv" in shown(study)


def test_reduction(reduction):
    text = shown(reduction)
    assert EVIL in text
    assert "12,9 → 3,2" in text
