"""Let the assistant call a function of yours: look up an order, then say what was found.

python examples/function_calling.py "Where is my order A1007?"
"""

import asyncio
import json
import sys

from openai import AsyncOpenAI

ORDERS = {"A1007": {"status": "shipped", "arrives": "Tuesday"}}


def lookup_order(order_id: str) -> dict[str, str]:
    """Yours to write. Treat the arguments as you would treat any input from outside."""
    return ORDERS.get(order_id, {"status": "unknown"})


async def main(question: str) -> None:
    async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(
            session={
                "type": "realtime",
                "output_modalities": ["text"],
                "instructions": "You help customers check order status.",
                "tools": [
                    {
                        "type": "function",
                        "name": "lookup_order",
                        "description": "Return shipping status for one order ID.",
                        "parameters": {
                            "type": "object",
                            "properties": {"order_id": {"type": "string"}},
                            "required": ["order_id"],
                        },
                    }
                ],
            }
        )
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_text.done":
                print(event.text)
            elif event.type == "response.done":
                calls = [item for item in event.response.output or [] if item.type == "function_call"]
                if not calls:
                    break
                for call in calls:
                    print(f"{call.name}({call.arguments})")
                    result = lookup_order(**json.loads(call.arguments or "{}"))
                    await connection.conversation.item.create(
                        item={
                            "type": "function_call_output",
                            "call_id": call.call_id or "",
                            "output": json.dumps(result),
                        }
                    )
                await connection.response.create()


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Where is my order A1007?"))
