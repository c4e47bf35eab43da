"""Sound that comes out of order."""

import asyncio

from parley.transports.carriers.order import Order
from parley.transports.rtc.reorder import WAIT_S


async def test_put_in_order() -> None:
    heard: list[bytes] = []
    order = Order(heard.append)
    for number in (7, 8, 10, 9, 9, 11, 8):
        order.push(number, bytes([number]))
    assert heard == [b"\x07", b"\x08", b"\x09", b"\x0a", b"\x0b"]
    order.close()


async def test_what_is_missing_is_waited_for_a_moment() -> None:
    heard: list[bytes] = []
    order = Order(heard.append)
    for number in (1, 3, 4):
        order.push(number, bytes([number]))
    assert heard == [b"\x01"]
    async with asyncio.timeout(WAIT_S * 50):
        while len(heard) < 3:
            await asyncio.sleep(WAIT_S / 4)
    assert heard == [b"\x01", b"\x03", b"\x04"]
    order.push(2, b"\x02")
    assert len(heard) == 3, "its place is past"
    order.push(6, b"\x06")
    order.close()
    await asyncio.sleep(WAIT_S * 2)
    assert len(heard) == 3, "nothing is heard after the end"
