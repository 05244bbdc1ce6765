// Plays transcript.json on somebody's WebSocket library, in JSON.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'

export const SUBPROTOCOL = 'hudhud.v1.json'
// After which a frame that is waited for does not come.
const PATIENCE_MS = 60_000

const { names, ids, steps } = JSON.parse(readFileSync(new URL('transcript.json', import.meta.url), 'utf8'))

/** What a connection said, for somebody who asks for one after another. */
export class Inbox {
  #messages = []
  #waiting = []

  put(message) {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(message)
    else this.#messages.push(message)
  }

  take() {
    if (this.#messages.length > 0) return this.#messages.shift()
    return inTime(new Promise((resolve) => this.#waiting.push(resolve)))
  }
}

/** What is promised, if it comes in time. */
export function inTime(promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('nothing came')), PATIENCE_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/**
 * Plays it. `connect()` opens a connection with `send(text)`, `receive()`, `close(code)` that returns the code of the other
 * side's close, and, where the library can, `ping(payload)` that returns once the pong is there.
 */
export async function play(connect) {
  const values = new Map()
  for (const name of names) values.set(name, name + randomBytes(6).toString('hex'))
  for (const name of ids) values.set(name, uuidV7())
  const connections = {}
  for (const [index, step] of steps.entries()) {
    try {
      const connection = connections[step.on]
      if (step.open) connections[step.on] = await connect()
      else if (step.send) await connection.send(JSON.stringify(fill(step.send, values)))
      else if (step.malformed) await connection.send(step.malformed.json)
      else if (step.ping) await connection.ping?.(step.ping)
      else if (step.close) {
        const code = await connection.close(step.close)
        if (code !== step.close) throw new Error(`closed with ${code}`)
      } else await expectAll(connection, step.expect, values)
    } catch (error) {
      throw new Error(`step ${index + 1}, ${JSON.stringify(step)}: ${error.message}`, { cause: error })
    }
  }
  console.log(`${steps.length} steps`)
}

async function expectAll(connection, frames, values) {
  const expected = [...frames]
  while (expected.length > 0) {
    const frame = JSON.parse(await connection.receive())
    if (frame.ping) continue
    const found = expected.findIndex((candidate) => {
      const caught = new Map(values)
      if (!matches(candidate, frame, caught)) return false
      for (const [name, value] of caught) values.set(name, value)
      return true
    })
    if (found < 0) throw new Error(`came: ${JSON.stringify(frame)}`)
    expected.splice(found, 1)
  }
}

function matches(expected, came, values) {
  if (Array.isArray(expected)) {
    return expected.length === came?.length && expected.every((value, index) => matches(value, came[index], values))
  }
  if (typeof expected === 'object') {
    return Object.entries(expected).every(([key, value]) => came?.[key] !== undefined && matches(value, came[key], values))
  }
  const name = typeof expected === 'string' && expected.match(/^<(.*)>$/)?.[1]
  if (!name) return isDeepStrictEqual(expected, came)
  if (!values.has(name)) values.set(name, came)
  return values.get(name) === came
}

function fill(value, values) {
  if (typeof value === 'string') return value.replace(/<(.*?)>/g, (_, name) => values.get(name))
  if (typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fill(inner, values)]))
}

/** RFC 9562, section 5.7. */
function uuidV7() {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(Date.now(), 0, 6)
  bytes[6] = 0x70 | (bytes[6] & 0x0f)
  bytes[8] = 0x80 | (bytes[8] & 0x3f)
  return bytes.toString('base64')
}
