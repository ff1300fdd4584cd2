// The AI SDK's own provider for services that speak as OpenAI does. Arguments and words as in ai_sdk.mjs.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { jsonSchema, Output, streamText } from 'ai'

const [base, happens] = process.argv.slice(2)
const provider = createOpenAICompatible({
  name: 'fanlight', baseURL: base + '/openai/v1', includeUsage: true, supportsStructuredOutputs: true,
  supportedUrls: () => ({ 'video/*': [/^https?:/] }),
})
const tell = (words) => { console.log(JSON.stringify(words)); process.exit(0) }
const question = { role: 'user', content: [{ type: 'file', mediaType: 'video/mp4', data: new URL('https://a.example/b.mp4') }, { type: 'text', text: 'what?' }] }
const schema = { type: 'object', properties: { kind: { type: 'string' }, n: { type: 'integer' } }, required: ['kind', 'n'], additionalProperties: false }

async function ask(messages = [question], { onText, ...more } = {}) {
  let text = '', error, finish, usage
  const answer = streamText({ model: provider('fanlight'), messages, maxRetries: 2, onError() {}, ...more })
  try {
    for await (const part of answer.fullStream) {
      if (part.type === 'text-delta') { text += part.text; await onText?.() }
      if (part.type === 'error') error ??= part.error
      if (part.type === 'abort') finish = 'aborted'
      if (part.type === 'finish') [finish, usage] = [part.finishReason, part.totalUsage]
    }
  } catch (thrown) { error ??= thrown }
  return { text, usage, saw: [finish, text && JSON.stringify(text), error && 'error ' + (error.message ?? error)].filter(Boolean).join(', ') }
}
const saw = async (...given) => (await ask(...given)).saw
const opening = (() => { let said = 0; return (after = 1) => { if (++said === after) console.log('open') } })()

const scenes = {
  success: () => saw(),
  async structured() {
    const answer = streamText({ model: provider('fanlight'), messages: [question], output: Output.object({ schema: jsonSchema(schema) }), onError() {} })
    return JSON.stringify(await answer.output)
  },
  cut: () => saw([question], { onText: () => opening() }),
  early: () => saw(),
  novideo: () => saw([{ role: 'user', content: 'what?' }]),
  async stop() { const stop = new AbortController(); return saw([question], { abortSignal: stop.signal, onText: () => stop.abort() }) },
  async tabs() { return (await Promise.all([0, 1].map(() => saw([question], { onText: () => opening(2) })))).join('; ') },
  async follow() {
    const first = await ask()
    return saw([question, { role: 'assistant', content: first.text }, { role: 'user', content: 'why?' }])
  },
  async usage() { const { usage } = await ask(); return `${usage.outputTokens} out` },
}
scenes[happens]().then(tell, (error) => tell(`threw ${error.message}`))
