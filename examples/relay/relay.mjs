// Forwards the captions of a video to pages of its own: GET /?video=https://…, answered as Server-Sent Events.
import { createServer } from 'node:http'

const fanlight = process.env.FANLIGHT ?? 'http://127.0.0.1:8080'
const headers = { 'content-type': 'application/json', ...(process.env.FANLIGHT_KEY && { 'x-api-key': process.env.FANLIGHT_KEY }) }
const prompt = 'Describe what happens as lines that begin with their time, as in [00:04].'

async function begun(video) {
  if (!video) throw new Error('name a video: /?video=https://…')
  // Equal requests share one analysis; it ends when the last of their readers has left.
  const body = JSON.stringify({ prompt, video: { type: 'url', url: video }, fanlight: { on_abandon: 'cancel' } })
  const answer = await fetch(`${fanlight}/v1/streams`, { method: 'POST', headers, body })
  const told = await answer.json()
  if (!answer.ok) throw new Error(told.message)
  return told.id
}

async function* events(stream, signal) {
  let last = '' // where we are: a connection that breaks is taken up there
  for (;;) {
    try {
      const from = last ? { 'last-event-id': last } : {}
      const answer = await fetch(`${fanlight}/v1/streams/${stream}/events?view=captions`, { headers: { ...headers, ...from }, signal })
      if (!answer.ok && answer.status !== 503)
        return yield { type: 'end', status: 'failed', error: { message: `the service said ${answer.status}` } }
      let rest = ''
      for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
        const whole = (rest + piece).split('\n\n')
        rest = whole.pop()
        for (const event of whole) {
          const data = event.match(/^data: (.*)$/m)?.[1]
          last = event.match(/^id: (.*)$/m)?.[1] ?? last
          if (!data) continue
          yield JSON.parse(data)
          if (JSON.parse(data).type === 'end') return
        }
      }
    } catch (error) { if (signal.aborted) return }
    await new Promise((go) => setTimeout(go, 500))
  }
}

const server = createServer(async (request, response) => {
  const left = new AbortController()
  response.on('close', () => left.abort())
  const say = (kind, data) => response.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`)
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  try {
    const stream = await begun(new URL(request.url, 'http://relay').searchParams.get('video'))
    for await (const told of events(stream, left.signal)) {
      for (const cue of told.type === 'attached' ? told.state : told.type === 'caption' ? [told] : []) say('caption', cue)
      if (told.type === 'reset') say('clear', {})
      if (told.type === 'end') say('end', { status: told.status, error: told.error?.message })
    }
  } catch (error) { say('end', { status: 'failed', error: error.message }) }
  response.end()
})
server.listen(Number(process.env.PORT ?? 3000), () => console.log(`http://127.0.0.1:${server.address().port}`))
