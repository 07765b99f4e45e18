"""Tokens as their issuers write them: prefix and alphabet are public, so that hardly anything else looks like one.

Source: the issuers' own documentation and the formats that GitHub's secret scanning and gitleaks publish.
"""

from typing import Final

from twin.scrub.pattern import Pattern, issued, with_digit

_MODELS: Final = (
    issued("hugging_face_token", "hf_ api_org_", "(?:hf_|api_org_)[A-Za-z0-9]{16,}"),
    issued("groq_key", "gsk_", "gsk_[A-Za-z0-9]{16,}"),
    issued("xai_key", "xai-", "xai-[A-Za-z0-9]{20,}", with_digit),
    issued("perplexity_key", "pplx-", "pplx-[A-Za-z0-9]{20,}", with_digit),
    issued("tavily_key", "tvly-", r"tvly-[\w-]{16,}", with_digit),
    issued("replicate_token", "r8_", "r8_[A-Za-z0-9]{20,}"),
    issued("pinecone_key", "pcsk_", r"pcsk_\w{20,}"),
    issued("nvidia_key", "nvapi-", r"nvapi-[\w-]{40,}"),
    issued("fireworks_key", "fw_", "fw_[A-Za-z0-9]{20,}", with_digit, hint="fw_[A-Za-z0-9]{9}"),
    issued("together_key", "tgp_v1_", r"tgp_v1_[\w-]{30,}"),
    issued("langsmith_key", "lsv2_", "lsv2_[a-z]{2}_[0-9a-f]{32}_[0-9a-f]{10}"),
    issued("firecrawl_key", "fc-", "fc-[0-9a-f]{32}", closed=True, hint="fc-[0-9a-f]{9}"),
)
_CLOUDS: Final = (
    issued(
        "aws_key_id",
        "akia asia abia acca a3t",
        "(?:A3T[A-Z0-9]|A(?:KI|SI|BI|CC)A)[A-Z0-9]{16}",
        closed=True,
        hint="(?:A3T[A-Z0-9]|A(?:KI|SI|BI|CC)A)[A-Z0-9]{6}",
    ),
    Pattern(
        "aws_secret_key",
        ("secret",),
        r"""(?i:secret[_ -]?access[_ -]?key)\W{0,8}[A-Za-z0-9/+]{40}""",
        r"""(?i:secret[_ -]?access[_ -]?key)\W{0,8}(?P<value>(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])""",
    ),
    issued("google_key", "aiza", r"AIza[\w-]{30,}"),
    issued("google_oauth", "gocspx- ya29. 1//0", r"(?:GOCSPX-[\w-]{20,}|ya29\.[\w.-]{20,}|1//0[\w-]{30,})"),
    Pattern(
        "azure_key",
        ("accountkey=", "sharedaccesskey=", "sharedsecret=", "sig="),
        r"(?i:accountkey|sharedaccesskey|sharedsecret|[?&;]sig)=[A-Za-z0-9%+/]{40}",
        r"(?i:accountkey|sharedaccesskey|sharedsecret|[?&;]sig)=(?P<value>[A-Za-z0-9%+/]{40,}={0,2})",
    ),
    issued("digitalocean_token", "_v1_", "do[opr]_v1_[0-9a-f]{40,}"),
    issued("alibaba_key", "ltai", "LTAI[A-Za-z0-9]{16,}", with_digit),
    issued(
        "cloudflare_token",
        "cfut_ cfat_ cfk_ v1.0-",
        r"(?:cf(?:ut|at|k)_[A-Za-z0-9]{40,}|v1\.0-[0-9a-f]{24}-[0-9a-f]{100,})",
    ),
    issued("fly_token", "fo1_ fm1 fm2", r"(?:fo1_[\w-]{40,}|fm[12][ar]?_[A-Za-z0-9+/=_,-]{60,})"),
    issued("heroku_key", "hrku-", r"HRKU-[\w-]{30,}"),
    issued("netlify_token", "nfp_ nfc_ nfo_ nfu_ nfb_", "nf[pcoub]_[A-Za-z0-9]{36,}"),
    issued("render_key", "rnd_", "rnd_[A-Za-z0-9]{20,}", with_digit),
    issued("databricks_token", "dapi", r"dapi[0-9a-f]{32}(?:-[0-9])?", closed=True, hint="dapi[0-9a-f]{6}"),
    issued("planetscale_key", "pscale_", r"pscale_[a-z]{2,6}_[\w.-]{30,}"),
    issued("neon_key", "napi_", "napi_[a-z0-9]{40,}"),
    issued("tailscale_key", "tskey-", r"tskey-[a-z]{2,12}-[\w-]{16,}"),
)
_CODE: Final = (
    issued(
        "github_token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})"
    ),
    issued(
        "gitlab_token",
        "glpat- gldt- glft- glsoat- glrt- glcbt- glimt- glptt- glagent- gloas- glffct- gr1348941",
        r"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas|ffct)-[\w.-]{20,}|GR1348941[\w-]{20,})",
    ),
    issued("npm_token", "npm_", "npm_[A-Za-z0-9]{30,}", hint="npm_[A-Za-z0-9]{12}"),
    Pattern(
        "npm_token",
        ("_authtoken",),
        r"(?i:_authtoken) ?= ?[0-9a-fA-F-]{36}",
        r"(?i:_authtoken) ?= ?(?P<value>[0-9a-fA-F-]{36,})",
    ),
    issued("pypi_token", "pypi-age", r"pypi-AgE[\w-]{40,}"),
    issued("rubygems_key", "rubygems_", "rubygems_[0-9a-f]{48}"),
    issued("crates_token", "cio", "cio[A-Za-z0-9]{32}", with_digit, closed=True, hint="cio[A-Za-z0-9]{12}"),
    issued("nuget_key", "oy2", "oy2[a-z0-9]{43}", closed=True, hint="oy2[a-z0-9]{9}"),
    issued("docker_token", "dckr_", r"dckr_[a-z]{3}_[\w-]{20,}"),
    issued("vault_token", "hvs. hvb. hvr.", r"hv[sbr]\.[\w-]{20,}"),
    issued("terraform_token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{50,}"),
    issued("pulumi_token", "pul-", "pul-[0-9a-f]{40}", closed=True),
    issued(
        "doppler_token",
        "dp.",
        r"dp\.[a-z]{2,5}\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}",
        hint=r"dp\.[a-z]{2,5}\.[A-Za-z0-9_-]",
    ),
    issued("sentry_token", "sntrys_ sntryu_", r"sntry[su]_[A-Za-z0-9+/=_-]{40,}"),
    issued("grafana_token", "glsa_ glc_", r"(?:glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[A-Za-z0-9+/]{32,}={0,2})"),
    issued("new_relic_key", "nrak- nrii- nraa- nrra-", r"NR(?:AK|II|AA|RA)-[\w-]{24,}"),
    issued("postman_key", "pmak-", "PMAK-[0-9a-f]{24}-[0-9a-f]{34}", hint="PMAK-"),
    issued("posthog_key", "phc_ phx_", "ph[cx]_[A-Za-z0-9]{32,}", with_digit),
    issued(
        "artifactory_key",
        "akc ap",
        "(?:AKC[A-Za-z0-9]{10,}|AP[0-9A-F][A-Za-z0-9]{8,})",
        with_digit,
        closed=True,
        hint="AKC[A-Za-z0-9]{8}|AP[0-9A-F][A-Za-z0-9]{8}",
    ),
    issued("age_key", "age-secret-key-1", "(?i:AGE-SECRET-KEY-1)[A-Za-z0-9]{50,}"),
    issued("one_password_token", "ops_eyj", r"ops_eyJ[\w-]{40,}"),
)
_OFFICE: Final = (
    issued(
        "slack_token",
        "xox xapp-",
        r"(?i:xox[a-z](?:\.xox[a-z])?|xapp)-[\w-]{10,}",
        with_digit,
        hint="(?i:xox[a-z]|xapp)[.-]",
    ),
    issued(
        "webhook",
        "hooks.slack.com/ /webhooks/ webhook.office.com/",
        r"(?i:hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{16,}"
        r"|discord(?:app)?\.com/api/(?:v[0-9]{1,2}/)?webhooks/[0-9]{10,}/[\w-]{30,}"
        r"|webhook\.office\.com/webhookb2/[\w@/-]{30,})",
    ),
    Pattern(
        "discord_token",
        (".",),
        r"\.[\w-]{6,7}\.[\w-]{27}",
        r"(?<![\w.-])(?P<value>[MNO][\w-]{22,27}\.[\w-]{6,7}\.[\w-]{27,40})(?![\w-])",
        accept=with_digit,
    ),
    issued("telegram_token", ":", r"[0-9]{8,10}:[\w-]{35}", closed=True, hint=r"[0-9]{3}:[\w-]{20}"),
    issued("twilio_key", "ac sk", "(?:AC|SK)[0-9a-f]{32}", closed=True, hint="(?:AC|SK)[0-9a-f]{9}"),
    issued("sendgrid_key", "sg.", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    issued("mailgun_key", "key-", "key-[0-9a-f]{32}", closed=True, hint="key-[0-9a-f]{9}"),
    issued("mailchimp_key", "-us", "[0-9a-f]{32}-us[0-9]{1,2}", closed=True, hint="[0-9a-f]{3}-us[0-9]"),
    issued("brevo_key", "xkeysib-", "xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    issued("resend_key", "re_", "re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}", with_digit, hint="re_[A-Za-z0-9]{8}_"),
    issued("linear_key", "lin_", "lin_(?:api|oauth)_[A-Za-z0-9]{30,}", hint="lin_(?:api|oauth)_"),
    issued(
        "notion_token",
        "ntn_ secret_",
        "(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43})",
        closed=True,
        hint="ntn_[A-Za-z0-9]{9}|secret_[A-Za-z0-9]{20}",
    ),
    issued("airtable_token", "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", hint=r"pat[A-Za-z0-9]{14}\."),
    issued("atlassian_token", "atatt3 atctt3 atbb", r"(?:AT[AC]TT3[\w=-]{60,}|ATBB[A-Za-z0-9]{28,})"),
    issued("figma_token", "figd_ figo_ figu_ figp_", r"fig[doup]_[\w-]{30,}"),
    issued("dropbox_token", "sl.", r"sl\.(?:u\.)?[\w-]{120,}", hint=r"sl\.[\w.-]{20}"),
    issued("hubspot_token", "pat-", "pat-[a-z]{2}[0-9]-[0-9a-f-]{36}", hint="pat-[a-z]{2}[0-9]-"),
    issued("contentful_token", "cfpat-", r"CFPAT-[\w-]{40,}"),
    issued("typeform_token", "tfp_", r"tfp_[\w-]{40,}"),
    issued("facebook_token", "eaa", "EAA[A-Za-z0-9]{80,}", hint="EAA[A-Za-z0-9]{12}"),
)
_SHOPS: Final = (
    issued(
        "stripe_key",
        "rk_ whsec_",
        "(?:rk_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{20,}={0,2})",
        hint="rk_(?:live|test)_|whsec_",
    ),
    issued("shopify_token", "shpat_ shpca_ shppa_ shpss_", "shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    issued("square_token", "sq0", r"sq0[a-z]{3}-[\w-]{22,}"),
    issued("easypost_key", "ezak ezat", "EZ(?:AK|TK|AT)[A-Za-z0-9]{50,}"),
)
ISSUERS: Final[tuple[Pattern, ...]] = (*_MODELS, *_CLOUDS, *_CODE, *_OFFICE, *_SHOPS)
