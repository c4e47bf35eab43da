"""What can go wrong, in one table.

Two kinds of error cross the rooms of this house. `RequestError`: the client did something wrong, and a message tells it
what to do instead. `EngineError`: we, or a backend, failed. Both carry a *code*; `ERRORS` knows everything else about
it: the error type on the wire, the HTTP status, and the advice that the documentation prints. Only edges render them.
"""

from typing import Final, NamedTuple

INVALID: Final = "invalid_request_error"
SERVER: Final = "server_error"
QUOTA: Final = "insufficient_quota"


class Row(NamedTuple):
    """One error code. `type` and `http` are for the wire (protocol.md 8), `advice` says what to do next."""

    type: str
    http: int
    advice: str


class RequestError(Exception):
    """They did something wrong. `param` is the JSON path of the culprit, GA spelling: ``session.tools[2].meta``."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class EngineError(Exception):
    """We, or a backend, failed. `retryable` says whether doing the same again may succeed."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


ERRORS: Final[dict[str, Row]] = {
    # -- what a client sent (protocol.md 8.3)
    "invalid_event": Row(INVALID, 400, "Send one JSON object per text message, with a string `type`."),
    "invalid_value": Row(INVALID, 400, "Use one of the values that the message lists."),
    "invalid_type": Row(INVALID, 400, "Send the JSON type that the message names; only nullable fields take null."),
    "unknown_parameter": Row(INVALID, 400, "Remove the key, or check its spelling and place."),
    "missing_required_parameter": Row(INVALID, 400, "Add the key that `param` names."),
    "event_too_large": Row(INVALID, 413, "Send at most 15 MiB of audio in one event; split longer audio."),
    "cannot_update_voice": Row(INVALID, 400, "Choose the voice before the first spoken answer, or open a new session."),
    "cannot_update_model": Row(INVALID, 400, "The model is fixed at connection; open a new session for another model."),
    "cannot_update_session_type": Row(
        INVALID, 400, "A session stays what it was created as; open a new one for the other type."
    ),
    "cannot_update_tracing": Row(INVALID, 400, "Tracing cannot change once it is on; open a new session."),
    "cannot_update_speed": Row(INVALID, 400, "Change the speed between turns, not while a response is running."),
    "voice_not_found": Row(INVALID, 400, "Use one of the voices that the message lists."),
    "input_audio_buffer_commit_empty": Row(INVALID, 400, "Append at least 100 ms of audio before you commit."),
    "input_audio_buffer_full": Row(INVALID, 400, "Commit or clear the buffer before you append more."),
    "conversation_already_has_active_response": Row(
        INVALID, 409, 'Wait for response.done, send response.cancel, or use conversation:"none".'
    ),
    "response_cancel_not_active": Row(INVALID, 400, "Nothing to do: no such response is running."),
    "too_many_responses": Row(INVALID, 429, "Wait for one of the running out-of-band responses to end."),
    "item_already_exists": Row(INVALID, 409, "Choose another item id, or leave it out and let the server choose."),
    "previous_item_not_found": Row(INVALID, 404, "Use the id of an item in this conversation, `root`, or null."),
    "item_not_found": Row(INVALID, 404, "Reference an item that is in this conversation."),
    "item_delete_invalid_item_id": Row(INVALID, 404, "Delete an item that is in this conversation."),
    "item_retrieve_invalid_item_id": Row(INVALID, 404, "Retrieve an item that is in this conversation."),
    "item_truncate_invalid_item_id": Row(INVALID, 404, "Truncate an assistant item that is in this conversation."),
    "item_truncate_audio_too_short": Row(
        INVALID, 400, "Send the time that was really played, at most the item's duration."
    ),
    "item_already_truncated": Row(INVALID, 400, "The item is already that short or shorter; nothing to do."),
    "unsupported_content_type": Row(INVALID, 400, "Only assistant audio can be truncated."),
    "invalid_tool_call_id": Row(INVALID, 400, "Answer a function_call that is in this conversation, by its call_id."),
    "too_many_items": Row(INVALID, 400, "Delete items that are no longer needed, or open a new session."),
    "session_type_not_supported": Row(
        INVALID, 400, "Transcription sessions have no responses; connect with ?model= for those."
    ),
    "context_length_exceeded": Row(INVALID, 400, 'Shorten the input, or set `truncation` to "auto".'),
    # -- at the door
    "invalid_api_key": Row(
        INVALID, 401, "Send a valid key as `Authorization: Bearer …`; `parley serve` prints the local one."
    ),
    "key_in_query": Row(INVALID, 401, "Never put a key into a URL; send it in a header or as a subprotocol token."),
    "model_not_found": Row(INVALID, 404, "Use a model that GET /v1/models lists."),
    "not_found": Row(INVALID, 404, "Check the path; the API lives under /v1."),
    "session_not_found": Row(INVALID, 404, "The call has ended, or the id belongs to someone else."),
    "method_not_allowed": Row(INVALID, 405, "Use the method that the documentation names for this path."),
    "upgrade_required": Row(INVALID, 426, "Connect to this path with a WebSocket client."),
    "too_many_sessions": Row(INVALID, 429, "Close a session, or try again later."),
    "rate_limit_exceeded": Row(
        INVALID, 429, "Wait as long as the message (or `Retry-After`) says, or raise the limit."
    ),
    "server_draining": Row(SERVER, 503, "The server is stopping; connect again in a moment."),
    "session_expired": Row(INVALID, 400, "Open a new session and replay the items that you need."),
    "session_closed": Row(INVALID, 400, "The client left before the response was done."),
    "slow_consumer": Row(INVALID, 400, "Read events as they come; the connection was closed to protect the others."),
    # -- at the console
    "sign_in_required": Row(
        INVALID, 401, "Open the sign-in link that `parley serve` prints, or sign in with an API key."
    ),
    "host_not_allowed": Row(INVALID, 403, "Call the server by its address, or add the name to its allowed hosts."),
    "origin_not_allowed": Row(INVALID, 403, "Use the console's own page; other pages call /v1 with a client secret."),
    # -- addresses that Parley shall call
    "webhook_not_found": Row(INVALID, 404, "Use the id of a webhook; they are kept for a week."),
    "url_not_allowed": Row(
        INVALID, 400, "Use a public http or https URL without credentials, or have it added to `allowed_networks`."
    ),
    # -- pictures and prompts
    "image_not_supported": Row(INVALID, 400, "Send text, or have a language model connected that can see."),
    "invalid_image": Row(INVALID, 400, "Send an undamaged PNG, JPEG, WebP or GIF within the limits of docs/images.md."),
    "image_not_reached": Row(INVALID, 400, "Check the URL, or send the picture itself as a data URL."),
    "too_many_images": Row(INVALID, 400, "Delete items with pictures that are no longer needed."),
    "prompt_not_found": Row(INVALID, 404, "Use the id and a version of a prompt of this account and project."),
    # -- calls and client secrets
    "invalid_sdp": Row(INVALID, 400, "Send the unchanged offer of createOffer(), with an audio section."),
    "unsupported_codec": Row(INVALID, 400, "Offer Opus (every browser does), PCMU or PCMA."),
    "calls_unavailable": Row(SERVER, 503, "No UDP port could be opened for calls; the server's log says why."),
    "client_secret_expired": Row(INVALID, 401, "Make a new client secret; they live for minutes."),
    "client_secret_used": Row(INVALID, 401, "Make a client secret for each use, or allow more uses when you make it."),
    "client_secret_origin": Row(INVALID, 403, "Use it from the web origins that it was made for."),
    "client_secret_not_allowed": Row(INVALID, 403, "Use an API key, on your own server; never in a browser."),
    "too_many_client_secrets": Row(INVALID, 429, "Make client secrets when they are needed; unused ones expire."),
    "unsupported_media_type": Row(INVALID, 415, "Send the content type that the message names."),
    "request_too_large": Row(INVALID, 413, "Send less; the message names the limit."),
    # -- accounts and money
    "insufficient_credits": Row(QUOTA, 402, "Add credits to the account, or wait until running sessions end."),
    "budget_exceeded": Row(QUOTA, 402, "Raise the key's own budget, or use another key."),
    "upstream_not_found": Row(INVALID, 404, "Use the name of an upstream that the settings name."),
    "hold_not_found": Row(INVALID, 404, "Use the id of a hold of this account."),
    "key_not_found": Row(INVALID, 404, "Use the id of a key of this account."),
    "user_not_found": Row(INVALID, 404, "Use the id or address of a user."),
    "account_not_found": Row(INVALID, 404, "Use the id of an account."),
    "project_not_found": Row(INVALID, 404, "Use the id of a project of this account."),
    "hold_closed": Row(INVALID, 409, "The hold was captured, released or has expired; open another one."),
    "idempotency_conflict": Row(INVALID, 409, "Use a new id for a new request; this one was used for another."),
    "email_taken": Row(INVALID, 409, "Use another address, or sign in with this one."),
    "identity_taken": Row(INVALID, 409, "This identity belongs to another user."),
    "last_admin": Row(INVALID, 409, "Make somebody else an admin first."),
    "balance_too_large": Row(INVALID, 400, "Credit less at once."),
    "too_many_keys": Row(INVALID, 400, "Revoke keys that are no longer needed."),
    "admin_required": Row(INVALID, 403, "Ask an admin, or sign in as one."),
    "key_not_allowed": Row(INVALID, 403, "Use a key whose scope covers this."),
    "invalid_sign_in": Row(INVALID, 401, "Check address and password, or ask for a new link."),
    "api_key_lookup_failed": Row(SERVER, 500, "The key database could not be reached; try again."),
    "storage_unavailable": Row(SERVER, 503, "The database could not be reached; try again in a moment."),
    # -- /api/realtime (protocol.md 1.8)
    "invalid_authorization": Row(INVALID, 401, "Send `Authorization: Bearer KEY`, or the key as `x-api-key`."),
    "unauthorized": Row(INVALID, 401, "Send an API key, or sign in at the console."),
    "unsupported_model": Row(INVALID, 400, "Use a model that the message lists; each endpoint has its own."),
    "invalid_body": Row(INVALID, 400, "Send the form, or the JSON object, that the documentation shows."),
    "invalid_audio": Row(INVALID, 422, "Send WebM, Ogg, MP3, M4A, WAV or FLAC with sound in it, undamaged."),
    "audio_too_long": Row(INVALID, 422, "Send shorter audio, or talk over a WebSocket or a call."),
    "call_not_found": Row(INVALID, 404, "Use the `x-openai-call-id` of a call of this account."),
    "call_not_settled": Row(SERVER, 503, "The server of this call stopped; it is settled within a minute. Ask again."),
    # -- engines and backends
    "transcription_failed": Row(
        "transcription_error", 500, "Speak again; if it goes on, check the speech-to-text backend."
    ),
    "audio_unintelligible": Row("transcription_error", 400, "The audio could not be transcribed; speak again."),
    "tool_call_invalid": Row(SERVER, 502, "Ask again; describe the function and its parameters more clearly."),
    "backend_unavailable": Row(SERVER, 502, "The backend could not be reached; check its address and that it runs."),
    "backend_timeout": Row(SERVER, 504, "The backend did not answer in time; try again, or raise its timeout."),
    "backend_refused": Row(SERVER, 502, "The backend refused the request; its status is in the message."),
    "backend_rate_limited": Row(SERVER, 429, "The backend is at its rate limit; try again later."),
    "backend_protocol_error": Row(
        SERVER, 502, "The backend sent something unreadable; check that its address is right."
    ),
    "internal_error": Row(SERVER, 500, "This is a bug in Parley; please report it with the session id."),
}
