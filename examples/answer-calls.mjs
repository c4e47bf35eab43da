// The same in JavaScript:  npm install openai && OPENAI_WEBHOOK_SECRET=whsec_… node answer-calls.mjs 8081

import { createServer } from 'node:http'
import OpenAI from 'openai'

const client = new OpenAI()

async function receive(request, response) {
  let body = ''
  for await (const piece of request.setEncoding('utf8')) body += piece
  let event
  try {
    event = await client.webhooks.unwrap(body, request.headers)
  } catch {
    return response.writeHead(400).end()
  }
  response.writeHead(204).end() // at once: a slow answer is sent again
  if (event.type === 'realtime.call.incoming') await answer(event.data.call_id)
}

async function answer(callId) {
  try {
    await client.realtime.calls.accept(callId, {
      type: 'realtime',
      model: 'gpt-realtime',
      instructions: 'Be brief and kind.',
    })
    console.log(`accepted ${callId}`)
  } catch (error) {
    if (!(error instanceof OpenAI.NotFoundError)) throw error
    console.log(`${callId} is gone: hung up, or accepted already`)
  }
}

createServer(receive).listen(Number(process.argv[2]), '127.0.0.1')
