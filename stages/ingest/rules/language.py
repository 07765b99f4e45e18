"""Texts in another language than those to learn: text → whether it surely is in another one."""

from functools import cache
from typing import Any, Final

from twin.errors import ConfigError

JUDGED_CHARACTERS: Final = 40  # below, the detector guesses
WANTED_MAX: Final = 0.1
"""Confidence in the wanted languages together, below which a text is in another one. Of 3,429 English replies of two
people the quick look alone is wrong about 103; with the duel 2 are left, a key and a line of Latin names."""
LOOKED_AT: Final = 1000  # characters; a longer look changes no verdict


class Languages:
    """A quick look at all languages, then a duel of the wanted ones with the one that it found."""

    def __init__(self, codes: list[str]) -> None:
        """Check the codes; a detector is loaded only when the first text is judged.

        Raises:
            ConfigError: a code is not known, or the detector is not installed.
        """
        self._wanted = [_language(code) for code in codes]

    def foreign(self, text: str) -> bool:
        """Say whether a text is long enough to judge and surely in none of the wanted languages."""
        if not self._wanted or len(text) < JUDGED_CHARACTERS:
            return False
        values = _quick().compute_language_confidence_values(text[:LOOKED_AT])
        likeliest = values[0]
        # A text without letters has no language: all values are 0.
        if not likeliest.value or self._confidence(values) >= WANTED_MAX:
            return False
        duel = _thorough(likeliest.language, *self._wanted)
        return self._confidence(duel.compute_language_confidence_values(text[:LOOKED_AT])) < WANTED_MAX

    def _confidence(self, values: Any) -> float:
        return float(sum(value.value for value in values if value.language in self._wanted))


def _lingua() -> Any:
    try:
        import lingua
    except ImportError:
        raise ConfigError(
            "params.yaml: ingest.cleaning.languages needs lingua-language-detector, which is not installed. "
            "Run `pip install 'cognitive-twin[languages]'`, or leave the list empty."
        ) from None
    return lingua


def _language(code: str) -> Any:
    lingua = _lingua()
    known = {language.iso_code_639_1.name.lower(): language for language in lingua.Language.all()}
    if code.strip().lower() not in known:
        raise ConfigError(
            f"params.yaml: ingest.cleaning.languages: {code!r} is not a two-letter code of a language that can be told "
            f"apart. These are: {' '.join(sorted(known))}."
        )
    return known[code.strip().lower()]


@cache
def _quick() -> Any:
    """Return a detector of all languages by trigrams alone, in 67 MiB; short texts with typos mislead it."""
    return _lingua().LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


@cache
def _thorough(*languages: Any) -> Any:
    """Return a detector of few languages by all it has on them, some 15 MiB each; all languages take 1 GiB."""
    return _lingua().LanguageDetectorBuilder.from_languages(*languages).build()
