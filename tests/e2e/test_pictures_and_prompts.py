"""Pictures, prompts that the server keeps, thoughts and logprobs, on a real server over real backends."""

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Server, running_server
from tests.e2e.backends import Backends, running_backends
from tests.e2e.socket import opened
from tests.engines.fake_backends import Reply, Request
from tests.sdk.client import talking, transcript
from tests.sdk.speaker import Speaker

LOGPROBS = "item.input_audio_transcription.logprobs"


def picture(kind: str = "PNG", size: tuple[int, int] = (900, 600)) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA" if kind == "PNG" else "RGB", size, "green").save(file, kind)
    return file.getvalue()


def shown(url: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "input_image", "image_url": url, **more}, {"type": "input_text", "text": "What is it?"}]
    return {"type": "message", "role": "user", "content": content}


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(backends: Backends) -> None:
    backends.reset()


@pytest.fixture(scope="module")
def served(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = backends.env(PARLEY_ALLOWED_NETWORKS="127.0.0.1/32")
    with running_server(tmp_path_factory.mktemp("pictures"), env=env) as server:
        yield server


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = picture("WEBP")
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/cat.webp"
    server.shutdown()
    server.server_close()
    thread.join()


def seen_by_model(chat: dict[str, Any]) -> Image.Image:
    part = next(part for part in chat["messages"][-1]["content"] if part["type"] == "image_url")
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


async def test_a_picture_in_the_event_and_one_of_the_web(served: Server, backends: Backends, site: str) -> None:
    inline = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    for url, detail, tokens in ((inline, "auto", 85 + 4 * 170), (site, "low", 85)):
        backends.reset()
        async with talking(served) as client:
            await client.update(output_modalities=["text"])
            # All at once: what comes behind the picture waits for it.
            await client.sdk.conversation.item.create(item=shown(url, detail=detail))
            await client.sdk.response.create()
            response = await client.done()
        assert transcript(response) == "Hello there."
        assert response["usage"]["input_token_details"]["image_tokens"] == tokens
        (chat,) = backends.chats
        assert seen_by_model(chat).size == ((900, 600) if detail == "auto" else (512, 341))


async def test_a_picture_for_one_response(served: Server, backends: Backends, site: str) -> None:
    async with talking(served) as client:
        await client.sdk.response.create(
            response={"conversation": "none", "output_modalities": ["text"], "input": [shown(site)]}
        )
        assert (await client.done())["status"] == "completed"
    assert seen_by_model(backends.chats[0]).size == (900, 600)


async def test_pictures_that_are_wrong(served: Server) -> None:
    wrong = {
        "data:image/png;base64,AAAA": "invalid_image",
        "http://169.254.169.254/latest": "url_not_allowed",
        "http://127.0.0.1:1025/": "image_not_reached",
    }
    async with opened(served) as socket:
        for number, (url, code) in enumerate(wrong.items()):
            await socket.say({"type": "conversation.item.create", "event_id": f"e{number}", "item": shown(url)})
            error = await socket.error(code, f"e{number}")
            assert error["param"] == "item.content[0].image_url"
        await socket.say({"type": "response.create", "response": {"output_modalities": ["text"]}})
        assert (await socket.until("response.done"))["response"]["status"] == "completed"


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("blind")) as server:
        yield server


async def test_the_embedded_assistant_cannot_see(blind: Server) -> None:
    async with opened(blind) as socket:
        url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
        await socket.say({"type": "conversation.item.create", "event_id": "e", "item": shown(url)})
        error = await socket.error("image_not_supported", "e")
        assert error["param"] == "item.content[0].image_url"
        await socket.say(
            {"type": "conversation.item.create", "item": {**shown(url), "content": shown(url)["content"][1:]}}
        )
        await socket.until("conversation.item.done")


# ---- prompts


def api(server: Server, method: str, path: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.loads(response.read())


async def test_a_prompt_from_the_api_to_the_model(served: Server, backends: Backends) -> None:
    made = api(served, "POST", "/api/prompts", {"name": "guide", "instructions": "Tell of {{city}}."})
    assert (made["version"], made["variables"]) == ("1", ["city"])
    api(served, "POST", f"/api/prompts/{made['id']}/versions", {"instructions": "Sing of {{city}}."})
    assert [one["version"] for one in api(served, "GET", f"/api/prompts/{made['id']}/versions")["data"]] == ["2", "1"]

    async with talking(served) as client:
        named = {"id": made["id"], "variables": {"city": "Paris"}}
        effective = await client.update(output_modalities=["text"], prompt=named)
        assert effective["instructions"] == "Sing of Paris."
        assert effective["prompt"] == {**named, "version": None}
        await client.ask("Go on!")
        await client.ask("Go on!", prompt={"id": made["id"], "version": "1", "variables": {"city": "Rome"}})
        kept = await client.update(instructions="Be brief.")
        assert kept["instructions"] == "Be brief."
    systems = [chat["messages"][0]["content"] for chat in backends.chats]
    assert systems == ["Sing of Paris.", "Tell of Rome."]

    async with opened(served) as socket:
        for prompt, code, param in (
            ({"id": made["id"]}, "missing_required_parameter", "session.prompt.variables.city"),
            ({"id": made["id"], "variables": {"town": "X"}}, "unknown_parameter", "session.prompt.variables.town"),
            ({"id": "pmpt_none"}, "prompt_not_found", "session.prompt.id"),
        ):
            await socket.say(
                {"type": "session.update", "event_id": "e", "session": {"type": "realtime", "prompt": prompt}}
            )
            assert (await socket.error(code, "e"))["param"] == param

    api(served, "DELETE", f"/api/prompts/{made['id']}")
    assert made["id"] not in str(api(served, "GET", "/api/prompts"))


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("", {"name": "x", "instructions": "Hello {{"}, 400, "instructions"),
        ("", {"name": "x", "instructions": ""}, 400, "instructions"),
        ("", {"name": "x", "instructions": "y", "project": "proj_none"}, 404, "project"),
        ("", {"name": "x", "instructions": "y", "version": "7"}, 400, "version"),
        ("/pmpt_none/versions", {"instructions": "y"}, 404, "prompt_id"),
    ],
)
def test_what_is_no_prompt(served: Server, path: str, body: dict[str, str], status: int, param: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        api(served, "POST", f"/api/prompts{path}", body)
    with refused.value as answer:
        assert answer.status == status
        assert json.loads(answer.read())["error"]["param"] == param


async def test_a_client_secret_with_a_prompt(served: Server, backends: Backends) -> None:
    made = api(served, "POST", "/api/prompts", {"name": "guide", "instructions": "Tell of {{city}}."})
    prompt = {"id": made["id"], "variables": {"city": "Oslo"}}
    session = {"type": "realtime", "model": "gpt-realtime", "output_modalities": ["text"], "prompt": prompt}
    secret = api(served, "POST", "/v1/realtime/client_secrets", {"session": session})["value"]
    headers = {"Authorization": f"Bearer {secret}"}
    async with opened(served, "", additional_headers=headers) as socket:
        await socket.say({"type": "response.create"})
        await socket.until("response.done")
    assert backends.chats[0]["messages"][0]["content"] == "Tell of Oslo."


# ---- thoughts, and how sure the transcriber is


async def test_thoughts_are_paid_for_and_never_told(served: Server, backends: Backends) -> None:
    backends.words = ["<think>The secret ", "plan is long.</think>", "Hello ", "there."]
    async with talking(served) as client:
        await client.update(reasoning={"effort": "high"})
        thoughtful = await client.ask("Hello!")
        assert transcript(thoughtful) == "Hello there."
        assert "secret" not in str(client.events)
        backends.words = ["Hello ", "there."]
        plain = await client.respond()
    assert [chat["reasoning_effort"] for chat in backends.chats] == ["high", "high"]
    assert "secret" not in str([request.body for request in backends.fake.requests if "speech" in request.path])
    tokens = [response["usage"]["output_token_details"]["text_tokens"] for response in (thoughtful, plain)]
    assert tokens[0] > tokens[1] + 3


async def test_what_is_said_ahead_of_a_call_is_commentary(served: Server, backends: Backends) -> None:
    async def call(request: Request, reply: Reply) -> None:
        function = {"name": "look", "arguments": "{}"}
        deltas = [{"content": "I'll look."}, {"tool_calls": [{"index": 0, "id": "c1", "function": function}]}]
        events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
        await reply.stream([*lines, b"data: [DONE]\n\n"], "text/event-stream")

    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    before = backends.fake.routes["/v1/chat/completions"]
    backends.fake.routes["/v1/chat/completions"] = call
    try:
        async with talking(served) as client:
            await client.update(tools=[tool])
            for modality in ("text", "audio"):
                response = await client.ask("Look!", output_modalities=[modality])
                phases = {item["type"]: item.get("phase") for item in response["output"]}
                assert phases == {"message": "commentary", "function_call": None}
    finally:
        backends.fake.routes["/v1/chat/completions"] = before


async def test_how_sure_the_transcriber_is(served: Server, backends: Backends, speaker: Speaker) -> None:
    sure = [{"token": "hello", "logprob": -0.1, "bytes": [1]}, {"token": " there", "logprob": -0.5}]

    async def transcribe(request: Request, reply: Reply) -> None:
        answer: dict[str, Any] = {"text": "hello there"}
        if request.fields.get("include[]") == "logprobs":
            answer["logprobs"] = sure
        await reply.whole(200, json.dumps(answer).encode())

    before = backends.fake.routes["/v1/audio/transcriptions"]
    backends.fake.routes["/v1/audio/transcriptions"] = transcribe
    try:
        async with talking(served) as client:
            settings = {"model": "gpt-4o-transcribe", "language": "en"}
            await client.update(
                output_modalities=["text"], audio={"input": {"transcription": settings}}, include=[LOGPROBS]
            )
            await client.speak(await speaker("Tell me a story."), times=20)
            await client.done()
            (told,) = client.of("conversation.item.input_audio_transcription.completed")
    finally:
        backends.fake.routes["/v1/audio/transcriptions"] = before
    assert [(one["token"], one["logprob"], one["bytes"]) for one in told["logprobs"]] == [
        ("hello", -0.1, list(b"hello")), (" there", -0.5, list(b" there")),
    ]  # fmt: skip


async def test_logprobs_only_for_who_asks(served: Server, backends: Backends, speaker: Speaker) -> None:
    async with talking(served) as client:
        settings = {"model": "gpt-4o-transcribe"}
        await client.update(output_modalities=["text"], audio={"input": {"transcription": settings}})
        await client.speak(await speaker("Tell me a story."), times=20)
        await client.done()
        (told,) = client.of("conversation.item.input_audio_transcription.completed")
    assert "logprobs" not in told
    heard = [request for request in backends.fake.requests if request.path.endswith("transcriptions")]
    assert "include[]" not in heard[-1].fields


def test_the_setting_says_what_it_may_be(tmp_path: Path) -> None:
    from parley.settings import SettingsError, load

    with pytest.raises(SettingsError, match="llm_sees"):
        load(environ={"PARLEY_LLM_SEES": "perhaps"}, folder=tmp_path)
