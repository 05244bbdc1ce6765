// The transcript on npm's `ws`: with_ws.mjs <url>. NODE_PATH does not work for modules, so the library is looked up from the
// folder in which it was installed.

import { once } from 'node:events'
import { createRequire } from 'node:module'
import { Inbox, inTime, play, SUBPROTOCOL } from './transcript.mjs'

const WebSocket = createRequire(`${process.cwd()}/`)('ws')

await play(async () => {
  const socket = new WebSocket(process.argv[2], [SUBPROTOCOL])
  const inbox = new Inbox()
  socket.on('message', (data, isBinary) => {
    if (isBinary) throw new Error('JSON comes in text messages')
    inbox.put(data.toString())
  })
  await inTime(once(socket, 'open'))
  return {
    send: (text) => socket.send(text),
    receive: () => inbox.take(),
    async ping(payload) {
      const pong = once(socket, 'pong')
      socket.ping(payload)
      const [data] = await inTime(pong)
      if (data.toString() !== payload) throw new Error(`a pong of ${data}`)
    },
    async close(code) {
      const closed = once(socket, 'close')
      socket.close(code)
      return (await inTime(closed))[0]
    },
  }
})
