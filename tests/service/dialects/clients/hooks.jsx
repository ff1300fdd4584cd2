// The two other hooks of the AI SDK on one page; the suite builds it in place of the example's page.
import * as sdk from '@ai-sdk/react'
import { jsonSchema } from 'ai'
import { createRoot } from 'react-dom/client'

const base = import.meta.env.VITE_FANLIGHT + '/ai-sdk'
const video = 'https://a.example/b.mp4'
const useObject = sdk.useObject ?? sdk.experimental_useObject
const schema = { type: 'object', properties: { kind: { type: 'string' } }, required: ['kind'] }

function Page() {
  const completion = sdk.useCompletion({ api: base + '/completion', body: { video } })
  const bare = sdk.useCompletion({ api: base + '/completion?protocol=text', streamProtocol: 'text', body: { video }, id: 'bare' })
  const object = useObject({ api: base + '/object', schema: jsonSchema(schema) })
  const ask = (prompt) => ({
    completion: () => completion.complete(prompt), bare: () => bare.complete(prompt), object: () => object.submit({ prompt, video, schema }),
  })
  window.ask = (hook, prompt) => ask(prompt)[hook]()
  window.seen = {
    completion: [completion.isLoading, completion.completion, completion.error?.message ?? null],
    bare: [bare.isLoading, bare.completion, bare.error?.message ?? null],
    object: [object.isLoading, object.object ?? null, object.error?.message ?? null],
  }
  return <output>there</output>
}

createRoot(document.getElementById('page')).render(<Page />)
