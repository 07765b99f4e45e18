"""A second opinion: text → what the expressions of detect-secrets still find in it.

Only the text is looked at: no file, no entropy, no verification, hence never a connection.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Final, Protocol

from twin.scrub.pattern import says_something

# A detector and a hint for RE2 that is found wherever the detector finds something; others are not asked.
_AFTER_KEY: Final = (
    r"""(?i:key|pwd|pw|pass|password|token)["']?\]? *(?::=|=>|[:= ]) *["']?[A-Za-z0-9_\x{17f}\x{212a}-]{24}"""
)
HINTS: Final = {
    "aws.AWSKeyDetector": r"""(?:A3T|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{4}|['"][0-9a-zA-Z/+\x{17f}\x{212a}]{40}['"]""",
    "azure_storage_key.AzureStorageKeyDetector": "AccountKey=",
    "basic_auth.BasicAuthDetector": r"://[^:/\s]+:[^:/\s]+@",
    "cloudant.CloudantDetector": _AFTER_KEY + r"|(?i:cloudant\.com)",
    "discord.DiscordBotTokenDetector": r"\.[^\s.]{6}\.[^\s.]{27}",
    "github_token.GitHubTokenDetector": r"gh[pousr]_\w{16}",
    "gitlab_token.GitLabTokenDetector": r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941",
    "ibm_cloud_iam.IbmCloudIamDetector": _AFTER_KEY,
    "ibm_cos_hmac.IbmCosHmacDetector": _AFTER_KEY,
    "jwt.JwtTokenDetector": r"eyJ[\w=-]+\.[\w=-]",
    "mailchimp.MailchimpDetector": "[0-9a-z]-us[0-9]",
    "pypi_token.PypiTokenDetector": "pypi-AgE",
    "sendgrid.SendGridDetector": r"SG\.[\w-]{22}",
    "slack.SlackDetector": r"(?i:xox[abposr]-|hooks\.slack\.com/services)",
    "softlayer.SoftlayerDetector": _AFTER_KEY + r"|(?i:api.softlayer.com/soap)",
    "square_oauth.SquareOAuthDetector": "sq0csp-",
    "stripe.StripeDetector": "[rs]k_live_",
    "telegram_token.TelegramBotTokenDetector": r"\S:[\w-]{35}",
    "twilio.TwilioKeyDetector": "(?:AC|SK)[a-z0-9]{32}",
}
# Never asked, and why.
LEFT_OUT: Final = {
    "artifactory.ArtifactoryDetector": "takes long words in capitals; our table wants a digit",
    "ip_public.IPPublicDetector": "takes version numbers and documentation addresses, which we leave on purpose",
    "npm.NpmDetector": "its time grows with the square of a line; our table has npm tokens",
    "openai.OpenAIDetector": "its time grows with the square of a line; our table has sk- keys and T3BlbkFJ",
    "private_key.PrivateKeyDetector": "finds the headline, not the key; our table takes headline and key",
    "keyword.KeywordDetector": "adds nothing to our named secrets: 4 hits in 53,000 lines of code, none a secret",
}
# Detectors go back in a line as far as it is long, and try each split of a run of spaces.
_LINE: Final = 2000
_OVERLAP: Final = 200
_SPACES: Final = re.compile(r" {4,}")


class _Detector(Protocol):
    def analyze_string(self, string: str) -> Iterator[str]: ...


@cache
def _detectors() -> tuple[_Detector, ...]:
    return tuple(getattr(import_module(f"detect_secrets.plugins.{module}"), name)() for module, name in _names())


def _names() -> Iterator[tuple[str, str]]:
    for detector in HINTS:
        module, _, name = detector.partition(".")
        yield module, name


def findings(text: str) -> list[str]:
    """Return what is found, the longest first, each once; never a placeholder alone."""
    found = {
        finding
        for piece in _pieces(text)
        for detector in _detectors()
        for finding in detector.analyze_string(piece)
        if says_something(finding) and finding in text
    }
    return sorted(found, key=lambda finding: (-len(finding), finding))


def _pieces(text: str) -> Iterator[str]:
    for line in text.splitlines():
        flat = _SPACES.sub("   ", line)
        for start in range(0, max(1, len(flat) - _OVERLAP), _LINE - _OVERLAP):
            yield flat[start : start + _LINE]
