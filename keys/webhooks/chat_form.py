"""Write a message in the form that incoming webhooks of Slack take, and of Mattermost, Rocket.Chat and others that follow it.

Names come from people, so nothing of theirs is markup: no mention that wakes a whole channel, no link dressed as another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

# Of a section; Slack refuses the whole message when one is longer.
LONGEST_SECTION: Final = 2900
# A mention is one also without angle brackets in some chats; with this in between it is a word.
_AT: Final = "@\N{WORD JOINER}"


def chat_body(*, subject: str, sentence: str, action: str, link: str, lines: Sequence[str] = ()) -> str:
    """The JSON of one message: what to do about it is one link, which carries no power."""
    said = "\n".join(part for part in (sentence, *(f"• {line}" for line in lines)) if part)
    blocks = [_section(_plain(subject))]
    if said:
        blocks.append(_section(_plain(said)))
    blocks.append(_section({"type": "mrkdwn", "text": f"<{link}|{_escaped(action)}>"}))
    text = "\n".join(_escaped(part) for part in (subject, said, f"{action}: {link}") if part)
    return json.dumps({"text": text, "blocks": blocks}, ensure_ascii=False, separators=(",", ":"))


def _section(text: dict[str, Any]) -> dict[str, Any]:
    return {"type": "section", "text": text}


def _plain(text: str) -> dict[str, Any]:
    shown = text if len(text) <= LONGEST_SECTION else text[: LONGEST_SECTION - 1] + "…"
    return {"type": "plain_text", "text": shown.replace("@", _AT), "emoji": False}


def _escaped(text: str) -> str:
    """Escape the three characters that begin markup there."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", _AT)
