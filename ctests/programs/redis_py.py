"""redis-py with hiredis-py as its parser, on a live server: protocols 2 and 3, pipelines, pub/sub."""

import os
import random
import threading

import hiredis
import redis
from redis.connection import UnixDomainSocketConnection, ConnectionPool

# redis-py takes hiredis by itself when it can; there must be no silent way round.
from redis._parsers import _HiredisParser

seed = int(os.environ.get("TEST_SEED", "1"))
rng = random.Random(seed)
checks = 0


def equal(got, expected):
    global checks
    checks += 1
    assert got == expected, f"got {got!r}, not {expected!r} (TEST_SEED={seed})"


def client(protocol):
    pool = ConnectionPool(
        connection_class=UnixDomainSocketConnection,
        path=os.environ["TEST_REDIS_UNIX"],
        protocol=protocol,
        parser_class=_HiredisParser,
    )
    return redis.Redis(connection_pool=pool)


def random_bytes(longest):
    return rng.randbytes(rng.randint(0, longest))


for protocol in (2, 3):
    r = client(protocol)
    r.flushall()

    equal(r.set("k", b"v"), True)
    equal(r.get("k"), b"v")
    equal(r.get("nothing"), None)
    equal(r.incr("n"), 1)
    equal(r.hset("h", mapping={"a": "1", "b": "2"}), 2)
    equal(r.hgetall("h"), {b"a": b"1", b"b": b"2"})
    equal(r.sadd("s", "x"), 1)
    equal(set(r.smembers("s")), {b"x"})
    equal(r.zadd("z", {"m": 1.5}), 1)
    equal(r.zscore("z", "m"), 1.5)
    equal(r.eval("return {1, {2, {3, 'four'}}, false}", 0), [1, [2, [3, b"four"]], None])
    try:
        r.lpush("k", "x")
        raise AssertionError("no error")
    except redis.ResponseError as error:
        equal(str(error), "WRONGTYPE Operation against a key holding the wrong kind of value"[10:]
              if not str(error).startswith("WRONGTYPE") else
              "WRONGTYPE Operation against a key holding the wrong kind of value")

    # Values of every size come back as they were.
    for size in (0, 1, 100, 16 * 1024, 65535, 65536, 1 << 20, 5 << 20):
        value = rng.randbytes(size)
        equal(r.set("big", value), True)
        equal(r.get("big"), value)

    # 300 pipelines of mixed commands.
    for _ in range(300):
        pipe = r.pipeline(transaction=rng.random() < 0.3)
        expected = []
        for _ in range(rng.randint(1, 40)):
            key, value = b"p:%d" % rng.randint(0, 9), random_bytes(200)
            pipe.set(key, value)
            pipe.get(key)
            pipe.strlen(key)
            expected += [True, value, len(value)]
        equal(pipe.execute(), expected)

    # What a subscriber hears is what was published, in order.
    listener = r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("news")
    listener.psubscribe("other.*")
    while not (listener.channels and listener.patterns):
        pass
    listener.get_message(timeout=5)
    listener.get_message(timeout=5)
    sent = [(rng.choice([b"news", b"other.a", b"other.b"]), random_bytes(300)) for _ in range(200)]

    def publish():
        publisher = client(2)
        for channel, message in sent:
            publisher.publish(channel, message)

    thread = threading.Thread(target=publish)
    thread.start()
    heard = []
    while len(heard) < len(sent):
        message = listener.get_message(timeout=10)
        assert message is not None, f"heard {len(heard)} of {len(sent)} messages"
        heard.append((message["channel"], message["data"]))
    thread.join()
    equal(heard, sent)
    listener.close()

with open("/proc/self/maps") as maps:
    loaded = {line.split()[-1] for line in maps if "libhiredis" in line}
equal([os.path.basename(path) for path in loaded], ["libhiredis_rs.so"])
print(f"redis-py {redis.__version__}, hiredis-py {hiredis.__version__}: {checks} checks")
