"""The events channel's SCTP: aiortc's, with the patience of a browser's, and a way out.

aiortc waits a second for a packet to be confirmed, and three before it knows the way (RFC 9260 16): where one packet in
seven gets lost, events are held up for seconds. Browsers wait 0.4 and 0.5 s (dcSCTP's `rto_min` and `rto_initial`).
"""

from typing import Final

from aiortc import RTCDtlsTransport, RTCSctpTransport

RTO_INITIAL_S: Final = 0.5
"""How long a packet may take to be confirmed before it is sent again, while nothing is known about the way."""
RTO_MIN_S: Final = 0.4
"""At least, however short the way: a receiver may keep its confirmation back for 0.2 s."""
RTO_MAX_S: Final = 2.0
"""At most: as long as events are held up after the network has come back."""


class _Nowhere:
    """What is left when the connection is over: timers may still have something to send."""

    state = "closed"
    _role = "client"

    async def _send_data(self, data: bytes) -> None: ...

    def _unregister_data_receiver(self, receiver: object) -> None: ...


class Association(RTCSctpTransport):
    """On a connection's DTLS. `leave` it when the connection is over."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        super().__init__(dtls)
        self._rto = RTO_INITIAL_S

    @property
    def unconfirmed(self) -> bool:
        """Whether something is on its way that the peer has not confirmed."""
        return bool(self._outbound_queue or self._sent_queue)

    def leave(self) -> None:
        self.transport._unregister_data_receiver(self)
        self.setTransport(_Nowhere())  # type: ignore[arg-type]

    def _update_rto(self, R: float) -> None:  # noqa: N803 - aiortc's name
        super()._update_rto(R)
        if self._srtt is not None and self._rttvar is not None:
            self._rto = max(RTO_MIN_S, min(self._srtt + 4 * self._rttvar, RTO_MAX_S))
