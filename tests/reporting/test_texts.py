"""All languages say the same things, with the same numbers in them."""

from string import Formatter

import pytest

from nucleate import NucleateError
from nucleate.reporting import LANGUAGES
from nucleate.reporting.words import load_texts
from nucleate.training import Status


def fields(lang):
    return {
        (section, key): sorted(name for _, name, _, _ in Formatter().parse(text) if name)
        for section, texts in load_texts(lang).items()
        for key, text in texts.items()
    }


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_the_same_keys_with_the_same_fields(lang):
    assert fields(lang) == fields("en")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_end_of_a_run_has_its_words(lang):
    assert set(load_texts(lang)["status"]) == {*Status, "risen"}


def test_japanese_uses_the_words_of_the_field():
    text = " ".join(text for section in load_texts("ja").values() for text in section.values())
    for term in (
        "初期凝縮",
        "有効ダイナミクス",
        "爆発時間",
        "低ランク",
        "実効ニューロン数",
        "プラトー",
        "検証誤差",
        "初期化スケール",
        "学習率",
    ):
        assert term in text


def test_an_unknown_language_is_one_sentence():
    with pytest.raises(NucleateError, match="There is no language 'fr'; choose one of en, ja"):
        load_texts("fr")
