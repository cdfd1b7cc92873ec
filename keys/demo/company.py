"""Describe Northgate, a made-up crypto exchange: its teams, people, services and scopes."""

from __future__ import annotations

from dataclasses import dataclass

PASSWORD = "northgate demo company"  # noqa: S105 - of made-up people, and loaded only into a demo
DOMAIN = "northgate.example"


@dataclass(frozen=True)
class PersonOf:
    """Someone of the company: roles for the whole, and roles by team."""

    login: str
    name: str
    roles: tuple[str, ...] = ()
    teams: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def email(self) -> str:
        return f"{self.login}@{DOMAIN}"


TEAMS = (
    ("market-data", "Market Data", "Prices, order books and their history."),
    ("trading", "Trading", "Places and cancels orders."),
    ("custody", "Custody", "Holds the wallets of customers."),
    ("insight", "Insight", "Builds reports for customers and regulators."),
    ("security", "Security", "Second pair of eyes for everything in production."),
)

PEOPLE = (
    PersonOf("lena", "Lena Fischer", ("administrator",)),
    PersonOf("omar", "Omar Haddad", ("administrator",)),
    PersonOf("priya", "Priya Nair", ("responder",)),
    PersonOf("judith", "Judith Blum", ("auditor",)),
    PersonOf("dana", "Dana Okafor", (), (("insight", ("developer", "lead")),)),
    PersonOf("devi", "Devi Rao", (), (("trading", ("developer", "lead")),)),
    PersonOf("theo", "Theo Lind", (), (("market-data", ("developer",)),)),
    PersonOf("abel", "Abel Moreno", (), (("trading", ("approver",)),)),
    PersonOf("ines", "Ines Duarte", (), (("custody", ("approver", "lead")),)),
    PersonOf("kwame", "Kwame Mensah", (), (("market-data", ("approver", "lead")), ("insight", ("approver",)))),
    PersonOf("sora", "Sora Tanaka", (), (("security", ("approver",)), ("keystead", ("approver",)))),
    PersonOf("mika", "Mika Salonen", (), (("security", ("approver",)), ("keystead", ("approver", "lead")))),
)

SERVICES = (
    ("market-data", "Market Data", "Prices and order books, live and past.", "market-data"),
    ("orders", "Orders", "The order gateway of the exchange.", "trading"),
    ("wallets", "Wallets", "Balances, deposits and withdrawals.", "custody"),
    ("reporting", "Reporting", "Statements and regulatory reports.", "insight"),
)

# service, scope, what it lets its holder do, access, risk
SCOPES = (
    ("market-data", "ticker:read", "Read current prices", "read", "low"),
    ("market-data", "orderbook:read", "Read order books", "read", "low"),
    ("market-data", "history:read", "Read past trades", "read", "low"),
    ("orders", "orders:read", "Read orders and fills", "read", "medium"),
    ("orders", "orders:place", "Place orders with the firm's money", "write", "high"),
    ("orders", "orders:cancel", "Cancel open orders", "write", "medium"),
    ("orders", "legacy:export", "Export orders in the old format", "read", "medium"),
    ("wallets", "balances:read", "Read balances", "read", "medium"),
    ("wallets", "deposits:read", "Read deposits", "read", "medium"),
    ("wallets", "addresses:write", "Change the list of withdrawal addresses", "write", "high"),
    ("wallets", "withdrawals:create", "Send money out of the exchange", "admin", "critical"),
    ("reporting", "reports:read", "Read finished reports", "read", "low"),
    ("reporting", "reports:publish", "Publish a report to customers", "write", "medium"),
)

# service, template, what it is for, scopes
TEMPLATES = (
    ("market-data", "Dashboard", "Show live prices.", ("ticker:read", "orderbook:read")),
    ("orders", "Trading bot", "Trade for one strategy.", ("orders:read", "orders:place", "orders:cancel")),
    ("orders", "Observer", "Watch orders without touching them.", ("orders:read",)),
    ("wallets", "Balance watcher", "Compare balances every hour.", ("balances:read", "deposits:read")),
)
