"""Texts in another language than those to learn: text → whether it surely is in another one."""

from functools import cache
from typing import Any, Final

from twin.errors import ConfigError

JUDGED_CHARACTERS: Final = 40  # below, the detector guesses
WANTED_MAX: Final = 0.1
"""Confidence of the quick look in all wanted languages, from which a text is in one of them."""
MARGIN: Final = 0.25
"""Lead in confidence that another language must have in the thorough look. On 3,429 English replies of two people the
quick look alone is wrong about 103, the best guess of the thorough one about 15, with this lead it is 2: a key and a
line of Latin names."""
LOOKED_AT: Final = 1000  # characters; a longer look changes no verdict


class Languages:
    """Judges by the whole set of languages that the detector knows, so that a wanted one has to win against all."""

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
        wanted, _ = self._confidence(text, thorough=False)
        if wanted >= WANTED_MAX:
            return False
        wanted, best = self._confidence(text, thorough=True)
        return best - wanted >= MARGIN

    def _confidence(self, text: str, thorough: bool) -> tuple[float, float]:
        """Return the confidence in the wanted languages together, and in the likeliest of all."""
        values = _detector(thorough).compute_language_confidence_values(text[:LOOKED_AT])
        return sum(value.value for value in values if value.language in self._wanted), values[0].value


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
def _detector(thorough: bool) -> Any:
    """Return a detector: quick takes 67 MiB and 0.2 ms a text, thorough 1 GiB and 1.5 ms."""
    builder = _lingua().LanguageDetectorBuilder.from_all_languages()
    return builder.build() if thorough else builder.with_low_accuracy_mode().build()
