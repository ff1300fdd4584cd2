// Whether each chunk of UI message streams passes the schema of the release that is installed here. Arguments: files.
import { readFileSync } from 'node:fs'
import { uiMessageChunkSchema } from 'ai'

const schema = uiMessageChunkSchema()
let chunks = 0
const refused = []
for (const path of process.argv.slice(2)) {
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (!line.startsWith('data: ') || line === 'data: [DONE]') continue
    chunks += 1
    const told = await schema.validate(JSON.parse(line.slice(6)))
    if (!told.success) refused.push(line)
  }
}
console.log(JSON.stringify({ chunks, refused }))
