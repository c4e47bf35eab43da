// Calls Parley from a web page. `secret` comes from POST /v1/realtime/client_secrets, which your own server asks with its
// API key; `audio` is the element that shall speak; `heard` is given every event.

export async function call(base, secret, audio, heard) {
  const connection = new RTCPeerConnection();
  connection.ontrack = ({ streams }) => (audio.srcObject = streams[0]);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  connection.addTrack(microphone.getTracks()[0]);

  const events = connection.createDataChannel("oai-events");
  events.onmessage = ({ data }) => heard(JSON.parse(data));

  await connection.setLocalDescription(await connection.createOffer());
  const response = await fetch(`${base}/v1/realtime/calls`, {
    method: "POST",
    body: connection.localDescription.sdp,
    headers: { Authorization: `Bearer ${secret}`, "Content-Type": "application/sdp" },
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  await connection.setRemoteDescription({ type: "answer", sdp: await response.text() });

  const say = (event) => events.send(JSON.stringify(event));
  return { say, hangUp: () => connection.close() };
}
