"""What the demo's two speakers talk about: plain tables of noun phrases, orders, findings and choices.

`TOPICS` is read by both sides of the conversation. Orders are bare infinitives ("restart the pods"), so that
"we could ...", "I managed to ..." and Sam's imperative all take them unchanged; words recur across topics on
purpose, which keeps the tokenizer of the demo's base model small.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One subject of work: its name takes "the"; parts are nouns, orders infinitives, findings clauses."""

    name: str
    domain: str
    parts: tuple[str, ...]
    orders: tuple[str, ...]
    findings: tuple[str, ...]
    choices: tuple[tuple[str, str], ...]


def _topic(name: str, domain: str, *lists: str) -> Topic:
    parts, orders, findings, choices = lists
    pairs = [pair.split(" = ") for pair in choices.split(" | ")]
    return Topic(
        name=name,
        domain=domain,
        parts=tuple(parts.split(" | ")),
        orders=tuple(orders.split(" | ")),
        findings=tuple(findings.split(" | ")),
        choices=tuple((first, second) for first, second in pairs),
    )


TOPICS: tuple[Topic, ...] = (
    _topic(
        "staging deploy",
        "infra",
        "readiness probe | ingress rule | image tag | env file | health check | rollout script",
        "roll back to the last good image | restart the pods | pin the image tag | read the ingress logs"
        " | raise the probe timeout | diff the env file | drain the old node",
        "staging answers 503 after the switch | the health check never turns green"
        " | the image tag points at an old build | the new pods run out of memory",
        "roll back = fix forward | restart the pods = deploy from scratch | wait for the probe = kill the rollout",
    ),
    _topic(
        "auth module",
        "backend",
        "token check | session store | login route | refresh flow | password reset | role table",
        "patch the token check | split the session store | write a test for the login route"
        " | move the role table out | log every failed login | delete the old refresh flow",
        "the token check runs twice | expired sessions stay in the store"
        " | the refresh flow ignores the clock | the bug sits in one branch of the login route",
        "patch the bug = rewrite the module | keep sessions = move to tokens | fix it here = refactor it next sprint",
    ),
    _topic(
        "pull request",
        "review",
        "diff | second commit | review comment | merge conflict | changelog | failing check",
        "review the diff | squash the commits | fix the merge conflict | answer the review comment"
        " | rebase on main | split the second commit | request a review",
        "the diff touches forty files | one check is still red | the second commit undoes the first"
        " | nobody has reviewed it yet",
        "merge now = wait for a second review | squash it = keep the commits | split it = review it whole",
    ),
    _topic(
        "event bus",
        "backend",
        "Kafka cluster | RabbitMQ queue | consumer lag | dead letter queue | message schema | retry policy",
        "start with RabbitMQ | set up a small Kafka cluster | measure the consumer lag | version the message schema"
        " | cap the retry policy | replay the dead letter queue",
        "the consumer lag grows at night | RabbitMQ covers our volume | Kafka needs three more nodes"
        " | the message schema has no version",
        "use RabbitMQ = use Kafka | keep one queue = split it by team | buy it hosted = run it ourselves",
    ),
    _topic(
        "TypeScript error",
        "frontend",
        "union type | generic | return type | tsconfig | props interface | null check",
        "narrow the union type | drop the generic | type the return value | turn on strict mode"
        " | fix the props interface | add a null check",
        "the compiler loses the generic | the union type is never narrowed | the props interface is out of date"
        " | strict mode is off in tsconfig",
        "cast it = fix the type | narrow it = widen the interface | use a guard = use an overload",
    ),
    _topic(
        "Spore app",
        "product",
        "growth screen | sync engine | push setup | beta build | store listing | crash report",
        "ship the beta build | fix the sync engine | update the store listing | read the crash report"
        " | cut the growth screen | test the push setup",
        "the sync engine loses edits offline | the beta build waits on the store"
        " | the growth screen is half done | crashes are down since the last build",
        "ship the beta = hold it a week | fix sync first = finish the growth screen | cut push = keep push",
    ),
    _topic(
        "CI pipeline",
        "infra",
        "build step | test shard | docker layer | lint job | runner pool | cache key",
        "cache the build step | split the test shard | drop the lint job from the merge path | add two runners"
        " | fix the cache key | run only what changed",
        "the cache key misses every time | the slow tests all sit in one shard"
        " | the build step downloads everything again | runners wait for each other",
        "cache it = shard it | buy runners = cut tests | fix the slow tests = run them at night",
    ),
    _topic(
        "unit tests",
        "quality",
        "edge case | test fixture | coverage gate | flaky test | mock server | happy path",
        "test the edge case | skip the flaky test | ship it behind a flag | delete the mock server"
        " | write one test for the happy path | lower the coverage gate",
        "the happy path has no test | the flaky test hides a real bug | coverage dropped this week"
        " | the mock server is out of date",
        "write the tests = ship without them | fix the flaky test = delete it | test the edge case = use a flag",
    ),
    _topic(
        "client update",
        "product",
        "weekly summary | demo video | open invoice | milestone list | risk section | call notes",
        "send the weekly summary | record the demo video | cut the risk section | list what shipped"
        " | move the call to monday | write three lines and send it",
        "the client asks for dates again | two milestones moved | the demo video is a month old"
        " | the summary is too long to read",
        "send it today = send it after the demo | write it short = add the numbers | call them = mail them",
    ),
    _topic(
        "compute credits",
        "infra",
        "gpu quota | batch job | spot fleet | monthly cap | idle node | usage alert",
        "kill the idle node | move the batch job to spot | set a monthly cap | ask for more quota"
        " | pause the nightly run | turn on the usage alert",
        "the batch job burns half the budget | credits last nine more days | idle nodes cost us every night"
        " | nobody set a usage alert",
        "buy more = cut the batch job | pause training = move to spot | cap it = watch it",
    ),
    _topic(
        "database migration",
        "backend",
        "new column | lock timeout | backfill script | foreign key | rollback plan | old table",
        "add the new column first | run the backfill in batches | drop the foreign key | test the rollback plan"
        " | raise the lock timeout | rename the old table",
        "the backfill script locks the table | the rollback plan was never tested"
        " | the old table still gets writes | the foreign key blocks the delete",
        "migrate tonight = wait for the weekend | backfill in batches = do it in one go | keep the old table = drop it",
    ),
    _topic(
        "search index",
        "backend",
        "ranking rule | synonym list | index alias | stale document | query log | reindex job",
        "rebuild the index | swap the index alias | trim the synonym list | sample the query log"
        " | tune the ranking rule | purge the stale documents",
        "old documents still rank first | the reindex job stops halfway | the alias points at the wrong index"
        " | half the queries return nothing",
        "rebuild it = patch the alias | tune ranking = fix synonyms | reindex now = reindex at night",
    ),
    _topic(
        "payment webhook",
        "backend",
        "signature check | retry queue | refund event | idempotency key | payload log | sandbox account",
        "verify the signature check | add an idempotency key | replay the refund events | log the payload"
        " | test it on the sandbox account | empty the retry queue",
        "refund events arrive twice | the signature check fails on retries | the retry queue is full"
        " | the sandbox account behaves differently",
        "retry it = drop it | verify twice = trust the first one | replay all = replay the refunds",
    ),
    _topic(
        "rate limiter",
        "backend",
        "burst limit | api key | redis counter | window size | allow list | error header",
        "lower the burst limit | count per api key | move the counter to redis | add the error header"
        " | shrink the window size | clear the allow list",
        "one api key eats the whole quota | the redis counter never expires | the window size is too wide"
        " | clients ignore the error header",
        "limit by key = limit by address | block them = slow them down | fix the counter = replace it",
    ),
    _topic(
        "feature flags",
        "product",
        "dark mode flag | stale flag | rollout rule | default value | flag service | kill switch",
        "remove the stale flags | roll it out to ten percent | test the kill switch | set a safe default value"
        " | move the rollout rule to config | turn off the dark mode flag",
        "the default value is on | nobody owns the stale flags | the kill switch needs a deploy"
        " | the flag service answers slowly",
        "roll out to all = stay at ten percent | delete the flag = keep it off | buy a service = use a file",
    ),
    _topic(
        "log retention",
        "infra",
        "debug level | archive bucket | storage bill | audit trail | log shipper | index size",
        "drop the debug level | move old logs to the archive bucket | keep the audit trail a year"
        " | halve the index size | restart the log shipper | sample the noisy service",
        "debug lines are most of the volume | the storage bill doubled | the log shipper drops lines under load"
        " | the audit trail expires too early",
        "keep thirty days = keep ninety days | sample it = archive it | cut debug = cut the index",
    ),
    _topic(
        "mobile build",
        "frontend",
        "signing key | gradle cache | app bundle | splash screen | store review | build number",
        "bump the build number | renew the signing key | clear the gradle cache | shrink the app bundle"
        " | upload it for store review | fix the splash screen",
        "the signing key expires this week | the app bundle grew by a third | the store review takes two days"
        " | the gradle cache is corrupt",
        "upload it now = fix the splash first | shrink it = ship it big | renew the key = make a new one",
    ),
    _topic(
        "cache layer",
        "backend",
        "hit rate | eviction rule | cold start | stale entry | key prefix | memory limit",
        "raise the memory limit | warm it after the deploy | change the key prefix | measure the hit rate"
        " | shorten the expiry | flush the stale entries",
        "the hit rate fell to half | stale entries survive the flush | the cold start hits the database"
        " | the eviction rule drops the wrong keys",
        "flush it all = flush one prefix | warm it = let it fill | cache more = cache less",
    ),
    _topic(
        "backup job",
        "infra",
        "restore test | snapshot | offsite copy | backup window | encryption key | size alert",
        "run a restore test | copy the snapshot offsite | rotate the encryption key | move the backup window"
        " | alert on the size | delete last year",
        "nobody ran a restore test | the snapshot is three days old | the offsite copy is not encrypted"
        " | the backup window overlaps with the reports",
        "test the restore = trust the snapshot | keep it local = go offsite | back up hourly = back up nightly",
    ),
    _topic(
        "login page",
        "frontend",
        "error message | remember box | sso button | form layout | redirect loop | captcha",
        "fix the redirect loop | hide the captcha | move the sso button up | shorten the error message"
        " | drop the remember box | test the form on a phone",
        "the redirect loop hits one browser | the captcha scares people away | the sso button is below the fold"
        " | the error message says nothing",
        "drop the captcha = keep it | fix the loop = rewrite the page | put sso first = put the password first",
    ),
    _topic(
        "API docs",
        "docs",
        "quick start | error table | code sample | schema page | version note | auth guide",
        "write the quick start | test every code sample | generate the schema page | add a version note"
        " | cut the auth guide in half | fix the error table",
        "the code sample does not run | the schema page lags two versions | people only read the quick start"
        " | the error table misses half the codes",
        "generate them = write them by hand | fix samples = fix the guide | publish now = wait for v2",
    ),
    _topic(
        "data export",
        "data",
        "csv header | time zone | date column | row limit | download link | nightly file",
        "fix the csv header | write dates in utc | lift the row limit | expire the download link"
        " | split the nightly file | check the row count",
        "the nightly file stops at the row limit | the date column mixes time zones"
        " | the download link never expires | the csv header changed last week",
        "send csv = send json | lift the limit = page it | fix the dates = document them",
    ),
    _topic(
        "incident review",
        "ops",
        "timeline | root cause | action item | pager alert | status page | blast radius",
        "write the timeline | name the root cause | close the action items | tune the pager alert"
        " | update the status page | measure the blast radius",
        "the pager alert came twenty minutes late | two action items are a month old"
        " | the root cause is still a guess | the status page said all green",
        "publish it = keep it internal | fix the alert = fix the cause | close it = wait for the data",
    ),
    _topic(
        "container image",
        "infra",
        "base image | build cache | security scan | root user | entry script | layer size",
        "pin the base image | run the security scan | drop the root user | merge the layers"
        " | clean the build cache | simplify the entry script",
        "the base image is two years old | the security scan finds nine issues | the entry script hides errors"
        " | one layer holds the whole repo",
        "pin it = track latest | fix the scan = accept the risk | shrink it = leave it",
    ),
    _topic(
        "cron job",
        "ops",
        "schedule | lock file | exit code | overlap | missed run | report mail",
        "move the schedule to the queue | remove the lock file | check the exit code | stop the overlap"
        " | rerun the missed run | mute the report mail",
        "two runs overlap at midnight | the lock file survives a crash | the exit code is always zero"
        " | nobody reads the report mail",
        "rerun it = skip it | use the queue = keep cron | fix the lock = drop the lock",
    ),
    _topic(
        "billing report",
        "data",
        "tax line | currency rate | draft invoice | total row | discount rule | audit note",
        "recompute the total row | freeze the currency rate | void the draft invoice | fix the discount rule"
        " | split the tax line | add an audit note",
        "the total row is off by a cent | the discount rule applies twice | the currency rate is a day old"
        " | draft invoices count as paid",
        "fix last month = fix it from now | round up = round down | resend it = correct it quietly",
    ),
    _topic(
        "onboarding flow",
        "product",
        "welcome mail | setup wizard | skip button | sample project | team invite | first run",
        "cut the setup wizard | send the welcome mail later | add a skip button | load a sample project"
        " | test the team invite | time the first run",
        "most people quit at step three | the welcome mail lands in spam | the team invite breaks on mobile"
        " | the sample project is empty",
        "cut steps = explain steps | show the sample = start empty | invite first = invite last",
    ),
    _topic(
        "vector store",
        "data",
        "embedding model | chunk size | recall check | metadata filter | index shard | old vectors",
        "halve the chunk size | run the recall check | drop the old vectors | add a metadata filter"
        " | pin the embedding model | rebuild one shard",
        "recall fell after the upgrade | the chunk size cuts sentences | old vectors come from another model"
        " | the metadata filter runs too late",
        "rebuild it = patch one shard | use small chunks = use big chunks | host it = embed it",
    ),
    _topic(
        "training run",
        "ml",
        "loss curve | learning rate | eval set | checkpoint | data loader | warmup",
        "halve the learning rate | resume from the checkpoint | clean the eval set | plot the loss curve"
        " | shorten the warmup | profile the data loader",
        "the loss curve is flat | the eval set leaks into training | the data loader starves the gpu"
        " | the last checkpoint is broken",
        "stop it = let it run | lower the rate = shrink the batch | clean the data = train longer",
    ),
    _topic(
        "load test",
        "quality",
        "request mix | ramp up | slow endpoint | error rate | connection pool | test data",
        "double the ramp up | profile the slow endpoint | grow the connection pool | seed the test data"
        " | record the error rate | use a real request mix",
        "the connection pool is the limit | the error rate jumps at peak | the request mix is not real"
        " | one endpoint holds everything up",
        "scale up = fix the pool | test peak = test steady | run it here = run it in the cloud",
    ),
    _topic(
        "metrics dashboard",
        "data",
        "latency chart | alert rule | old panel | team filter | refresh rate | error graph",
        "delete the old panels | fix the alert rule | show p95 on the latency chart | add a team filter"
        " | slow the refresh rate | link the error graph",
        "the latency chart shows averages | the alert rule never fires | half the panels are empty"
        " | the refresh rate kills the database",
        "show p95 = show p99 | fix it = rebuild it | keep one board = split it by team",
    ),
    _topic(
        "dependency upgrade",
        "quality",
        "lock file | major version | breaking change | security patch | bundle size | old fork",
        "take the security patch | pin the major version | update the lock file | drop the old fork"
        " | read the breaking changes | measure the bundle size",
        "the major version drops our plugin | the old fork blocks the patch | the lock file drifts"
        " | the bundle size grew by a fifth",
        "upgrade now = pin it | patch the fork = drop the fork | take the major = take the patch",
    ),
)
