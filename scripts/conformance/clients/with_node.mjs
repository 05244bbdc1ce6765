// The transcript on the WebSocket that Node brings, undici's, which is the one of browsers: with_node.mjs <url>. It can't
// send pings.

import { once } from 'node:events'
import { Inbox, inTime, play, SUBPROTOCOL } from './transcript.mjs'

await play(async () => {
  const socket = new WebSocket(process.argv[2], [SUBPROTOCOL])
  const inbox = new Inbox()
  socket.addEventListener('message', ({ data }) => inbox.put(data))
  await inTime(once(socket, 'open'))
  return {
    send: (text) => socket.send(text),
    receive: () => inbox.take(),
    async close(code) {
      const closed = once(socket, 'close')
      socket.close(code)
      return (await inTime(closed))[0].code
    },
  }
})
