"""Secrets and personal data of every kind, made up from pieces, so that no scanner takes this repository for a leak."""

import random
import string
from collections.abc import Callable

WORD = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits

# `{h32}` stands for 32 hexadecimal digits; w letters and digits, l in lower case, u in upper case, d digits.
FORMS = {
    "private_key": "-----BEGIN RSA {}PRIVATE KEY-----\n{w64}\n-----END RSA {}PRIVATE KEY-----",
    "url_password": "postgres:{w6}@{w6}/w0rd",
    "mapbox_token": "sk.{}eyJ1{w30}.{w22}",
    "jwt": "eyJhbGciOiJIUzI1NiJ9{}.eyJyb2xlIjoiYW5vbiJ9{}.{w43}",
    "supabase_key": "sb_{}secret_{w22}",
    "sk_key": "sk-{}ant-api03-{w40}",
    "hugging_face_token": "hf{}_{w34}",
    "groq_key": "gsk{}_{w52}",
    "xai_key": "xai{}-{w80}",
    "perplexity_key": "pplx{}-{w48}",
    "tavily_key": "tvly{}-dev-{w32}",
    "replicate_token": "r8{}_{w37}",
    "pinecone_key": "pcsk{}_{w6}_{w60}",
    "nvidia_key": "nvapi{}-{w64}",
    "fireworks_key": "fw{}_{w24}",
    "together_key": "tgp{}_v1_{w43}",
    "langsmith_key": "lsv2{}_pt_{h32}_{h10}",
    "firecrawl_key": "fc{}-{h32}",
    "aws_key_id": "AKIA{}{u16}",
    "aws_secret_key": "{w20}/{w19}",
    "google_key": "AIza{}Sy{w33}",
    "google_oauth": "GOCSPX{}-{w28}",
    "azure_key": "{w86}==",
    "digitalocean_token": "dop{}_v1_{h64}",
    "alibaba_key": "LTAI{}5{w19}",
    "cloudflare_token": "cfut{}_{w48}",
    "fly_token": "fo1{}_{w43}",
    "heroku_key": "HRKU{}-{w60}",
    "netlify_token": "nfp{}_{w36}",
    "render_key": "rnd{}_{w32}",
    "databricks_token": "dapi{}{h32}",
    "planetscale_key": "pscale{}_tkn_{w43}",
    "neon_key": "napi{}_{l64}",
    "tailscale_key": "tskey{}-auth-{w12}-{w32}",
    "github_token": "ghp{}_{w36}",
    "gitlab_token": "glpat{}-{w20}",
    "npm_token": "npm{}_{w36}",
    "pypi_token": "pypi{}-AgEIcHlwaS5vcmc{w90}",
    "rubygems_key": "rubygems{}_{h48}",
    "crates_token": "cio{}{w32}",
    "nuget_key": "oy2{}{l43}",
    "docker_token": "dckr{}_pat_{w27}",
    "vault_token": "hvs{}.{w24}",
    "terraform_token": "{w14}{}.atlasv1.{w67}",
    "pulumi_token": "pul{}-{h40}",
    "doppler_token": "dp{}.pt.{w43}",
    "sentry_token": "sntrys{}_{w80}",
    "grafana_token": "glsa{}_{w32}_{h8}",
    "new_relic_key": "NRAK{}-{u27}",
    "postman_key": "PMAK{}-{h24}-{h34}",
    "posthog_key": "phx{}_{w43}",
    "artifactory_key": "AKC{}p8{w66}",
    "age_key": "AGE-SECRET{}-KEY-1{u58}",
    "one_password_token": "ops{}_eyJ{w120}",
    "slack_token": "xoxb{}-{d12}-{d12}-{w24}",
    "webhook": "hooks.slack.com{}/services/T{u10}/B{u10}/{w24}",
    "discord_token": "M{}{w23}.{w6}.{w27}",
    "telegram_token": "{d9}{}:{w35}",
    "twilio_key": "SK{}{h32}",
    "sendgrid_key": "SG{}.{w22}.{w43}",
    "mailgun_key": "key{}-{h32}",
    "mailchimp_key": "{h32}{}-us12",
    "brevo_key": "xkeysib{}-{h64}-{w16}",
    "resend_key": "re{}_{w8}_{w24}",
    "linear_key": "lin{}_api_{w40}",
    "notion_token": "ntn{}_{w46}",
    "airtable_token": "pat{}{w14}.{h64}",
    "atlassian_token": "ATATT3{}xFfGF0{w120}",
    "figma_token": "figd{}_{w40}",
    "dropbox_token": "sl{}.u.{w140}",
    "hubspot_token": "pat{}-na1-{h8}-{h4}-{h4}-{h4}-{h12}",
    "contentful_token": "CFPAT{}-{w43}",
    "typeform_token": "tfp{}_{w44}",
    "facebook_token": "EAA{}{w150}",
    "stripe_key": "rk{}_live_{w24}",
    "shopify_token": "shpat{}_{h32}",
    "square_token": "sq0{}csp-{w43}",
    "easypost_key": "EZAK{}{w54}",
    "bearer_token": "{w20}{}",
    "basic_auth": "{w24}{}==",
    "password": "correct-{w6}{}",
    "named_secret": "tok_{w12}{}",
    "email": "jörg.x{w4}+tag@mail.example.co.uk",
    "ip_address": "52.143.77.19",
    "card": "4111 1111 {}1111 1111",
    "iban": "DE89 3704 {}0044 0532 0130 00",
    "phone": "+49 1512 {}3456789",
}
# Where the kind shows only by what is around it.
AROUND = {
    "url_password": "connect to postgresql://{}@db.example.co:5432/postgres now",
    "aws_secret_key": "aws_secret_access_key = {}",
    "azure_key": "AccountName=x;AccountKey={};EndpointSuffix=core",
    "bearer_token": "curl -H 'Authorization: Bearer {}' x",
    "basic_auth": "curl -H 'Authorization: Basic {}' x",
    "password": "export DB_PASSWORD='{}' first",
    "named_secret": '{{"access_token": "{}"}}',
}
_ALPHABETS = {"w": WORD, "h": HEX, "l": LOWER, "u": UPPER, "d": "123456789"}


def value(kind: str, seed: int = 0) -> str:
    """Return a value of this kind; another seed gives another value of the kinds that are not fixed."""
    return _filled(FORMS[kind], random.Random(f"{kind} {seed}").choice)


def text(kind: str, seed: int = 0) -> str:
    """Return a sentence with that value in it."""
    return AROUND.get(kind, "use {}, then go").format(value(kind, seed))


def _filled(form: str, choice: Callable[[str], str]) -> str:
    pieces = []
    for literal, field, _, _ in string.Formatter().parse(form):
        # Every third is a digit, as the chance of none at all would make a test fail now and then.
        letters = (
            [
                choice("0123456789") if place % 3 == 2 else choice(_ALPHABETS[field[0]])
                for place in range(int(field[1:]))
            ]
            if field
            else []
        )
        pieces += [literal, *letters]
    return "".join(pieces)
