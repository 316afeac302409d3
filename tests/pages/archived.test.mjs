// originD with an object store: closed volumes go there, their files go here, and what is read is what was written, whatever fails.
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import S3rver from '@20minutes/s3rver'

const top = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const tools = process.env.FRESHET_TOOLS ?? join(top, 'build', 'release', 'tools')
const bin = process.env.FRESHET_BIN ?? join(top, 'bin')
const SEGMENTS = 12 // of a session here, in volumes of two
let root, library

before(() => {
  root = mkdtempSync(join(tmpdir(), 'freshet-archived-'))
  library = join(root, 'failing_disk.so')
  execFileSync('gcc', ['-O1', '-shared', '-fPIC', '-o', library, join(top, 'tests', 'fault', 'failing_disk.c')])
})
after(() => {
  for (const server of held.values()) server.close()
  rmSync(root, { recursive: true })
})

// Ports are held until their daemon starts: others take theirs at the same time.
const held = new Map()

const freePort = () => new Promise((resolve) => {
  const server = net.createServer()
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    held.set(port, server)
    resolve(port)
  })
})

const letGo = (port) => new Promise((resolve) => {
  const server = held.get(port)
  held.delete(port)
  if (server) server.close(resolve)
  else resolve()
})

async function until(condition, what, seconds = 120) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const value = await Promise.resolve().then(condition).catch(() => null)
    if (value) return value
    await new Promise((r) => setTimeout(r, 50))
  }
  assert.fail(`${typeof what === 'function' ? what() : what}: not within ${seconds} s`)
}

// An S3 server, and before it somebody who answers as `fault` says, if it says anything.
class ObjectStore {
  async open(t) {
    this.directory = mkdtempSync(join(root, 's3-'))
    this.s3 = new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory: this.directory, configureBuckets: [{ name: 'media' }] })
    const { port } = await this.s3.run()
    this.asked = []
    this.types = {} // of what was put
    this.fault = null
    this.server = http.createServer(async (request, response) => {
      this.asked.push(`${request.method} ${request.url}`)
      await this.gate?.(request)
      if (request.method === 'PUT') this.types[request.url] = request.headers['content-type']
      if (this.fault?.(request, response)) return
      const on = http.request({ host: '127.0.0.1', port, method: request.method, path: request.url, headers: request.headers }, (answer) => {
        if (this.spoil && request.method === 'GET') {
          const parts = []
          answer.on('data', (b) => parts.push(b)).on('end', () => {
            const body = Buffer.concat(parts)
            body[body.length >> 1] ^= 1
            response.writeHead(answer.statusCode, answer.headers).end(body)
          })
          return
        }
        response.writeHead(answer.statusCode, answer.headers)
        answer.pipe(response)
      })
      on.on('error', () => response.destroy())
      request.pipe(on)
    })
    await new Promise((ready) => this.server.listen(0, '127.0.0.1', ready))
    this.port = this.server.address().port
    t.after(async () => {
      this.server.closeAllConnections()
      await new Promise((closed) => this.server.close(closed))
      await this.s3.close()
    })
    return this
  }

  get config() {
    return { endpoint: `http://127.0.0.1:${this.port}`, bucket: 'media', region: 'eu-central-1', prefix: 'f', access_key: 'S3RVER', secret_key: 'S3RVER' }
  }

  objects() {
    return readdirSync(join(this.directory, 'media'), { recursive: true }).filter((n) => n.includes('._S3rver_object') && !n.includes('md5'))
      .map((n) => n.replace('._S3rver_object', '')).sort()
  }
}

class Origin {
  constructor(t, store, sets = {}) {
    this.dir = mkdtempSync(join(root, 'origin-'))
    this.data = join(this.dir, 'data')
    this.sets = { id: 'origin-1', volume_segments: 2, archive_after_s: 0, archive_keep_s: 0, scrub_bytes_s: 0, ...sets }
    if (store) {
      writeFileSync(join(this.dir, 'archive.json'), JSON.stringify(store.config), { mode: 0o600 })
      this.sets.archive_file = join(this.dir, 'archive.json')
    }
    this.log = ''
    t.after(() => this.process?.kill('SIGKILL'))
  }

  async start(more = {}, environment = {}) {
    this.ports ??= { port: await freePort(), fetch_port: await freePort(), http_port: await freePort(), admin_port: await freePort() }
    const sets = { data_dir: this.data, ...this.ports, ...this.sets, ...more }
    const args = Object.entries(sets).flatMap(([k, v]) => ['--set', `${k}=${typeof v === 'object' ? JSON.stringify(v) : v}`])
    for (const port of Object.values(this.ports)) await letGo(port)
    for (let tries = 0; tries < 20; tries++) { // a connection of somebody else's may have one of them for its own end just now
      const from = this.log.length
      await this.begin(args, environment)
      if (this.process.exitCode === null || !/address already in use/i.test(this.log.slice(from))) return this
      await new Promise((r) => setTimeout(r, 100))
    }
    return this
  }

  async begin(args, environment) {
    this.process = spawn(join(bin, 'originD'), args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...environment } })
    this.process.stderr.on('data', (b) => { this.log += b })
    this.ended = new Promise((resolve) => this.process.on('exit', (code, signal) => resolve(signal ?? code)))
    await until(async () => this.process.exitCode !== null || this.process.signalCode || (await this.get('/readyz', 'admin_port')).status === 200, () => `ready: ${this.log}`)
  }

  async stop(signal = 'SIGTERM') {
    this.process.kill(signal)
    const how = await this.ended
    assert.equal(how, signal === 'SIGTERM' ? 0 : signal, this.log.slice(-2000))
  }

  get(path, port = 'http_port', headers = {}) {
    return new Promise((resolve, reject) => {
      http.get({ host: '127.0.0.1', port: this.ports[port], path, headers, agent: false }, (response) => {
        const parts = []
        response.on('data', (b) => parts.push(b)).on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(parts) })).on('error', reject)
      }).on('error', reject)
    })
  }

  async metric(name, labels = '') {
    const { body } = await this.get('/metrics', 'admin_port')
    return Number(body.toString().split('\n').find((l) => l.startsWith(`${name}${labels} `))?.split(' ').at(-1))
  }

  // {key: bytes} of what was acknowledged
  async write({ to = SEGMENTS, end = false, stream = 'cam', salt = 3 } = {}) {
    const args = ['--origin', `127.0.0.1:${this.ports.port}`, '--stream', stream, '--salt', String(salt), '--to', String(to), ...(end ? ['--end'] : [])]
    const { stdout } = await promisify(execFile)(join(tools, 'store_writer'), args, { maxBuffer: 1 << 28 })
    const wrote = {}
    for (const [, session, track, segment, , hex] of stdout.split('\n').filter((l) => l.startsWith('stored ')).map((l) => l.split(' '))) {
      this.session = session
      const key = `/live/${stream}/${session}/${track}/${segment}.m4s`
      wrote[key] = Buffer.concat([wrote[key] ?? Buffer.alloc(0), Buffer.from(hex, 'hex')])
    }
    return wrote
  }

  // the volumes of a track whose files are here
  files(track = 'v720', end = '.mp4', stream = 'cam') {
    return readdirSync(join(this.data, stream, this.session, track)).filter((n) => /^\d{6}\./.test(n) && n.endsWith(end)).map((n) => Number(n.split('.')[0])).sort((a, b) => a - b)
  }

  gone(count, track = 'v720') { // its file is away, for so many
    return until(() => this.files(track).length <= count && this.files('a128').length <= count, () => `files go\n${this.log.slice(-3000)}`, 240)
  }
}

function crc32c(bytes) {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

async function assertReads(origin, wrote) {
  for (const [key, bytes] of Object.entries(wrote)) {
    const answer = await origin.get(key)
    assert.equal(answer.status, 200, `${origin.sets.id} ${key}: ${answer.body}\n${origin.log.slice(-4000)}`)
    assert.ok(answer.body.equals(bytes), key)
  }
}

// They wait more than they compute.
describe('the archive', { concurrency: 8 }, () => {
  test('closed volumes go to the object store, their files go, and what is read is what was written', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start()
    const wrote = await origin.write()
    await origin.gone(2)
    assert.deepEqual(origin.files('v720', '.idx'), [0, 1, 2, 3, 4, 5], 'the index files stay')
    assert.deepEqual(origin.files(), [4, 5], 'the newest closed one stays, as does the open one')
    await assertReads(origin, wrote) // the last segments from memory
    await origin.stop()
    await origin.start()
    await assertReads(origin, wrote)
    assert.ok(await origin.metric('originD_archived_bytes') > 0)
    await until(async () => await origin.metric('originD_archive_reads_total', '{status="ok"}') >= 16, 'reads are counted')
    assert.equal(await origin.metric('originD_archive_failing'), 0)
    assert.doesNotMatch(origin.log, /S3RVER/, 'keys are in no line')
    const more = await origin.write({ to: SEGMENTS + 4, end: true })
    await origin.gone(0)
    await assertReads(origin, { ...wrote, ...more })
    await origin.stop()
  })

  test('a recording as one file is the same, and any part of it, wherever its volumes are', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start({ archive_bytes_s: 0 })
    await origin.write({ end: true })
    const key = `/live/cam/${origin.session}/recording.mp4`
    const file = await until(async () => { const a = await origin.get(key); return a.status === 200 && a.body }, 'the recording')
    const manifest = (await origin.get(`/live/cam/${origin.session}/manifest.mpd`)).body
    assert.deepEqual(store.asked, [], 'at 0 bytes a second nothing is sent')
    await origin.stop()
    await origin.start()
    await origin.gone(0)
    assert.ok((await origin.get(key)).body.equals(file))
    const part = await origin.get(key, 'http_port', { range: `bytes=${file.length - 5000}-${file.length - 100}` })
    assert.equal(part.status, 206)
    assert.ok(part.body.equals(file.subarray(file.length - 5000, file.length - 99)))
    assert.ok((await origin.get(`/live/cam/${origin.session}/manifest.mpd`)).body.equals(manifest))
    await origin.stop()
  })

  test('a store that fails in any way is never "not found", and live streams go on', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start()
    const wrote = await origin.write()
    await origin.gone(2)
    await origin.stop()
    await origin.start() // and nothing is in memory
    const [key, bytes] = Object.entries(wrote).find(([k]) => k.endsWith('/v720/1.m4s'))
    const [near, newest] = Object.entries(wrote).find(([k]) => k.endsWith('/v720/11.m4s'))
    const refuse = (status, code) => (request, response) => response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`)
    const faults = {
      403: refuse(403, 'AccessDenied'), 500: refuse(500, 'InternalError'), 503: refuse(503, 'SlowDown'),
      'no such object': refuse(404, 'NoSuchKey'), 'no such bucket': refuse(404, 'NoSuchBucket'),
      cut: (request, response) => response.destroy(), short: (request, response) => response.writeHead(206).end('x'),
    }
    for (const [name, fault] of Object.entries(faults)) {
      store.fault = fault
      assert.equal((await origin.get(key)).status, 503, name)
      assert.ok((await origin.get(near)).body.equals(newest), name)
    }
    store.fault = null
    store.spoil = true
    assert.equal((await origin.get(key)).status, 503, 'other bytes are not handed on')
    assert.match(origin.log, /an archived volume cannot be read as it was stored/)
    store.spoil = false
    assert.ok((await origin.get(key)).body.equals(bytes))
    await origin.stop()
  })

  test('a store that does not answer holds up who reads from it, and nobody else', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start()
    const wrote = await origin.write()
    await origin.gone(2)
    await origin.stop()
    await origin.start()
    const keys = Object.keys(wrote), archived = keys.filter((k) => /\/[0-5]\.m4s/.test(k)), here = keys.filter((k) => /\/(8|9|1.)\.m4s/.test(k))
    store.fault = (request) => { request.resume(); return true }
    const stuck = archived.map((k) => origin.get(k).catch(() => null))
    await until(() => store.asked.filter((a) => a.startsWith('GET')).length >= 2, 'reads are under way')
    for (const k of here) assert.ok((await origin.get(k)).body.equals(wrote[k]), k)
    const more = await origin.write({ to: SEGMENTS + 2 })
    assert.equal(Object.keys(more).length, 4)
    const began = Date.now()
    await origin.stop()
    assert.ok(Date.now() - began < 5000, 'and it ends soon')
    await Promise.all(stuck)
  })

  test('volumes stay here while the store cannot be used, and go when it can', async (t) => {
    const store = await new ObjectStore().open(t), origin = new Origin(t, store)
    store.fault = (request, response) => { request.resume(); return response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>') }
    await origin.start()
    const wrote = await origin.write({ end: true })
    await until(async () => await origin.metric('originD_archive_failing') === 1, 'it is told')
    assert.equal(origin.files().length, 6)
    assert.match(origin.log, /the archive cannot be used: volumes stay here until it can/)
    store.fault = null
    await origin.gone(0)
    assert.match(origin.log, /the archive can be used again/)
    await assertReads(origin, wrote)
    await origin.stop()
  })

  test('what the store has under a name as other bytes is left there, and the volume stays here', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start({ archive_bytes_s: 0 })
    const wrote = await origin.write({ end: true })
    await origin.stop()
    const media = readFileSync(join(origin.data, 'cam', origin.session, 'v720', '000001.mp4')), file = join(root, 'other')
    const name = `cam/${origin.session}/v720/000001-${crc32c(media).toString(16).padStart(8, '0')}`
    writeFileSync(file, 'other bytes')
    await promisify(execFile)(join(tools, 'archive_volume'), ['put', name, file, file], { env: { ...process.env, ARCHIVE: JSON.stringify(store.config) } })
    await origin.start()
    await until(() => origin.files().length === 1 && origin.files('a128').length === 0, 'the others go')
    assert.deepEqual(origin.files(), [1])
    assert.match(origin.log, /a volume cannot go to the archive: it stays here/)
    await assertReads(origin, wrote)
    await origin.stop()
  })

  test('a kill while it sends, before and after the row is saved, loses nothing', async (t) => {
    const store = await new ObjectStore().open(t), origin = new Origin(t, store)
    await origin.start({ archive_bytes_s: 0 })
    const wrote = await origin.write({ end: true })
    await origin.stop()
    // in the middle of an upload
    store.fault = (request) => { if (request.method === 'PUT') request.pause(); return request.method === 'PUT' }
    await origin.start()
    await until(() => store.asked.some((a) => a.startsWith('PUT')), 'an upload')
    await origin.stop('SIGKILL')
    store.fault = null
    // at the k-th rename (of session.json) and unlink (of a file that goes)
    for (const [call, at] of [['rename', 1], ['rename', 2], ['rename', 3], ['rename', 4], ['unlink', 1], ['unlink', 2], ['unlink', 3]]) {
      const before = origin.files()
      await origin.start({}, { LD_PRELOAD: library, FAULT_BELOW: origin.data, FAULT_CALL: call, FAULT_AT: at, FAULT_HOW: 'kill' })
      const how = await Promise.race([origin.ended, origin.gone(0).then(() => 'all went')])
      if (how === 'all went') {
        await origin.stop()
        break
      }
      assert.equal(how, 'SIGKILL')
      await origin.start({ archive_bytes_s: 0 })
      await assertReads(origin, wrote)
      await origin.stop()
      assert.ok(origin.files().length <= before.length)
    }
    await origin.start()
    await origin.gone(0)
    await assertReads(origin, wrote)
    await origin.stop()
  })

  test('an index file that is damaged or gone is made anew from the archive', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start()
    const wrote = await origin.write({ end: true })
    await origin.gone(0)
    await origin.stop()
    const folder = join(origin.data, 'cam', origin.session, 'v720')
    rmSync(join(folder, '000001.idx'))
    writeFileSync(join(folder, '000002.idx'), 'x'.repeat(900))
    await origin.start()
    await until(async () => { await assertReads(origin, wrote); return true }, 'they come back')
    assert.match(origin.log, /brought a volume back from the archive/)
    await origin.stop()
  })

  test('an object that cannot be had holds up no other volume that is needed here, of its track, its session or another', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start(), sessions = {}
    for (const stream of ['cam', 'dam']) {
      const wrote = await origin.write({ end: true, stream })
      sessions[stream] = { session: origin.session, wrote }
    }
    for (const stream of Object.keys(sessions)) {
      origin.session = sessions[stream].session
      await until(() => !origin.files('v720', '.mp4', stream).length && !origin.files('a128', '.mp4', stream).length, 'files go')
    }
    await origin.stop()
    for (const [stream, { session }] of Object.entries(sessions))
      for (const track of ['v720', 'a128'])
        for (const volume of [1, 2])
          rmSync(join(origin.data, stream, session, track, `00000${volume}.idx`))
    store.fault = (request, response) => request.method === 'GET' && /000002[^/]*\.mp4/.test(request.url) &&
      response.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>')
    await origin.start()
    const there = Object.values(sessions).flatMap(({ wrote }) => Object.entries(wrote).filter(([k]) => !/\/[45]\.m4s/.test(k)))
    const gone = Object.values(sessions).flatMap(({ wrote }) => Object.keys(wrote).filter((k) => /\/[45]\.m4s/.test(k)))
    for (const key of gone) assert.equal((await origin.get(key)).status, 503)
    await until(async () => { await assertReads(origin, Object.fromEntries(there)); return true }, 'the others come back')
    for (const key of gone) assert.equal((await origin.get(key)).status, 503)
    assert.equal(await origin.metric('originD_archive_brought_volumes_total', '{status="brought"}'), 4)
    assert.ok(await origin.metric('originD_archive_brought_volumes_total', '{status="failed"}') >= 4)
    await origin.stop()
  })

  test('a disk that does not take what is brought back is told once and counted, and it comes when the disk takes it', async (t) => {
    const store = await new ObjectStore().open(t), origin = await new Origin(t, store).start()
    const wrote = await origin.write({ end: true })
    await origin.gone(0)
    await origin.stop()
    const folder = join(origin.data, 'cam', origin.session, 'v720')
    for (const volume of [1, 2, 3]) rmSync(join(folder, `00000${volume}.idx`))
    await origin.start({}, { LD_PRELOAD: library, FAULT_BELOW: folder, FAULT_CALL: 'write', FAULT_AT: 1, FAULT_ON: 1, FAULT_HOW: 28 })
    for (const segment of [2, 4, 6]) await origin.get(`/live/cam/${origin.session}/v720/${segment}.m4s`)
    await until(async () => await origin.metric('originD_archive_brought_volumes_total', '{status="failed"}') >= 3, 'it is counted')
    assert.equal(origin.log.match(/cannot bring a volume back from the archive: it is tried again" error="no space/g)?.length, 1, origin.log.slice(-3000))
    assert.equal(await origin.metric('originD_archive_failing'), 0, 'the archive is well')
    await until(() => !readdirSync(folder).some((n) => n.endsWith('fetched')), 'nothing is left of it')
    await origin.stop()
    await origin.start()
    await until(async () => { await assertReads(origin, wrote); return true }, 'they come back')
    await origin.stop()
  })

  test('what retention removes goes from the store too', async (t) => {
    const store = await new ObjectStore().open(t)
    const origin = new Origin(t, store)
    await origin.start()
    await origin.write({ end: true })
    await origin.gone(0)
    assert.ok(store.objects().length >= 24, String(store.objects()))
    for (const [url, type] of Object.entries(store.types))
      assert.equal(type, !url.endsWith('.mp4') ? 'application/octet-stream' : url.includes('/a128/') ? 'audio/mp4' : 'video/mp4', url)
    await origin.stop()
    await origin.start({ recording: [{ match: 'others', after_s: 0 }, { match: '*', after_s: 1 }] })
    await until(() => !existsSync(join(origin.data, 'cam')) && !store.objects().length, 'all of it is gone')
    await until(() => /removed from the archive/.test(origin.log), 'it is told')
    await until(() => !readdirSync(join(origin.data, '.archive')).length, 'nothing waits')
    await origin.stop()
  })

  test('a kill in the midst of a removal leaves nothing in the store', async (t) => {
    const store = await new ObjectStore().open(t), origin = new Origin(t, store)
    // when it is noted that objects are to go, and when all files are gone
    for (const [call, at, below] of [['rename', 1, '.archive'], ['rmdir', 1, 'cam']]) {
      await origin.start({ retention_s: 0 })
      await origin.write({ end: true })
      await origin.gone(0)
      assert.ok(store.objects().length >= 24)
      await origin.stop()
      await origin.start({ retention_s: 1 }, { LD_PRELOAD: library, FAULT_BELOW: join(origin.data, below), FAULT_CALL: call, FAULT_AT: at, FAULT_HOW: 'kill' })
      await until(() => origin.process.exitCode !== null || origin.process.signalCode, () => `it ends at ${call} ${at} below ${below}: ${origin.log.slice(-2000)}`)
      assert.equal(await origin.ended, 'SIGKILL', `${call} ${at} below ${below}`)
      await origin.start({ retention_s: 1 })
      await until(() => !existsSync(join(origin.data, 'cam')) && !store.objects().length, () => `all of it is gone: ${call} ${at} below ${below}`)
      await until(() => !readdirSync(join(origin.data, '.archive')).length, 'nothing waits')
      await origin.stop()
    }
  })

  test('what comes to the store after a kill goes, whatever was removed meanwhile', async (t) => {
    const store = await new ObjectStore().open(t), origin = new Origin(t, store)
    await origin.start({ archive_bytes_s: 0 })
    await origin.write({ end: true })
    await origin.stop()
    let late
    store.fault = (request) => { // it is there as a whole, and is stored when the origin is dead
      if (late || request.method !== 'PUT') return false
      const parts = []
      request.on('data', (b) => parts.push(b)).on('end', () => { late = { request, body: Buffer.concat(parts) } })
      return true
    }
    await origin.start({ retention_s: 1 })
    await until(() => late && existsSync(join(origin.data, '.archive')) && !existsSync(join(origin.data, 'cam')), 'it is removed here while it is sent')
    await new Promise((r) => setTimeout(r, 5000)) // in which nothing is to be settled
    await origin.stop('SIGKILL')
    store.fault = null
    const { request, body } = late
    await new Promise((stored) => http.request({ host: '127.0.0.1', port: store.port, method: 'PUT', path: request.url, headers: request.headers }, (answer) =>
      answer.resume().on('end', stored)).end(body))
    assert.equal(store.objects().length, 1)
    await origin.start()
    await until(() => !store.objects().length, 'it is gone')
    await origin.stop()
  })

  // Two owners of all streams.
  async function pair(t, store, sets = [{}, {}]) {
    const origins = sets.map((s, i) => new Origin(t, store, { id: `origin-${i + 1}`, ...s }))
    for (const o of origins) o.ports = { port: await freePort(), fetch_port: await freePort(), http_port: await freePort(), admin_port: await freePort() }
    for (const o of origins) o.sets.peers = origins.map((p) => `127.0.0.1:${p.ports.fetch_port}`).join(',')
    await Promise.all(origins.map((o) => o.start()))
    return origins
  }

  test('two owners share the objects, and the last one to remove a recording removes them', async (t) => {
    const store = await new ObjectStore().open(t)
    const [a, b] = await pair(t, store, [{}, { archive_bytes_s: 0 }])
    const wrote = await a.write({ end: true })
    b.session = a.session
    await a.gone(0)
    await until(() => b.files().length === 6 && b.files('a128').length === 6, 'the other one has it too')
    await b.stop()
    store.asked = []
    await b.start({ archive_bytes_s: 20000000 })
    await b.gone(0)
    assert.deepEqual(store.asked.filter((r) => /^PUT.*mp4/.test(r)), [], 'nothing is sent twice')
    await Promise.all([assertReads(a, wrote), assertReads(b, wrote)])
    await a.stop()
    await a.start({ retention_s: 1 })
    const folder = (o) => existsSync(join(o.data, 'cam'))
    await until(() => !folder(a), 'the first one removes it')
    await until(() => !readdirSync(join(a.data, '.archive')).length, 'and has asked the other')
    assert.ok(folder(b) && store.objects().length >= 24)
    await assertReads(b, wrote)
    await b.stop()
    await b.start({ retention_s: 1 })
    await until(() => !folder(b) && !store.objects().length, 'the last one removes all')
    await Promise.all([a.stop(), b.stop()])
  })

  test('a volume that one owner keeps of a live broadcast stays in the store until the last one removes it', async (t) => {
    const store = await new ObjectStore().open(t), window = { time_shift_s: 4, recording: [{ match: '*', live: 4 }] }
    const [a, b] = await pair(t, store)
    let to = SEGMENTS
    const wrote = await a.write({ to })
    b.session = a.session
    const goOn = async () => { // or it would end by silence
      Object.assign(wrote, await a.write({ to: ++to }))
      await new Promise((r) => setTimeout(r, 2000))
    }
    const kept = (o) => o.files('v720', '.idx')[0]
    const stored = (volume) => store.objects().some((n) => n.includes(`v720/${String(volume).padStart(6, '0')}`))
    await until(async () => { await goOn(); return [a, b].every((o) => !o.files().includes(3)) }, 'the first volumes are in the archive alone')
    await a.stop()
    await b.stop()
    await Promise.all([a.start(window), b.start()])
    await until(async () => { await goOn(); return kept(a) >= 4 && !readdirSync(join(a.data, '.archive')).length }, () => `one owner removes them\n${a.log.slice(-3000)}`)
    assert.equal(kept(b), 0)
    for (const segment of [0, 1, 5]) {
      const key = `/live/cam/${b.session}/v720/${segment}.m4s`, answer = await b.get(key)
      assert.ok(answer.body.equals(wrote[key]), `${segment}: ${answer.status} ${answer.body.subarray(0, 100)}`)
    }
    assert.ok(stored(0) && stored(3))
    await b.stop()
    await b.start(window)
    await until(async () => { await goOn(); return kept(b) >= 4 && [0, 1, 2, 3].every((n) => !stored(n)) }, () => `the last one removes them there\n${b.log.slice(-3000)}`)
    assert.equal((await b.get(`/live/cam/${b.session}/v720/0.m4s`)).status, 404)
    await Promise.all([a.stop(), b.stop()])
  })

  test('what a kill left in the store of a live broadcast that is not kept goes after the next start', async (t) => {
    const store = await new ObjectStore().open(t), origin = new Origin(t, store, { time_shift_s: 4, recording: [{ match: '*', live: 4 }] })
    await origin.start()
    let to = SEGMENTS
    await origin.write({ to })
    await until(async () => { await origin.write({ to: ++to }); return origin.files('v720', '.idx')[0] >= 4 }, 'the first volumes go')
    await origin.stop('SIGKILL')
    const file = join(root, 'left'), left = () => store.objects().filter((n) => n.includes('000001-5eed5eed'))
    writeFileSync(file, 'left')
    await promisify(execFile)(join(tools, 'archive_volume'), ['put', `cam/${origin.session}/v720/000001-5eed5eed`, file, file], { env: { ...process.env, ARCHIVE: JSON.stringify(store.config) } })
    assert.equal(left().length, 2)
    await origin.start()
    await until(() => !left().length, 'it is gone')
    await origin.stop()
  })

  test('while the other owner is away nothing of a recording that went is removed, and it waits through a restart', async (t) => {
    const store = await new ObjectStore().open(t)
    const [a, b] = await pair(t, store)
    const wrote = await a.write({ end: true })
    b.session = a.session
    await Promise.all([a.gone(0), b.gone(0)])
    await Promise.all([a.stop(), b.stop('SIGKILL')])
    await a.start({ retention_s: 1 })
    await until(() => !existsSync(join(a.data, 'cam')), 'the first one removes it')
    await until(() => existsSync(join(a.data, '.archive')) && readdirSync(join(a.data, '.archive')).length === 1, 'and has noted that')
    await new Promise((r) => setTimeout(r, 2000))
    assert.ok(store.objects().length >= 24)
    await a.stop()
    await Promise.all([a.start(), b.start()])
    await assertReads(b, wrote)
    await until(() => !readdirSync(join(a.data, '.archive')).length, 'it has heard that the other has it')
    assert.ok(store.objects().length >= 24)
    await Promise.all([a.stop(), b.stop()])
  })

  test('a volume that is cut off and written anew is stored anew, and nothing old is read for it', async (t) => {
    const store = await new ObjectStore().open(t), origins = [1, 2].map((n) => new Origin(t, store, { id: `origin-${n}` })), [a, b] = origins
    for (const o of origins) o.ports = { port: await freePort(), fetch_port: await freePort(), http_port: await freePort(), admin_port: await freePort() }
    // both have the beginning; then one has a writer whose media goes to the archive, and the other, which did not hear of it, the next one
    await a.start({ archive_bytes_s: 0 })
    const wrote = await a.write({ to: 6 })
    await a.stop() // with its closed volumes' checksums on the disk, without which they are damaged
    cpSync(a.data, b.data, { recursive: true })
    await a.start()
    const old = await a.write({ to: 12 })
    await a.gone(2)
    await a.stop('SIGKILL')
    await b.start()
    await b.write({ to: 6 }) // its next writer is newer than the other one's
    const anew = await b.write({ to: 16, salt: 4 })
    assert.equal(a.session, b.session)
    const other = Object.keys(anew).find((k) => k.endsWith('/v720/7.m4s'))
    assert.ok(old[other] && !old[other].equals(anew[other]), 'they differ')
    await b.gone(2)
    await a.start({ peers: `127.0.0.1:${b.ports.fetch_port}` })
    await until(async () => /cut back[^]*caught up/.test(a.log) && await a.metric('originD_behind_sessions') === 0 &&
      await a.metric('originD_lacking_sessions') === 0, () => `it has the newer writer's\n${a.log.slice(-3000)}`)
    await assertReads(a, anew)
    await a.gone(2)
    await Promise.all([a.stop(), b.stop()])
    await Promise.all([a.start(), b.start()]) // and nothing is in memory
    for (const o of origins) await assertReads(o, { ...wrote, ...anew })
    assert.equal(store.objects().filter((n) => /v720\/000003.*mp4/.test(n)).length, 2, 'both are there')
    await Promise.all([a.stop(), b.stop()])
  })

  test('an origin with an empty disk fills in from the archive through its peer, and sends nothing back', async (t) => {
    const store = await new ObjectStore().open(t), [a, b] = await pair(t, store)
    const wrote = await a.write({ end: true })
    b.session = a.session
    await Promise.all([a.gone(0), b.gone(0)])
    await b.stop('SIGKILL')
    rmSync(b.data, { recursive: true })
    store.asked = []
    // Only the last volumes come before the archiver is at the very last one, all others while it is there: they are behind it. The last ones are
    // copied, and the others filled in beside that, by the same two reads of a peer's: so what is not to come yet is refused and not held, until
    // the last ones are there, and then an origin begins that looks at once for what is to be sent.
    const isLast = (request) => /\/000005/.test(request.url), came = (track) => b.files(track).includes(5)
    store.fault = (request, response) => request.method === 'GET' && !isLast(request) &&
      response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>')
    await b.start({ archive_bytes_s: 0 })
    await until(async () => came('v720') && came('a128') && await b.metric('originD_behind_sessions') === 0, () => `the last volumes come\n${b.log.slice(-3000)}`, 240)
    await b.stop()
    store.fault = null
    let is, open
    const there = new Promise((resolve) => { is = resolve }), opened = new Promise((resolve) => { open = resolve })
    store.gate = (request) => {
      if (request.method === 'GET') return isLast(request) ? null : there
      if (!isLast(request) || !request.url.includes('v720')) return null
      is()
      return opened
    }
    await b.start()
    await until(async () => b.files('v720', '.idx').length === 6 && b.files('a128', '.idx').length === 6 &&
      await b.metric('originD_lacking_sessions') === 0, () => `it has all of it\n${b.log.slice(-3000)}`, 240)
    await there
    open()
    await b.gone(0)
    await a.stop()
    await assertReads(b, wrote)
    assert.deepEqual(store.asked.filter((r) => /^PUT.*mp4/.test(r)), [])
    await b.stop()
  })
})
