"""No secret and no address gets through, placeholders are consistent, and ordinary text is left alone."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import planted
from tests.structure import ROOT
from twin.errors import ConfigError
from twin.scrub import KINDS, Scrubber, leaks, shown

LABELS = {"email": "EMAIL", "ip_address": "IP", "card": "CARD", "iban": "IBAN", "phone": "PHONE"}

SECRETS = {kind: planted.value(kind) for kind in planted.FORMS}


def scrub(text: str) -> tuple[str, Counter[str]]:
    counts: Counter[str] = Counter()
    return Scrubber(counts).scrub(text), counts


@pytest.mark.parametrize("kind", planted.FORMS)
def test_each_kind_is_removed_and_counted_once(kind: str) -> None:
    counts: Counter[str] = Counter()
    text = Scrubber(counts, phone_region="DE").scrub(planted.text(kind))
    assert SECRETS[kind] not in text
    assert counts == {kind: 1}
    assert f"<{LABELS.get(kind, 'SECRET')}_1>" in text
    assert leaks(planted.text(kind), "DE") == [kind]
    assert leaks(text, "DE", second_opinion=True) == []


def test_every_kind_has_an_example_here() -> None:
    assert {*SECRETS, "second_opinion"} == set(KINDS)
    assert len(SECRETS) >= 40


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
        "W = a@x.reshape(2), icon@2x.png, lib@1.2.3-beta.rc",
        "v1.2.3.4, version 52.1.2.3, torch==52.1.2.30, section 3.1.2.4",
        "10.1.2.3 172.16.0.9 192.168.0.1 127.0.0.1 0.0.0.0 255.255.255.0 203.0.113.5 2001:db8::1",
        "1700000000000 1700000000000000 1700000000000000000 2026-01-01T00:00:00.000000+00:00",
        "550e8400-e29b-41d4-a716-446655440000 4111-1111-4111-8111-123456789012",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709 /usr/lib/python3.12/site-packages/numpy-1.26.4",
        "4111 1111 1111 1112, 4111111111111111.5, DE89 3704 0044 0532 0130 01",
        "password = getpass.getpass() or args.password",
        "password: Optional[str] = None",
        'api_key = os.environ["OPENAI_API_KEY_2"]',
        "token_count: 12345678, max_tokens=4096, token_type_ids=[101,2023,2003]",
        "user@host:~$ ls; @app.route('/x'); from '@scope/pkg'; npm i @types/node@20.11.5",
        "(32, 128, 768, 4096) $1,234,567.89 3.14159265358979323846",
        "sk-learn-0-24-notes-from-2024, task-12345678901234567890",
        "password is required to be 8 characters",
        "the ask-me-anything-2024-session and task-list",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert scrub(text) == (text, Counter())


def test_a_private_key_that_is_cut_goes_to_the_end() -> None:
    assert scrub("see -----BEGIN " + "PRIVATE KEY-----\nMIIBOgIBAAJB")[0] == "see <SECRET_1>"


PIECES = st.lists(
    st.one_of(
        st.sampled_from([planted.text(kind) for kind in planted.FORMS]),
        st.sampled_from([value[:cut] for value in SECRETS.values() for cut in (len(value) // 2, len(value))]),
        st.sampled_from(["password=", "token: ", "://", "@", ":", " ", "\n", '"', "a.b", "é", "sk-", "<EMAIL_1>", "<"]),
        st.text(max_size=4),
    ),
    max_size=8,
)


@given(PIECES, st.sampled_from(["", " "]))
@settings(max_examples=300, deadline=None)
def test_scrubbed_text_is_scrubbed_to_itself(pieces: list[str], between: str) -> None:
    once = Scrubber(Counter(), "DE", second_opinion=True).scrub(between.join(pieces))
    counts: Counter[str] = Counter()
    assert Scrubber(counts, "DE", second_opinion=True).scrub(once) == once
    assert counts == {}


@given(st.lists(st.sampled_from([kind for kind in planted.FORMS if kind not in planted.AROUND])))
@settings(max_examples=100, deadline=None)
def test_no_secret_survives_among_others(kinds: list[str]) -> None:
    text = Scrubber(Counter(), "DE").scrub("\n".join(planted.text(kind) for kind in kinds))
    assert [kind for kind in kinds if SECRETS[kind] in text] == []


def test_a_placeholder_that_somebody_typed_is_not_given_to_another() -> None:
    assert scrub("is <EMAIL_1> a@x.org or b@x.org?")[0] == "is <EMAIL_1> <EMAIL_2> or <EMAIL_3>?"
    scrubber = Scrubber(Counter())
    scrubber.reserve(["what is <EMAIL_1>?"])
    assert scrubber.scrub("a@x.org") == "<EMAIL_2>"


def test_addresses_and_numbers_of_the_public_net_go() -> None:
    assert scrub("ping 52.143.77.19:443, 2606:4700:20::681a:4e2")[0] == "ping <IP_1>:443, <IP_2>"
    assert scrub("4111 1111 1111 1111 2026 10, 378282246310005")[0] == "<CARD_1> 2026 10, <CARD_2>"
    assert scrub("IBAN GB82WEST12345698765432 BIC X")[0] == "IBAN <IBAN_1> BIC X"


def test_telephone_numbers_go_only_where_a_region_is_given() -> None:
    text = f"call {SECRETS['phone']} 3 times, not +49 11"
    assert scrub(text)[0] == text
    assert Scrubber(Counter(), "DE").scrub(text) == "call <PHONE_1> 3 times, not +49 11"
    with pytest.raises(ConfigError, match="is not a region of telephone numbers"):
        Scrubber(Counter(), "Germany")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigError, match=r"pip install 'cognitive-twin\[phones\]'"):
        Scrubber(Counter(), "DE")


def test_importing_it_is_light() -> None:
    probe = "import sys, twin.scrub; print({'pyarrow', 'detect_secrets', 'phonenumbers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "unit",
    ["a", "1 ", "a@", "a.", "4111 ", "sk-", "eyJ", "eyJa.", "password=", "password=,", "token: ", "://a:", "1.",
     "curl ", "-----BEGIN PRIVATE KEY", "2a:", "DE89 ", "<", "-", " ", "aws", "key ", "M.", "bearer ", "+4 ", "AKC",
     "xoxb-", "/"],
)  # fmt: skip
def test_time_grows_with_the_text_and_not_with_its_square(unit: str) -> None:
    # 128 KiB: a square would be 17 thousand million steps, minutes; what is linear takes a fraction of a second.
    probe = (
        "import sys; from collections import Counter; from twin.scrub import Scrubber;"
        "Scrubber(Counter(), second_opinion=True).scrub((sys.argv[1] * 2**17)[:2**17])"
    )
    subprocess.run([sys.executable, "-c", probe, unit], cwd=ROOT, timeout=20, check=True)


def test_a_shown_value_is_short_scrubbed_and_on_one_line() -> None:
    assert shown("mail a@x.org\nnow") == '"mail <EMAIL_1> now"'
    assert len(shown("x" * 500)) == 62
    assert SECRETS["sk_key"][:20] not in shown("y" * 50 + " " + SECRETS["sk_key"])
    assert shown("\ud83d") == '"\\ud83d"'
