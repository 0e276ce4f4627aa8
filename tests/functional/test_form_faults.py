"""What is wrong with a merchant's form is said in the language of the page."""

import re

import pytest

from bitcache_server.domain.errors import InvalidRequest, UnknownSite
from bitcache_server.http.language import said
from tests.support.dashboard import sign_in
from tests.support.world import World


@pytest.mark.parametrize(
    ("path", "form", "words"),
    [
        ("./branding", {"name": " "}, "Der Name fehlt."),
        ("./branding", {"name": "x" * 201}, "Der Name ist länger als 200 Zeichen."),
        ("./branding", {"name": "Ada", "accent": "#f0a35e"}, "ist auf Weiß zu blass"),
        ("./webhooks", {"url": "https://10.0.0.1/"}, "im öffentlichen Internet"),
        ("./webhooks", {"url": "https://a.example/", "which": "some"}, "mindestens ein Ereignis"),
        ("./sites", {"name": "", "origin": "https://a.example"}, "Der Name der Website fehlt."),
        ("./sites", {"name": "A", "origin": "a.example/x"}, "ist kein Ursprung. Schreiben Sie"),
        ("./orders/new", {"title_0": "x", "price_0": "1", "quantity_0": "x"}, "ganze Zahl"),
        ("./orders/new", {"title_0": "", "price_0": "1"}, "Der Titel einer Position fehlt."),
    ],
)
def test_what_is_wrong_with_a_form_is_said_in_german(
    sqlite_world: World, path: str, form: dict[str, object], words: str
) -> None:
    person = sign_in(sqlite_world)
    hidden = re.search(r'name="form" value="([^"]+)"', person.get(f"{path}?lang=de").text)
    sent = {"site": sqlite_world.site_id, "currency": "USD", "reference": "H-1", **form}
    answer = person.post(path, sent | ({"form": hidden[1]} if hidden else {}))
    assert answer.status_code == 422, answer.text
    assert words in answer.text


def test_what_has_no_other_words_is_said_as_it_is(sqlite_world: World) -> None:
    with sqlite_world.app.test_request_context("/?lang=de"):
        assert said(InvalidRequest("100% of it, %(what)s")) == "100% of it, %(what)s"
        assert said(UnknownSite()) == UnknownSite.title
