"""Offers of real clients are understood and answered in a way that aiortc reads; everything else says what is wrong."""

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection
from aiortc.sdp import SessionDescription

from parley.errors import RequestError
from parley.transports.rtc.codecs import OPUS, PCMA, PCMU, spoken
from parley.transports.rtc.sdp import (
    MESSAGE_BYTES_DEFAULT,
    OFFER_CHARS_MAX,
    Candidate,
    Fingerprint,
    Local,
    begins,
    read_offer,
    write_answer,
)

PRINT = ":".join(["AB"] * 32)
CHROME = f"""v=0
o=- 5739392005707307354 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2122194687 4b2f8d5c-0000-4000-8000-000000000000.local 43357 typ host generation 0
a=ice-ufrag:gg6O
a=ice-pwd:FHlC0KU1PhgRVike/VhK7VCU
a=ice-options:trickle
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=sendrecv
a=msid:- a4019929-7e57-4f99-ba57-32cff4217747
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:385245829 cname:cQjCeqFz8c0+HMpr
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:gg6O
a=ice-pwd:FHlC0KU1PhgRVike/VhK7VCU
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
""".replace("\n", "\r\n")
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=rtpmap:96 VP8/90000\r\na=rtcp-mux\r\n"
LOCAL = Local(
    ufrag="ours1234",
    password="a password of thirty-two letters",
    fingerprint=Fingerprint("sha-256", PRINT),
    candidates=[Candidate("192.0.2.1", 8_000), Candidate("2001:db8::1", 8_000)],
    ssrc=77,
    cname="me",
    session_id=1,
)


def test_a_browsers_offer() -> None:
    offer = read_offer(CHROME, spoken())
    assert (offer.form, offer.payload_type, offer.direction, offer.audio) == (OPUS, 111, "sendrecv", 0)
    assert offer.transport.ufrag == "gg6O" and offer.transport.fingerprints == (Fingerprint("sha-256", PRINT),)
    assert offer.channel_at == 1 and offer.channel == (5_000, 262_144)
    assert begins(offer)


def test_the_answer_as_others_read_it() -> None:
    answer = SessionDescription.parse(write_answer(read_offer(CHROME + VIDEO, spoken()), LOCAL))
    audio, channel, video = answer.media
    assert [group.items for group in answer.group] == [["0", "1"]]
    assert [codec.mimeType for codec in audio.rtp.codecs] == ["audio/opus"]
    assert audio.rtp.codecs[0].payloadType == 111 and audio.direction == "sendrecv" and audio.rtcp_mux
    assert audio.msid == "parley voice", "without it a browser's ontrack has no stream to play"
    assert audio.ssrc[0].ssrc == 77
    assert audio.dtls is not None and audio.dtls.role == "client"
    assert audio.ice is not None and audio.ice.iceLite and audio.ice.usernameFragment == "ours1234"
    assert [(each.ip, each.port, each.type) for each in audio.ice_candidates] == [
        ("192.0.2.1", 8_000, "host"), ("2001:db8::1", 8_000, "host"),
    ]  # fmt: skip
    assert audio.ice_candidates[0].priority > audio.ice_candidates[1].priority and audio.ice_candidates_complete
    assert channel.sctp_port == 5_000 and channel.sctpCapabilities is not None
    assert channel.sctpCapabilities.maxMessageSize == 262_144
    assert (video.port, video.rtp.muxId) == (0, "2")


async def test_an_offer_of_aiortc() -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    peer.createDataChannel("oai-events")
    peer.addTransceiver("audio", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    offer = read_offer(peer.localDescription.sdp, spoken())
    assert (offer.form, offer.direction) == (OPUS, "recvonly")
    assert offer.channel_at is not None
    await peer.close()


@pytest.mark.parametrize(
    ("formats", "form", "payload_type"),
    [
        ("0 8 13", PCMU, 0),
        ("8", PCMA, 8),
        ("8 0", PCMU, 0),
        ("63 8 111", OPUS, 111),
        ("9 111", OPUS, 111),
    ],
)  # fmt: skip
def test_the_best_that_is_offered(formats: str, form: object, payload_type: int) -> None:
    offer = read_offer(CHROME.replace("111 63 9 0 8 13 110 126", formats), spoken())
    assert (offer.form, offer.payload_type) == (form, payload_type)


def test_static_types_need_no_map() -> None:
    bare = "\r\n".join(line for line in CHROME.split("\r\n") if not line.startswith("a=rtpmap:0 "))
    assert read_offer(bare.replace("111 63 9 0 8 13 110 126", "0"), spoken()).form is PCMU


def test_where_opus_is_not_there_g711_is_spoken() -> None:
    assert read_offer(CHROME, (PCMU, PCMA)).form is PCMU


@pytest.mark.parametrize(
    ("offered", "answered"), [("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")]
)
def test_directions_are_mirrored(offered: str, answered: str) -> None:
    answer = write_answer(read_offer(CHROME.replace("a=sendrecv", f"a={offered}"), spoken()), LOCAL)
    assert f"a={answered}\r\n" in answer
    assert ("a=msid:" in answer) is (answered == "sendonly")


def test_who_wants_to_begin_the_handshake_may() -> None:
    assert "a=setup:passive" in write_answer(read_offer(CHROME.replace("actpass", "active"), spoken()), LOCAL)


def test_a_channel_of_its_own_transport_is_refused() -> None:
    for apart in (
        CHROME.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"),
        CHROME.replace("a=group:BUNDLE 0 1\r\n", ""),
    ):
        offer = read_offer(apart, spoken())
        assert offer.channel_at is None and offer.channel is None
        assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel" in write_answer(offer, LOCAL)


def test_the_channel_says_how_much_it_takes() -> None:
    assert read_offer(CHROME.replace("262144", "1073741823"), spoken()).channel == (5_000, 262_144)
    assert read_offer(CHROME.replace("262144", "0"), spoken()).channel == (5_000, 262_144)
    assert read_offer(CHROME.replace("262144", "1000"), spoken()).channel == (5_000, 1_000)
    silent = CHROME.replace("a=max-message-size:262144\r\n", "").replace("a=sctp-port:5000\r\n", "")
    assert read_offer(silent, spoken()).channel == (5_000, MESSAGE_BYTES_DEFAULT)


def test_session_wide_credentials_hold_for_the_sections() -> None:
    moved = CHROME.replace("a=ice-ufrag:gg6O\r\n", "").replace(f"a=fingerprint:sha-256 {PRINT}\r\n", "")
    offer = read_offer(
        moved.replace("t=0 0\r\n", f"t=0 0\r\na=ice-ufrag:all\x53\r\na=fingerprint:SHA-256 {PRINT}\r\n"), spoken()
    )
    assert offer.transport.ufrag == "allS" and offer.transport.fingerprints[0].algorithm == "sha-256"


@pytest.mark.parametrize(
    ("broken", "code", "words"),
    [
        ("", "invalid_sdp", "no media sections"),
        ("hello", "invalid_sdp", "not SDP"),
        ('{"type":"offer","sdp":"v=0"}', "invalid_sdp", "not SDP"),
        ("v=0\r\ns=-\r\n", "invalid_sdp", "no media sections"),
        (CHROME.replace("m=audio 9", "m=video 9"), "invalid_sdp", "no audio section"),
        (CHROME.replace("m=audio 9", "m=audio 0"), "invalid_sdp", "no audio section"),
        (CHROME.replace("m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9"), "invalid_sdp", "not one of WebRTC"),
        (CHROME.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "invalid_sdp", "not one of WebRTC"),
        (CHROME.replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPF\ra=evil:1"), "invalid_sdp", "not SDP"),
        (CHROME.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "m=audio"), "invalid_sdp", "incomplete"),
        (CHROME.replace("111 63 9 0 8 13 110 126", "9 13 110"), "unsupported_codec", "opus, PCMU, PCMA"),
        (CHROME.replace("a=rtcp-mux\r\n", ""), "invalid_sdp", "rtcp-mux"),
        (CHROME.replace("a=ice-pwd:FHlC0KU1PhgRVike/VhK7VCU\r\n", ""), "invalid_sdp", "ICE credentials"),
        (CHROME.replace("sha-256", "sha-1"), "invalid_sdp", "fingerprint"),
        (CHROME.replace("t=0 0", "t=0 0\r\na=ice-lite"), "invalid_sdp", "ICE-lite"),
        (CHROME.replace("a=mid:0", "a=mid:0 1"), "invalid_sdp", "mid"),
        (CHROME.replace("a=sctp-port:5000", "a=sctp-port:99999"), "invalid_sdp", "sctp-port"),
        (CHROME + VIDEO * 20, "invalid_sdp", "sections"),
        (CHROME + "a=x:y\r\n" * OFFER_CHARS_MAX, "invalid_sdp", "longer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(broken: str, code: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_offer(broken, spoken())
    assert caught.value.code == code
    assert words.lower() in caught.value.message.lower()
