"""Change how an environment is called; its tag and class are in every key and never change."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor
from keys.events import EnvironmentChanged
from keys.models import Environment
from keys.operations import locked, operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_administer
from keys.text import line


@operation
def rename_environment(environment: Environment, *, name: str, actor: Actor) -> Environment:
    """Call an environment by another name."""
    environment = locked(environment)
    at = clock.now()
    enforce(may_administer(actor, standing_of(actor, at=at), purpose="catalogue", at=at))
    columns = {"name": line(name, "name", most=60)}
    return update(environment, EnvironmentChanged, actor=actor, at=at, columns=columns, environment=environment.tag)
