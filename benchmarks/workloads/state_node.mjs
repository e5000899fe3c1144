// The rivals in Node: ioredis, ioredis with autopipelining, and the store of @igniter-js.
// One request is a line of JSON, and so is its answer: calls a second and the 99th percentile.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const [port, folder] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const Redis = require('ioredis');
const { IgniterStore } = require('@igniter-js/store');
const { IgniterStoreRedisAdapter } = require('@igniter-js/store/adapters');

const VALUE = 'x'.repeat(100);
const KEYS = Array.from({ length: 10 }, (_, number) => `k${number}`);
const STREAM_MAX = 10000;

function works(redis) {
  return {
    get: () => redis.get('k1'),
    set: () => redis.set('k1', VALUE),
    publish: () => redis.publish('a', VALUE),
    increment: () => redis.incr('ic'),
    'batch of 10': () => redis.mget(KEYS),
    append: () => redis.xadd('is', 'MAXLEN', '~', STREAM_MAX, '*', 'data', VALUE),
  };
}

const connect = (options) => new Redis({ port: Number(port), host: '127.0.0.1', ...options });
const plain = connect({});
const pipelined = connect({ enableAutoPipelining: true });
const store = IgniterStore.create()
  .withAdapter(IgniterStoreRedisAdapter.create({ redis: connect({}) }))
  .withService('api')
  .build();
for (const key of KEYS) {
  await plain.set(key, VALUE);
  await store.kv.set(key, VALUE);
}
const who = {
  ioredis: works(plain),
  'ioredis, autopipelining': works(pipelined),
  '@igniter-js/store': {
    get: () => store.kv.get('k1'),
    set: () => store.kv.set('k1', VALUE),
    publish: () => store.events.publish('a:b', VALUE),
    increment: () => store.counter.increment('c'),
    'batch of 10': () => store.batch.get(KEYS),
    append: () => store.streams.append('s', { data: VALUE }, { maxLen: STREAM_MAX, approximate: true }),
  },
};

async function calls(work, tasks, seconds) {
  const began = performance.now();
  const until = began + seconds * 1000;
  const took = [];
  const one = async () => {
    do {
      const before = performance.now();
      await work();
      took.push(performance.now() - before);
    } while (performance.now() < until);
  };
  await Promise.all(Array.from({ length: tasks }, one));
  return [(performance.now() - began) / 1000, took];
}

const answer = (content) => process.stdout.write(JSON.stringify(content) + '\n');
answer({ ready: Object.keys(who), node: process.version });
for await (const line of createInterface({ input: process.stdin })) {
  const { name, operation, tasks, seconds, warm } = JSON.parse(line);
  try {
    const work = who[name][operation];
    await calls(work, tasks, warm);
    const [spent, took] = await calls(work, tasks, seconds);
    took.sort((a, b) => a - b);
    answer({ per_s: took.length / spent, p99_ms: took[Math.ceil(took.length * 0.99) - 1] });
  } catch (error) {
    answer({ error: String(error) });
  }
}
process.exit(0);
