// Lets a test drive the Node.js client: a command in JSON on each line of the input, an answer on each line of the output. `node drive.mjs PATH/TO/bee.mjs`

import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { BeeError, Client, parseJson, writeJson } = await import(pathToFileURL(process.argv[2]));
const clients = new Map();
const aborters = new Map();

async function call({ n, call: client, method, args, options }) {
  const aborter = new AbortController();
  aborters.set(n, aborter);
  try {
    return { result: await clients.get(client).call(method, args, { ...options, signal: aborter.signal }) };
  } finally {
    aborters.delete(n);
  }
}

async function act(command) {
  if (command.open) {
    const { gzip = null, ...options } = command.options;
    clients.set(command.open, new Client(command.addresses, command.service, { ...options, ...(gzip === null ? {} : { compressor: 'gzip', compressAbove: gzip }) }));
  } else if (command.call) {
    return call(command);
  } else if (command.ping) {
    return { result: await clients.get(command.ping).ping() };
  } else if (command.abort) {
    aborters.get(command.abort)?.abort();
  } else {
    clients.get(command.close).close();
  }
  return { result: null };
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = parseJson(Buffer.from(line));
  act(command)
    .catch((error) => {
      if (!(error instanceof BeeError)) throw error;
      const { code, executed, message, path, type, applicationCode, details, retryAfter } = error;
      return { error: { code, executed, message, path, type, applicationCode, details, retryAfter } };
    })
    .then((answer) => process.stdout.write(`${writeJson({ n: command.n, ...answer })}\n`));
}
process.exit(0);
