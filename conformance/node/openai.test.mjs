// The `openai` package for Node, as it is published. The address, the key and the model are in the
// environment (see ../test_node.py).

import assert from 'node:assert/strict'
import { test } from 'node:test'

import OpenAI from 'openai'

const { OAG_BASE_URL: baseURL, OAG_KEY: apiKey, OAG_MODEL: model } = process.env
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
const messages = [{ role: 'user', content: 'count' }]
const weather = {
  type: 'function',
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } } },
  },
}

test('a conversation', async () => {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 3 })
  assert.equal(answer.choices[0].message.content, '0 1 2 ')
  assert.equal(answer.choices[0].finish_reason, 'length')
  assert.equal(answer.usage.total_tokens, 8)
  assert.ok(answer._request_id)
})

test('a stream, with its usage', async () => {
  const options = { model, messages, max_tokens: 3, stream: true }
  const stream = await client.chat.completions.create({
    ...options,
    stream_options: { include_usage: true },
  })
  let text = ''
  let usage = null
  for await (const part of stream) {
    text += part.choices[0]?.delta.content ?? ''
    usage = part.usage ?? usage
  }
  assert.equal(text, '0 1 2 ')
  assert.equal(usage.completion_tokens, 3)
})

test('the helper for streams', async () => {
  const stream = client.chat.completions.stream({ model, messages, stop: ['3'] })
  const final = await stream.finalChatCompletion()
  assert.equal(final.choices[0].message.content, '0 1 2 ')
})

test('a call', async () => {
  const tool_choice = { type: 'function', function: { name: 'weather' } }
  const asked = { model, messages, tools: [weather], tool_choice }
  for (const answer of [
    await client.chat.completions.create(asked),
    await client.chat.completions.stream(asked).finalChatCompletion(),
  ]) {
    const [call] = answer.choices[0].message.tool_calls
    assert.equal(call.function.name, 'weather')
    assert.deepEqual(JSON.parse(call.function.arguments), { city: '上海' })
  }
})

test('plain text, vectors and models', async () => {
  const text = await client.completions.create({ model, prompt: 'a', max_tokens: 2 })
  assert.equal(text.choices[0].text, '0 1 ')
  // Without a form the client asks for base 64, and unpacks it.
  const vectors = await client.embeddings.create({ model, input: ['abc'] })
  assert.deepEqual(Array.from(vectors.data[0].embedding), [3, 0.25])
  const names = []
  for await (const one of client.models.list()) names.push(one.id)
  assert.ok(names.includes(model))
})

test('errors are those that the client knows', async () => {
  const ask = (more) => client.chat.completions.create({ model, messages, ...more })
  await assert.rejects(ask({ model: 'nobody' }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError)
    assert.deepEqual([error.code, error.param], ['model_not_found', 'model'])
    return Boolean(error.requestID)
  })
  await assert.rejects(ask({ temperature: 9 }), OpenAI.BadRequestError)
  const stranger = new OpenAI({ baseURL, apiKey: 'oag_no_no', maxRetries: 0 })
  await assert.rejects(
    stranger.models.list().then(() => null),
    OpenAI.AuthenticationError,
  )
})
