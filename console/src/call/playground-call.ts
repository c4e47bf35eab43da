/** A call by POST /api/realtime/session, as its guide does it: an offer out, an answer back, and sound. */

import { post, type Answer } from "../realtime-api.js";

const GATHER_MS_MAX = 1_500;

export interface PlaygroundCall {
  id: string;
  close(): void;
}

export interface Begun {
  answer: Answer;
  /** Where the answer was one. */
  call?: PlaygroundCall;
}

/** `ended`: the other side, or the network, has ended it. */
export async function startCall(
  asked: { model: string; voice: string; instructions: string },
  iceServers: RTCIceServer[],
  key: string,
  ended: () => void,
): Promise<Begun> {
  const peer = new RTCPeerConnection({ iceServers });
  const microphone = await navigator.mediaDevices?.getUserMedia({ audio: true }).catch(() => undefined);
  const sound = document.createElement("audio");
  sound.autoplay = true;
  const close = () => {
    peer.onconnectionstatechange = null;
    peer.close();
    sound.srcObject = null;
    for (const track of microphone?.getTracks() ?? []) track.stop();
  };
  try {
    peer.addTransceiver(microphone?.getAudioTracks()[0] ?? "audio", { direction: "sendrecv" });
    peer.ontrack = ({ streams, track }) => (sound.srcObject = streams[0] ?? new MediaStream([track]));
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    const answer = await post("session", { ...asked, sdp: peer.localDescription!.sdp }, key);
    if (!answer.ok) {
      close();
      return { answer };
    }
    await peer.setRemoteDescription({ type: "answer", sdp: answer.text });
    peer.onconnectionstatechange = () => {
      if (!["failed", "closed"].includes(peer.connectionState)) return;
      close();
      ended();
    };
    return { answer, call: { id: answer.callId, close } };
  } catch (error) {
    close();
    throw error;
  }
}

/** All candidates, or those that came in time. */
const gathered = (peer: RTCPeerConnection): Promise<void> =>
  new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") return resolve();
    const done = () => (clearTimeout(late), resolve());
    const late = setTimeout(done, GATHER_MS_MAX);
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && done());
  });
