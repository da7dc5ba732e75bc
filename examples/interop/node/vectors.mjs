// Replays bee's test vectors (tests/vectors, described by the README there) with bee.mjs: `node bee.mjs vectors FOLDER`.
//
// A client writes hellos, requests, cancels and pings, and reads the other kinds; of each kind the half that it has is checked.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { BeeError, ClientProtocol, FrameDecoder, gunzip, wire } from './bee.mjs';

const MAX_BODY = 1024;
const MAX_INFLATED = 4096;

const unhex = (text) => Buffer.from(text.replace(/\[(..)\*(\d+)\]/g, (_, byte, count) => byte.repeat(Number(count))), 'hex');

class Mismatch extends Error {}

function same(what, found, expected) {
  if (!isDeepStrictEqual(found, expected)) throw new Mismatch(`${what}: ${JSON.stringify(found)?.slice(0, 500)}, expected ${JSON.stringify(expected)?.slice(0, 500)}`);
}

function decode(raw, maxBody = 1 << 20) {
  const decoder = new FrameDecoder(maxBody);
  return { frames: decoder.feed(raw), error: decoder.error };
}

/** What a frame says, in the words of the vectors; null for the kinds that a client does not read. */
function meaningOf(frame) {
  const kind = wire.KIND_NAMES[frame.kind];
  const base = { kind, id: frame.id };
  if (kind === 'response') return { ...base, compressed: frame.compressed, body: frame.body.toString('hex') };
  const parse = wire.parsers[kind];
  if (!parse) return null;
  const said = parse(frame.fields);
  if (kind === 'hello-ack') return { ...base, service: said.service, version: said.version, epoch: said.epoch.toString('hex'), max_body: said.maxBody };
  if (kind === 'pong') return { ...base, status: said };
  if (kind === 'goaway') return { ...base, last_id: said.lastId, code: said.code, message: said.message };
  return { ...base, code: said.code, executed: said.executed, message: said.message, retry_after_ms: said.retryAfter, type: said.type, path: said.path, traceback: said.traceback };
}

/** The frame that says so; null for the kinds that a client does not write. */
function bytesOf(m) {
  if (m.kind === 'hello') return wire.encodeHello({ service: m.service, codec: m.codec, compressor: m.compressor, token: m.token, maxBody: m.max_body });
  if (m.kind === 'cancel') return wire.encodeCancel(m.id);
  if (m.kind === 'ping') return wire.encodePing(m.id);
  if (m.kind !== 'request') return null;
  const { method, metadata, baggage, compressed } = m;
  const dedupeKey = m.dedupe_key === null ? null : unhex(m.dedupe_key);
  return wire.encodeRequest(m.id, { method, metadata, baggage, compressed, dedupeKey, body: unhex(m.body), form: wire.FORMS.indexOf(m.form), timeLeft: m.time_left_ms });
}

const writtenOut = (meaning) =>
  Object.fromEntries(Object.entries(meaning).map(([key, value]) => [key, ['body', 'epoch'].includes(key) ? unhex(value).toString('hex') : value]));

function decodes(vector) {
  const raw = unhex(vector.hex);
  const { frames, error } = decode(raw);
  same('error', error, null);
  same('frames', frames.length, 1);
  const meaning = meaningOf(frames[0]);
  if (meaning !== null) same('meaning', sorted(meaning), sorted(writtenOut(vector.meaning)));
  for (let size = 0; size < raw.length; size += Math.max(1, raw.length >> 6)) same(`the first ${size} bytes`, decode(raw.subarray(0, size)), { frames: [], error: null });
}

const sorted = (object) => Object.fromEntries(Object.entries(object).sort());

function encodes(vector) {
  const bytes = bytesOf(vector.meaning);
  if (bytes !== null) same('bytes', bytes.toString('hex'), unhex(vector.hex).toString('hex'));
}

function failsWith(code, work) {
  try {
    work();
  } catch (error) {
    if (!(error instanceof BeeError)) throw error;
    same('code', error.code, code);
    return;
  }
  throw new Mismatch(`it is accepted, expected ${code}`);
}

function refusesStream(vector) {
  const raw = unhex(vector.hex);
  for (const size of [raw.length, 1, 3]) {
    const decoder = new FrameDecoder(vector.max_body);
    for (let at = 0; at < raw.length; at += size) same('frames', decoder.feed(raw.subarray(at, at + size)), []);
    same(`code, in chunks of ${size}`, decoder.error?.code, vector.error);
  }
}

function refusesFields(vector) {
  const parse = wire.parsers[vector.kind];
  if (parse) failsWith(vector.error, () => parse(unhex(vector.hex)));
}

/** An error of errors.json: its fields, and the details in its body. */
function means(vector) {
  if (vector.error) {
    refusesFields(vector);
    return;
  }
  const { frames, error } = decode(unhex(vector.hex));
  same('error', error, null);
  const said = wire.parsers.error(frames[0].fields, frames[0].body);
  const meaning = { ...meaningOf(frames[0]), application_code: said.applicationCode, details: said.detailsBody.toString('hex') };
  same('meaning', sorted(meaning), sorted(vector.meaning));
}

function inflates(vector) {
  const inflate = () => gunzip(unhex(vector.hex), vector.limit);
  if (vector.error) failsWith(vector.error, inflate);
  else same('inflated', inflate().toString('hex'), unhex(vector.inflated).toString('hex'));
}

function makesFirstCall(vector) {
  const protocol = new ClientProtocol({ service: 'calc', codec: 'json', compressor: null, token: null, maxBody: null, maxInflated: MAX_INFLATED });
  const { bytes } = protocol.request({ method: 'add', body: Buffer.from('[1,2]'), timeLeft: 500 });
  same('written', bytes.toString('hex'), vector.client.join(''));
}

function holds(talk, chunkSize) {
  const { compressor } = talk;
  const protocol = new ClientProtocol({ service: 'calc', codec: 'json', compressor, token: null, maxBody: MAX_BODY, maxInflated: MAX_INFLATED });
  const callOf = new Map(); // id -> call
  let calls = 0;
  for (const [index, step] of talk.steps.entries()) {
    const at = `step ${index + 1}`;
    const settled = [];
    let sent = Buffer.alloc(0);
    if (step.request || step.ping) {
      calls += 1;
      try {
        const { id, bytes } = step.ping ? protocol.ping() : protocol.request({ method: step.request.method, body: unhex(step.request.body), timeLeft: 1000 });
        callOf.set(id, calls);
        sent = bytes;
      } catch (error) {
        if (!(error instanceof BeeError)) throw error;
        settled.push({ call: calls, code: error.code, executed: error.executed });
      }
    } else if (step.cancel) {
      sent = protocol.cancel([...callOf].find(([, call]) => call === step.cancel)[0]);
    } else {
      const raw = step.end ? null : unhex(step.receive);
      const chunks = step.end ? [] : Array.from({ length: Math.ceil(raw.length / chunkSize) }, (_, n) => raw.subarray(n * chunkSize, (n + 1) * chunkSize));
      for (const { id, body, status, error } of step.end ? protocol.end() : chunks.flatMap((chunk) => protocol.receive(chunk))) {
        const call = callOf.get(id);
        if (error) settled.push({ call, code: error.code, executed: error.executed });
        else settled.push(status ? { call, status } : { call, result: body.toString('hex') });
      }
      if (step.usable !== null) same(`${at}: usable`, protocol.usable, step.usable);
    }
    settled.sort((one, other) => one.call - other.call);
    same(`${at}: settled`, settled, step.settled.map((one) => (one.result === undefined ? one : { ...one, result: unhex(one.result).toString('hex') })));
    const { frames } = decode(sent);
    same(`${at}: kinds sent`, frames.map((frame) => [wire.KIND_NAMES[frame.kind], frame.id]), (step.send ?? []).map((said) => [said.kind, said.id]));
  }
}

/** Replays all files; returns the program's exit code. */
export function replay(folder) {
  const checks = [
    ['valid', decodes],
    ['valid', encodes],
    ['tolerated', decodes],
    ['invalid_streams', refusesStream],
    ['invalid_fields', refusesFields],
    ['errors', means],
    ['bodies', inflates],
    ['first_call', makesFirstCall],
    ...[1 << 20, 1, 7].map((size) => ['client_conversations', (talk) => holds(talk, size)]),
  ];
  let count = 0;
  let failed = 0;
  for (const [name, check] of checks) {
    for (const vector of JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8'))) {
      count += 1;
      try {
        check(vector);
      } catch (error) {
        failed += 1;
        console.error(`${name}: ${vector.name}: ${error instanceof Mismatch ? error.message : error.stack}`);
      }
    }
  }
  console.log(`${count - failed} of ${count} checks passed`);
  return failed === 0 ? 0 : 1;
}
