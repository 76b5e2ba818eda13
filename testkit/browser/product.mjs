// The product as a real process, on its own data directory and port.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 60_000;
const STOP_MS = 30_000;

/** Starts `OPENAUTOGLM_BIN up` and resolves once it is ready. */
export async function startProduct() {
  const binary = process.env.OPENAUTOGLM_BIN;
  if (!binary) throw new Error('OPENAUTOGLM_BIN names the binary to test');
  const dir = await mkdtemp(join(tmpdir(), 'oag-browser-'));
  const data = join(dir, 'data');
  const child = spawn(binary, ['up', '--data', data, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (log = (log + text).slice(-20_000)));
  }
  let end = null;
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve((end = String(error))));
    child.once('close', (code, signal) => resolve((end = `status ${code ?? signal}`)));
  });

  async function stop() {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(late);
    await rm(dir, { recursive: true, force: true });
  }

  try {
    const address = await ready(data, child.pid, () => end);
    const key = (await readFile(join(data, 'admin.key'), 'utf8')).trim();
    return { url: `http://${address}`, key, stop, log: () => log };
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${log}`);
  }
}

async function ready(data, pid, end) {
  const deadline = Date.now() + START_MS;
  while (Date.now() < deadline) {
    if (end()) throw new Error(`the product ended: ${end()}`);
    try {
      const run = JSON.parse(await readFile(join(data, 'run.json'), 'utf8'));
      if (run.pid === pid) {
        const answer = await fetch(`http://${run.address}/health/ready`);
        if (answer.ok) return run.address;
      }
    } catch {
      // Not yet.
    }
    await sleep(50);
  }
  throw new Error('the product was not ready in time');
}
