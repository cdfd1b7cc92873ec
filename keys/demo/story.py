"""Tell a month of the demo company through the real operations: every row it leaves has its events."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from audit import clock
from audit.actor import Actor
from keys.approvals.decisions import Narrowing, approve_request, deny_request, narrow_request, return_request
from keys.approvals.drafting import Draft
from keys.approvals.submission import request_renewal, submit_request, withdraw_request
from keys.catalogue.policies import current_policy, decide_proposal, rules_of, set_policy
from keys.catalogue.services import create_scope, create_service, plan_scope_retirement, save_template
from keys.crypto.secrets import Secret
from keys.demo.company import SCOPES, SERVICES, TEMPLATES
from keys.demo.people import SHELL, settle_people, speaking
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.destruction import destroy_version
from keys.lifecycle.handover import offer_transfer
from keys.lifecycle.revocation import report_leak, revoke_key
from keys.lifecycle.rotation import issue_new_version, start_rotation
from keys.models import Environment, KeyRequest, ManagedKey, Person, PolicyProposal, Scope, Service, Team
from keys.states import EnvironmentClass, KeyKind, Overlap, RevocationReason
from keys.verification.verification import verify_key
from keys.verification.verifier import Binding, Client, Question


class Story:
    """The people, and short names for what they do over and over."""

    def __init__(self, people: dict[str, Person]) -> None:
        self.people = people

    def as_(self, login: str) -> Actor:
        return speaking(self.people[login])

    def ask(self, login: str, **wish: object) -> KeyRequest:
        """One person asks for a key for the team they belong to."""
        basis = Draft(
            service="",
            environment="prod",
            owner_team="",
            name="",
            consumer="",
            purpose="",
            cryptoperiod_days=30,
            authorised_days=180,
        )
        return submit_request(replace(basis, **wish), actor=self.as_(login))  # type: ignore[arg-type]

    def agree(self, request: KeyRequest, *logins: str) -> ManagedKey:
        """These people approve, and the key exists."""
        for login in logins:
            request = approve_request(
                request, digest=request.digest, actor=self.as_(login), comment="Fits the purpose."
            )
        return ManagedKey.objects.get(request=request)

    def claim(self, key: ManagedKey, login: str) -> Secret:
        """The recipient claims the newest version."""
        version = key.versions.order_by("-sequence").select_related("managed_key")[0]
        secret = claim_secret(version, actor=self.as_(login)).secret
        if secret is None:
            raise RuntimeError("a demo secret was claimed twice")
        return secret


def tell() -> dict[str, Secret]:
    """Fill an empty installation; returns the secrets worth trying, by what they are for (shown once, by the caller)."""
    story = Story(settle_people())
    _open_shop()
    _set_rules(story)
    secrets = _living_keys(story)
    _rotating_keys(story)
    _ended_keys(story)
    _waiting_requests(story)
    return secrets


def is_told() -> bool:
    """Whether it was told to its end; half a story cannot be gone on with."""
    return KeyRequest.objects.filter(renews__isnull=False).exists()  # the last of its acts


def _open_shop() -> None:
    services = {
        slug: create_service(
            slug_text=slug, name=name, description=words, owner_team=Team.objects.get(slug=team), actor=SHELL
        )
        for slug, name, words, team in SERVICES
    }
    for slug, scope, words, access, risk in SCOPES:
        create_scope(services[slug], name=scope, description=words, access=access, risk=risk, actor=SHELL)
    for slug, name, words, scopes in TEMPLATES:
        save_template(services[slug], name=name, description=words, scopes=scopes, actor=SHELL)


def _set_rules(story: Story) -> None:
    """Production asks the security team too; money moves only from known networks and for a month at a time.

    Programs of the wallets may sign their requests, and those of the market data fetch their next secret themselves.
    """
    security = Team.objects.get(slug="security")
    production = Environment.objects.get(environment_class=EnvironmentClass.PRODUCTION)
    for service in Service.objects.filter(slug__in=[slug for slug, *_ in SERVICES]):
        policy = current_policy(service, production)
        if policy is None:
            continue
        rules = replace(rules_of(policy), approver_team_id=security.pk)
        if service.slug == "wallets":
            rules = replace(
                rules, networks_required=True, max_cryptoperiod_days=30, ticket_pattern=r"CHG-[0-9]{4,6}",
                kinds=tuple(map(str, KeyKind)),
            )  # fmt: skip
        elif service.slug == "market-data":
            rules = replace(rules, self_fetch_allowed=True)
        result = set_policy(
            service, environment=production, rules=rules, base_version=policy.version, actor=story.as_("lena")
        )
        if isinstance(result, PolicyProposal):  # naming another group widens who may approve
            decide_proposal(result, accept=True, actor=story.as_("omar"))
    _propose_weaker_rules(story, production)


def _propose_weaker_rules(story: Story, production: Environment) -> None:
    reporting = Service.objects.get(slug="reporting")
    policy = current_policy(reporting, production)
    if policy is not None:
        rules = replace(rules_of(policy), approvals_required=1)
        set_policy(reporting, environment=production, rules=rules, base_version=policy.version, actor=story.as_("omar"))


def _living_keys(story: Story) -> dict[str, Secret]:
    dashboard = story.ask(
        "dana", service="market-data", owner_team="insight", name="Price dashboard", consumer="dashboard-web",
        purpose="Show live prices on the wall of the trading floor.", scopes=("orderbook:read", "ticker:read"),
        template="Dashboard",
    )  # fmt: skip
    prices = story.claim(story.agree(dashboard, "kwame", "sora"), "dana")
    bot = story.ask(
        "devi", service="market-data", environment="test", owner_team="trading", name="Strategy rehearsal",
        consumer="strategy-runner", purpose="Rehearse the new strategy against test prices.",
        scopes=("ticker:read",), cryptoperiod_days=7, authorised_days=30,
    )  # fmt: skip
    story.claim(story.agree(bot, "kwame"), "devi")
    sandbox = story.ask(
        "theo", service="orders", environment="dev", owner_team="market-data", name="Order sandbox",
        consumer="laptop", purpose="Try the order API while writing the adapter.", scopes=("orders:read",),
        cryptoperiod_days=14, authorised_days=60,
    )  # fmt: skip
    story.claim(ManagedKey.objects.get(request=sandbox), "theo")
    wallets = story.ask(
        "dana", service="wallets", owner_team="insight", name="Balance report", consumer="balance-report",
        purpose="Compare balances with the ledger every hour.", scopes=("balances:read", "deposits:read"),
        networks=("10.20.0.0/16",), ticket="CHG-20417", template="Balance watcher",
    )  # fmt: skip
    narrowed = narrow_request(
        wallets, Narrowing(scopes=("balances:read",)), digest=wallets.digest, actor=story.as_("ines"),
        comment="Deposits are in the balances already.",
    )  # fmt: skip
    balances = story.claim(story.agree(narrowed, "mika"), "dana")
    offer_transfer(
        ManagedKey.objects.get(request=wallets), to_team=Team.objects.get(slug="custody"), actor=story.as_("dana"),
        comment="Custody runs this report from next month.",
    )  # fmt: skip
    gateway = story.ask(
        "devi", service="keystead", owner_team="trading", name="Order gateway verifies", consumer="order-gateway",
        purpose="Verify the keys that clients present to the order gateway.", scopes=("keys:verify",),
        verifies_service="orders", verifies_environment="prod",
    )  # fmt: skip
    verifier = story.claim(story.agree(gateway, "sora", "mika"), "devi")
    observer = story.ask(
        "dana", service="orders", owner_team="insight", name="Settlement observer", consumer="settlement-report",
        purpose="Read fills for the nightly settlement report.", scopes=("orders:read",), template="Observer",
    )  # fmt: skip
    fills = story.claim(story.agree(observer, "abel", "sora"), "dana")
    _use({"market-data": prices, "wallets": balances, "orders": fills})
    return {"verifies keys of orders in production": verifier, "a key to present to orders": fills}


def _rotating_keys(story: Story) -> None:
    """One secret is being replaced, and some of its clients have moved; another next secret waits to be claimed."""
    dashboard = ManagedKey.objects.get(name="Price dashboard")
    start_rotation(dashboard, overlap=Overlap.WHEN_IDLE, actor=story.as_("dana"))
    _use({"market-data": story.claim(dashboard, "dana")}, times=8)
    start_rotation(ManagedKey.objects.get(name="Order sandbox"), overlap=Overlap.HOUR, actor=story.as_("theo"))


def _use(secrets: dict[str, Secret], *, times: int = 24) -> None:
    """Let services verify these keys, so that pages have traffic to show."""
    production = Environment.objects.get(environment_class=EnvironmentClass.PRODUCTION)
    for slug, secret in secrets.items():
        binding = Binding(service_id=Service.objects.get(slug=slug).pk, environment_id=production.pk)
        for number in range(times):
            client = Client(
                address=f"10.20.{number % 3}.{10 + number % 5}",
                user_agent="report-builder/2.4" if number % 4 else "curl/8.9",
                instance=f"worker-{number % 3}",
            )
            question = Question(scopes=("withdrawals:create",) if number % 11 == 7 else (), client=client)
            verify_key(secret.reveal(), binding=binding, question=question)


def _ended_keys(story: Story) -> None:
    leaked = story.ask(
        "devi", service="market-data", owner_team="trading", name="Old price feed", consumer="feed-reader",
        purpose="Feed prices to the first strategy.", scopes=("ticker:read",),
    )  # fmt: skip
    key = story.agree(leaked, "kwame", "mika")
    story.claim(key, "devi")
    report_leak(key, actor=story.as_("devi"), comment="It stood in a public notebook.")
    revoke_key(key, actor=story.as_("priya"), reason=RevocationReason.KEY_COMPROMISE)
    suspended = story.ask(
        "dana", service="orders", owner_team="insight", name="Fill archive", consumer="archive",
        purpose="Keep fills for seven years.", scopes=("orders:read",),
    )  # fmt: skip
    key = story.agree(suspended, "abel", "sora")
    story.claim(key, "dana")
    report_leak(key, actor=story.as_("dana"), comment="Pasted into a chat by mistake.")
    legacy = story.ask(
        "dana", service="orders", owner_team="insight", name="Legacy export", consumer="old-exporter",
        purpose="Feed the old back office until it is gone.", scopes=("legacy:export",),
    )  # fmt: skip
    story.claim(story.agree(legacy, "abel", "mika"), "dana")
    scope = Scope.objects.get(service__slug="orders", name="legacy:export")
    plan_scope_retirement(scope, retires_at=clock.now(), actor=story.as_("lena"))
    replaced = story.ask(
        "theo", service="reporting", environment="dev", owner_team="market-data", name="Report reader",
        consumer="notebook", purpose="Read finished reports from a notebook.", scopes=("reports:read",),
    )  # fmt: skip
    key = ManagedKey.objects.get(request=replaced)
    story.claim(key, "theo")
    report_leak(key, actor=story.as_("theo"), comment="The notebook was shared.")
    issue_new_version(key, actor=story.as_("theo"))
    story.claim(key, "theo")
    destroy_version(key.versions.select_related("managed_key").get(sequence=1), actor=story.as_("lena"))


def _waiting_requests(story: Story) -> None:
    unclaimed = story.ask(
        "devi", service="reporting", environment="test", owner_team="trading", name="Report rehearsal",
        consumer="strategy-runner", purpose="Check the format of the new report.", scopes=("reports:read",),
    )  # fmt: skip
    story.agree(unclaimed, "kwame")
    withdrawals = story.ask(
        "devi", service="wallets", owner_team="trading", name="Treasury payouts", consumer="treasury",
        purpose="Pay out the weekly rebates to market makers.", scopes=("balances:read", "withdrawals:create"),
        networks=("10.30.4.0/24",), ticket="CHG-20655", cryptoperiod_days=14, authorised_days=90,
    )  # fmt: skip
    approve_request(withdrawals, digest=withdrawals.digest, actor=story.as_("sora"), comment="Network is right.")
    story.ask(
        "dana", service="orders", owner_team="insight", name="Best execution study", consumer="study",
        purpose="Measure the quality of execution for the regulator.", scopes=("orders:read",), cryptoperiod_days=90,
    )  # fmt: skip
    asked_back = story.ask(
        "theo", service="orders", owner_team="market-data", name="Latency probe", consumer="probe",
        purpose="Measure the way from price to order.", scopes=("orders:cancel", "orders:place"),
    )  # fmt: skip
    return_request(
        asked_back, digest=asked_back.digest, actor=story.as_("abel"),
        question="Why does a probe place orders in production? Would the test environment do?",
    )  # fmt: skip
    refused = story.ask(
        "theo", service="wallets", owner_team="market-data", name="Address sync", consumer="sync",
        purpose="Copy withdrawal addresses to the price service.", scopes=("addresses:write",),
        networks=("10.40.0.0/24",), ticket="CHG-20200",
    )  # fmt: skip
    deny_request(
        refused, digest=refused.digest, actor=story.as_("ines"), comment="Prices need no addresses. Ask us first."
    )
    withdraw_request(
        story.ask(
            "dana", service="market-data", owner_team="insight", name="History download", consumer="notebook",
            purpose="Download last year's trades.", scopes=("history:read",),
        ),
        actor=story.as_("dana"),
        comment="The public archive is enough.",
    )  # fmt: skip
    dashboard = ManagedKey.objects.get(name="Price dashboard")
    request_renewal(
        dashboard, authorised_days=timedelta(days=365).days, purpose="The wall stays for another year.",
        actor=story.as_("dana"),
    )  # fmt: skip
