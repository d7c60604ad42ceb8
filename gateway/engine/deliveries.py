"""All status webhooks of the running plan: begun, renewed at a reload, ended, and kept on disk; made by app.py."""

import asyncio
import random
from collections.abc import Callable, Sequence, Set
from typing import Final

from gateway.dialplan.people import Webhook
from gateway.engine.delivery import Delivery, Outcome, Pace, WebhookStatus, shown
from gateway.engine.ports import History, Outbox, Progress, Receiver, StoreUnavailable
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

SAVE_EVERY_S: Final = 0.5
"""A crash sends again what was sent in such a time; each save is an fsync beside those of the journal."""
LAST_WORDS_S: Final = 2.0
"""How long `stop` lets them send what is left, such as the ends of the last calls."""


def jitter() -> float:
    """A tenth more or less, so that what failed together is not tried again together."""
    return random.uniform(0.9, 1.1)


class Deliveries:
    """`open_receiver` makes what POSTs to a webhook; `count` is told of every attempt."""

    def __init__(
        self,
        outbox: Outbox,
        history: History,
        open_receiver: Callable[[Webhook], Receiver],
        pace: Pace,
        count: Callable[[Outcome], None] = lambda outcome: None,
        save_every_s: float = SAVE_EVERY_S,
    ) -> None:
        self._outbox, self._history, self._open, self._pace = outbox, history, open_receiver, pace
        self._count, self._save_every_s = count, save_every_s
        self._deliveries: dict[str, Delivery] = {}
        self._forget: set[str] = set()
        self._dirty = asyncio.Event()
        self._saving = asyncio.Lock()
        self._unsaved = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, webhooks: Sequence[Webhook]) -> None:
        """Go on with those that were there, each from where it was. Raises StoreUnavailable."""
        kept = await self._outbox.load()
        self._forget = kept.keys() - {webhook.url for webhook in webhooks}
        for webhook in webhooks:
            self._begin(webhook, self._open(webhook), kept.get(webhook.url))
        self._tasks = [asyncio.create_task(work, name="status webhooks") for work in (self._follow(), self._keep())]
        await self._save()

    async def apply(self, webhooks: Sequence[Webhook]) -> None:
        """Another plan runs: new ones begin with what happens from now on, those that are gone are forgotten, the
        others go on, the disabled ones too."""
        receivers = {webhook.url: self._open(webhook) for webhook in webhooks}
        gone = [self._deliveries.pop(url) for url in self._deliveries.keys() - receivers.keys()]
        self._forget |= {delivery.webhook.url for delivery in gone}
        await asyncio.gather(*(delivery.stop() for delivery in gone))
        for webhook in webhooks:
            if webhook.url in self._deliveries:
                self._deliveries[webhook.url].renew(webhook, receivers[webhook.url])
            else:
                self._begin(webhook, receivers[webhook.url], None)
        await self._save()

    async def stop(self) -> None:
        """Send what is left, for at most 2 s, and keep the rest for the next start; safe to call twice."""
        if not self._tasks:
            return
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                for delivery in self._deliveries.values():
                    delivery.wake()
                    await delivery.idle()
        except TimeoutError:
            log.info("webhook.left_for_later")
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.gather(*(delivery.stop() for delivery in self._deliveries.values()))
        await self._save()

    def statuses(self) -> Sequence[WebhookStatus]:
        """How they are, in the order of the plan in which each came."""
        return [delivery.status() for delivery in self._deliveries.values()]

    def lag_s(self) -> float:
        """How old the oldest event is that one of them has not delivered; 0 if there is none."""
        return max((status.lag_s for status in self.statuses()), default=0.0)

    # ── Inside ──────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, webhook: Webhook, receiver: Receiver, kept: Progress | None) -> None:
        progress = kept or Progress(webhook.url, self._history.last_seq)
        self._deliveries[webhook.url] = Delivery(
            webhook, receiver, progress, self._history, self._pace, self._dirty.set, self._count
        )
        if kept is not None and kept.disabled:
            log.warning("webhook.still_disabled", url=shown(webhook.url), detail="a reload enables it again")

    async def _follow(self) -> None:
        """Wake all when the journal has something new."""
        newest = 0
        while True:
            newest = await self._history.newer_than(newest)
            for delivery in self._deliveries.values():
                delivery.wake()

    async def _keep(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._save_every_s)
            await self._save()

    async def _save(self) -> None:
        """All in one transaction. What cannot be kept is kept in memory, and tried again."""
        async with self._saving:
            self._dirty.clear()
            progress = [delivery.progress() for delivery in self._deliveries.values()]
            forget, self._forget = self._forget, set()
            if not progress and not forget:
                return
            try:
                await self._outbox.save(progress, forget)
            except StoreUnavailable as error:
                if not self._unsaved:  # said once, until it works again
                    log.error("webhook.unsaved", detail=str(error))
                self._unsaved = True
                self._take_back(progress, forget)
            except BaseException:
                self._take_back(progress, forget)
                raise
            else:
                self._unsaved = False

    def _take_back(self, progress: Sequence[Progress], forget: Set[str]) -> None:
        self._forget |= forget
        for one in progress:
            if one.url in self._deliveries:
                self._deliveries[one.url].unsaved(one)
        self._dirty.set()
