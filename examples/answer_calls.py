"""Decide about telephone calls: Parley announces each by a signed webhook, and this program accepts it.

OPENAI_WEBHOOK_SECRET=whsec_… python examples/answer_calls.py 8081
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from openai import InvalidWebhookSignatureError, NotFoundError, OpenAI

client = OpenAI()


class Webhooks(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = client.webhooks.unwrap(body, dict(self.headers))
        except InvalidWebhookSignatureError:
            self.send_error(400)
            return
        self.send_response(204)  # at once: a slow answer is sent again
        self.end_headers()
        if event.type == "realtime.call.incoming":
            answer(event.data.call_id)


def answer(call_id: str) -> None:
    try:
        client.realtime.calls.accept(call_id, type="realtime", model="gpt-realtime", instructions="Be brief and kind.")
        print(f"accepted {call_id}", flush=True)
    except NotFoundError:
        print(f"{call_id} is gone: hung up, or accepted already", flush=True)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Webhooks).serve_forever()
