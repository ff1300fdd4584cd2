import { AssistantRuntimeProvider, AuiIf, ComposerPrimitive, ErrorPrimitive, MessagePrimitive, ThreadPrimitive } from '@assistant-ui/react'
import { AssistantChatTransport, useChatRuntime } from '@assistant-ui/react-ai-sdk'
import { createRoot } from 'react-dom/client'

const api = (import.meta.env.VITE_FANLIGHT ?? 'http://127.0.0.1:8080') + '/ai-sdk/chat'
// The chat's id stands in the address: the runtime's own ids are new with every load.
const id = (location.hash ||= '#' + crypto.randomUUID()).slice(1)
const video = () => document.querySelector('[name=video]').value || undefined

const transport = new AssistantChatTransport({
  api,
  // The service remembers the turns and the video of a chat: only the new message is sent.
  prepareSendMessagesRequest: ({ messages, trigger, messageId }) => ({
    body: { id, video: video(), message: messages.at(-1), trigger, messageId },
  }),
  // The service knows by the chat's id whether there is an answer to go on with: nothing is to be stored here.
  resumable: { storage: { getStreamId: () => id, setStreamId() {}, clear() {} }, resumeApi: `${api}/${id}/stream` },
})
// Only closing the connection would leave the analysis running for half a minute.
const halt = () => fetch(`${api}/${id}/stop`, { method: 'POST' })

const Text = ({ text }) => <p>{text}</p>
const Source = ({ url, title }) => <a href={url}>{title} </a>
const Caption = ({ data }) => <small>{data.start} s: {data.text} </small>
const parts = { Text, Source, data: { by_name: { caption: Caption } } }

const Message = ({ role }) => (
  <MessagePrimitive.Root className={role}>
    <MessagePrimitive.Parts components={parts} />
    <MessagePrimitive.Error><p role="alert"><ErrorPrimitive.Message /></p></MessagePrimitive.Error>
  </MessagePrimitive.Root>
)
const roles = { UserMessage: () => <Message role="user" />, AssistantMessage: () => <Message role="assistant" /> }

function Page() {
  return (
    <AssistantRuntimeProvider runtime={useChatRuntime({ transport })}>
      <input name="video" placeholder="https://…/video.mp4 or asset:ID" />
      <ThreadPrimitive.Messages components={roles} />
      <ComposerPrimitive.Root>
        <ComposerPrimitive.Input placeholder="What happens?" />
        <AuiIf condition={(s) => s.thread.isRunning}>
          <ComposerPrimitive.Cancel onClick={halt}>Stop</ComposerPrimitive.Cancel>
        </AuiIf>
        <AuiIf condition={(s) => !s.thread.isRunning}><ComposerPrimitive.Send>Ask</ComposerPrimitive.Send></AuiIf>
      </ComposerPrimitive.Root>
    </AssistantRuntimeProvider>
  )
}

createRoot(document.getElementById('page')).render(<Page />)
