// A client of bee for Node.js 20 and newer, in one file and without a dependency.
//
// Written from docs/wire-protocol.md; "§ Frames" in a comment names a section of that page. The parts, top down:
//
//   frames       bytes <-> frames            § Frames, § Limits that every receiver must have
//   fields       bytes <-> typed fields      § Fields
//   messages     frames <-> what they say    § Kinds, § Field types, § Error codes
//   JSON         with integers of any size   § Requests and bodies
//   compression  gzip, bounded               § Compression
//   protocol     one connection, no I/O      § Who may send what, when; § Ids; § Goaway
//   client       sockets, deadlines, retries § Advice for who writes a client
//   program      node bee.mjs call ...
//
//   import { Client } from './bee.mjs';
//   const calc = new Client('127.0.0.1:9000', 'calc', { timeout: 2000 });
//   console.log(await calc.call('add', [1, 2]));
//   await calc.close();

import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import net from 'node:net';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import zlib from 'node:zlib';

const MIB = 1024 * 1024;

/**
 * A call that gave no result.
 *
 * `executed` is 'no', 'maybe' or 'yes': whether the handler ran. Only after 'no' may a call that is not idempotent be made again. `code` is a name of § Error codes.
 */
export class BeeError extends Error {
  constructor(code, message, executed, details = {}) {
    super(message);
    this.name = 'BeeError';
    this.code = code;
    this.executed = executed;
    /** Milliseconds that the server asks to wait, or null. */
    this.retryAfter = details.retryAfter ?? null;
    /** The class of the handler's exception, for remote_error. */
    this.type = details.type ?? '';
    /** Where the bad argument is, for invalid_argument: `$.order.lines[2].qty`. */
    this.path = details.path ?? '';
    /** The server's traceback, where it sends one. */
    this.traceback = details.traceback ?? null;
    /** What the application calls its error, 'OUT_OF_STOCK': § Errors with meaning. Empty for an exception that nobody meant. */
    this.applicationCode = details.applicationCode ?? '';
    /** What came with it, as bytes and as a value; null for nothing, or for what is not JSON. */
    this.detailsBody = details.detailsBody ?? NOTHING;
    this.details = details.details ?? null;
    /** How many times the request was tried. */
    this.attempts = details.attempts ?? 0;
  }
}

const protocolError = (message, executed = 'maybe') => new BeeError('protocol_error', message, executed);

// ── frames: § Frames ─────────────────────────────────────────────────────────────────────────────────────────────────

const VERSION = 1;
const HELLO = 1;
const HELLO_ACK = 2;
const REQUEST = 3;
const RESPONSE = 4;
const ERROR = 5;
const CANCEL = 6;
const PING = 7;
const PONG = 8;
const GOAWAY = 9;
const KIND_NAMES = { 1: 'hello', 2: 'hello-ack', 3: 'request', 4: 'response', 5: 'error', 6: 'cancel', 7: 'ping', 8: 'pong', 9: 'goaway' };
const FORMS = ['positional', 'named', 'mixed', 'message'];
const COMPRESSED = 0x01;
const HEADER_SIZE = 14;
const LENGTH_SIZE = 4;
const REST = HEADER_SIZE - LENGTH_SIZE; // what every length counts
const MAX_FIELDS = 0xffff;
const MAX_ID = 0x7fffffff;
const NOTHING = Buffer.alloc(0);

function encodeFrame(kind, id, fields = NOTHING, body = NOTHING, { compressed = false, form = 0 } = {}) {
  if (fields.length > MAX_FIELDS) throw new RangeError(`the fields have ${fields.length} bytes, more than ${MAX_FIELDS}: shorten the metadata`);
  const header = Buffer.alloc(HEADER_SIZE);
  header.writeUInt32BE(REST + fields.length + body.length, 0);
  header[4] = VERSION;
  header[5] = kind;
  header[6] = compressed ? COMPRESSED : 0;
  header[7] = form;
  header.writeUInt32BE(id, 8);
  header.writeUInt16BE(fields.length, 12);
  return Buffer.concat([header, fields, body]);
}

/** Turns chunks of a stream into frames. Everything is judged as soon as its bytes are there, and before room is made for what they announce. */
export class FrameDecoder {
  #maxBody;
  #chunks = [];
  #size = 0;
  #needed = 1;

  /** Why the stream cannot be read on: a BeeError, behind the frames that feed() returned. */
  error = null;

  constructor(maxBody) {
    this.#maxBody = maxBody;
  }

  feed(chunk) {
    const frames = [];
    if (this.error !== null) return frames;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#needed) return frames; // a large frame is put together once, not once a chunk
    const data = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    let position = 0;
    for (;;) {
      const rest = data.length - position;
      this.error = this.#judge(data, position, rest);
      if (this.error !== null) break;
      if (rest < HEADER_SIZE) {
        this.#needed = rest + 1;
        break;
      }
      const end = position + LENGTH_SIZE + data.readUInt32BE(position);
      if (end > data.length) {
        this.#needed = end - position;
        break;
      }
      const split = position + HEADER_SIZE + data.readUInt16BE(position + 12);
      frames.push({
        kind: data[position + 5],
        compressed: data[position + 6] === COMPRESSED,
        form: data[position + 7],
        id: data.readUInt32BE(position + 8),
        fields: data.subarray(position + HEADER_SIZE, split),
        body: data.subarray(split, end),
      });
      position = end;
    }
    this.#chunks = this.error === null && position < data.length ? [data.subarray(position)] : [];
    this.#size = this.error === null ? data.length - position : 0;
    return frames;
  }

  /** What is wrong with the bytes of a header that are there; null for nothing. */
  #judge(data, position, rest) {
    if (rest < LENGTH_SIZE) return null;
    const length = data.readUInt32BE(position);
    if (length > this.#maxBody + REST + MAX_FIELDS) {
      const start = data.toString('latin1', position, position + LENGTH_SIZE);
      if (/^[ -~]{4}$/.test(start)) return protocolError(`not bee's protocol: the stream goes on with the text '${start}'`);
      return new BeeError('message_too_large', `a frame of ${length} bytes, with at most ${this.#maxBody} bytes of body allowed here`, 'maybe');
    }
    if (length < REST) return protocolError(`a frame of ${length} bytes cannot hold its header`);
    if (rest > LENGTH_SIZE && data[position + 4] !== VERSION) {
      return protocolError(`a frame of protocol version ${data[position + 4]}; this side speaks version ${VERSION}`);
    }
    if (rest < HEADER_SIZE) return null;
    if ((data[position + 6] & ~COMPRESSED) !== 0) return protocolError(`a frame with unknown flags ${data[position + 6]}`);
    if (data[position + 7] >= FORMS.length) return protocolError(`a frame with the unknown form ${data[position + 7]}`);
    const body = length - REST - data.readUInt16BE(position + 12);
    if (body < 0) return protocolError(`a frame of ${length} bytes cannot hold its fields`);
    if (body > this.#maxBody) return new BeeError('message_too_large', `a body of ${body} bytes, with at most ${this.#maxBody} allowed here`, 'maybe');
    return null;
  }
}

// ── fields: § Fields ─────────────────────────────────────────────────────────────────────────────────────────────────

const METHOD = 0x01;
const TIME_LEFT = 0x02;
const METADATA = 0x03;
const BAGGAGE = 0x04;
const DEDUPE_KEY = 0x05;
const ERROR_CODE = 0x10;
const MESSAGE = 0x11;
const EXECUTED = 0x12;
const RETRY_AFTER = 0x13;
const ERROR_TYPE = 0x14;
const PATH = 0x15;
const TRACEBACK = 0x16;
const APPLICATION_CODE = 0x17;
const SERVICE = 0x20;
const CODEC = 0x21;
const COMPRESSOR = 0x22;
const TOKEN = 0x23;
const SERVICE_VERSION = 0x24;
const EPOCH = 0x25;
const MAX_BODY = 0x26;
const LAST_ID = 0x30;
const STATUS = 0x31;
const CRITICAL = 0x80;

/** The fields that belong to each kind of frame; others are passed over, unless they are critical. */
const FIELDS_OF = {
  [HELLO]: [SERVICE, CODEC, COMPRESSOR, TOKEN, MAX_BODY],
  [HELLO_ACK]: [SERVICE, SERVICE_VERSION, EPOCH, MAX_BODY],
  [REQUEST]: [METHOD, TIME_LEFT, METADATA, BAGGAGE, DEDUPE_KEY],
  [ERROR]: [ERROR_CODE, MESSAGE, EXECUTED, RETRY_AFTER, ERROR_TYPE, PATH, TRACEBACK, APPLICATION_CODE],
  [PONG]: [STATUS],
  [GOAWAY]: [LAST_ID, ERROR_CODE, MESSAGE],
};

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }); // ignoreBOM: U+FEFF is a character like others

function decodeText(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    throw protocolError('a text that is not UTF-8');
  }
}

function field(type, value) {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  if (bytes.length > 0xffff) throw new RangeError(`a field of ${bytes.length} bytes, more than 65535`);
  const head = Buffer.alloc(3);
  head[0] = type;
  head.writeUInt16BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function numberField(type, value, size = 4) {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(Math.min(value, 2 ** (8 * size) - 1), 0, size);
  return field(type, bytes);
}

function pairFields(type, pairs = {}) {
  return Object.entries(pairs).map(([key, value]) => {
    const name = Buffer.from(key);
    if (name.length < 1 || name.length > 255) throw new RangeError(`the key '${key}' must have 1 to 255 bytes`);
    return field(type, Buffer.concat([Buffer.from([name.length]), name, Buffer.from(value)]));
  });
}

/** The fields of one frame, by type. */
class Fields {
  #values = new Map();

  constructor(kind, block) {
    const known = FIELDS_OF[kind] ?? [];
    let position = 0;
    while (position < block.length) {
      if (position + 3 > block.length) throw protocolError("a field's head is cut short");
      const type = block[position];
      const start = position + 3;
      position = start + block.readUInt16BE(start - 2);
      if (position > block.length) throw protocolError(`the field ${type} is longer than its frame`);
      if (known.includes(type)) {
        const values = this.#values.get(type) ?? [];
        if (values.length > 0 && type !== METADATA && type !== BAGGAGE) throw protocolError(`the field ${type} is there twice`);
        this.#values.set(type, [...values, block.subarray(start, position)]);
      } else if (type >= CRITICAL) {
        throw protocolError(`the critical field ${type} is not known here`);
      }
    }
  }

  bytes(type) {
    return this.#values.get(type)?.[0] ?? null;
  }

  text(type) {
    const value = this.bytes(type);
    return value === null ? null : decodeText(value);
  }

  number(type, size = 4) {
    const value = this.bytes(type);
    if (value === null) return null;
    if (value.length !== size) throw protocolError(`the field ${type} has ${value.length} bytes, not ${size}`);
    return value.readUIntBE(0, size);
  }

  pairs(type) {
    const pairs = {};
    for (const value of this.#values.get(type) ?? []) {
      const size = value.length > 0 ? value[0] : 0;
      if (size < 1 || size >= value.length) throw protocolError('a pair whose key length does not fit');
      const key = decodeText(value.subarray(1, size + 1));
      // Not pairs[key] = ...: a key named __proto__ is a key like others.
      Object.defineProperty(pairs, key, { value: decodeText(value.subarray(size + 1)), enumerable: true, configurable: true, writable: true });
    }
    return pairs;
  }

  required(type, value) {
    if (value === null) throw protocolError(`the field ${type} is missing`);
    return value;
  }
}

// ── messages: § Field types, § Error codes ───────────────────────────────────────────────────────────────────────────

const ERROR_CODES = [
  'remote_error',
  'method_not_found',
  'invalid_argument',
  'unavailable',
  'deadline_exceeded',
  'overloaded',
  'message_too_large',
  'cancelled',
  'unauthenticated',
  'protocol_error',
  'plugin_fault',
]; // numbered from 1
/** What `executed` is where the frame does not say it. */
const EXECUTED_BY_DEFAULT = { remote_error: 'yes', deadline_exceeded: 'maybe', cancelled: 'maybe', protocol_error: 'maybe', plugin_fault: 'maybe' };
const EXECUTED_VALUES = ['no', 'maybe', 'yes'];

const encodeHello = ({ service, codec, compressor, token, maxBody }) =>
  encodeFrame(
    HELLO,
    0,
    Buffer.concat([
      field(SERVICE, service),
      field(CODEC, codec),
      ...(compressor ? [field(COMPRESSOR, compressor)] : []),
      ...(token === null ? [] : [field(TOKEN, token)]),
      ...(maxBody === null ? [] : [numberField(MAX_BODY, maxBody)]),
    ]),
  );

function encodeRequest(id, { method, body, form = 0, compressed = false, timeLeft = null, metadata, baggage, dedupeKey = null }) {
  const fields = [field(METHOD, method), ...pairFields(METADATA, metadata), ...pairFields(BAGGAGE, baggage)];
  if (timeLeft !== null) fields.push(numberField(TIME_LEFT, Math.max(0, Math.ceil(timeLeft))));
  if (dedupeKey !== null) fields.push(field(DEDUPE_KEY, dedupeKey));
  return encodeFrame(REQUEST, id, Buffer.concat(fields), body, { form, compressed });
}

function parseHelloAck(block) {
  const fields = new Fields(HELLO_ACK, block);
  return { service: fields.text(SERVICE) ?? '', version: fields.text(SERVICE_VERSION) ?? '', epoch: fields.bytes(EPOCH) ?? NOTHING, maxBody: fields.number(MAX_BODY) };
}

function parseError(block, body = NOTHING) {
  const fields = new Fields(ERROR, block);
  const number = fields.required(ERROR_CODE, fields.number(ERROR_CODE, 2));
  const said = fields.number(EXECUTED, 1);
  if (said !== null && said >= EXECUTED_VALUES.length) throw protocolError(`the unknown value ${said} for executed`);
  let code = ERROR_CODES[number - 1];
  let executed = said === null ? null : EXECUTED_VALUES[said];
  let message = fields.text(MESSAGE) ?? '';
  if (code === undefined) {
    // Of a newer server: what it says of the handler is all that can be relied on.
    code = executed === 'no' ? 'unavailable' : 'remote_error';
    message = `error code ${number}: ${message}`;
  }
  const applicationCode = fields.text(APPLICATION_CODE) ?? '';
  let details = null;
  try {
    details = body.length > 0 ? parseJson(body) : null;
  } catch (error) {
    message += ` (its details cannot be decoded: ${error.message})`;
  }
  executed ??= EXECUTED_BY_DEFAULT[code] ?? 'no';
  return new BeeError(code, message, executed, {
    retryAfter: fields.number(RETRY_AFTER),
    type: fields.text(ERROR_TYPE) ?? '',
    path: fields.text(PATH) ?? '',
    traceback: fields.text(TRACEBACK),
    applicationCode,
    details,
    detailsBody: body,
  });
}

function parseGoaway(block) {
  const fields = new Fields(GOAWAY, block);
  const lastId = fields.required(LAST_ID, fields.number(LAST_ID));
  const code = ERROR_CODES[(fields.number(ERROR_CODE, 2) ?? 0) - 1] ?? 'unavailable'; // none, or one that is not known: a drain
  return { lastId, code, message: fields.text(MESSAGE) ?? '' };
}

function parsePong(block) {
  const fields = new Fields(PONG, block);
  return fields.required(STATUS, fields.number(STATUS, 1)) === 0 ? 'serving' : 'draining';
}

// ── JSON: § Requests and bodies ──────────────────────────────────────────────────────────────────────────────────────
// JSON.parse rounds integers beyond 2^53. They arrive as BigInt here, and BigInts can be sent; small ones are numbers as ever.

const TOKEN_OF_JSON = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

export function parseJson(bytes) {
  const text = utf8.decode(bytes);
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const mark = randomUUID();
  const marked = text.replace(TOKEN_OF_JSON, (token) => (/^-?[1-9]\d{15,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${mark}${token}"` : token));
  return JSON.parse(marked, (_, value) => (typeof value === 'string' && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value));
}

export function writeJson(value) {
  const mark = randomUUID();
  let marked = false;
  const text = JSON.stringify(value, (_, part) => {
    if (typeof part === 'number' && !Number.isFinite(part)) throw new BeeError('invalid_argument', `JSON has no number for ${part}`, 'no');
    if (typeof part !== 'bigint') return part;
    marked = true;
    return `${mark}${part}`;
  });
  return Buffer.from(marked ? text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1') : (text ?? 'null'));
}

// ── compression: § Compression ───────────────────────────────────────────────────────────────────────────────────────

/** Inflates a gzip body to `limit` bytes at most; no more than one byte over that is ever made. */
export function gunzip(body, limit) {
  let inflated;
  try {
    inflated = zlib.gunzipSync(body, { maxOutputLength: limit + 1, info: true });
  } catch (error) {
    if (error.code === 'ERR_BUFFER_TOO_LARGE') throw new BeeError('message_too_large', `the body inflates to more than ${limit} bytes`, 'yes');
    throw protocolError(`the body is not gzip: ${error.message}`, 'yes');
  }
  if (inflated.buffer.length > limit) throw new BeeError('message_too_large', `the body inflates to more than ${limit} bytes`, 'yes');
  if (inflated.engine.bytesWritten !== body.length) throw protocolError('there is something behind the end of the gzip body', 'yes'); // zlib passes over it
  return inflated.buffer;
}

// ── protocol: § Who may send what, when ──────────────────────────────────────────────────────────────────────────────

/**
 * The client's end of one connection, without I/O: what to write, and what the bytes that were read mean for those who wait.
 *
 * receive() and end() return what they settle: `{ id, body }`, `{ id, status }` or `{ id, error }`.
 */
export class ClientProtocol {
  #settings;
  #decoder;
  #hello;
  #lastId = 0;
  #waiting = new Map(); // id -> 'request' | 'ping'

  /** What the server said of itself, once it did. */
  ack = null;
  goaway = null;
  /** Why the connection is unusable. */
  error = null;
  ended = false;

  constructor(settings) {
    this.#settings = settings;
    this.#decoder = new FrameDecoder(settings.maxBody);
    this.#hello = encodeHello(settings);
  }

  /** Whether a new request may be sent. */
  get usable() {
    return this.goaway === null && this.error === null && !this.ended && this.#lastId < MAX_ID;
  }

  /** Whether nothing waits for an answer. */
  get idle() {
    return this.#waiting.size === 0;
  }

  /** The bytes of a request, the hello in front of the first. Throws a BeeError where the server would not take it: it costs a call and not the connection. */
  request(request) {
    const limit = this.ack?.maxBody ?? Infinity;
    if (request.body.length > limit) throw new BeeError('message_too_large', `a body of ${request.body.length} bytes, and the server takes ${limit}: split the call`, 'no');
    const bytes = encodeRequest(this.#lastId + 1, request);
    return { id: this.#begin('request'), bytes: this.#behindHello(bytes) };
  }

  ping() {
    const id = this.#begin('ping');
    return { id, bytes: this.#behindHello(encodeFrame(PING, id)) };
  }

  /** Forget a request; the bytes that tell the server so. */
  cancel(id) {
    this.#waiting.delete(id);
    return encodeFrame(CANCEL, id);
  }

  receive(chunk) {
    const settled = [];
    if (this.error !== null || this.ended) return settled;
    for (const frame of this.#decoder.feed(chunk)) {
      try {
        this.#take(frame, settled);
      } catch (error) {
        this.error = error;
        break;
      }
    }
    this.error ??= this.#decoder.error;
    if (this.error !== null) this.#settleRest(this.error, settled);
    return settled;
  }

  /** The server has closed the connection: what still waits may have run. */
  end(reason = 'the server closed the connection before the reply') {
    const settled = [];
    this.ended = true;
    this.#settleRest(new BeeError('unavailable', reason, 'maybe'), settled);
    return settled;
  }

  #begin(what) {
    this.#lastId += 1;
    this.#waiting.set(this.#lastId, what);
    return this.#lastId;
  }

  #behindHello(bytes) {
    const hello = this.#hello;
    this.#hello = NOTHING;
    return hello.length > 0 ? Buffer.concat([hello, bytes]) : bytes;
  }

  #take(frame, settled) {
    const { kind } = frame;
    if (kind === GOAWAY) {
      this.goaway = parseGoaway(frame.fields);
      this.#passOver(settled);
    } else if (kind === HELLO_ACK && this.ack === null && this.goaway === null) {
      this.ack = parseHelloAck(frame.fields);
    } else if ((kind === RESPONSE || kind === ERROR || kind === PONG) && this.ack !== null) {
      const what = this.#waiting.get(frame.id);
      this.#waiting.delete(frame.id);
      if (what !== undefined) settled.push({ id: frame.id, ...this.#answer(what, frame) });
    } else {
      throw protocolError(`the server sent a frame of kind ${KIND_NAMES[kind] ?? kind}, which it may not send now`);
    }
  }

  /** An answer that makes no sense costs its own request only. */
  #answer(what, frame) {
    try {
      if (frame.kind === ERROR) return { error: parseError(frame.fields, frame.body) };
      if (what === 'ping' && frame.kind === PONG) return { status: parsePong(frame.fields) };
      if (what === 'request' && frame.kind === RESPONSE) return { body: frame.compressed ? this.#inflate(frame.body) : frame.body };
      throw protocolError(`a frame of kind ${KIND_NAMES[frame.kind]} is no answer to a ${what}`);
    } catch (error) {
      if (error instanceof BeeError) return { error };
      throw error;
    }
  }

  #inflate(body) {
    if (this.#settings.compressor !== 'gzip') throw protocolError('a compressed body, and the hello named no compressor', 'yes');
    return gunzip(body, this.#settings.maxInflated);
  }

  /** § Goaway: what is above the last id did not run and will not. If it is no drain, the rest gets no answer. */
  #passOver(settled) {
    const { lastId, code, message } = this.goaway;
    for (const id of [...this.#waiting.keys()].filter((one) => one > lastId)) {
      this.#waiting.delete(id);
      settled.push({ id, error: new BeeError(code, message, 'no') });
    }
    if (code !== 'unavailable') this.#settleRest(this.goaway, settled);
  }

  #settleRest(reason, settled) {
    for (const id of this.#waiting.keys()) settled.push({ id, error: new BeeError(reason.code, reason.message, 'maybe') });
    this.#waiting.clear();
  }
}

// ── client: § Advice for who writes a client ─────────────────────────────────────────────────────────────────────────

/** One socket with the calls on it. */
class Connection {
  #socket;
  #protocol;
  #waiting = new Map(); // id -> { resolve, reject }
  #why = null;
  #retired = false;

  /** Resolves when the connection is there. */
  opened;

  constructor(socket, settings, onClose) {
    this.#socket = socket;
    this.#protocol = new ClientProtocol(settings);
    const late = setTimeout(() => {
      this.#why = `no answer within ${settings.connectTimeout} ms`;
      socket.destroy();
    }, settings.connectTimeout);
    this.opened = new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('close', () => reject(new BeeError('unavailable', `cannot connect: ${this.#why ?? 'closed'}`, 'no')));
    });
    this.opened.then(() => clearTimeout(late), () => clearTimeout(late));
    socket.on('error', (error) => {
      this.#why = error.code ?? error.message;
    });
    socket.on('data', (chunk) => this.#received(chunk));
    socket.on('close', () => {
      this.#settle(this.#protocol.end(this.#why === null ? undefined : `connection lost before the reply: ${this.#why}`));
      onClose(this);
    });
  }

  /** Whether a new call may be sent here. */
  get usable() {
    return this.#protocol.usable && !this.#retired && !this.#socket.destroyed;
  }

  /** Sends; `answer` is a promise, `cancel` gives the call up. Nothing was sent if this throws. */
  start(request) {
    const { goaway } = this.#protocol;
    if (goaway !== null) throw new BeeError(goaway.code, goaway.message, 'no'); // a server may refuse before it reads the hello, and says why
    if (!this.usable) throw new BeeError('unavailable', 'the connection has just ended', 'no');
    const { id, bytes } = request === 'ping' ? this.#protocol.ping() : this.#protocol.request(request);
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.write(bytes);
    const cancel = (reason) => {
      if (!this.#waiting.has(id)) return;
      this.#socket.write(this.#protocol.cancel(id));
      this.#settle([{ id, error: reason }]);
      this.#leaveIfDone();
    };
    return { answer, cancel };
  }

  /** Takes no more calls, and closes when the last answer has come. */
  retire() {
    this.#retired = true;
    this.#leaveIfDone();
  }

  /** Gives up what waits, and closes. */
  close(reason) {
    for (const [id, waiting] of this.#waiting) {
      this.#socket.write(this.#protocol.cancel(id));
      waiting.reject(reason);
    }
    this.#waiting.clear();
    if (this.#socket.connecting) this.#socket.destroy();
    else this.#socket.destroySoon();
  }

  #received(chunk) {
    this.#settle(this.#protocol.receive(chunk));
    if (this.#protocol.error !== null) this.#socket.destroy();
    else this.#leaveIfDone();
  }

  // Nothing is half-closed while an answer is due: that would cancel what runs (§ Cancel).
  #leaveIfDone() {
    if ((this.#retired || this.#protocol.goaway !== null) && this.#protocol.idle) this.#socket.destroySoon();
  }

  #settle(settled) {
    for (const { id, error, ...answer } of settled) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(error);
      else waiting?.resolve(answer);
    }
  }
}

/** The time of one call, what it has on the wire, and whether one of its tries may have run. */
class CallState {
  #deadline;
  #cancel = null;
  #reject;

  over = false;
  executed = 'no';
  /** Rejects when the call is given up. */
  givenUp;

  constructor(timeout) {
    this.#deadline = performance.now() + timeout;
    this.givenUp = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.givenUp.catch(() => {}); // for calls that end well
  }

  /** One try on one connection. */
  async attempt(connection, request) {
    await connection.opened;
    if (this.over) throw new BeeError('cancelled', 'given up before it was sent', 'no');
    const timeLeft = this.#deadline - performance.now();
    const { answer, cancel } = connection.start(request === 'ping' ? request : { ...request, timeLeft });
    this.#cancel = cancel;
    try {
      return await answer;
    } finally {
      this.#cancel = null;
    }
  }

  /** The time is up, or the caller has no more use for the result: the server is told. */
  giveUp(code, message) {
    this.over = true;
    const error = new BeeError(code, message, this.#cancel === null ? this.executed : 'maybe');
    this.#cancel?.(error);
    this.#reject(error);
  }
}

/** Codes after which another node, or the same one later, may answer: § Error codes, the last column. */
const WORTH_ANOTHER_TRY = new Set(['unavailable', 'overloaded', 'protocol_error', 'plugin_fault']);
const FIRST_PAUSE = 20; // milliseconds, doubled with each try
const LONGEST_PAUSE = 1000;

/** A client of one service; its calls share one connection. Times are milliseconds. */
export class Client {
  #addresses;
  #options;
  #connection = null;
  #connections = new Set();
  #next = 0;
  #closed = false;

  /**
   * @param {string | string[]} addresses `host:port` of one node of the service or of several; when one fails the next is taken.
   * @param {string} service The service's name.
   * @param {object} [options]
   * @param {number} [options.timeout] For a whole call, all tries included. 10 000.
   * @param {number} [options.connectTimeout] For a connection. 1000.
   * @param {number} [options.retries] Further tries of a call that provably did not run, or that is idempotent. 2.
   * @param {'gzip' | null} [options.compressor] For bodies above compressAbove, and for replies.
   * @param {number} [options.compressAbove] Bytes. 2 MiB.
   * @param {number} [options.maxBody] Bytes that a body may have on the wire, both ways. 2 MiB.
   * @param {number} [options.maxInflated] Bytes that a reply may have once it is inflated. 64 MiB.
   * @param {string} [options.token] Shared secret.
   * @param {(address: string) => net.Socket} [options.connect] Makes the socket; for TLS, say.
   */
  constructor(addresses, service, options = {}) {
    this.#addresses = [addresses].flat();
    this.#options = {
      timeout: 10_000,
      connectTimeout: 1000,
      retries: 2,
      compressor: null,
      compressAbove: 2 * MIB,
      maxBody: 2 * MIB,
      maxInflated: 64 * MIB,
      token: null,
      connect: connectTcp,
      ...options,
      service,
      codec: 'json',
    };
  }

  /**
   * Calls a method.
   *
   * @param {string} method `add`, or `Stats.mean` for a method of a named object.
   * @param {unknown[] | object} [args] By position, or by parameter name.
   * @param {object} [options]
   * @param {number} [options.timeout]
   * @param {AbortSignal} [options.signal] Gives the call up; the server is told to cancel it.
   * @param {boolean} [options.idempotent] It may run more than once. False: a call that may have run is not tried again.
   * @param {object} [options.named] Arguments by name, behind those by position.
   * @param {Record<string, string>} [options.metadata] For this handler.
   * @param {Record<string, string>} [options.baggage] For this handler and the calls that it makes.
   * @param {Buffer} [options.dedupeKey]
   * @returns {Promise<unknown>} The result. Rejects with a {@link BeeError}.
   */
  async call(method, args = [], options = {}) {
    const { metadata, baggage, dedupeKey = null, named, idempotent = false } = options;
    const [form, value] = named ? [2, [args, named]] : [Array.isArray(args) ? 0 : 1, args];
    const request = { method, form, ...this.#packed(writeJson(value)), metadata, baggage, dedupeKey };
    const { body } = await this.#within(options, (state) => this.#tries(request, idempotent, state));
    try {
      return parseJson(body);
    } catch (error) {
      throw protocolError(`the result is not JSON: ${error.message}`, 'yes');
    }
  }

  /** 'serving' or 'draining', asked on a connection of its own: that shows whether a new client would get in. */
  async ping(options = {}) {
    const connection = this.#dial();
    try {
      const { status } = await this.#within(options, (state) => state.attempt(connection, 'ping'));
      return status;
    } finally {
      connection.retire();
    }
  }

  /** Gives up what is under way and closes all connections. */
  close() {
    this.#closed = true;
    this.#connection = null;
    for (const connection of this.#connections) connection.close(new BeeError('cancelled', 'the client was closed', 'maybe'));
  }

  #packed(body) {
    const { compressor, compressAbove, maxBody } = this.#options;
    const packed = compressor === 'gzip' && body.length > compressAbove ? zlib.gzipSync(body, { level: 1 }) : body;
    const compressed = packed.length < body.length;
    const size = compressed ? packed.length : body.length;
    if (size > maxBody) throw new BeeError('message_too_large', `a body of ${size} bytes is over maxBody (${maxBody} bytes): split the call`, 'no');
    return { body: compressed ? packed : body, compressed };
  }

  async #within({ timeout = this.#options.timeout, signal }, work) {
    const state = new CallState(timeout);
    const timer = setTimeout(() => state.giveUp('deadline_exceeded', `no reply within ${timeout} ms`), timeout);
    const aborted = () => state.giveUp('cancelled', 'the call was aborted');
    signal?.addEventListener('abort', aborted);
    try {
      if (signal?.aborted) aborted();
      return await Promise.race([state.givenUp, work(state)]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
    }
  }

  async #tries(request, idempotent, state) {
    for (let tries = 1; ; tries += 1) {
      const connection = this.#connected();
      try {
        return await state.attempt(connection, request);
      } catch (error) {
        if (!(error instanceof BeeError)) throw error;
        if (error.executed !== 'no') state.executed = error.executed;
        // After `no` always, after `maybe` only what is idempotent, after `yes` never.
        const allowed = error.executed === 'no' || (error.executed === 'maybe' && idempotent);
        if (!allowed || !WORTH_ANOTHER_TRY.has(error.code) || tries > this.#options.retries || this.#closed || state.over) {
          error.executed = state.executed;
          error.attempts = tries;
          throw error;
        }
        this.#turnFrom(connection);
        await pause(error.retryAfter ?? this.#backOff(tries));
        if (state.over) throw error; // nobody waits any more
      }
    }
  }

  /** Another node at once; the same nodes a second time after a while, longer each time. */
  #backOff(tries) {
    return tries < this.#addresses.length ? 0 : Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** tries);
  }

  #connected() {
    if (this.#closed) throw new BeeError('cancelled', 'the client is closed', 'no');
    if (!this.#connection?.usable) this.#connection = this.#dial();
    return this.#connection;
  }

  /** New calls take the next node; calls that wait on this connection stay there. */
  #turnFrom(connection) {
    if (this.#connection !== connection || (connection.usable && this.#addresses.length === 1)) return;
    this.#next += 1;
    this.#connection = null;
    connection.retire();
  }

  #dial() {
    const socket = this.#options.connect(this.#addresses[this.#next % this.#addresses.length]);
    const connection = new Connection(socket, this.#options, (closed) => this.#connections.delete(closed));
    this.#connections.add(connection);
    return connection;
  }
}

const pause = (milliseconds) => (milliseconds > 0 ? new Promise((resolve) => setTimeout(resolve, milliseconds)) : Promise.resolve());

function connectTcp(address) {
  const at = address.lastIndexOf(':');
  return net.connect({ host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)), noDelay: true, keepAlive: true });
}

/** For who replays the test vectors (vectors.mjs). */
export const wire = { encodeHello, encodeRequest, encodeCancel: (id) => encodeFrame(CANCEL, id), encodePing: (id) => encodeFrame(PING, id) };
wire.parsers = { 'hello-ack': parseHelloAck, error: parseError, pong: parsePong, goaway: parseGoaway };
wire.KIND_NAMES = KIND_NAMES;
wire.FORMS = FORMS;

// ── program ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const USAGE = `usage:
  node bee.mjs call HOST:PORT[,HOST:PORT...] SERVICE METHOD [JSON-ARGS] [--timeout MS] [--retries N] [--idempotent] [--gzip] [--token TOKEN]
  node bee.mjs ping HOST:PORT SERVICE
  node bee.mjs vectors FOLDER

JSON-ARGS is an array (by position) or an object (by name); [] when left out.`;

async function main(argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      timeout: { type: 'string', default: '10000' },
      retries: { type: 'string', default: '2' },
      idempotent: { type: 'boolean', default: false },
      gzip: { type: 'boolean', default: false },
      token: { type: 'string' },
    },
  });
  const [command, ...rest] = positionals;
  if (command === 'vectors' && rest.length === 1) return (await import('./vectors.mjs')).replay(rest[0]);
  if (!(command === 'call' && rest.length >= 3 && rest.length <= 4) && !(command === 'ping' && rest.length === 2)) {
    console.error(USAGE);
    return 2;
  }
  const [addresses, service, method, json = '[]'] = rest;
  const client = new Client(addresses.split(','), service, {
    timeout: Number(values.timeout),
    retries: Number(values.retries),
    compressor: values.gzip ? 'gzip' : null,
    token: values.token ?? null,
  });
  try {
    const result = command === 'ping' ? await client.ping() : await client.call(method, parseJson(Buffer.from(json)), { idempotent: values.idempotent });
    console.log(command === 'ping' ? result : writeJson(result).toString());
    return 0;
  } catch (error) {
    if (!(error instanceof BeeError || error instanceof SyntaxError)) throw error;
    console.error(error instanceof BeeError ? describe(error) : `the arguments are not JSON: ${error.message}`);
    return 1;
  } finally {
    client.close();
  }
}

function describe(error) {
  const names = [error.type, error.applicationCode].filter((name, at, all) => name && all.indexOf(name) === at);
  const type = names.length > 0 ? ` (${names.join(', ')})` : '';
  return `${error.code}${type}: ${error.message} [executed: ${error.executed}]`;
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
