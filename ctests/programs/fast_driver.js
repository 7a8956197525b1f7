// redis-fast-driver on a live server: long pipelines, pub/sub, MONITOR, and reconnecting.
'use strict';
const assert = require('assert');
const fs = require('fs');
const path = require('path');
const Redis = require(process.cwd());

const seed = Number(process.env.TEST_SEED || 1);
let state = seed;
const random = (below) => {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return (state >> 8) % below;
};
const port = Number(process.env.TEST_REDIS_PORT);
const connect = () => new Redis({host: '127.0.0.1', port, doNotRunQuitOnEnd: true});
const call = (redis, ...args) =>
  new Promise((resolve) => redis.rawCall(args, (error, reply) => resolve(error ? `! ${error}` : reply)));
const ready = (redis) => new Promise((resolve) => redis.once('ready', resolve));
let checks = 0;
const equal = (got, expected) => {
  assert.deepStrictEqual(got, expected, `TEST_SEED=${seed}`);
  checks++;
};

// Thousands of commands are under way at once; each gets its own answer.
async function pipelines(redis) {
  for (let round = 0; round < 20; round++) {
    const answers = [], expected = [];
    for (let i = 0; i < 2000; i++) {
      const text = 'x'.repeat(random(300)) + i;
      switch (random(5)) {
        case 0: answers.push(call(redis, 'ECHO', text)); expected.push(text); break;
        case 1: answers.push(call(redis, 'GET', 'nothing')); expected.push(null); break;
        case 2: answers.push(call(redis, 'STRLEN', 'nothing')); expected.push(0); break;
        case 3: answers.push(call(redis, 'NOSUCH', text)); expected.push('!'); break;
        case 4:
          answers.push(call(redis, 'EVAL', 'return {1, {ARGV[1], {}}, false}', 0, text));
          expected.push([1, [text, []], null]);
      }
    }
    const got = await Promise.all(answers);
    got.forEach((answer, i) => {
      if (expected[i] === '!') assert(String(answer).startsWith('! ERR unknown command'), answer);
      else equal(answer, expected[i]);
    });
  }
}

async function subscriptions(redis) {
  const listener = connect();
  await ready(listener);
  const sent = [], heard = [];
  let all, subscribed;
  const done = new Promise((resolve) => { all = resolve; });
  const begun = new Promise((resolve) => { subscribed = resolve; });
  listener.rawCall(['SUBSCRIBE', 'a', 'b'], (error, [kind, channel, text]) => {
    if (kind === 'subscribe' && channel === 'b') subscribed();
    if (kind === 'message') heard.push([channel, text]);
    if (heard.length === 3000) all();
  });
  await begun;
  for (let i = 0; i < 3000; i++) {
    const message = [random(2) ? 'a' : 'b', `message ${i} ` + 'y'.repeat(random(100))];
    sent.push(message);
    redis.rawCall(['PUBLISH', ...message]);
  }
  await done;
  equal(heard, sent);
  listener.end();
}

async function monitor(redis) {
  const listener = connect();
  await ready(listener);
  const lines = [];
  let all;
  const done = new Promise((resolve) => { all = resolve; });
  listener.rawCall(['MONITOR'], (error, line) => {
    lines.push(line.replace(/^[0-9.]+ \[[^\]]*\] /, ''));
    if (lines.length === 101) all();
  });
  while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  for (let i = 0; i < 100; i++) await call(redis, 'ECHO', String(i));
  await done;
  equal(lines[0], 'OK');
  for (let i = 0; i < 100; i++) equal(lines[i + 1], `"ECHO" "${i}"`);
  listener.end();
}

// The server hangs up: the driver connects again and goes on.
async function reconnecting(redis) {
  const killer = connect();
  await ready(killer);
  let lost = 0;
  redis.on('error', () => { lost++; });
  for (let i = 0; i < 3; i++) {
    const id = await call(redis, 'CLIENT', 'ID');
    const again = new Promise((resolve) => redis.once('connect', resolve));
    redis.opts.reconnectTimeout = 10;
    equal(await call(killer, 'CLIENT', 'KILL', 'ID', id), 1);
    await again;
    equal(await call(redis, 'ECHO', 'again'), 'again');
  }
  equal(lost, 3);
  killer.end();
}

(async () => {
  const redis = connect();
  await ready(redis);
  await pipelines(redis);
  await subscriptions(redis);
  await monitor(redis);
  await reconnecting(redis);
  redis.end();
  const maps = fs.readFileSync('/proc/self/maps', 'utf8').match(/\S*libhiredis\S*/g) || [];
  equal([...new Set(maps.map((file) => path.basename(file)))], ['libhiredis_rs.so']);
  console.log(`redis-fast-driver ${require(process.cwd() + '/package.json').version}, ` +
    `Node.js ${process.version}: ${checks} checks`);
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
