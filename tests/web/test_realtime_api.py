"""/api/realtime on a real server: the documented requests as they stand, every refusal, every kind of audio."""

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from parley.audio.file_decoder import decode
from parley.auth.keys_store import Rules
from parley.web.pipeline import BEHAVIOUR_CHARS_MAX, MESSAGES_MAX
from tests.conftest import ROOT, Server
from tests.sdk.speaker import Speaker
from tests.sound_files import KINDS, sound_file
from tests.speech import word_error_rate
from tests.transports.rtc.browser import chromium
from tests.transports.rtc.test_phone import understood
from tests.transports.rtc.test_sdp import CHROME
from tests.web.caller import Caller
from tests.web.people import CREDIT, newcomer, office_of, spent

PIPELINE: Final = "/api/realtime/pipeline"
SESSION: Final = "/api/realtime/session"
CHARGE: Final = "/api/realtime/charge"
QUESTION: Final = "What is seven plus five?"
SENTENCE: Final = "The weather is nice today, and we walk to the park."
PATIENCE_S: Final = 60
KEYS: Final = [
    "transcript", "assistantText", "audioBase64", "audioContentType", "model", "modelId", "voice",
]  # fmt: skip
"""protocol.md 1.8, in its order."""


def documented(address: str) -> str:
    """The first command of the page that goes there."""
    page = (ROOT / "docs" / "pipeline.md").read_text("utf-8")
    commands: list[str] = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    return next(command for command in commands if address in command)


def shell(command: str, server: Server, folder: Path) -> str:
    """What a command line says that knows the server as the documentation does."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    environment = {"APP_URL": server.url, "GPTREALTIME_API_KEY": server.key, "PATH": os.defpath}
    done = subprocess.run(
        ["sh", "-c", command.replace("curl ", "curl -sS ")], env=environment, cwd=folder,
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    return done.stdout


async def post(server: Server, path: str = PIPELINE, *, key: str | None = None, **more: Any) -> httpx.Response:
    """With the key of the server, unless there is another one or other headers."""
    headers = {"authorization": f"Bearer {key or server.key}"} | more.pop("headers", {})
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, verify=False) as http:
        return await http.post(path, headers={name: value for name, value in headers.items() if value}, **more)


async def ask(server: Server, audio: bytes | None = None, key: str | None = None, **fields: Any) -> httpx.Response:
    """A form for the pipeline."""
    files: dict[str, Any] = {name: (None, value) for name, value in ({"model": "starter-voice"} | fields).items()}
    if audio is not None:
        files["audio"] = ("message.bin", audio, "application/octet-stream")
    return await post(server, key=key, files=files)


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that has the form of every refusal here."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["code", "message"]
    assert body["message"]
    return response.status_code, body["code"]


def answered(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert list(body) == KEYS
    assert body["audioContentType"] == "audio/mpeg"
    return body


def sound(body: dict[str, Any]) -> bytes:
    """The answer, as any player would decode it."""
    return b"".join(decode(io.BytesIO(b64decode(body["audioBase64"], validate=True)), 600_000))


# ---- as documented


def test_the_documented_text_request(server: Server, tmp_path: Path) -> None:
    body = json.loads(shell(documented("text=Give me"), server, tmp_path))
    assert list(body) == KEYS
    assert (body["transcript"], body["modelId"], body["voice"]) == ("", "starter-voice", "marin")
    assert body["assistantText"]
    assert len(sound(body)) > 48_000


async def test_the_documented_audio_request(server: Server, speaker: Speaker, tmp_path: Path) -> None:
    (tmp_path / "message.webm").write_bytes(sound_file(await speaker(QUESTION), "webm"))
    body = json.loads(await asyncio.to_thread(shell, documented("message.webm"), server, tmp_path))
    assert word_error_rate(QUESTION, body["transcript"]) == 0
    assert "12" in body["assistantText"]
    assert body["voice"] == "cedar"


async def test_the_mp3_says_what_the_text_says(server: Server) -> None:
    body = answered(await ask(server, text="Please.", instructions=f"Say exactly: {SENTENCE}"))
    assert body["assistantText"] == SENTENCE
    assert word_error_rate(SENTENCE, await understood(sound(body))) <= 0.2


async def test_what_was_said_before_is_known(server: Server) -> None:
    before = json.dumps([{"role": "user", "text": "My name is Ann."}, {"role": "assistant", "text": "Hello, Ann."}])
    body = answered(await ask(server, text="What is my name?", messages=before))
    assert "Ann" in body["assistantText"]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_audio_is_heard(server: Server, speaker: Speaker, kind: str) -> None:
    body = answered(await ask(server, sound_file(await speaker(QUESTION), kind)))
    assert word_error_rate(QUESTION, body["transcript"]) == 0
    assert "12" in body["assistantText"]


async def test_text_and_audio_together(server: Server, speaker: Speaker) -> None:
    body = answered(await ask(server, sound_file(await speaker(QUESTION), "ogg"), text="Here is a question."))
    assert word_error_rate(QUESTION, body["transcript"]) == 0


async def test_either_header_will_do(server: Server) -> None:
    form = {"model": (None, b"starter-voice"), "text": (None, b"Hello.")}
    by_name = {"authorization": "", "x-api-key": server.key}
    assert answered(await post(server, headers=by_name, files=form))["voice"] == "marin"


async def test_a_page_may_ask_with_either_header(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        asked = {"origin": "https://a.example", "access-control-request-headers": "x-api-key,content-type"}
        allowed = (await http.options(SESSION, headers=asked)).headers
    assert allowed["access-control-allow-origin"] == "*"
    assert {"authorization", "x-api-key", "content-type"} <= set(allowed["access-control-allow-headers"].split(", "))


def test_the_documented_call_in_a_browser(server: Server, tmp_path: Path) -> None:
    page_of_docs = (ROOT / "docs" / "pipeline.md").read_text("utf-8")
    (code,) = re.findall(r"```typescript\n(.*?)```", page_of_docs, re.DOTALL)
    with chromium(tmp_path / "no-microphone.wav") as page:
        call_id = page.evaluate(
            "async (env) => { const process = {env};"
            + code.replace("!;", ";")
            + "window.peer = peer; return callId; }",
            {"APP_URL": server.url, "GPTREALTIME_API_KEY": server.key},
        )
        page.wait_for_function("() => window.peer.connectionState === 'connected'", timeout=PATIENCE_S * 1_000)
        told = json.loads(shell(documented("callId").replace("call_abc123", call_id), server, tmp_path))
    assert (told["callId"], told["model"], told["creditsCharged"]) == (call_id, "realtime-mini", 0)


async def test_a_spoken_call_and_its_bill(server: Server, speaker: Speaker) -> None:
    async with Caller(server.url, server.key) as caller:
        assert (await caller.begin("realtime-pro", instructions="")).status_code == 200
        await caller.until("session.created")
        caller.speak(await speaker(QUESTION))
        done = await caller.until("response.done")
        assert "12" in done["response"]["output"][0]["content"][0]["transcript"]
        response = await post(server, CHARGE, json={"model": "realtime-pro", "callId": caller.call_id})
    told, used = response.json(), done["response"]["usage"]
    assert told["creditsCharged"] > 0
    assert told["usage"]["inputAudioTokens"] == used["input_token_details"]["audio_tokens"] > 0
    assert told["usage"]["outputAudioTokens"] == used["output_token_details"]["audio_tokens"] > 0


# ---- who may not


@pytest.mark.parametrize("path", [PIPELINE, SESSION, CHARGE])
async def test_who_shows_nothing_or_nothing_good(server: Server, path: str) -> None:
    for authorization, wanted in {
        "": "unauthorized",
        "Basic dXNlcjpwYXNz": "invalid_authorization",
        "Bearer": "invalid_authorization",
        "Bearer a b": "invalid_authorization",
        server.key: "invalid_authorization",
        "Bearer sk-gptr2-unknown": "invalid_api_key",
        f"Bearer sk-gptr2-{'A' * 48}": "invalid_api_key",
    }.items():
        response = await post(server, path, headers={"authorization": authorization})
        assert refusal(response) == (401, wanted), authorization
        if wanted == "invalid_api_key":
            assert response.json()["message"] == "API key is invalid or has been deleted."
    assert refusal(await post(server, f"{path}?api_key=x")) == (401, "key_in_query")


async def test_keys_that_are_revoked_or_for_something_else(server: Server) -> None:
    async with office_of(server) as office:
        revoked, talker, asker = [
            await newcomer(office, CREDIT, Rules(scopes=(scope,))) for scope in ("pipeline", "realtime", "pipeline")
        ]
        await office.keys.revoke(revoked.account, revoked.key_id)
        picky = await newcomer(office, CREDIT, Rules(voices=("cedar",)))
    assert refusal(await ask(server, key=revoked.key, text="Hi.")) == (401, "invalid_api_key")
    assert refusal(await ask(server, key=talker.key, text="Hi.")) == (403, "key_not_allowed")
    offer = {"model": "realtime-mini", "sdp": CHROME}
    assert refusal(await post(server, SESSION, key=asker.key, json=offer)) == (403, "key_not_allowed")
    assert refusal(await ask(server, key=picky.key, text="Hi.", voice="marin")) == (403, "key_not_allowed")
    answered(await ask(server, key=picky.key, text="Hi.", voice="cedar"))
    answered(await ask(server, key=asker.key, text="Hi."))


async def test_a_client_secret_is_no_key(server: Server) -> None:
    secret = (await post(server, "/v1/realtime/client_secrets", json={})).json()["value"]
    assert refusal(await ask(server, key=secret, text="Hi.")) == (403, "client_secret_not_allowed")


async def test_without_credits_nothing_is_done(server: Server, speaker: Speaker) -> None:
    async with office_of(server) as office:
        poor = await newcomer(office, 0)
        junk = b"this is not decoded for somebody who cannot pay"
        assert refusal(await ask(server, junk, poor.key)) == (402, "insufficient_credits")
        offer = {"model": "realtime-pro", "sdp": CHROME}
        assert refusal(await post(server, SESSION, key=poor.key, json=offer)) == (402, "insufficient_credits")
        assert await spent(office, poor, 0) == 0


async def test_an_answer_is_paid_for_before_it_is_told(server: Server) -> None:
    async with office_of(server) as office:
        person = await newcomer(office)
        answered(await ask(server, key=person.key, text="Hello."))
        lines = (await office.ledger.statement(person.account)).lines
        assert await spent(office, person) == sum(line.moved for line in lines if line.kind == "capture") > 0


async def test_who_sends_rubbish_pays_nothing(server: Server) -> None:
    async with office_of(server) as office:
        person = await newcomer(office)
        assert refusal(await ask(server, b"rubbish", person.key)) == (422, "invalid_audio")
        assert await spent(office, person) == 0


async def test_who_is_signed_in_at_the_console(server: Server) -> None:
    form = {"model": (None, b"starter-voice"), "text": (None, b"Hello.")}
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, verify=False) as http:
        own = {"origin": server.url}
        assert (await http.post("/api/console/sign-in", json={"key": server.key}, headers=own)).status_code == 204
        csrf = {"x-parley-csrf": (await http.get("/api/console")).json()["csrf"]}
        answered(await http.post(PIPELINE, files=form, headers=own | csrf))
        assert refusal(await http.post(PIPELINE, files=form, headers=own)) == (403, "origin_not_allowed")
        foreign = {"origin": "https://a.example"} | csrf
        assert refusal(await http.post(PIPELINE, files=form, headers=foreign)) == (403, "origin_not_allowed")
        await http.post("/api/console/sign-out", headers=own | csrf)
        http.cookies.set(f"parley_console_{httpx.URL(server.url).port}", "stale", domain="127.0.0.1", path="/api")
        assert refusal(await http.post(PIPELINE, files=form, headers=own | csrf)) == (401, "unauthorized")


# ---- what is wrong with a question


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"model": ""}, "missing_required_parameter"),
        ({"model": "realtime-mini"}, "unsupported_model"),
        ({"model": "gpt-realtime"}, "unsupported_model"),
        ({"text": ""}, "missing_required_parameter"),
        ({"text": " \n"}, "missing_required_parameter"),
        ({"voice": "nobody"}, "invalid_value"),
        ({"instructions": "x" * (BEHAVIOUR_CHARS_MAX + 1)}, "invalid_value"),
        ({"durationSeconds": "ten"}, "invalid_value"),
        ({"durationSeconds": "-1"}, "invalid_value"),
        ({"durationSeconds": "nan"}, "invalid_value"),
        ({"messages": "no json"}, "invalid_value"),
        ({"messages": "{}"}, "invalid_value"),
        ({"messages": '[{"role":"robot","text":"Hi"}]'}, "invalid_value"),
        ({"messages": '[{"role":"user"}]'}, "invalid_value"),
        ({"messages": "[" * 5_000}, "invalid_value"),
        ({"messages": json.dumps([{"role": "user", "text": "Hi"}] * (MESSAGES_MAX + 1))}, "invalid_value"),
    ],
    ids=str,
)
async def test_fields_that_are_wrong(server: Server, fields: dict[str, Any], wanted: str) -> None:
    assert refusal(await ask(server, **({"text": "Hi."} | fields))) == (400, wanted)


async def test_fields_at_their_bounds(server: Server) -> None:
    most: dict[str, Any] = {
        "instructions": "x" * BEHAVIOUR_CHARS_MAX,
        "messages": json.dumps([{"role": "user", "text": "Hi", "id": 7}] * MESSAGES_MAX),
        "durationSeconds": "",
        "voice": "",
        "unheard": "of",
    }
    assert answered(await ask(server, text="Hi.", **most))["voice"] == "marin"


@pytest.mark.parametrize(
    ("audio", "wanted"),
    [
        (b"", (422, "invalid_audio")),
        (b"these are words", (422, "invalid_audio")),
        (b"\x1aE\xdf\xa3" + bytes(5_000), (422, "invalid_audio")),
        (sound_file(bytes(48 * 90), "wav"), (422, "invalid_audio")),
        (bytes(26 * 1024 * 1024), (413, "request_too_large")),
    ],
    ids=["empty", "words", "a head without a body", "90 ms", "26 MB"],
)
async def test_audio_that_is_wrong(server: Server, audio: bytes, wanted: tuple[int, str]) -> None:
    assert refusal(await ask(server, audio)) == wanted


async def test_hours_in_a_small_file(server: Server) -> None:
    silence = sound_file(bytes(630_000 * 48), "flac")
    assert len(silence) < 1_000_000
    assert refusal(await ask(server, silence)) == (422, "audio_too_long")


async def test_silence_is_an_honest_question(server: Server) -> None:
    body = answered(await ask(server, sound_file(bytes(48 * 3_000), "flac")))
    assert body["transcript"] == ""
    assert body["assistantText"]


async def test_the_body_is_not_a_form(server: Server) -> None:
    assert refusal(await post(server, json={"model": "starter-voice"})) == (415, "unsupported_media_type")
    kind = {"content-type": "multipart/form-data"}
    assert refusal(await post(server, content=b"x", headers=kind)) == (400, "invalid_body")


# ---- what is wrong with a call


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"model": "realtime-mini"}, "invalid_sdp"),
        ({"model": "realtime-mini", "sdp": None}, "invalid_sdp"),
        ({"model": "realtime-mini", "sdp": 7}, "invalid_sdp"),
        ({"model": "realtime-mini", "sdp": "v=0..."}, "invalid_sdp"),
        ({"model": "realtime-mini", "sdp": CHROME.replace("m=audio", "m=video")}, "invalid_sdp"),
        ({"sdp": CHROME}, "missing_required_parameter"),
        ({"model": "starter-voice", "sdp": CHROME}, "unsupported_model"),
        ({"model": ["realtime-mini"], "sdp": CHROME}, "unsupported_model"),
        ({"model": "realtime-mini", "sdp": CHROME, "voice": "nobody"}, "invalid_value"),
        ({"model": "realtime-mini", "sdp": CHROME, "voice": 7}, "invalid_type"),
        ({"model": "realtime-mini", "sdp": CHROME, "instructions": {}}, "invalid_type"),
    ],
    ids=str,
)
async def test_offers_that_are_wrong(server: Server, body: Any, wanted: str) -> None:
    assert refusal(await post(server, SESSION, json=body)) == (400, wanted)


async def test_an_offer_that_is_too_large(server: Server) -> None:
    body = {"model": "realtime-mini", "sdp": CHROME + "a=x\r\n" * 20_000}
    assert refusal(await post(server, SESSION, json=body)) == (413, "request_too_large")


@pytest.mark.parametrize("path", [SESSION, CHARGE])
@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b"null", b"\xff", b"[" * 100_000])
async def test_bodies_that_are_no_objects(server: Server, path: str, content: bytes) -> None:
    assert refusal(await post(server, path, content=content)) == (400, "invalid_body")


async def test_what_is_not_there(server: Server) -> None:
    assert refusal(await post(server, "/api/realtime/nothing")) == (404, "not_found")
    async with httpx.AsyncClient(base_url=server.url) as http:
        response = await http.get(PIPELINE)
    assert refusal(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
