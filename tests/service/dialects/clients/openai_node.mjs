// OpenAI's own client for Node. Arguments and words as in ai_sdk.mjs.
import OpenAI from 'openai'

const [base, happens] = process.argv.slice(2)
const client = new OpenAI({ baseURL: base + '/openai/v1', apiKey: 'none' })
const tell = (words) => { console.log(JSON.stringify(words)); process.exit(0) }
const question = { role: 'user', content: [{ type: 'video_url', video_url: { url: 'https://a.example/b.mp4' } }, { type: 'text', text: 'what?' }] }
const schema = { type: 'object', properties: { kind: { type: 'string' }, n: { type: 'integer' } }, required: ['kind', 'n'], additionalProperties: false }
const opening = (() => { let said = 0; return (after = 1) => { if (++said === after) console.log('open') } })()

async function ask(messages = [question], onText = () => {}) {
  let text = '', finish, usage, error
  try {
    const answer = await client.chat.completions.create({ model: 'fanlight', messages, stream: true, stream_options: { include_usage: true } })
    for await (const chunk of answer) {
      const [choice] = chunk.choices
      usage = chunk.usage ?? usage
      finish = choice?.finish_reason ?? finish
      text += choice?.delta.content ?? ''
      if (choice?.delta.content && onText() === 'break') break
    }
  } catch (thrown) { error = `${thrown.constructor.name}${thrown.status ? ' ' + thrown.status : ''} ${thrown.code}` }
  return { text, usage, saw: [finish, text && JSON.stringify(text), error].filter(Boolean).join(', ') }
}
const saw = async (...given) => (await ask(...given)).saw

const scenes = {
  success: () => saw(),
  async structured() {
    const answer = await client.chat.completions.parse({ model: 'fanlight', messages: [question], response_format: { type: 'json_schema', json_schema: { name: 'n', strict: true, schema } } })
    return answer.choices[0].message.content
  },
  cut: () => saw([question], () => opening()),
  early: () => saw(),
  novideo: () => saw([{ role: 'user', content: 'what?' }]),
  stop: () => saw([question], () => 'break'),
  async tabs() { return (await Promise.all([0, 1].map(() => saw([question], () => opening(2))))).join('; ') },
  async follow() {
    const first = await ask()
    return saw([question, { role: 'assistant', content: first.text }, { role: 'user', content: 'why?' }])
  },
  async usage() { return `${(await ask()).usage.completion_tokens} out` },
}
scenes[happens]().then(tell, (error) => tell(`threw ${error.message}`))
