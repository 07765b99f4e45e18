"""No secret and no address gets through, placeholders are consistent, and ordinary text is left alone."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.scrub import KINDS, PATTERNS, Scrubber, shown

# Made up; split so that no scanner takes this file for a leak.
SECRETS = {
    "private_key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIBOgIBAAJBAK\n-----END RSA " + "PRIVATE KEY-----",
    "jwt": "eyJhbGciOiJIUzI1NiJ9" + ".eyJyb2xlIjoiYW5vbiJ9" + ".c2lnbmF0dXJlMTIz",
    "supabase_key": "sb_" + "secret_Zk3mP0q9vX2bTyLw8RnHc1",
    "github_token": "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a",
    "sk_key": "sk-" + "ant-api03-q7Wm2Zk9Lx4Tn8Vb1Rc5",
    "hugging_face_token": "hf" + "_QwErTyUiOpAsDfGhJkLzXcVbNm",
    "groq_key": "gsk" + "_9aB8cD7eF6gH5iJ4kL3mN2oP",
    "aws_key_id": "AKIA" + "IOSFODNN7EXAMPLE",
    "url_password": "postgres:p@ss" + "/w0rd",
    "bearer_token": "q1w2e3r4t5" + "y6u7i8o9p0",
    "email": "jörg.x+tag@mail.example.co.uk",
    "password": "correct-horse",
    "named_secret": "tok_4f5g6h7j8k",
}
AROUND = {
    "url_password": "connect to postgresql://{}@db.example.co:5432/postgres now",
    "bearer_token": "curl -H 'Authorization: Bearer {}' x",
    "password": "export DB_PASSWORD='{}' first",
    "named_secret": '{{"access_token": "{}"}}',
}


def scrub(text: str) -> tuple[str, Counter[str]]:
    counts: Counter[str] = Counter()
    return Scrubber(counts).scrub(text), counts


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_removed_and_counted_once(kind: str) -> None:
    text, counts = scrub(AROUND.get(kind, "use {}, then go").format(SECRETS[kind]))
    assert SECRETS[kind] not in text
    assert counts == {kind: 1}
    assert ("<EMAIL_1>" if kind == "email" else "<SECRET_1>") in text


def test_every_kind_has_an_example_here() -> None:
    assert set(SECRETS) == set(KINDS)


def test_what_is_around_a_secret_stays() -> None:
    assert scrub(f"use {SECRETS['sk_key']}, then go")[0] == "use <SECRET_1>, then go"
    assert scrub("postgres://u:p%40w@h.example.co/db")[0] == "postgres://<SECRET_1>@h.example.co/db"
    assert scrub("password: hunter22.")[0] == "password: <SECRET_1>."
    assert scrub('{"password": "a, b c", "x": 1}')[0] == '{"password": "<SECRET_1>", "x": 1}'


def test_a_placeholder_is_the_same_for_the_same_value_and_another_for_another() -> None:
    scrubber = Scrubber(Counter())
    assert scrubber.scrub("a@x.org b@x.org a@x.org") == "<EMAIL_1> <EMAIL_2> <EMAIL_1>"
    assert scrubber.scrub("b@x.org c@x.org") == "<EMAIL_2> <EMAIL_3>"


@pytest.mark.parametrize(
    "text",
    [
        "token = tokenizer.encode(text)",
        "password: str",
        "password=$DB_PASSWORD and api_key=${API_KEY}",
        "git clone git@github.com:someone/thing.git",
        "http://localhost:8080/path?to=x@y",
        "ping @sam about the secret sauce, the password field and 5 tokens",
        "npm i left-pad@1.3.0 && use @pytest.mark.slow",
        "password=<SECRET_1>, mail <EMAIL_1>",
        "the ask-me-anything-2024-session and task-list",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert scrub(text) == (text, Counter())


def test_a_private_key_that_is_cut_goes_to_the_end() -> None:
    assert scrub("see -----BEGIN " + "PRIVATE KEY-----\nMIIBOgIBAAJB")[0] == "see <SECRET_1>"


@given(
    st.lists(
        st.sampled_from([*SECRETS.values(), "password=", "token: ", "://", "@", ":", " ", "\n", '"', "a.b", "é", "sk-"])
    )
)
@settings(max_examples=100, deadline=None)
def test_scrubbed_text_has_nothing_left_to_scrub_of_the_whole_secrets(pieces: list[str]) -> None:
    text, _ = scrub(" ".join(pieces))
    for kind in ("jwt", "supabase_key", "github_token", "sk_key", "hugging_face_token", "groq_key", "aws_key_id"):
        assert SECRETS[kind] not in text
    assert SECRETS["email"] not in text


def test_a_shown_value_is_short_scrubbed_and_on_one_line() -> None:
    assert shown("mail a@x.org\nnow") == '"mail <EMAIL_1> now"'
    assert len(shown("x" * 500)) == 62
    assert SECRETS["sk_key"][:20] not in shown("y" * 50 + " " + SECRETS["sk_key"])
    assert shown("\ud83d") == '"\\ud83d"'


def test_hints_never_hide_what_the_expression_would_find() -> None:
    for pattern in PATTERNS:
        text = AROUND.get(pattern.kind, "{}").format(SECRETS[pattern.kind])
        for variant in (text, text.upper() if pattern.kind in ("password", "named_secret", "bearer_token") else text):
            found = pattern.regex.search(variant)
            hinted = any(marker in variant.lower() and hint.search(variant.lower()) for marker, hint in pattern.hints)
            assert found
            assert hinted
