// The archive of originD against an S3 server that verifies signatures, and against one that misbehaves as told.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import S3rver from '@20minutes/s3rver'

const top = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const tool = join(process.env.FRESHET_TOOLS ?? join(top, 'build', 'release', 'tools'), 'archive_volume')
const SECRET = 'S3RVER' // the one that s3rver knows
const VOLUME = 'cam/20260131T123456Z-1a2b3c4d/v720/000042'
let dir, s3, config, mp4, idx

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'freshet-archive-'))
  s3 = new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory: join(dir, 's3'), configureBuckets: [{ name: 'media' }] })
  const { port } = await s3.run()
  config = { endpoint: `http://127.0.0.1:${port}`, bucket: 'media', region: 'eu-central-1', prefix: 'freshet/a',
    access_key: 'S3RVER', secret_key: SECRET }
  mp4 = randomBytes(3_000_001)
  idx = randomBytes(4064)
  writeFileSync(join(dir, 'v.mp4'), mp4)
  writeFileSync(join(dir, 'v.idx'), idx)
})

after(async () => {
  await s3.close()
  rmSync(dir, { recursive: true })
})

// What the tool printed, by line; logs must never hold the secret.
function run(settings, ...args) {
  return new Promise((resolve) => {
    const env = { ...process.env, ARCHIVE: JSON.stringify({ ...config, ...settings }) }
    execFile(tool, args, { env }, (error, out, log) => {
      assert.ok(!out.includes(SECRET + '"') && !/secret/i.test(out + log), 'no secret is printed')
      const lines = out.trim().split('\n')
      resolve({ status: error?.code ?? 0, said: lines.find((l) => l === 'ok' || /: /.test(l)), lines, log,
        moved: Number(lines.find((l) => l.startsWith('moved'))?.slice(6)), ms: Number(lines.find((l) => l.startsWith('took_ms'))?.slice(8)) })
    })
  })
}

const put = (settings = {}, name = VOLUME, ...more) => run(settings, 'put', name, join(dir, 'v.mp4'), join(dir, 'v.idx'), ...more)

// The bytes of a volume that was put, or of one of which this is expected.
async function read(name, from, len, settings = {}, expected = mp4) {
  writeFileSync(join(dir, 'expected'), expected)
  const answer = await run(settings, 'read', name, String(from), String(len), join(dir, 'read'), join(dir, 'expected'))
  return { ...answer, bytes: answer.status === 0 ? readFileSync(join(dir, 'read')) : null }
}

const objects = () => readdirSync(join(dir, 's3', 'media', 'freshet', 'a'), { recursive: true }).filter((n) => n.includes('._S3rver_object') && !n.includes('md5'))
  .map((n) => n.replace('._S3rver_object', '')).sort()

// An object store that answers as `handle` says; it keeps what it was asked.
async function fake(handle, use) {
  const asked = []
  const server = http.createServer((request, response) => {
    asked.push(request.method)
    handle(request, response, asked.length)
  })
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  try {
    await use({ endpoint: `http://127.0.0.1:${server.address().port}` }, asked)
  } finally {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
}

const refuse = (response, status, code = 'SlowDown') => response.writeHead(status).end(`<Error><Code>${code}</Code><Message>said\nso</Message></Error>`)

test('a volume that was put is read again, whole and in parts', async () => {
  assert.equal((await put()).said, 'ok')
  assert.deepEqual((await read(VOLUME, 0, mp4.length)).bytes, mp4)
  assert.deepEqual((await read(VOLUME, 1_234_567, 100_000)).bytes, mp4.subarray(1_234_567, 1_334_567))
  assert.deepEqual((await read(VOLUME, mp4.length - 1, 1)).bytes, mp4.subarray(-1))
  assert.deepEqual(objects(), [`${VOLUME}.idx`, `${VOLUME}.mp4`])
})

test('bytes that are not what was stored are refused', async () => {
  const other = Buffer.from(mp4)
  other[1_250_000] ^= 1
  assert.match((await read(VOLUME, 1_234_567, 100_000, {}, other)).said, /^damaged data/)
})

test('the second owner of a stream finds the volume there and does not send it again', async () => {
  const name = VOLUME.replace('42', '43')
  assert.equal((await put({}, name)).moved, mp4.length + idx.length)
  assert.equal((await put({}, name)).moved, idx.length)
})

test('an object with this name and other bytes stays as it is', async () => {
  const name = VOLUME.replace('42', '44')
  assert.equal((await put({}, name)).said, 'ok')
  writeFileSync(join(dir, 'v.mp4'), Buffer.concat([mp4, Buffer.from('x')]))
  const again = await put({}, name)
  writeFileSync(join(dir, 'v.mp4'), mp4)
  assert.match(again.said, /differs from what is stored: another object has this volume's name/)
  assert.deepEqual((await read(name, 0, mp4.length)).bytes, mp4)
})

test('a file that is not what its checksum says is not sent', async () => {
  const answer = await put({}, VOLUME.replace('42', '45'), 'deadbeef')
  assert.match(answer.said, /damaged data: the file is not what was stored/)
  assert.equal(answer.moved, 0)
  assert.match((await read(VOLUME.replace('42', '45'), 0, 1)).said, /^not found/)
})

test('volumes that were removed are gone, and may be removed again: those of a number below, or all that begin so', async () => {
  const begin = 'away/S/a128/', left = () => objects().filter((n) => n.startsWith('away'))
  for (const name of ['000000', '000001', '000002'])
    await put({}, begin + name)
  await put({}, 'away/S/v720/000000')
  assert.equal((await run({}, 'remove', begin, '2')).said, 'ok')
  assert.deepEqual(left(), ['away/S/a128/000002.idx', 'away/S/a128/000002.mp4', 'away/S/v720/000000.idx', 'away/S/v720/000000.mp4'])
  assert.match((await read(`${begin}000001`, 0, 1)).said, /^not found/)
  assert.equal((await run({}, 'remove', begin, '2')).said, 'ok')
  assert.equal((await run({}, 'remove', 'away/S/')).said, 'ok')
  assert.deepEqual(left(), [])
  assert.equal((await run({}, 'remove', 'away/S/')).said, 'ok')
})

test('a long list comes page after page', async () => {
  const page = (names, more) => `<ListBucketResult><IsTruncated>${more}</IsTruncated>` +
    names.map((n) => `<Contents><Key>freshet/a/${n}</Key><Size>7</Size></Contents>`).join('') + '</ListBucketResult>'
  const gone = []
  await fake((request, response) => {
    const asked = new URL(request.url, 'http://x').searchParams
    if (request.method === 'DELETE') {
      gone.push(new URL(request.url, 'http://x').pathname)
      return response.writeHead(204).end()
    }
    assert.equal(asked.get('prefix'), 'freshet/a/S/')
    const next = { '': page(['S/1', 'S/2'], true), 'freshet/a/S/2': page(['S/3'], true), 'freshet/a/S/3': page(['S/4'], false) }
    response.end(next[asked.get('start-after') ?? ''])
  }, async (settings) => {
    assert.equal((await run(settings, 'remove', 'S/')).said, 'ok')
    assert.deepEqual(gone, ['S/1', 'S/2', 'S/3', 'S/4'].map((n) => `/media/freshet/a/${n}`))
  })
})

test('more objects than are held at once go part after part; a store that keeps what it removed is told, not asked for ever', async () => {
  let there = Array.from({ length: 2500 }, (_, n) => `S/${String(n).padStart(6, '0')}.mp4`)
  const serve = (keeps) => (request, response) => {
    const url = new URL(request.url, 'http://x'), after = (url.searchParams.get('start-after') ?? '').replace('freshet/a/', '')
    if (request.method === 'DELETE') {
      if (!keeps) there = there.filter((n) => !url.pathname.endsWith(n))
      return response.writeHead(204).end()
    }
    const page = there.filter((n) => n > after).slice(0, 1000), more = page.length > 0 && page.at(-1) !== there.at(-1)
    response.end(`<ListBucketResult><IsTruncated>${more}</IsTruncated>` + page.map((n) => `<Contents><Key>freshet/a/${n}</Key><Size>7</Size></Contents>`).join('') +
      '</ListBucketResult>')
  }
  await fake(serve(true), async (settings) => assert.match((await run(settings, 'remove', 'S/')).said, /was removed is still there/))
  await fake(serve(false), async (settings) => assert.equal((await run(settings, 'remove', 'S/')).said, 'ok'))
  assert.deepEqual(there, [])
})

test('wrong keys and a bucket that is not there are told in words, at once', async () => {
  const keys = await put({ secret_key: 'another' }, VOLUME.replace('42', '47'))
  assert.match(keys.said, /^not allowed: .*status 403/)
  const read_keys = await read(VOLUME, 0, 1, { secret_key: 'another' })
  assert.match(read_keys.said, /^not allowed: .*SignatureDoesNotMatch/)
  assert.match(read_keys.log, /the archive cannot be used/)
  const bucket = await put({ bucket: 'nobody' }, VOLUME.replace('42', '47'))
  assert.match(bucket.said, /^bad configuration: .*NoSuchBucket/)
  assert.ok(keys.ms < 900 && bucket.ms < 900, 'nothing is tried again')
})

test('a store that is busy is asked again, and then it works', async () => {
  await fake((request, response, n) => {
    request.resume()
    if (n < 3) refuse(response, 503)
    else response.writeHead(206, { 'content-length': 4 }).end('abcd')
  }, async (settings, asked) => {
    const answer = await read('x/y/z/0', 10, 4, settings, '..........abcd')
    assert.equal(String(answer.bytes), 'abcd')
    assert.equal(asked.length, 3)
  })
})

test('a store that stays busy, or is not there, is given up after some tries', async () => {
  await fake((request, response) => refuse(response, 503), async (settings, asked) => {
    assert.match((await read('x/y/z/0', 10, 4, settings)).said, /^at capacity: .*SlowDown: said so/)
    assert.equal(asked.length, 3)
  })
  assert.match((await read('x/y/z/0', 10, 4, { endpoint: 'http://127.0.0.1:1' })).said, /^connection refused/)
})

test('an answer that is longer, shorter or another than what was asked for is no answer', async () => {
  const cases = [[206, 'abcde', /longer than what was asked/], [206, 'abc', /ends sooner/], [200, 'abcd', /whole object/],
    [416, '', /ends sooner/], [307, '', /bad configuration/]]
  for (const [status, body, words] of cases)
    await fake((request, response) => response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end(body), async (settings) =>
      assert.match((await read('x/y/z/0', 10, 4, settings)).said, words))
  await fake((request, response) => response.end('<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>'), async (settings) =>
    assert.match((await run(settings, 'remove', 'x')).said, /the list makes no sense/))
  await fake((request, response) => response.end('<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>freshet/a/x</Key>' +
    '<Size>1</Size></Contents></ListBucketResult>'), async (settings) =>
    assert.match((await run(settings, 'remove', 'x')).said, /the list does not go on/))
})

test('what the store does not have after all is not taken for archived', async () => {
  await fake((request, response) => {
    request.resume()
    request.on('end', () => request.method === 'HEAD' ? response.writeHead(404).end() : response.end())
  }, async (settings) => assert.match((await put(settings)).said, /^not found/))
})

test('closing ends an upload that is stuck within about a second', async () => {
  await fake((request, response) => request.method === 'HEAD' ? response.writeHead(404).end() : request.pause(), async (settings) => {
    const began = Date.now()
    const answer = await run(settings, '--stop-after', '300', 'put', VOLUME, join(dir, 'v.mp4'), join(dir, 'v.idx'))
    assert.match(answer.said, /^canceled/)
    assert.ok(answer.lines.includes('closed'))
    assert.ok(Date.now() - began < 2500)
  })
})
