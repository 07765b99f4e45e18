"""What leads to a person: e-mail and network addresses, payment cards, bank accounts, telephone numbers.

Names and street addresses are not covered: no light tool that works offline finds them.
"""

import ipaddress
import re
from typing import Final

from twin.errors import ConfigError
from twin.scrub.pattern import Accept, Pattern

# Lengths by country. Source: the IBAN registry of SWIFT, release 99.
_IBAN_LENGTHS: Final = {
    country: int(length)
    for length, countries in (
        line.split(" ", 1)
        for line in """15 NO
16 BE
18 DK FK FO FI GL NL SD
19 MK SI
20 AT BA EE KZ LT LU MN XK
21 CH CR HR LI LV
22 BG BH DE GB GE IE ME RS VA
23 AE GI IL IQ OM SO TL
24 AD CZ ES MD PK RO SA SE SK TN VG
25 LY PT ST
26 IS TR
27 BI DJ FR GR IT MC MR SM
28 AL AZ BY CY DO GT HU LB NI PL SV
29 BR EG PS QA UA
30 JO KW MU YE
31 MT SC
32 LC
33 RU""".splitlines()
    )
    for country in countries.split()
}
_FILES: Final = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "avif"))
# First digits and lengths. Source: ISO/IEC 7812 ranges as the card networks publish them.
_CARDS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-59]|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|62\d{14,17}"
    r"|(?:50|5[6-8]|63|67|60)\d{14,17}",
    re.ASCII,
)
_GOES_ON: Final = re.compile(r"\w|-[A-Za-z_]|\.\d", re.ASCII)
_GROUPS: Final = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (4, 4, 4, 4, 1), (4, 4, 4, 1)}


def email(value: str) -> int:
    """Accept what is not a picture for fine displays (`icon@2x.png`) or a version (`lib@1.2.beta`)."""
    domain = value.split("@", 1)[1]
    picture = re.match(r"\dx\.", domain) and domain.rsplit(".", 1)[1].lower() in _FILES
    return 0 if picture or re.match(r"v?\d+\.\d+", domain) else len(value)


def ip_address(value: str) -> int:
    """Accept an address of the public net.

    Private, loopback, multicast and documentation ranges lead to nobody. Four parts below 20 are a version or a section
    (1.2.3.4): of all addresses, one in 27,000 looks like that.
    """
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return 0
    low = address.version == 4 and all(part < 20 for part in address.packed)
    return len(value) if address.is_global and not address.is_multicast and not low else 0


def card(value: str) -> int:
    """Accept 13 to 19 digits that a card network gives out, in the groups of a card, with a right check digit."""
    ends = [end for end in range(min(len(value), 23), 12, -1) if value[end - 1].isdigit()]
    return next((end for end in ends if not _GOES_ON.match(value, end) and _is_card(value[:end])), 0)


def _is_card(value: str) -> bool:
    groups = re.split("[ -]", value)
    digits = "".join(groups)
    right = len(groups) == 1 or (tuple(map(len, groups)) in _GROUPS and len(set(re.findall("[ -]", value))) == 1)
    return right and bool(_CARDS.fullmatch(digits)) and _luhn(digits) and len(set(digits)) > 1


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def iban(value: str) -> int:
    """Accept a bank account whose length is its country's and whose remainder by 97 is 1. Source: ISO 13616."""
    wanted = _IBAN_LENGTHS.get(value[:2].upper(), 0)
    taken = 0
    for end, letter in enumerate(value, 1):
        taken += letter.isalnum()
        if taken == wanted:
            whole = "".join(filter(str.isalnum, value[:end])).upper()
            number = int("".join(str(int(letter, 36)) for letter in whole[4:] + whole[:4]))
            return end if number % 97 == 1 and not value[end : end + 1].isalnum() else 0
    return 0


PERSONAL: Final = (
    Pattern(
        "email",
        ("@",),
        r"[^\s@]@[^\s@.]+\.[^\s\d]",
        r"(?<![\w.%+-])(?!git@)(?P<value>[\w.%+-]+@(?:[\w-]+\.)+[^\W\d_]{2,}+)(?!\()",
        flags=0,
        label="EMAIL",
        accept=email,
    ),
    # A number behind `version` or `==` is consumed first, and so passed over.
    Pattern(
        "ip_address",
        (".",),
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
        r"""(?:\b(?:version|ver|v|release|section|chapter|build)["']?[\s:="'(]{1,4}|[=~^<>]=\s?|[~^]\s?)\d+(?:\.\d+){3,}"""
        r"|(?<![\w.])(?<!\w-)(?P<value>\d{1,3}(?:\.\d{1,3}){3})(?!\.?\w|[+]\w|-[A-Za-z])",
        re.ASCII | re.IGNORECASE,
        "IP",
        ip_address,
        rare=r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    ),
    Pattern(
        "ip_address",
        (":",),
        "[23][0-9a-fA-F]{3}:[0-9a-fA-F]{0,4}:",
        r"(?<![\w:.])(?P<value>[23][0-9a-fA-F]{3}:(?:[0-9a-fA-F]{0,4}:){1,6}(?:[0-9a-fA-F]{1,4})?)(?![\w:])",
        label="IP",
        accept=ip_address,
        rare="[23][0-9a-fA-F]{3}:",
    ),
    Pattern(
        "card",
        (),
        "[0-9]{13}|[0-9]{4}[ -](?:[0-9]{4}[ -][0-9]{4}[ -]|[0-9]{6}[ -])[0-9]",
        # What stands behind belongs to the candidate, so that a card in front of other numbers is found.
        r"(?<![\w.])(?<!\w-)(?=(?P<value>[2-6]\d{3}(?:\d{9}|[ -]\d)[\d -]{0,40}[\w.-]{0,3}))\d+",
        label="CARD",
        accept=card,
        rare="[0-9]{13}|[0-9]{4}[ -][0-9]{4,6}[ -][0-9]{4}",
    ),
    Pattern(
        "iban",
        (),
        rf"(?:^|[^A-Za-z0-9])(?i:{'|'.join(_IBAN_LENGTHS)})[0-9]{{2}}(?:[ -]?[A-Za-z0-9]){{11}}",
        r"(?<![A-Za-z0-9])(?P<value>[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]){11,30})",
        re.ASCII | re.IGNORECASE,
        "IBAN",
        iban,
    ),
)


def phone_pattern(region: str) -> Pattern:
    """Build the pattern of telephone numbers in international form: `+49 …`, `0049 …`, or as `region` dials abroad.

    Args:
        region: two letters, such as DE.

    Raises:
        ConfigError: the package is not installed, or it does not know the region.
    """
    return Pattern("phone", (), PHONE_HINT, PHONE_EXACT, label="PHONE", accept=_phone(region))


# The prefixes that more than a handful of countries dial before a country's code.
PHONE_HINT: Final = r"(?:\+|00|011) ?\(?[1-9]"
PHONE_EXACT: Final = r"(?<![\w+.,-])(?P<value>(?:\+|00|011) ?\(?[1-9](?:[ ()./-]{0,2}\d){6,24})"


def _phone(region: str) -> Accept:
    try:
        import phonenumbers
    except ImportError:
        raise ConfigError(
            "telephone numbers are to be scrubbed, and the package that knows them is not installed. "
            "Run: pip install 'cognitive-twin[phones]'"
        ) from None
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigError(
            f'"{region[:20]}" is not a region of telephone numbers. '
            "Give the two letters of a country, such as DE or US."
        )

    def is_valid(value: str) -> bool:
        try:
            return phonenumbers.is_valid_number(phonenumbers.parse(value, region))
        except phonenumbers.NumberParseException:
            return False

    # Another number may follow, so the candidate is cut at the spaces in it, longest first.
    def accept(value: str) -> int:
        ends = [
            end for end in range(len(value), 6, -1) if value[end - 1].isdigit() and not value[end : end + 1].isdigit()
        ]
        return next((end for end in ends if is_valid(value[:end])), 0)

    return accept
