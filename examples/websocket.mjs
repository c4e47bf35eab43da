// The same in JavaScript, as a browser does it: no headers, so the key travels as a subprotocol token.
// Node 22 or newer:  node examples/websocket.mjs "Hello"     (Node 20: node --experimental-websocket …)

const question = process.argv[2] ?? 'Hello, who are you?'
const url = process.env.OPENAI_BASE_URL.replace('http', 'ws') + '/realtime?model=gpt-realtime'
const socket = new WebSocket(url, ['realtime', `openai-insecure-api-key.${process.env.OPENAI_API_KEY}`])

const send = (event) => socket.send(JSON.stringify(event))

socket.onopen = () => {
  send({
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: question }] },
  })
  send({ type: 'response.create', response: { output_modalities: ['text'] } })
}

socket.onmessage = (message) => {
  const event = JSON.parse(message.data)
  if (event.type === 'response.output_text.delta') process.stdout.write(event.delta)
  if (event.type === 'response.done') {
    console.log()
    socket.close()
  }
}

socket.onerror = () => {
  console.error('No connection. Is the server running, and is the key right?')
  process.exitCode = 1
}
