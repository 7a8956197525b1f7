/* Replies, blocking connections and asynchronous ones. Compiled twice, each time with the headers of
 * the library that it is linked with, because the structs differ. */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <event2/event.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <hiredis/adapters/libevent.h>

#include "cases.h"

static const char *socket_path;
static int port;

static void value(const redisReply *r) {
    if (r == NULL) {
        printf("NULL");
        return;
    }
    printf("%d:", r->type);
    switch (r->type) {
    case REDIS_REPLY_INTEGER: printf("%lld", r->integer); break;
    case REDIS_REPLY_NIL: break;
    case REDIS_REPLY_ARRAY:
        printf("[%zu", (size_t)r->elements);
        for (size_t i = 0; i < r->elements; i++) {
            putchar(' ');
            value(r->element[i]);
        }
        putchar(']');
        break;
    default: show(r->str, (size_t)r->len); break;
    }
}

static void reply_line(redisReply *r) {
    value(r);
    putchar('\n');
    if (r != NULL) freeReplyObject(r);
}

/* ---- The reader ----------------------------------------------------------------------------- */

/* Feeds in pieces of `piece` bytes, or of random sizes, and prints every reply or the error. */
static void read_all(const char *bytes, size_t len, size_t piece) {
    redisReader *r = redisReaderCreate();
    size_t at = 0;
    int status = REDIS_OK;
    while (status == REDIS_OK) {
        void *reply = NULL;
        status = redisReaderGetReply(r, &reply);
        if (status != REDIS_OK) {
            printf("error %d %s\n", r->err, r->errstr);
        } else if (reply != NULL) {
            reply_line(reply);
        } else if (at == len) {
            /* How far it got into a reply that is not complete is the reader's business. */
            puts("no more");
            break;
        } else {
            size_t n = piece ? piece : 1 + below(30);
            if (n > len - at) n = len - at;
            redisReaderFeed(r, bytes + at, n);
            at += n;
        }
    }
    redisReaderFree(r);
}

static void bytes_given(const char *bytes, size_t len) {
    show(bytes, len);
    putchar('\n');
    read_all(bytes, len, len);
    read_all(bytes, len, 1);
}
#define GIVEN(literal) bytes_given(literal, sizeof(literal) - 1)

static void handwritten_replies(void) {
    begin("replies");
    GIVEN("+OK\r\n");
    GIVEN("-ERR no\r\n");
    GIVEN("+\r\n-\r\n$0\r\n\r\n*0\r\n");
    GIVEN(":0\r\n:-1\r\n:9223372036854775807\r\n:-9223372036854775808\r\n");
    GIVEN("$5\r\nhello\r\n$-1\r\n*-1\r\n$4\r\n\r\n\0x\r\n");
    GIVEN("*3\r\n:1\r\n*2\r\n+a\r\n$-1\r\n*-1\r\n");
    GIVEN("*2\r\n-ERR in\r\n$1\r\nx\r\n+next\r\n");
    GIVEN("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n");
    GIVEN("$5\r\nhel");
    GIVEN("*3\r\n:1\r\n:2\r\n");
    GIVEN("+half");

    begin("malformed replies");
    GIVEN("@x\r\n");
    GIVEN("\r\n");
    GIVEN("*2\r\n:1\r\n?\r\n");
    GIVEN("\x01\r\n");
    begin("a line with a CR alone");
    GIVEN("+a\rb\r\n");
    begin("more than 7 levels");
    GIVEN("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n");
    begin("numbers that are none");
    GIVEN(":12a\r\n");
    GIVEN(":\r\n");
    GIVEN(":9223372036854775808\r\n");
    GIVEN(":+1\r\n");
    begin("lengths that are none");
    GIVEN("$x\r\n");
    GIVEN("$-2\r\n");
    GIVEN("*-2\r\n");
    GIVEN("*x\r\n");
    begin("a bulk string without its end");
    GIVEN("$2\r\nhixx+OK\r\n");
    begin("types of RESP3");
    GIVEN("#t\r\n");
    GIVEN(",1.5\r\n");
    GIVEN("_\r\n");
    GIVEN("%1\r\n+a\r\n+b\r\n");
}

static size_t random_reply(char *to, int depth) {
    char text[80];
    size_t len, at;
    switch (below(depth < 6 ? 8 : 6)) {
    case 0:
    case 1:
        at = (size_t)sprintf(to, below(2) ? "+" : "-");
        len = random_bytes(text, 60);
        for (size_t i = 0; i < len; i++) to[at + i] = text[i] == '\r' || text[i] == '\n' ? '.' : text[i];
        return at + len + (size_t)sprintf(to + at + len, "\r\n");
    case 2: return (size_t)sprintf(to, ":%s%u\r\n", below(2) ? "-" : "", below(1u << 31));
    case 3: return (size_t)sprintf(to, below(2) ? "$-1\r\n" : "*-1\r\n");
    case 4:
    case 5:
        len = random_bytes(text, 79);
        at = (size_t)sprintf(to, "$%zu\r\n", len);
        memcpy(to + at, text, len);
        return at + len + (size_t)sprintf(to + at + len, "\r\n");
    default: {
        unsigned n = below(5);
        at = (size_t)sprintf(to, "*%u\r\n", n);
        while (n-- > 0) at += random_reply(to + at, depth + 1);
        return at;
    }
    }
}

static void random_replies(void) {
    char *bytes = malloc(8 << 20);
    if (bytes == NULL) exit(1);
    for (int i = 0; i < 1000; i++) {
        if (i % 100 == 0) begin("random replies from %d", i);
        size_t len = 0;
        for (unsigned n = 1 + below(10); n > 0; n--) len += random_reply(bytes + len, 0);
        /* Some are cut off. */
        if (below(4) == 0) len = below((unsigned)len + 1);
        read_all(bytes, len, 0);
    }
    free(bytes);
}

/* ---- Blocking connections ----------------------------------------------------------------------- */

static void state_of(const redisContext *c) {
    printf("err %d \"%s\" flags %#x\n", c->err, c->errstr, (unsigned)c->flags & 0x3u);
}

#define ASK(...)                                     \
    do {                                             \
        printf("%s: ", #__VA_ARGS__);                \
        reply_line(redisCommand(c, __VA_ARGS__));    \
        if (c->err) state_of(c);                     \
    } while (0)

static void commands(redisContext *c) {
    state_of(c);
    ASK("FLUSHALL");
    ASK("PING");
    ASK("SET %s %b", "key", "a\0b", (size_t)3);
    ASK("GET key");
    ASK("GET nothing");
    ASK("INCR n");
    ASK("INCRBY n %lld", -(1LL << 40));
    ASK("LPUSH l %d %d %d", 1, 2, 3);
    ASK("LRANGE l 0 -1");
    ASK("LPUSH key x");
    ASK("NOSUCH %s", "command");
    ASK("EVAL %s 0", "return {1, {2, {'three', {false, {}}}}, redis.error_reply('ERR in')}");
    ASK("SADD s %s", "");
    ASK("HSET h f v g w");
    ASK("HGETALL h");
    ASK("SORT s");
    ASK("MULTI");
    ASK("SET a b");
    ASK("GET a");
    ASK("EXEC");
    ASK("EXEC");
    ASK("SUBSCRIBE one");
    ASK("UNSUBSCRIBE one");
    const char *argv[] = {"SET", "bin\0ary", "v\r\n"};
    size_t lengths[] = {3, 7, 3};
    reply_line(redisCommandArgv(c, 3, argv, lengths));
    reply_line(redisCommandArgv(c, 3, argv, NULL));
    ASK("STRLEN bin");
}

static void connections(void) {
    struct timeval second = {1, 0}, moment = {0, 50000}, bad = {1, 1000001};
    redisContext *c;
    begin("commands by a unix socket");
    c = redisConnectUnix(socket_path);
    commands(c);
    redisFree(c);
    begin("commands by TCP");
    c = redisConnectWithTimeout("127.0.0.1", port, second);
    commands(c);
    redisFree(c);

    begin("connections that fail");
    c = redisConnectUnix("/nowhere/redis.sock"), state_of(c), redisFree(c);
    c = redisConnectUnixWithTimeout("/nowhere/redis.sock", second), state_of(c), redisFree(c);
    c = redisConnect("127.0.0.1", 1), state_of(c), redisFree(c);
    c = redisConnectWithTimeout("127.0.0.1", 1, second), state_of(c), redisFree(c);
    c = redisConnectFd(-1), state_of(c);
    reply_line(redisCommand(c, "PING")), state_of(c), redisFree(c);

    begin("the descriptor of a refused connection");
    c = redisConnect("127.0.0.1", 1);
    printf("open: %d\n", c->fd >= 0);
    redisFree(c);

    begin("a timeout");
    c = redisConnectUnix(socket_path);
    printf("%d\n", redisSetTimeout(c, bad));
    redisFree(c);
    c = redisConnectUnix(socket_path);
    printf("%d\n", redisSetTimeout(c, moment));
    errno = 0;
    reply_line(redisCommand(c, "BLPOP nothing 0"));
    printf("errno %d\n", errno);
    state_of(c);
    reply_line(redisCommand(c, "PING"));
    printf("%d\n", redisReconnect(c));
    ASK("PING");
    redisFree(c);

    begin("a server that hangs up");
    c = redisConnectUnix(socket_path);
    ASK("QUIT");
    /* Until it has: before, the error depends on who is quicker. */
    usleep(200000);
    ASK("PING");
    redisFree(c);

    begin("not blocking");
    c = redisConnectUnixNonBlock(socket_path);
    state_of(c);
    int done = 0;
    redisReply *reply = NULL;
    redisAppendCommand(c, "PING");
    while (!done && redisBufferWrite(c, &done) == REDIS_OK) {}
    while (reply == NULL && redisBufferRead(c) == REDIS_OK) redisGetReplyFromReader(c, (void **)&reply);
    reply_line(reply);
    redisFree(c);
}

static void ask_at_random(redisContext *c) {
    char text[200];
    size_t len = random_bytes(text, 199);
    unsigned key = below(10);
    switch (below(7)) {
    case 0: redisAppendCommand(c, "SET k:%u %b", key, text, len); break;
    case 1: redisAppendCommand(c, "GET k:%u", key); break;
    case 2: redisAppendCommand(c, "ECHO %b", text, len); break;
    case 3: redisAppendCommand(c, "LPUSH l:%u %b", key, text, len); break;
    case 4: redisAppendCommand(c, "LRANGE l:%u 0 %u", key, below(10)); break;
    case 5: redisAppendCommand(c, "INCR k:%u", key); break;
    default: redisAppendCommand(c, "EVAL %s 0", "return {1,{},{{'x'}},false}"); break;
    }
}

static void pipelines(void) {
    redisContext *c = redisConnectUnix(socket_path);
    for (int i = 0; i < 100; i++) {
        if (i % 20 == 0) begin("random pipelines from %d", i);
        unsigned count = 1 + below(60);
        for (unsigned n = 0; n < count; n++) ask_at_random(c);
        for (unsigned n = 0; n < count; n++) {
            void *reply = NULL;
            printf("%d ", redisGetReply(c, &reply));
            reply_line(reply);
        }
    }
    redisFree(c);
}

/* ---- Asynchronous connections ------------------------------------------------------------------- */

static struct event_base *base;

static void connected(const redisAsyncContext *ac, int status) {
    (void)ac;
    printf("connected %d\n", status);
}

static void connected_or_why(const redisAsyncContext *ac, int status) {
    printf("connected %d %d \"%s\"\n", status, ac->err, ac->err ? ac->errstr : "");
}

static void disconnected(const redisAsyncContext *ac, int status) {
    printf("disconnected %d %d \"%s\"\n", status, ac->err, ac->err ? ac->errstr : "");
}

static redisAsyncContext *attached(void) {
    redisAsyncContext *ac = redisAsyncConnectUnix(socket_path);
    redisLibeventAttach(ac, base);
    redisAsyncSetConnectCallback(ac, connected);
    redisAsyncSetDisconnectCallback(ac, disconnected);
    return ac;
}

static void answered(redisAsyncContext *ac, void *reply, void *privdata) {
    (void)ac;
    printf("%s: ", (const char *)privdata);
    value(reply);
    putchar('\n');
}

static void answered_last(redisAsyncContext *ac, void *reply, void *privdata) {
    answered(ac, reply, privdata);
    redisAsyncDisconnect(ac);
}

static void free_here(redisAsyncContext *ac, void *reply, void *privdata) {
    answered(ac, reply, privdata);
    redisAsyncFree(ac);
}

static void ask_more(redisAsyncContext *ac, void *reply, void *privdata) {
    static int left = 3;
    answered(ac, reply, privdata);
    if (left-- > 0) {
        redisAsyncCommand(ac, ask_more, "again", "INCR again");
    } else {
        redisAsyncDisconnect(ac);
    }
}

/* ---- and subscriptions: the other connection publishes once the first has subscribed. */

static redisAsyncContext *publisher;
static int heard;

static void publish(redisAsyncContext *ac, void *reply, void *privdata) {
    const redisReply *r = reply;
    answered(ac, reply, privdata);
    if (r == NULL || r->type != REDIS_REPLY_ARRAY) return;
    const char *kind = r->element[0]->str;
    if (strcmp(kind, "psubscribe") == 0) {
        redisAsyncCommand(publisher, NULL, NULL, "PUBLISH b ignored");
        for (int i = 0; i < 5; i++) redisAsyncCommand(publisher, NULL, NULL, "PUBLISH a %d", i);
        redisAsyncCommand(publisher, NULL, NULL, "PUBLISH other:x last");
    } else if (strcmp(kind, "message") == 0 && ++heard == 5) {
        redisAsyncCommand(ac, NULL, NULL, "UNSUBSCRIBE a");
    } else if (strcmp(kind, "pmessage") == 0) {
        redisAsyncCommand(ac, NULL, NULL, "PUNSUBSCRIBE");
        redisAsyncDisconnect(publisher);
    } else if (strcmp(kind, "punsubscribe") == 0) {
        redisAsyncDisconnect(ac);
    }
}

static void asynchronous(void) {
    redisAsyncContext *ac;
    base = event_base_new();

    begin("asynchronous commands");
    ac = attached();
    redisAsyncCommand(ac, answered, "flush", "FLUSHALL");
    redisAsyncCommand(ac, answered, "set", "SET k %b", "a\0b", (size_t)3);
    redisAsyncCommand(ac, answered, "get", "GET k");
    redisAsyncCommand(ac, NULL, NULL, "INCR unseen");
    redisAsyncCommand(ac, answered, "error", "LPUSH k x");
    redisAsyncCommand(ac, answered_last, "last", "GET unseen");
    redisAsyncCommand(ac, answered, "behind the last", "GET k");
    event_base_dispatch(base);

    begin("commands asked by callbacks");
    ac = attached();
    redisAsyncCommand(ac, ask_more, "first", "INCR again");
    event_base_dispatch(base);

    begin("a disconnect is refused nothing that was accepted");
    ac = attached();
    redisAsyncCommand(ac, answered, "one", "PING");
    event_base_loop(base, EVLOOP_ONCE);
    redisAsyncCommand(ac, answered, "two", "ECHO 2");
    redisAsyncDisconnect(ac);
    printf("%d\n", redisAsyncCommand(ac, answered, "three", "PING"));
    event_base_dispatch(base);

    begin("a free inside a callback");
    ac = attached();
    redisAsyncCommand(ac, answered, "one", "PING");
    redisAsyncCommand(ac, free_here, "two", "PING");
    redisAsyncCommand(ac, answered, "three", "PING");
    event_base_dispatch(base);

    begin("a free with callbacks pending");
    ac = attached();
    redisAsyncCommand(ac, answered, "one", "PING");
    redisAsyncCommand(ac, answered, "two", "PING");
    redisAsyncFree(ac);
    event_base_dispatch(base);

    begin("a server that hangs up on an asynchronous connection");
    ac = attached();
    redisAsyncCommand(ac, answered, "quit", "QUIT");
    redisAsyncCommand(ac, answered, "never", "PING");
    event_base_dispatch(base);

    begin("asynchronous connections that fail");
    ac = redisAsyncConnectUnix("/nowhere/redis.sock");
    printf("%d %s\n", ac->err, ac->errstr);
    redisAsyncFree(ac);
    ac = redisAsyncConnect("127.0.0.1", 1);
    redisLibeventAttach(ac, base);
    redisAsyncSetConnectCallback(ac, connected);
    redisAsyncSetDisconnectCallback(ac, disconnected);
    redisAsyncCommand(ac, answered, "never", "PING");
    event_base_dispatch(base);

    begin("the error that a connect callback sees");
    ac = redisAsyncConnect("127.0.0.1", 1);
    redisLibeventAttach(ac, base);
    redisAsyncSetConnectCallback(ac, connected_or_why);
    event_base_dispatch(base);

    begin("subscriptions");
    publisher = attached();
    event_base_loop(base, EVLOOP_ONCE);
    ac = attached();
    redisAsyncCommand(ac, publish, "a", "SUBSCRIBE a");
    redisAsyncCommand(ac, publish, "pattern", "PSUBSCRIBE other:*");
    event_base_dispatch(base);

    begin("a free while subscribed");
    ac = attached();
    redisAsyncCommand(ac, free_here, "subscription", "SUBSCRIBE a");
    event_base_dispatch(base);

    for (int i = 0; i < 50; i++) {
        if (i % 10 == 0) begin("random asynchronous commands from %d", i);
        ac = attached();
        for (unsigned n = below(80); n > 0; n--) {
            char text[100];
            size_t len = random_bytes(text, 99);
            switch (below(5)) {
            case 0: redisAsyncCommand(ac, answered, "echo", "ECHO %b", text, len); break;
            case 1: redisAsyncCommand(ac, answered, "incr", "INCR r:%u", below(5)); break;
            case 2: redisAsyncCommand(ac, answered, "set", "SET r:%u %b", below(5), text, len); break;
            case 3: redisAsyncCommand(ac, answered, "get", "GET r:%u", below(5)); break;
            default: redisAsyncCommand(ac, NULL, NULL, "DEL r:%u", below(5)); break;
            }
        }
        redisAsyncCommand(ac, below(2) ? answered_last : free_here, "end", "PING");
        if (below(3) == 0) redisAsyncCommand(ac, answered, "behind", "PING");
        event_base_dispatch(base);
    }
    event_base_free(base);
}

int main(int argc, char **argv) {
    socket_path = getenv("TEST_REDIS_UNIX");
    const char *text = getenv("TEST_REDIS_PORT");
    if (socket_path == NULL || text == NULL) return 2;
    port = atoi(text);
    /* The original needs it; what happens without is a listed difference. */
    signal(SIGPIPE, SIG_IGN);
    seed(argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
    handwritten_replies();
    random_replies();
    connections();
    pipelines();
    asynchronous();
    return 0;
}
