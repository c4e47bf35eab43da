"""All microphones of this process, heard together on one thread off the event loop.

    listening = Listening()
    hearing = listening.attach(on_speech)       # evidence comes to on_speech, on the loop, in order
    hearing.hear(pcm)

Theory. The loop collects ears that have a whole frame (*ready*) and hands them over as one batch; while the worker is
busy with it the next ones collect. Each batch costs one hop there and one hop back, and a frame in a batch of eight
costs half of a frame alone, so with many talkers a batch waits up to `WINDOW_S` for company. With few there is none to
wait for, and it goes with the current turn of the loop. An ear is in one batch at a time: its evidence stays in order.
"""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final

from parley.audio.noise import NoiseReduction
from parley.audio.pcm import HOUSE_RATE
from parley.audio.vad import FRAME_SAMPLES, Ear, Evidence, Listener, open_listener

FEW_EARS: Final = 4
"""Up to so many talkers at once, nobody waits for company."""
WINDOW_PER_TALKER_S: Final = 0.000_2
WINDOW_S: Final = 0.006
"""How long a batch waits for company otherwise: the first for each talker, at most the second."""
RATE_SPAN_S: Final = 0.1
"""Over how long the talkers are counted."""
FRAME_S: Final = FRAME_SAMPLES / HOUSE_RATE

OnSpeech = Callable[[list[Evidence]], None]
Heard = list[tuple[Ear, list[Evidence]]]


class Hearing:
    """One microphone. Made by `Listening.attach`; to be used on the event loop, and closed."""

    def __init__(self, ear: Ear, on_speech: OnSpeech, ready: Callable[["Hearing"], None]) -> None:
        self.ear = ear
        self.closed = False
        self.queued = False
        """Whether this ear is in a batch, or ready for the next one."""
        self._on_speech = on_speech
        self._ready = ready

    def hear(self, pcm: bytes) -> None:
        """More sound: house format, whole samples. Never waits, and is bounded by `EAR_MS_MAX`."""
        self.ear.hear(pcm)
        if not self.queued and self.ear.frames > 0:
            self._ready(self)

    def set_noise_reduction(self, wanted: NoiseReduction | None) -> None:
        """Holds from the next frame on."""
        self.ear.noise_reduction = wanted

    def close(self) -> None:
        """Nothing more is heard or said. Evidence that is on its way is dropped."""
        self.closed = True

    def tell(self, evidence: list[Evidence]) -> None:
        if not self.closed:
            self._on_speech(evidence)


class Listening:
    """The service. Belongs to one event loop; the model is loaded by the first `attach`, or by `load`."""

    def __init__(self, open_listener: Callable[[], Listener] = open_listener) -> None:
        """`open_listener` is called on the worker thread."""
        self.name = "loading"
        """The listener's name once it is loaded: `silero`, or `energy` where that could not be found."""
        self.frames = 0
        self.batches = 0
        self._open_listener = open_listener
        self._thread: Thread | None = None
        self._loaded: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._batches: SimpleQueue[list[Hearing] | None] = SimpleQueue()
        """To the worker; None ends it. Holds one batch at most."""
        self._ready: list[Hearing] = []
        self._departure: asyncio.Handle | None = None
        """When what is ready leaves as a batch."""
        self._busy = False
        self._talkers = 0.0
        self._counted = 0
        self._counted_since = 0.0

    async def load(self) -> None:
        """Returns when the model is ready. Raises what kept it from loading."""
        self.begin()
        assert self._loaded is not None
        await asyncio.shield(self._loaded)

    def attach(self, on_speech: OnSpeech, noise_reduction: NoiseReduction | None = None, start: int = 0) -> Hearing:
        """Begins to hear a microphone. `start` is the position in samples of the first sound that it will be given."""
        self.begin()
        return Hearing(Ear(start, noise_reduction), on_speech, self._add)

    async def close(self) -> None:
        """Ends the thread after the batch that it is at. No evidence comes after this."""
        if self._thread is None or self._ended is None:
            return
        if self._departure is not None:
            self._departure.cancel()
        self._batches.put(None)
        await self._ended
        self._thread.join()

    def begin(self) -> None:
        """Begins to load the model, if nobody has. Returns at once; what is heard meanwhile is judged later."""
        if self._thread is not None:
            return
        loop = asyncio.get_running_loop()
        self._loaded, self._ended = loop.create_future(), loop.create_future()
        self._thread = Thread(target=self._work, args=(loop, self._loaded, self._ended), name="listening", daemon=True)
        self._thread.start()

    # ---- on the loop

    def _add(self, hearing: Hearing) -> None:
        hearing.queued = True
        self._ready.append(hearing)
        self._count_talkers(asyncio.get_running_loop().time())
        self._schedule()

    def _count_talkers(self, now: float) -> None:
        self._counted += 1
        span = now - self._counted_since
        if span >= RATE_SPAN_S:
            self._talkers = self._counted * FRAME_S / span
            self._counted, self._counted_since = 0, now

    def _schedule(self) -> None:
        if self._busy or self._departure is not None or not self._ready:
            return
        loop = asyncio.get_running_loop()
        if self._talkers <= FEW_EARS:
            self._departure = loop.call_soon(self._depart)
        else:
            window_s = min(WINDOW_S, self._talkers * WINDOW_PER_TALKER_S)
            self._departure = loop.call_later(window_s, self._depart)

    def _depart(self) -> None:
        batch = [hearing for hearing in self._ready if not hearing.closed]
        self._ready, self._departure = [], None
        if batch:
            self._busy = True
            self._batches.put(batch)

    def _arrive(self, batch: list[Hearing], heard: Heard) -> None:
        self._busy = False
        self.batches += 1
        told = dict(heard)
        for hearing in batch:
            evidence = told.get(hearing.ear)
            if evidence:
                self.frames += len(evidence)
                asyncio.get_running_loop().call_soon(hearing.tell, evidence)
            hearing.queued = hearing.ear.frames > 0
        self._ready += [hearing for hearing in batch if hearing.queued]
        self._schedule()

    def _fail(self, batch: list[Hearing], failure: Exception) -> None:
        """A bug or a broken model: what the batch took is lost, the sessions live on, and the log is told."""
        asyncio.get_running_loop().call_exception_handler({"message": "listening failed", "exception": failure})
        self._arrive(batch, [])

    # ---- on the thread

    def _work(self, loop: asyncio.AbstractEventLoop, loaded: asyncio.Future[None], ended: asyncio.Future[None]) -> None:
        try:
            listener = self._open_listener()
        except Exception as failure:
            loop.call_soon_threadsafe(loaded.set_exception, failure)
        else:
            self.name = listener.name
            loop.call_soon_threadsafe(loaded.set_result, None)
            self._listen(loop, listener)
        loop.call_soon_threadsafe(ended.set_result, None)

    def _listen(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                heard = listener.listen([hearing.ear for hearing in batch])
            except Exception as failure:
                loop.call_soon_threadsafe(self._fail, batch, failure)
            else:
                loop.call_soon_threadsafe(self._arrive, batch, heard)
