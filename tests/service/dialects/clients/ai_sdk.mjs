// A page on the AI SDK without a browser: the Chat of useChat, its transport, and nothing of ours.
// Arguments: the service's address, what happens. Says `open` when the upstream may go on, then what its user saw.
import { Chat } from '@ai-sdk/react'
import { DefaultChatTransport } from 'ai'

const [base, happens] = process.argv.slice(2)
const api = base + '/ai-sdk/chat'
const video = 'https://a.example/b.mp4'

const page = (body = { video }) => new Chat({ id: 'c', transport: new DefaultChatTransport({ api, body }) })
const text = (chat) => (chat.lastMessage?.role === 'assistant' ? chat.lastMessage.parts : []).filter((p) => p.type === 'text').map((p) => p.text).join('|')
const saw = (chat) => [chat.status, text(chat) && JSON.stringify(text(chat)), chat.error?.message].filter(Boolean).join(', ')
const tell = (words) => { console.log(JSON.stringify(words)); process.exit(0) }
const until = async (holds) => { while (!holds()) await new Promise((go) => setTimeout(go, 5)) }
const meta = (chat) => chat.lastMessage.metadata?.fanlight

const scenes = {
  async success() { const chat = page(); await chat.sendMessage({ text: 'what?' }); return saw(chat) },
  async structured() {
    const schema = { type: 'object', properties: { kind: { type: 'string' }, n: { type: 'integer' } }, additionalProperties: false }
    const chat = page({ video, schema })
    await chat.sendMessage({ text: 'what?' })
    const data = (type) => chat.lastMessage.parts.filter((part) => part.type === type).map((part) => part.data)
    const whole = Object.fromEntries(data('data-element').map((one) => [one.pointer.slice(1), one.value]))
    return `${chat.status}, ${JSON.stringify(whole)}, valid ${data('data-validation')[0].valid}`
  },
  async cut() { const chat = page(); const sent = chat.sendMessage({ text: 'what?' }); await until(() => text(chat)); console.log('open'); await sent; return saw(chat) },
  early: () => scenes.success(),
  novideo: async () => { const chat = page({}); await chat.sendMessage({ text: 'what?' }); return saw(chat) },
  async stop() {
    const chat = page()
    const sent = chat.sendMessage({ text: 'what?' })
    await until(() => text(chat))
    await fetch(`${api}/c/stop`, { method: 'POST' })
    await chat.stop()
    await sent
    return saw(chat)
  },
  async resume() {
    const [one, two] = [page(), page()]
    const sent = one.sendMessage({ text: 'what?' })
    await until(() => text(one))
    await one.stop() // the page is closed
    await sent
    const resumed = two.resumeStream()
    await until(() => text(two))
    console.log('open')
    await resumed
    return `${saw(two)}, ${one.lastMessage.id === two.lastMessage.id ? 'the same message' : 'another message'}`
  },
  async tabs() {
    const tabs = [page(), page()]
    const message = { id: 'm', role: 'user', parts: [{ type: 'text', text: 'what?' }] }
    const sent = tabs.map((chat) => chat.sendMessage(message))
    await until(() => tabs.every(text))
    console.log('open')
    await Promise.all(sent)
    return `${saw(tabs[0])}; ${saw(tabs[1])}`
  },
  async follow() {
    const chat = page()
    await chat.sendMessage({ text: 'what?' })
    await chat.sendMessage({ text: 'why?' })
    return `${saw(chat)}, ${chat.messages.length} messages`
  },
  async usage() { const chat = page(); await chat.sendMessage({ text: 'what?' }); return `${meta(chat).usage.outputTokens} out` },
}
scenes[happens]().then(tell, (error) => tell(`threw ${error.message}`))
