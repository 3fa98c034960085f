import copy
import json
import pickle

import pytest

from escrowd.domain.secret import Secret

TEXT = "correct horse battery staple"


def test_printed_secret_shows_its_text() -> None:
    """However a secret is printed or formatted, its text does not appear."""
    secret = Secret(TEXT)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>40}", f"{[secret]}", f"{secret!s}"]
    assert [text for text in shown if TEXT in text] == []


def test_traceback_shows_the_text_of_a_secret() -> None:
    """An error made of a secret does not hold its text."""
    assert TEXT not in repr(ValueError("wrong password", Secret(TEXT)))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_secret_is_pickled(protocol: int) -> None:
    """A secret is not written into a pickle of any protocol."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(TEXT), protocol)


def test_secret_is_copied_or_serialised() -> None:
    """A secret is not copied and not written as JSON, and has no attributes to list."""
    secret = Secret(TEXT)
    for leak in (copy.copy, copy.deepcopy, json.dumps, vars):
        with pytest.raises(TypeError):
            leak(secret)


def test_secret_hides_from_who_asks_for_it() -> None:
    """Who asks for the text by name gets it."""
    assert Secret(TEXT).reveal() == TEXT


def test_secrets_compare_wrongly() -> None:
    """Two secrets are equal when their texts are, in a set too, and a secret never equals a bare text."""
    assert (Secret(TEXT) == Secret(TEXT), Secret(TEXT) == Secret(""), Secret(TEXT) == TEXT) == (True, False, False)
    assert len({Secret(TEXT), Secret(TEXT), Secret("")}) == 2
