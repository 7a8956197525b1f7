/* Asynchronous contexts when memory runs out: each request in turn is refused, and afterwards
 * everything has been told to its callback once and nothing is left. */
#include "async.h"

#include <stdio.h>
#include <unistd.h>

#include <hiredis/sds.h>

#if HIREDIS_MAJOR >= 1

/* How often each command's callback has been called. */
static int calls[8], nulls[8];

static void count_call(redisAsyncContext *ac, void *reply, void *index) {
    (void)ac;
    size_t i = (size_t)(uintptr_t)index;
    calls[i]++;
    if (reply == NULL) nulls[i]++;
}

static int ask_counted(conn *c, size_t index, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int status = redisvAsyncCommand(c->ac, count_call, (void *)(uintptr_t)index, format, ap);
    va_end(ap);
    return status;
}

static void counts_begin(void) {
    memset(calls, 0, sizeof(calls));
    memset(nulls, 0, sizeof(nulls));
}

/* An error that memory caused says so. */
static void told_of_memory(conn *c, int status) {
    if (status == REDIS_OK) return;
    CHECK_INT(c->ac->err, REDIS_ERR_OOM);
    CHECK_STR(c->ac->errstr, "Out of memory");
}

/* ---- Making ---- */

static int gone;

static void privdata_gone(void *privdata) {
    (void)privdata;
    gone++;
}

static redisAsyncContext *make(int kind, const char *path) {
    struct timeval tv = {1, 0};
    redisOptions o = {0};
    o.connect_timeout = o.command_timeout = &tv;
    REDIS_OPTIONS_SET_PRIVDATA(&o, &gone, privdata_gone);
    switch (kind) {
    case 0: return redisAsyncConnectUnix(path);
    case 1: return redisAsyncConnect("127.0.0.1", live_port());
    case 2: return redisAsyncConnectBind("127.0.0.1", live_port(), "127.0.0.1");
    case 3:
        REDIS_OPTIONS_SET_UNIX(&o, path);
        return redisAsyncConnectWithOptions(&o);
    case 4:
        REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
        o.endpoint.tcp.source_addr = "127.0.0.1";
        return redisAsyncConnectWithOptions(&o);
    default:
        o.type = REDIS_CONN_USERFD;
        o.endpoint.fd = dup(0);
        return redisAsyncConnectWithOptions(&o);
    }
}

TEST(async_oom, making_a_context, "5 6") {
    for (int kind = 0; kind < 6; kind++) {
        for (size_t k = 1;; k++) {
            gone = 0;
            alloc_count_begin();
            alloc_fail_at(k);
            redisAsyncContext *ac = make(kind, live_unix());
            size_t failed = alloc_failures();
            alloc_fail_never();
            if (ac != NULL && ac->err != 0) {
                CHECK(failed > 0);
                CHECK_INT(ac->err, REDIS_ERR_OOM);
                CHECK_STR(ac->errstr, "Out of memory");
                CHECK_INT(ac->c.err, REDIS_ERR_OOM);
                CHECK_INT(redisAsyncCommand(ac, NULL, NULL, "PING"), REDIS_ERR);
            }
            redisAsyncFree(ac);
            CHECK(gone <= 1);
            alloc_count_end();
            if (failed == 0) {
                CHECK(ac != NULL);
                CHECK(k > 5);
                break;
            }
        }
    }
}

/* ---- Asking ---- */

static const char *const kinds[] = {
    "GET k", "SUBSCRIBE one", "SUBSCRIBE one two one", "PSUBSCRIBE q*", "SSUBSCRIBE s", "MONITOR", "RESET",
    "HELLO 3", "CLIENT REPLY OFF", "SUBSCRIBE", "QUIT",
};

/* On a plain connection, and on one that is subscribed and owes replies of every kind. */
static void ready(conn *c, int busy) {
    conn_up(c);
    if (!busy) return;
    owe_everything(c);
    ask(c, "t", "SSUBSCRIBE t");
    flush(c);
    sent(c);
    log_take();
}

TEST(async_oom, asking, "7") {
    for (int busy = 0; busy < 2; busy++) {
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            for (size_t k = 1;; k++) {
                conn c;
                counts_begin();
                ready(&c, busy);
                size_t obuf = sdslen(c.ac->c.obuf);
                size_t plain = list_length(&c.ac->replies), sub = list_length(sub_replies(c.ac));
                int flags = c.ac->c.flags;
                alloc_fail_at(k);
                int status = ask_counted(&c, 0, kinds[i]);
                size_t failed = alloc_failures();
                alloc_fail_never();
                if (status == REDIS_ERR) {
                    CHECK(failed > 0);
                    CHECK_INT(c.ac->err, REDIS_ERR_OOM);
                    CHECK_STR(c.ac->errstr, "Out of memory");
                    CHECK_UINT(sdslen(c.ac->c.obuf), obuf);
                    CHECK_UINT(list_length(&c.ac->replies), plain);
                    CHECK_UINT(list_length(sub_replies(c.ac)), sub);
                    CHECK_INT(c.ac->c.flags, flags);
                }
                redisAsyncFree(c.ac);
                if (status == REDIS_ERR) CHECK_INT(calls[0], 0);
                else CHECK_INT(calls[0], strcmp(kinds[i], "SUBSCRIBE one two one") == 0 ? 2 : 1);
                CHECK_INT(nulls[0], calls[0]);
                CHECK_LOG(busy ? "a:NULL b:NULL ping:NULL ch:NULL pat:NULL t:NULL disconnect=0"
                               : "disconnect=0");
                conn_done(&c);
                if (failed == 0) {
                    CHECK_INT(status, REDIS_OK);
                    break;
                }
            }
        }
    }
}

TEST(async_oom, subscribing_again, "7") {
    static const char *const ways[] = {"SUBSCRIBE new ch", "SUBSCRIBE ch new", "PSUBSCRIBE p* new",
                                       "SSUBSCRIBE t new"};
    static const char *const kept[] = {"a:NULL b:NULL ping:NULL pat:NULL t:NULL disconnect=0",
                                       "a:NULL b:NULL ping:NULL pat:NULL t:NULL disconnect=0",
                                       "a:NULL b:NULL ping:NULL ch:NULL t:NULL disconnect=0",
                                       "a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=0"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        for (size_t k = 1;; k++) {
            conn c;
            counts_begin();
            ready(&c, 1);
            alloc_fail_at(k);
            int status = ask_counted(&c, 0, ways[i]);
            size_t failed = alloc_failures();
            alloc_fail_never();
            redisAsyncFree(c.ac);
            /* Refused: the callback from before is back in its place. */
            CHECK_LOG(status == REDIS_OK ? kept[i]
                                         : "a:NULL b:NULL ping:NULL ch:NULL pat:NULL t:NULL disconnect=0");
            CHECK_INT(calls[0], status == REDIS_OK ? 2 : 0);
            conn_done(&c);
            if (failed == 0) {
                CHECK_INT(status, REDIS_OK);
                break;
            }
        }
    }
}

TEST(async_oom, unsubscribing, "7") {
    static const char *const ways[] = {"UNSUBSCRIBE", "UNSUBSCRIBE ch", "UNSUBSCRIBE ch x ch", "PUNSUBSCRIBE",
                                       "PUNSUBSCRIBE p* x", "SUNSUBSCRIBE", "SUNSUBSCRIBE t"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        for (size_t k = 1;; k++) {
            conn c;
            ready(&c, 1);
            size_t obuf = sdslen(c.ac->c.obuf);
            alloc_fail_at(k);
            int status = ask_try(&c, "never", ways[i]);
            size_t failed = alloc_failures();
            alloc_fail_never();
            if (status == REDIS_ERR) {
                CHECK_INT(c.ac->err, REDIS_ERR_OOM);
                CHECK_UINT(sdslen(c.ac->c.obuf), obuf);
            }
            redisAsyncFree(c.ac);
            CHECK_LOG("a:NULL b:NULL ping:NULL ch:NULL pat:NULL t:NULL disconnect=0");
            conn_done(&c);
            if (failed == 0) {
                CHECK_INT(status, REDIS_OK);
                break;
            }
        }
    }
}

/* ---- Events ---- */

static char big[9000];

/* Everything a read event can bring: small, large and nested replies, errors, messages, a push,
 * an attribute, the end of a subscription, a moved list. */
static void play(conn *c) {
    serve(c, "$5\r\nhello\r\n*3\r\n:1\r\n*2\r\n+a\r\n,1.5\r\n%1\r\n+k\r\n$1\r\nv\r\n-ERR no\r\n");
    if (c->ac != NULL) serve(c, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n:1\r\n");
    if (c->ac != NULL) serve(c, test_printf("$%zu\r\n%s\r\n", strlen(big), big));
    if (c->ac != NULL) serve(c, ">3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n");
    if (c->ac != NULL) serve(c, "+PONG\r\n>3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n");
    if (c->ac != NULL) serve(c, ">3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:0\r\n$1\r\nV\r\n");
}

static void prepare(conn *c) {
    counts_begin();
    memset(big, 'x', sizeof(big) - 1);
    conn_up(c);
    c->on_disconnect = told_of_memory;
    CHECK_INT(ask_counted(c, 0, "GET k"), REDIS_OK);
    CHECK_INT(ask_counted(c, 1, "GET k"), REDIS_OK);
    CHECK_INT(ask_counted(c, 2, "GET k"), REDIS_OK);
    CHECK_INT(ask_counted(c, 3, "GET k"), REDIS_OK);
    CHECK_INT(ask_counted(c, 4, "SUBSCRIBE ch"), REDIS_OK);
    CHECK_INT(ask_counted(c, 5, "PING"), REDIS_OK);
    CHECK_INT(redisAsyncCommand(c->ac, NULL, NULL, "UNSUBSCRIBE ch"), REDIS_OK);
    CHECK_INT(ask_counted(c, 6, "GET k"), REDIS_OK);
    flush(c);
}

static void called_once(void) {
    for (int i = 0; i < 7; i++) {
        if (i == 4) continue;
        if (calls[i] != 1) FAIL("callback %d was called %d times", i, calls[i]);
    }
    /* The subscription: confirmation, message, end; or a last NULL on the way. */
    CHECK(calls[4] <= 3);
    CHECK(nulls[4] <= 1);
    CHECK(calls[4] == 3 || nulls[4] == 1);
}

TEST(async_oom, reading, "5") {
    conn c;
    prepare(&c);
    play(&c);
    CHECK(c.ac != NULL);
    for (int i = 0; i < 7; i++) CHECK_INT(nulls[i], 0);
    called_once();
    conn_done(&c);
    for (size_t k = 1;; k++) {
        prepare(&c);
        alloc_fail_at(k);
        play(&c);
        size_t failed = alloc_failures();
        alloc_fail_never();
        if (failed > 0 && c.ac != NULL) {
            /* Survived: then nothing was lost. */
            for (int i = 0; i < 7; i++) CHECK_INT(nulls[i], 0);
        }
        if (c.ac != NULL) redisAsyncFree(c.ac);
        called_once();
        conn_done(&c);
        if (failed == 0) break;
        CHECK(k < 2000);
    }
}

TEST(async_oom, reading_while_every_request_fails, "5") {
    for (size_t k = 1;; k++) {
        conn c;
        prepare(&c);
        alloc_fail_from(k);
        play(&c);
        size_t failed = alloc_failures();
        if (c.ac != NULL) redisAsyncFree(c.ac);
        alloc_fail_never();
        called_once();
        conn_done(&c);
        if (failed == 0) break;
    }
}

TEST(async_oom, connecting_and_writing, "5") {
    for (size_t k = 1;; k++) {
        conn c;
        counts_begin();
        conn_zero(&c);
        conn_open(&c);
        CHECK_INT(ask_counted(&c, 0, "SET k %s", test_printf("%030000d", 1)), REDIS_OK);
        alloc_fail_at(k);
        flush(&c);
        if (c.ac != NULL) flush(&c);
        if (c.ac != NULL) serve(&c, "+OK\r\n");
        size_t failed = alloc_failures();
        alloc_fail_never();
        if (c.ac != NULL) redisAsyncFree(c.ac);
        CHECK_INT(calls[0], 1);
        conn_done(&c);
        if (failed == 0) {
            CHECK_INT(nulls[0], 0);
            break;
        }
    }
}

TEST(async_oom, ending_needs_no_memory, "6") {
    for (int how = 0; how < 3; how++) {
        conn c;
        conn_up_with(&c, 0, 10);
        owe_everything(&c);
        alloc_fail_from(1);
        if (how == 0) redisAsyncFree(c.ac);
        if (how == 1) hang_up(&c);
        if (how == 2) expire(&c);
        alloc_fail_never();
        CHECK(c.ac == NULL);
        CHECK_LOG(how == 0 ? "a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=0"
                           : "a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=-1");
        conn_done(&c);
    }
}

static void ask_more(redisAsyncContext *ac, void *reply, void *privdata) {
    conn *c = ac->data;
    count_call(ac, reply, privdata);
    if (reply == NULL || c->count++ > 0) return;
    /* Fails or not: what was accepted is called once. */
    int status = redisAsyncCommand(ac, count_call, (void *)(uintptr_t)1, "SUBSCRIBE more");
    c->mine[0] = status == REDIS_OK;
    status = redisAsyncCommand(ac, count_call, (void *)(uintptr_t)2, "GET more");
    c->mine[1] = status == REDIS_OK;
}

TEST(async_oom, asking_inside_a_callback, "7") {
    for (size_t k = 1;; k++) {
        conn c;
        counts_begin();
        conn_up(&c);
        c.on_disconnect = told_of_memory;
        CHECK_INT(redisAsyncCommand(c.ac, ask_more, (void *)(uintptr_t)0, "GET k"), REDIS_OK);
        flush(&c);
        alloc_fail_at(k);
        serve(&c, "+OK\r\n");
        size_t failed = alloc_failures();
        alloc_fail_never();
        if (c.ac != NULL) redisAsyncFree(c.ac);
        CHECK_INT(calls[0], 1);
        CHECK_INT(calls[1], c.mine[0]);
        CHECK_INT(calls[2], c.mine[1]);
        conn_done(&c);
        if (failed == 0) break;
    }
}
#endif
