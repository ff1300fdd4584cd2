// Forwards the captions of a video to pages of its own: GET /?video=https://…, answered as Server-Sent Events.
import { createServer } from 'node:http'
import { start, watch } from '../../clients/js/fanlight.js' // elsewhere: from 'fanlight'

const access = { base: process.env.FANLIGHT ?? 'http://127.0.0.1:8080', key: process.env.FANLIGHT_KEY }
const prompt = 'Describe what happens as lines that begin with their time, as in [00:04].'

function begun(video) {
  if (!video) throw new Error('name a video: /?video=https://…')
  // Equal requests share one analysis; it ends when the last of their readers has left.
  return start({ prompt, video: { type: 'url', url: video }, fanlight: { on_abandon: 'cancel' } }, access)
}

const server = createServer(async (request, response) => {
  const left = new AbortController()
  response.on('close', () => left.abort())
  const say = (kind, data) => response.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`)
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  try {
    const stream = await begun(new URL(request.url, 'http://relay').searchParams.get('video'))
    // A connection that breaks is taken up where it was.
    for await (const told of watch(stream, { ...access, view: 'captions', signal: left.signal })) {
      if (told.kind === 'caption') say('caption', told)
      if (told.kind === 'reset') say('clear', {})
      if (told.kind === 'end') say('end', { status: told.status, error: told.error?.message })
    }
  } catch (error) { say('end', { status: 'failed', error: error.message }) }
  response.end()
})
server.listen(Number(process.env.PORT ?? 3000), () => console.log(`http://127.0.0.1:${server.address().port}`))
