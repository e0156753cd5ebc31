"""How the demo mall talks to Liebian: signed calls, an outbox that does not give up, and faults to switch on.

A fault is a number of times, counted down as it happens; -1 goes on until it is set to 0.

    slow           webhooks are answered only after `slow_s` seconds: later than Liebian waits
    lost           webhooks are worked off, and the connection closes without a reply
    down           webhooks are refused with 503, and nothing is sent
    lost_replies   replies to the mall's own calls are thrown away, so that it calls again
    duplicates     the mall's own calls are sent twice
    disorder       not counted down: so many events gather, and leave last first; 0 lets go what waits
"""

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

Json = dict[str, Any]
TIMEOUT_S = 20.0
AGAIN_AFTER_S = 0.3
TRIES = 30
SWITCHES = ("slow", "lost", "down", "lost_replies", "duplicates", "disorder")


class Refused(Exception):
    """Liebian, or the shop, said no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message


class NoReply(Exception):
    """Whether it was done is not known: it must be asked again, under the same id."""


class Faults:
    """What goes wrong, and how many times more."""

    slow_s = 6.0

    def __init__(self) -> None:
        self.left = dict.fromkeys(SWITCHES, 0)
        self._lock = threading.Lock()
        self.changed: Callable[[], None] = lambda: None

    def set(self, wanted: Mapping[str, Any]) -> None:
        """Switch some of them.

        Raises:
            Refused: there is no such fault, or it is not a number of times.
        """
        numbers = {name: int(value) for name, value in wanted.items() if str(value).lstrip("-").isdigit()}
        if (
            len(numbers) != len(wanted)
            or not set(numbers) <= set(SWITCHES)
            or min(numbers.values(), default=0) < -1
        ):
            raise Refused(422, "invalid", f"faults are {', '.join(SWITCHES)}, each a number of times, or -1")
        with self._lock:
            self.left |= numbers
        self.changed()

    def strikes(self, name: str) -> bool:
        """Whether it happens now; it happens once less from then on."""
        with self._lock:
            left = self.left[name]
            self.left[name] = max(left - 1, -1) if left > 0 else left
        if left == 1:
            self.changed()
        return left != 0


class Liebian:
    """Liebian as a mall sees it. ``secrets`` are the live ones, newest first: two while one replaces the other."""

    def __init__(self, *, url: str, secrets: list[str], faults: Faults) -> None:
        self.url = url
        self._keys = [
            Webhook(secret if secret.startswith("whsec_") else secret.encode()) for secret in secrets
        ]
        self._faults = faults

    def call(self, method: str, path: str, body: Json | None, *, call_id: str) -> Json:
        """One signed call, which may be sent again under the same ``call_id``.

        Raises:
            Refused: the answer is a refusal. NoReply: there is none.
        """
        text = json.dumps(body) if body else ""
        if self._faults.strikes("duplicates"):
            with contextlib.suppress(Refused):
                self._send(method, path, text, call_id)
        answer = self._send(method, path, text, call_id)
        if self._faults.strikes("lost_replies"):
            raise NoReply("the reply was lost")
        return answer

    def look(self, path: str) -> Json:
        """What anybody may see."""
        return _answer("GET", self.url + path, "", {})

    def _send(self, method: str, path: str, text: str, call_id: str) -> Json:
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": call_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._keys[0].sign(call_id, now, text),
        }
        return _answer(method, self.url + path, text, headers)

    def wrote(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether a webhook is Liebian's: signed with a live secret, and not long ago."""
        for key in self._keys:
            with contextlib.suppress(WebhookVerificationError, ValueError):
                key.verify(body, {name.lower(): value for name, value in headers.items()})
                return True
        return False


def _answer(method: str, url: str, text: str, headers: Mapping[str, str]) -> Json:
    try:
        reply = urllib3.request(
            method, url, body=text.encode() or None, headers=headers, timeout=TIMEOUT_S, retries=False
        )
        found: Json = json.loads(reply.data)
    except (urllib3.exceptions.HTTPError, ValueError) as failure:
        raise NoReply(type(failure).__name__) from failure
    if reply.status >= 500:
        raise NoReply(f"Liebian answered {reply.status}")
    if reply.status >= 400:
        raise Refused(reply.status, found["error"]["code"], found["error"]["message"])
    return found


@dataclass(kw_only=True)
class Message:
    """Something that Liebian must be told; ``message_id`` is the same however often it is sent."""

    message_id: str
    method: str
    path: str
    body: Json
    number: str
    what: str
    tries: int = 0
    not_before: float = 0.0


Answered = Callable[[Message, Json | None, str], None]


class Outbox:
    """What Liebian has not been told yet, sent until it is answered; a refusal may only mean "not yet"."""

    def __init__(self, *, liebian: Liebian, faults: Faults, answered: Answered) -> None:
        self.given_up: list[Message] = []
        self._liebian, self._faults, self._answered = liebian, faults, answered
        self._messages: deque[Message] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        faults.changed = self._wake
        threading.Thread(target=self._run, name="mall's outbox", daemon=True).start()

    def put(self, message: Message) -> None:
        """Owe it from now on."""
        with self._changed:
            if self._faults.left["disorder"]:
                self._messages.appendleft(message)
            else:
                self._messages.append(message)
            self._changed.notify_all()

    def waiting(self) -> int:
        """How many are not answered yet."""
        with self._changed:
            return len(self._messages)

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and not (ready := self._ready()):
                    self._changed.wait(AGAIN_AFTER_S if self._messages else None)
            if self._stopped:
                return
            for message in ready:
                self._send(message)

    def _ready(self) -> list[Message]:
        fresh = sum(not message.tries for message in self._messages)
        if self._faults.left["down"] or 0 < fresh < self._faults.left["disorder"]:
            return []
        return [message for message in self._messages if message.not_before <= time.monotonic()]

    def _send(self, message: Message) -> None:
        message.tries += 1
        try:
            answer = self._liebian.call(
                message.method, message.path, message.body or None, call_id=message.message_id
            )
        except NoReply as lost:
            self._later(message, str(lost))
        except Refused as refused:
            self._later(message, refused.code, give_up=message.tries >= TRIES)
        else:
            self._done(message)
            self._answered(message, answer, "taken" if answer.get("handled", True) else "not known there")

    def _later(self, message: Message, said: str, *, give_up: bool = False) -> None:
        message.not_before = time.monotonic() + AGAIN_AFTER_S
        self._answered(message, None, f"{said}: {'given up' if give_up else 'again'}")
        if give_up:
            self.given_up.append(message)
            self._done(message)

    def _done(self, message: Message) -> None:
        with self._changed:
            self._messages.remove(message)
