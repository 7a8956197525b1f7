/* The rest of the blocking interface: no context, the exported helpers, allocation failure. */
#include "sync.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake.h"

/* ---- No context ---- */

#if HIREDIS_MAJOR >= 1
static int null_append(const char *format, ...) {
    va_list ap;
    int rc;

    va_start(ap, format);
    rc = redisvAppendCommand(NULL, format, ap);
    va_end(ap);
    return rc;
}

static void *null_command(const char *format, ...) {
    va_list ap;
    void *reply;

    va_start(ap, format);
    reply = redisvCommand(NULL, format, ap);
    va_end(ap);
    return reply;
}

TEST(sync, without_a_context_every_function_fails_quietly, "95") {
    const char *argv[] = {"PING"};
    void *reply = &reply;
    int done = 7;

    redisFree(NULL);
    CHECK_INT(redisFreeKeepFd(NULL), REDIS_INVALID_FD);
    CHECK_INT(redisReconnect(NULL), REDIS_ERR);
    CHECK(redisSetPushCallback(NULL, NULL) == NULL);
    CHECK_INT(redisSetTimeout(NULL, seconds(1)), REDIS_ERR);
    CHECK_INT(redisEnableKeepAlive(NULL), REDIS_ERR);
    CHECK_INT(redisEnableKeepAliveWithInterval(NULL, 10), REDIS_ERR);
    CHECK_INT(redisSetTcpUserTimeout(NULL, 10), REDIS_ERR);
    CHECK_INT(redisBufferRead(NULL), REDIS_ERR);
    CHECK_INT(redisBufferWrite(NULL, &done), REDIS_ERR);
    CHECK_INT(redisBufferWrite(NULL, NULL), REDIS_ERR);
    CHECK_INT(done, 7);
    CHECK_INT(redisGetReply(NULL, &reply), REDIS_ERR);
    CHECK_INT(redisGetReply(NULL, NULL), REDIS_ERR);
    CHECK_INT(redisGetReplyFromReader(NULL, &reply), REDIS_ERR);
    CHECK_INT(redisGetReplyFromReader(NULL, NULL), REDIS_ERR);
    CHECK(reply == &reply);
    CHECK_INT(redisAppendFormattedCommand(NULL, "PING\r\n", 6), REDIS_ERR);
    CHECK_INT(redisAppendCommand(NULL, "PING"), REDIS_ERR);
    CHECK_INT(redisAppendCommand(NULL, "GET %s", "x"), REDIS_ERR);
    CHECK_INT(null_append("GET %s", "x"), REDIS_ERR);
    CHECK_INT(redisAppendCommandArgv(NULL, 1, argv, NULL), REDIS_ERR);
    CHECK(redisCommand(NULL, "PING") == NULL);
    CHECK(null_command("GET %s", "x") == NULL);
    CHECK(redisCommandArgv(NULL, 1, argv, NULL) == NULL);
}

TEST(sync, without_a_context_the_exported_helpers_fail_quietly, "95") {
    struct timeval tv = {1, 0};
    char buf[4];
    int done = 7;

    CHECK_INT(__redisAppendCommand(NULL, "PING\r\n", 6), REDIS_ERR);
    __redisSetError(NULL, REDIS_ERR_OTHER, "nobody");
    CHECK_INT(redisCheckSocketError(NULL), REDIS_ERR);
    CHECK_INT(redisCheckConnectDone(NULL, &done), REDIS_ERR);
    CHECK_INT(redisContextConnectTcp(NULL, "127.0.0.1", 6379, NULL), REDIS_ERR);
    CHECK_INT(redisContextConnectBindTcp(NULL, "127.0.0.1", 6379, NULL, NULL), REDIS_ERR);
    CHECK_INT(redisContextConnectUnix(NULL, "/tmp/x", NULL), REDIS_ERR);
    CHECK_INT(redisContextSetTimeout(NULL, tv), REDIS_ERR);
    CHECK_INT(redisContextSetTcpUserTimeout(NULL, 1), REDIS_ERR);
    CHECK_INT(redisContextUpdateCommandTimeout(NULL, &tv), REDIS_ERR);
    CHECK_INT(redisContextUpdateConnectTimeout(NULL, &tv), REDIS_ERR);
    CHECK_INT(redisKeepAlive(NULL, 1), REDIS_ERR);
    CHECK_INT(redisSetTcpNoDelay(NULL), REDIS_ERR);
    redisNetClose(NULL);
    CHECK(redisNetRead(NULL, buf, sizeof buf) < 0);
    CHECK(redisNetWrite(NULL) < 0);
}
#endif

/* ---- The exported helpers ---- */

TEST(sync, an_error_can_be_set, "51") {
    char text[300];
    redisContext *c = redisConnectFd(-1);

    __redisSetError(c, REDIS_ERR_OTHER, "what went wrong");
    CHECK_ERROR(c, REDIS_ERR_OTHER, "what went wrong");

    errno = ENOENT;
    __redisSetError(c, REDIS_ERR_IO, NULL);
    CHECK_ERROR(c, REDIS_ERR_IO, "No such file or directory");
    CHECK_INT(errno, ENOENT);

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    __redisSetError(c, 17, text);
    CHECK_INT(c->err, 17);
    CHECK_UINT(strlen(c->errstr), 127);
    CHECK(memcmp(c->errstr, text, 127) == 0);

    text[127] = '\0';
    __redisSetError(c, REDIS_ERR_EOF, text);
    CHECK_ERROR(c, REDIS_ERR_EOF, text);
    __redisSetError(c, REDIS_ERR_EOF, "");
    CHECK_ERROR(c, REDIS_ERR_EOF, "");
    redisFree(c);
}

TEST(sync, an_error_stays_until_it_is_overwritten, "51") {
    int peer;
    redisContext *c = pair_context(&peer);

    CHECK_INT(redisAppendCommand(c, "%!"), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Invalid format string");
    /* appending goes on, input and output do not */
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Invalid format string");
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    hand_expect_quiet(peer);
    c->err = 0;
    hand_send_str(peer, "+PONG\r\n");
    CHECK_STR(next_reply(c), "+PONG");
    redisFree(c);
    close(peer);
}

#if HIREDIS_MAJOR >= 1
TEST(sync, the_default_transport_can_be_called_by_name, "") {
    char buf[16];
    int peer;
    redisContext *c = pair_context(&peer);

    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_INT(redisNetWrite(c), 14);
    CHECK_UINT(sdslen(c->obuf), 14);
    hand_expect_str(peer, "*1\r\n$4\r\nPING\r\n");
    hand_send_str(peer, "+PONG\r\n");
    CHECK_INT(redisNetRead(c, buf, sizeof buf), 7);
    CHECK_MEM(buf, 7, "+PONG\r\n");
    close(peer);
    CHECK(redisNetRead(c, buf, sizeof buf) < 0);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");
    c->err = 0;
    CHECK(redisNetWrite(c) < 0);
    CHECK_INT(errno, EPIPE);
    CHECK_ERROR(c, REDIS_ERR_IO, "Broken pipe");
    redisNetClose(c);
    CHECK_INT(c->fd, -1);
    redisNetClose(c);
    CHECK_INT(c->fd, -1);
    redisFree(c);
}

TEST(sync, timeouts_can_be_stored_without_being_applied, "") {
    struct timeval tv = {3, 4}, got;
    socklen_t len = sizeof got;
    redisContext *c;

    alloc_count_begin();
    c = live();
    CHECK_INT(redisContextUpdateCommandTimeout(c, &tv), REDIS_OK);
    CHECK_INT(c->command_timeout->tv_sec, 3);
    CHECK_INT(c->command_timeout->tv_usec, 4);
    CHECK(c->command_timeout != &tv);
    CHECK_INT(getsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len), 0);
    CHECK_INT(got.tv_sec, 0);
    CHECK_INT(redisContextUpdateConnectTimeout(c, &tv), REDIS_OK);
    CHECK_INT(c->connect_timeout->tv_sec, 3);
    tv.tv_sec = 5;
    CHECK_INT(redisContextUpdateConnectTimeout(c, &tv), REDIS_OK);
    CHECK_INT(c->connect_timeout->tv_sec, 5);
    CHECK_INT(redisContextUpdateConnectTimeout(c, c->connect_timeout), REDIS_OK);
    CHECK_INT(c->connect_timeout->tv_sec, 5);

    /* and applied without being stored */
    tv.tv_sec = 9;
    CHECK_INT(redisContextSetTimeout(c, tv), REDIS_OK);
    CHECK_INT(c->command_timeout->tv_sec, 3);
    CHECK_INT(getsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len), 0);
    CHECK_INT(got.tv_sec, 9);
    redisFree(c);
    alloc_count_end();
}

TEST(sync, nodelay_can_be_set_by_name, "105") {
    int off = 0, peer;
    redisContext *c = live_tcp();

    CHECK_INT(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &off, sizeof off), 0);
    CHECK_INT(redisSetTcpNoDelay(c), REDIS_OK);
    CHECK(socket_option(c->fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    redisFree(c);

    c = pair_context(&peer);
    CHECK_INT(redisSetTcpNoDelay(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "setsockopt(TCP_NODELAY): Operation not supported");
    redisFree(c);
    close(peer);
}

/* ---- Allocation failure ---- */

/* A transport of bytes in memory, so that every try sees the same. */
static const char *script;
static size_t script_len, piece;

static ssize_t script_read(redisContext *c, char *buf, size_t cap) {
    size_t n = script_len;

    if (n == 0) {
        c->err = REDIS_ERR_EOF;
        strcpy(c->errstr, "end of the script");
        return -1;
    }
    if (n > piece)
        n = piece;
    if (n > cap)
        n = cap;
    memcpy(buf, script, n);
    script += n;
    script_len -= n;
    return (ssize_t)n;
}

static ssize_t script_write(redisContext *c) {
    size_t n = sdslen(c->obuf);

    return n > 100 ? (ssize_t)(n / 2 + 1) : (ssize_t)n;
}

static redisContextFuncs script_funcs = {NULL, NULL, NULL, NULL, script_read, script_write};

static redisContext *scripted(const char *bytes, size_t len, size_t at_once) {
    redisContext *c = redisConnectFd(-1);

    CHECK_NO_ERROR(c);
    c->funcs = &script_funcs;
    script = bytes;
    script_len = len;
    piece = at_once;
    return c;
}

/* A reply that needs all kinds of blocks: a deep tree, many elements, a big string. */
static const char *big_reply(size_t *len) {
    size_t cap = 1 << 20, n = 0;
    char *p = test_bytes(cap);

    n += (size_t)sprintf(p + n, "*6\r\n");
    for (int i = 0; i < 30; i++)
        n += (size_t)sprintf(p + n, "*2\r\n:%d\r\n", i);
    n += (size_t)sprintf(p + n, "$-1\r\n");
    n += (size_t)sprintf(p + n, "%%2\r\n+a\r\n,1.5\r\n+b\r\n=6\r\ntxt:xy\r\n");
    n += (size_t)sprintf(p + n, "~2\r\n#t\r\n(123\r\n-ERR no\r\n");
    n += (size_t)sprintf(p + n, "*300\r\n");
    for (int i = 0; i < 300; i++)
        n += (size_t)sprintf(p + n, "$%d\r\nx%03d\r\n", 4, i);
    n += (size_t)sprintf(p + n, "$300000\r\n");
    memset(p + n, 'v', 300000);
    n += 300000;
    n += (size_t)sprintf(p + n, "\r\n");
    *len = n;
    return p;
}

static void check_big_reply(const redisReply *r) {
    CHECK_REPLY_ARRAY(r, 6);
    CHECK_REPLY_ARRAY(r->element[0], 2);
    CHECK_STR(reply_text(r->element[1]), "%[+a ,1.5 +b =txt:\"xy\"]");
    CHECK_STR(reply_text(r->element[2]), "~[#t (123]");
    CHECK_STR(reply_text(r->element[3]), "-ERR no");
    CHECK_REPLY_ARRAY(r->element[4], 300);
    CHECK_REPLY_STRING(r->element[4]->element[299], "x299");
    CHECK_UINT(r->element[5]->len, 300000);
    CHECK_INT(r->element[5]->str[299999], 'v');
}

static void *ask_somehow(redisContext *c, int how) {
    const char *argv[] = {"ECHO", "a longer argument than would fit into a small buffer"};

    switch (how) {
    case 0:
        return redisCommand(c, "SET %s %b %d", "key", "\0\1\2", (size_t)3, 42);
    case 1:
        return redisCommandArgv(c, 2, argv, NULL);
    default:
        if (redisAppendFormattedCommand(c, "PING\r\n", 6) == REDIS_OK) {
            void *reply;
            if (redisGetReply(c, &reply) == REDIS_OK)
                return reply;
        }
        return NULL;
    }
}

TEST(sync, a_command_without_memory_reports_it_and_leaks_nothing, "5") {
    size_t len, pieces[] = {7, 4096, SIZE_MAX}, most = 0;
    const char *bytes = big_reply(&len);

    for (int how = 0; how < 3; how++) {
        for (int p = how == 0 ? 0 : 1; p < 3; p++) {
            for (size_t k = 1;; k += k < 60 ? 1 : 13) {
                redisContext *c;
                redisReply *r;
                size_t failed;

                alloc_count_begin();
                c = scripted(bytes, len, pieces[p]);
                alloc_fail_at(k);
                r = ask_somehow(c, how);
                failed = alloc_failures();
                alloc_fail_never();
                if (r != NULL) {
                    CHECK_NO_ERROR(c);
                    check_big_reply(r);
                    freeReplyObject(r);
                } else {
                    CHECK_UINT(failed, 1);
                    CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
                }
                CHECK(c->obuf != NULL && c->reader != NULL);
                redisFree(c);
                alloc_count_end();
                if (k > most)
                    most = k;
                if (failed == 0)
                    break;
            }
        }
    }
    CHECK(most > 300);
}

TEST(sync, an_append_without_memory_leaves_the_buffer_as_it_was, "5") {
    for (int before = 0; before < 400; before += 50) {
        for (size_t k = 1;; k++) {
            redisContext *c;
            size_t failed, len;
            int rc;

            alloc_count_begin();
            c = redisConnectFd(-1);
            for (int i = 0; i < before; i++)
                CHECK_INT(redisAppendCommand(c, "ECHO %d", i), REDIS_OK);
            len = sdslen(c->obuf);
            /* so long that there is no room for it */
            alloc_fail_at(k);
            rc = redisAppendCommand(c, "SET key %s-%0999d", "value", 1);
            failed = alloc_failures();
            alloc_fail_never();
            if (failed > 0 && rc != REDIS_OK) {
                CHECK_INT(rc, REDIS_ERR);
                CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
                CHECK_UINT(sdslen(c->obuf), len);
                CHECK_INT(c->obuf[len], 0);
                CHECK_INT(redisAppendCommand(c, "SET key %s-%0999d", "value", 1), REDIS_OK);
            } else {
                CHECK_INT(rc, REDIS_OK);
            }
            CHECK(sdslen(c->obuf) > len + 1000);
            redisFree(c);
            alloc_count_end();
            if (failed == 0)
                break;
        }
    }
}

TEST(sync, a_pipeline_without_memory_loses_nothing_that_was_accepted, "5") {
    static const char replies[] = "+0\r\n+1\r\n+2\r\n+3\r\n+4\r\n+5\r\n+6\r\n+7\r\n+8\r\n+9\r\n";

    for (size_t k = 1;; k++) {
        size_t failed;
        int accepted = 0, answered = 0, oom = 0;
        redisContext *c;

        alloc_count_begin();
        c = scripted(replies, sizeof replies - 1, 9);
        alloc_fail_at(k);
        for (int i = 0; i < 10; i++) {
            if (redisAppendCommand(c, "ECHO %s %040d", "some-text", i) == REDIS_OK) {
                accepted++;
            } else {
                CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
                c->err = 0; /* the program goes on */
                oom++;
            }
        }
        CHECK_UINT(sdslen(c->obuf), (size_t)accepted * 76);
        while (answered < accepted) {
            redisReply *r = NULL;

            if (redisGetReply(c, (void **)&r) != REDIS_OK) {
                CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
                oom++;
                break;
            }
            CHECK_INT(r->str[0], '0' + answered);
            answered++;
            freeReplyObject(r);
        }
        failed = alloc_failures();
        alloc_fail_never();
        /* A failure that was got over is none. */
        CHECK(oom == 0 ? accepted == 10 && answered == 10 : failed > 0);
        redisFree(c);
        alloc_count_end();
        if (failed == 0)
            break;
    }
}

TEST(sync, a_reconnect_without_memory_can_be_repeated, "5") {
    for (int tcp = 0; tcp < 2; tcp++) {
        for (size_t k = 1;; k++) {
            redisContext *c;
            size_t failed;
            int rc;

            alloc_count_begin();
            c = tcp ? live_tcp() : live();
            CHECK_INT(redisSetTimeout(c, seconds(20)), REDIS_OK);
            CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
            alloc_fail_at(k);
            rc = redisReconnect(c);
            failed = alloc_failures();
            alloc_fail_never();
            if (failed > 0) {
                CHECK_INT(rc, REDIS_ERR);
                CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
                CHECK(c->obuf != NULL && c->reader != NULL);
                CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
                CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
                CHECK_INT(redisReconnect(c), REDIS_OK);
            } else {
                CHECK_INT(rc, REDIS_OK);
            }
            CHECK_STR(command_text(c, "ECHO again"), "\"again\"");
            redisFree(c);
            alloc_count_end();
            if (failed == 0)
                break;
        }
    }
}

TEST(sync, a_timeout_without_memory_is_reported, "5") {
    redisContext *c;

    alloc_count_begin();
    c = live();
    alloc_fail_at(1);
    CHECK_INT(redisSetTimeout(c, seconds(5)), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
    CHECK(c->command_timeout == NULL);
    alloc_fail_never();
    CHECK_INT(redisSetTimeout(c, seconds(5)), REDIS_OK);
    redisFree(c);
    alloc_count_end();
}

TEST(sync, writing_needs_no_memory, "129") {
    redisContext *c;
    int done = 0;

    alloc_count_begin();
    c = scripted("", 0, 1);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(redisAppendCommand(c, "ECHO %d", i), REDIS_OK);
    alloc_fail_from(1);
    while (!done)
        CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    alloc_fail_never();
    CHECK(c->obuf != NULL);
    CHECK_UINT(sdslen(c->obuf), 0);
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_UINT(sdslen(c->obuf), 14);
    redisFree(c);
    alloc_count_end();
}

TEST(sync, freeing_needs_no_memory, "6") {
    redisContext *c;
    redisReply *r;
    size_t len;
    const char *bytes = big_reply(&len);

    alloc_count_begin();
    c = scripted(bytes, len, SIZE_MAX);
    r = redisCommand(c, "GET all");
    check_big_reply(r);
    script = bytes;
    script_len = len / 2;
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR); /* half a reply stays in the reader */
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    alloc_fail_from(1);
    freeReplyObject(r);
    redisFree(c);
    CHECK_UINT(alloc_failures(), 0);
    alloc_fail_never();
    alloc_count_end();
}
#endif
