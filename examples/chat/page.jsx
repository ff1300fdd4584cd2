import { useChat } from '@ai-sdk/react'
import { DefaultChatTransport } from 'ai'
import { createRoot } from 'react-dom/client'

const api = (import.meta.env.VITE_FANLIGHT ?? 'http://127.0.0.1:8080') + '/ai-sdk/chat'
// The chat's id stands in the address: who loads the page again goes on where the answer is.
const id = (location.hash ||= '#' + crypto.randomUUID()).slice(1)

const transport = new DefaultChatTransport({
  api,
  // The service remembers the turns and the video of a chat: only the new message is sent.
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body }) => ({
    body: { ...body, id, message: messages.at(-1), trigger, messageId },
  }),
})

function Part({ part }) {
  if (part.type === 'text') return <p>{part.text}</p>
  if (part.type === 'source-url') return <a href={part.url}>{part.title} </a>
  return part.type === 'data-caption' ? <small>{part.data.start} s: {part.data.text} </small> : null
}

function Page() {
  const { messages, status, error, sendMessage, stop, regenerate } = useChat({ id, transport, resume: true })
  const asked = messages.some((message) => message.role === 'user') // not when this page has only resumed
  const busy = status === 'submitted' || status === 'streaming'
  const send = (event) => {
    event.preventDefault()
    const { video, question } = event.target.elements
    sendMessage({ text: question.value }, { body: { video: video.value || undefined } })
    question.value = ''
  }
  // Only closing the connection would leave the analysis running for half a minute.
  const halt = async () => { await fetch(`${api}/${id}/stop`, { method: 'POST' }); stop() }
  return (
    <main>
      {messages.map((message) => (
        <section key={message.id} className={message.role}>
          {message.parts.map((part, n) => <Part key={n} part={part} />)}
        </section>
      ))}
      {error && <p role="alert">{error.message} {asked && <button onClick={() => regenerate()}>Again</button>}</p>}
      <form onSubmit={send}>
        <input name="video" placeholder="https://…/video.mp4 or asset:ID" />
        <input name="question" placeholder="What happens?" required />
        {busy ? <button type="button" onClick={halt}>Stop</button> : <button>Ask</button>}
      </form>
      <output>{status}</output>
    </main>
  )
}

createRoot(document.getElementById('page')).render(<Page />)
