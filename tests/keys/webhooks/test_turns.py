"""Whose turn it is, among those that wait."""

from uuid import uuid4

from keys.webhooks.turns import AT_ONCE, LEAST_TARDY, MOST_FOR_ONE_HOST, MOST_TARDY, Turn, choose


def waiting(number: int, *, is_tardy: bool = False, host: str = "") -> list[Turn]:
    return [
        Turn(delivery_id=uuid4(), url=f"https://{host or f'{place}.{is_tardy}.example.com'}/", is_tardy=is_tardy)
        for place in range(number)
    ]


def test_the_tardy_come_last_and_the_order_is_kept_otherwise() -> None:
    tardy, prompt = waiting(3, is_tardy=True), waiting(3)
    assert choose([*tardy, *prompt], sending=()) == [*prompt, *tardy]
    many = waiting(AT_ONCE)
    assert choose([*tardy, *many], sending=()) == [*many[:-LEAST_TARDY], *tardy[:LEAST_TARDY]]
    assert choose([*tardy[1:], *many], sending=tardy[:1]) == [*many[:-LEAST_TARDY], *tardy[1:LEAST_TARDY]]
    assert choose([*tardy[2:], *many], sending=tardy[:2]) == many[:-LEAST_TARDY]


def test_no_backlog_of_the_prompt_keeps_the_tardy_out() -> None:
    tardy, prompt = waiting(1, is_tardy=True), waiting(3 * AT_ONCE)
    assert tardy[0] in choose([*prompt, *tardy], sending=())
    sending = prompt[: AT_ONCE - 1]
    assert choose([*prompt[AT_ONCE:], *tardy], sending=sending) == tardy, "whoever is done first makes room"


def test_no_more_are_sent_to_than_there_are_threads() -> None:
    prompt = waiting(AT_ONCE + 3)
    assert choose(prompt, sending=()) == prompt[:AT_ONCE]
    assert choose(prompt[5:], sending=prompt[:5]) == prompt[5:AT_ONCE]


def test_the_tardy_leave_threads_to_others_whoever_is_being_sent_to() -> None:
    tardy = waiting(AT_ONCE, is_tardy=True)
    assert choose(tardy, sending=()) == tardy[:MOST_TARDY]
    assert choose(tardy[3:], sending=tardy[:3]) == tardy[3:MOST_TARDY]


def test_a_host_is_a_host_in_any_spelling_and_port() -> None:
    same = [
        *waiting(MOST_FOR_ONE_HOST, host="chat.example.com:8443"),
        *waiting(1, host="Chat.Example.com"),
    ]
    assert choose(same, sending=()) == same[:MOST_FOR_ONE_HOST]
    assert choose(same[MOST_FOR_ONE_HOST:], sending=same[:MOST_FOR_ONE_HOST]) == []
