/* Commands and replies over a blocking connection. */
#include "sync.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"

static redisContext *live_by(int tcp) {
    return tcp ? live_tcp() : live();
}

/* ---- Round trips ---- */

TEST(sync, commands_are_answered, "109") {
    for (int tcp = 0; tcp < 2; tcp++) {
        redisContext *c;

        alloc_count_begin();
        c = live_by(tcp);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        CHECK_STR(command_text(c, "SET sync:foo bar"), "+OK");
        CHECK_STR(command_text(c, "GET sync:foo"), "\"bar\"");
        CHECK_STR(command_text(c, "SET %s %s", "sync:foo", "hello world"), "+OK");
        CHECK_STR(command_text(c, "GET %s", "sync:foo"), "\"hello world\"");
        CHECK_STR(command_text(c, "DEL sync:foo"), ":1");
        CHECK_STR(command_text(c, "SET sync:foo %s", ""), "+OK");
        CHECK_STR(command_text(c, "GET sync:foo"), "\"\"");
        CHECK_STR(command_text(c, "ECHO %d-%05.1f-%lld", -3, 2.25, 1LL << 40), "\"-3-002.2-1099511627776\"");
        redisFree(c);
        alloc_count_end();
    }
}

TEST(sync, binary_values_keep_their_length, "109") {
    static const char value[] = "a\0b\r\n\xff\0";
    redisContext *c = live();
    redisReply *r;
    char *big = test_bytes(300000);

    CHECK_STR(command_text(c, "SET %b %b", "sync\0key", (size_t)8, value, sizeof value), "+OK");
    r = redisCommand(c, "GET %b", "sync\0key", (size_t)8);
    CHECK_REPLY_STRING(r, "a\0b\r\n\xff\0\0");
    freeReplyObject(r);

    CHECK_STR(command_text(c, "SET sync:empty %b", "", (size_t)0), "+OK");
    CHECK_STR(command_text(c, "STRLEN sync:empty"), ":0");

    for (int i = 0; i < 300000; i++)
        big[i] = (char)(i * 7 + i / 256);
    CHECK_STR(command_text(c, "SET sync:big %b", big, (size_t)300000), "+OK");
    r = redisCommand(c, "GET sync:big");
    CHECK(r != NULL);
    CHECK_MEM_N(r->str, r->len, big, 300000);
    freeReplyObject(r);
    redisFree(c);
}

TEST(sync, replies_of_every_kind_arrive, "110") {
    redisContext *c;

    alloc_count_begin();
    c = live();
    command_text(c, "DEL sync:list sync:n sync:none");
    CHECK_STR(command_text(c, "GET sync:none"), "nil");
    CHECK_STR(command_text(c, "INCR sync:n"), ":1");
    CHECK_STR(command_text(c, "RPUSH sync:list foo bar"), ":2");
    CHECK_STR(command_text(c, "LRANGE sync:list 0 -1"), "*[\"foo\" \"bar\"]");
    CHECK_STR(command_text(c, "LRANGE sync:none 0 -1"), "*[]");
    CHECK_STR(command_text(c, "MULTI"), "+OK");
    CHECK_STR(command_text(c, "LRANGE sync:list 0 -1"), "+QUEUED");
    CHECK_STR(command_text(c, "PING"), "+QUEUED");
    CHECK_STR(command_text(c, "GET sync:none"), "+QUEUED");
    CHECK_STR(command_text(c, "EXEC"), "*[*[\"foo\" \"bar\"] +PONG nil]");
    CHECK_STR(command_text(c, "DEL sync:list"), ":1");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, an_error_reply_is_a_reply, "110") {
    redisContext *c;
    redisReply *r;

    alloc_count_begin();
    c = live();
    r = redisCommand(c, "LPUSH");
    CHECK(r != NULL);
    CHECK_INT(r->type, REDIS_REPLY_ERROR);
    CHECK(strncmp(r->str, "ERR wrong number of arguments", 29) == 0);
    freeReplyObject(r);
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, argv_commands_work_with_and_without_lengths, "111") {
    const char *set[] = {"SET", "sync:argv", "a\0b"}, *get[] = {"GET", "sync:argv"};
    size_t len[] = {3, 9, 3};
    redisContext *c;
    redisReply *r;

    alloc_count_begin();
    c = live();
    r = redisCommandArgv(c, 3, set, NULL);
    CHECK_REPLY_STATUS(r, "OK");
    freeReplyObject(r);
    r = redisCommandArgv(c, 2, get, NULL);
    CHECK_REPLY_STRING(r, "a");
    freeReplyObject(r);
    r = redisCommandArgv(c, 3, set, len);
    CHECK_REPLY_STATUS(r, "OK");
    freeReplyObject(r);
    r = redisCommandArgv(c, 2, get, len);
    CHECK_REPLY_STRING(r, "a\0b");
    freeReplyObject(r);

    CHECK_INT(redisAppendCommandArgv(c, 2, get, NULL), REDIS_OK);
    CHECK_INT(redisAppendCommandArgv(c, 2, get, len), REDIS_OK);
    CHECK_STR(next_reply(c), "\"a\\x00b\"");
    CHECK_STR(next_reply(c), "\"a\\x00b\"");
    redisFree(c);
    alloc_count_end();
}

/* ---- Pipelines ---- */

TEST(sync, a_reply_nobody_wants_is_freed, "112") {
    redisContext *c;

    alloc_count_begin();
    c = live();
    CHECK_STR(command_text(c, "SET sync:foo bar"), "+OK");
    for (int i = 0; i < 3; i++)
        CHECK_INT(redisAppendCommand(c, "GET sync:foo"), REDIS_OK);
    CHECK_INT(redisGetReply(c, NULL), REDIS_OK);
    CHECK_INT(redisGetReplyFromReader(c, NULL), REDIS_OK);
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_STR(next_reply(c), "\"bar\"");
    CHECK_STR(next_reply(c), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_formatted_command_is_sent_as_it_is, "113") {
    redisContext *c;
    char *cmd;
    int len;

    alloc_count_begin();
    c = live();
    len = redisFormatCommand(&cmd, "SET %s %b", "sync:foo", "x\0y", (size_t)3);
    CHECK(len > 0);
    CHECK_INT(redisAppendFormattedCommand(c, cmd, (size_t)len), REDIS_OK);
    redisFreeCommand(cmd);
    CHECK_STR(next_reply(c), "+OK");
    /* no parsing: an inline command in two parts will do */
    CHECK_INT(redisAppendFormattedCommand(c, "GET sync", 8), REDIS_OK);
    CHECK_INT(__redisAppendCommand(c, ":foo\r\n", 6), REDIS_OK);
    CHECK_STR(next_reply(c), "\"x\\x00y\"");
    CHECK_INT(redisAppendFormattedCommand(c, "", 0), REDIS_OK);
    CHECK_UINT(sdslen(c->obuf), 0);
    redisFree(c);
    alloc_count_end();
}

static int append(redisContext *c, const char *format, ...) {
    va_list ap;
    int rc;

    va_start(ap, format);
    rc = redisvAppendCommand(c, format, ap);
    va_end(ap);
    return rc;
}

TEST(sync, ten_thousand_replies_come_in_order, "114") {
    enum { N = 10000 };
    redisContext *c;

    alloc_count_begin();
    c = live_tcp();
    for (int i = 0; i < N; i++) {
        if (i % 2)
            CHECK_INT(redisAppendCommand(c, "ECHO %d", i), REDIS_OK);
        else
            CHECK_INT(append(c, "ECHO %d", i), REDIS_OK);
    }
    for (int i = 0; i < N; i++) {
        redisReply *r = NULL;

        CHECK_INT(redisGetReply(c, (void **)&r), REDIS_OK);
        CHECK(r != NULL && r->type == REDIS_REPLY_STRING);
        CHECK_INT(atoi(r->str), i);
        freeReplyObject(r);
    }
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_pipeline_of_arrays_comes_in_order, "114") {
    enum { N = 1000 };
    redisContext *c = live();

    command_text(c, "DEL sync:list");
    for (int i = 0; i < 100; i++)
        command_text(c, "RPUSH sync:list item-%d", i);
    for (int i = 0; i < N; i++)
        CHECK_INT(redisAppendCommand(c, "LRANGE sync:list %d %d", i % 50, i % 50 + 49), REDIS_OK);
    for (int i = 0; i < N; i++) {
        redisReply *r = NULL;

        CHECK_INT(redisGetReply(c, (void **)&r), REDIS_OK);
        CHECK_REPLY_ARRAY(r, 50);
        CHECK_STR(r->element[0]->str, test_printf("item-%d", i % 50));
        CHECK_STR(r->element[49]->str, test_printf("item-%d", i % 50 + 49));
        freeReplyObject(r);
    }
    redisFree(c);
}

#define SET_AND_GET "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n"

TEST(sync, appended_commands_wait_in_the_buffer_until_a_reply_is_asked_for, "114") {
    int peer;
    redisContext *c = pair_context(&peer);

    CHECK_INT(redisAppendCommand(c, "SET a %d", 1), REDIS_OK);
    CHECK_INT(redisAppendCommand(c, "GET a"), REDIS_OK);
    hand_expect_quiet(peer);
    CHECK_MEM(c->obuf, sdslen(c->obuf), SET_AND_GET);
    hand_send_str(peer, "+OK\r\n$1\r\n1\r\n");
    CHECK_STR(next_reply(c), "+OK");
    CHECK_UINT(sdslen(c->obuf), 0);
    CHECK_STR(next_reply(c), "\"1\"");
    redisFree(c);
    hand_expect_str(peer, SET_AND_GET);
    hand_expect_eof(peer);
    close(peer);
}

TEST(sync, replies_that_are_buffered_need_no_connection, "") {
    int peer;
    redisContext *c = pair_context(&peer);

    hand_send_str(peer, "+1\r\n+2\r\n+3\r\n");
    CHECK_STR(next_reply(c), "+1");
    close(peer);
    close(c->fd);
    c->fd = -1;
    CHECK_STR(next_reply(c), "+2");
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_STR(next_reply(c), "+3");
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "Bad file descriptor");
    redisFree(c);
}

/* ---- Bad commands ---- */

TEST(sync, a_bad_format_is_an_error_and_sends_nothing, "123") {
    static const char *const bad[] = {"SET %q x", "%-", "%lf", "SET key:%08p %b", "100% sure"};
    int peer;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        redisContext *c;

        alloc_count_begin();
        c = pair_context(&peer);
        CHECK_INT(redisAppendCommand(c, bad[i], 1.0, "x", (size_t)1), REDIS_ERR);
        CHECK_UINT(sdslen(c->obuf), 0);
        CHECK_ERROR(c, REDIS_ERR_OTHER, "Invalid format string");
        CHECK(redisCommand(c, bad[i], 1.0, "x", (size_t)1) == NULL);
        CHECK_ERROR(c, REDIS_ERR_OTHER, "Invalid format string");
        redisFree(c);
        alloc_count_end();
        hand_expect_eof(peer);
        close(peer);
    }
}

TEST(sync, a_bad_format_leaves_no_memory_behind, "123") {
    int peer;
    redisContext *c = pair_context(&peer);
    size_t size = 1 << 20;
    char *value = calloc(1, size);

    CHECK_INT(redisAppendCommand(c, "SET k %b %q", value, size), REDIS_ERR);
    CHECK_UINT(sdslen(c->obuf), 0);
    CHECK(sdsalloc(c->obuf) < 4096);
    free(value);
    redisFree(c);
    close(peer);
}

TEST(sync, what_was_appended_before_a_bad_format_is_kept, "123") {
    int peer;
    redisContext *c = pair_context(&peer);

    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_INT(redisAppendCommand(c, "SET %s %q", "long enough to have been begun"), REDIS_ERR);
    CHECK_MEM(c->obuf, sdslen(c->obuf) + 1, "*1\r\n$4\r\nPING\r\n\0");
    redisFree(c);
    close(peer);
}

#if HIREDIS_MAJOR >= 1
TEST(sync, a_null_argument_is_an_error, "232") {
    static const char *const format[] = {"GET %s", "SET %s x", "GET %b"};
    int peer;

    for (int i = 0; i < 3; i++) {
        redisContext *c;
        const char *none = NULL;

        alloc_count_begin();
        c = pair_context(&peer);
        CHECK_INT(redisAppendCommand(c, format[i], none, (size_t)5), REDIS_ERR);
        CHECK(c->err != 0 && c->errstr[0] != '\0');
        CHECK_UINT(sdslen(c->obuf), 0);
        CHECK(redisCommand(c, format[i], none, (size_t)5) == NULL);
        redisFree(c);
        alloc_count_end();
        hand_expect_eof(peer);
        close(peer);
    }
}

TEST(sync, a_null_argument_of_length_0_is_empty, "") {
    int peer;
    redisContext *c = pair_context(&peer);
    const char *none = NULL, *argv[] = {"A", NULL};
    size_t len[] = {1, 0};

    CHECK_INT(redisAppendCommand(c, "A %b", none, (size_t)0), REDIS_OK);
    CHECK_INT(redisAppendCommandArgv(c, 2, argv, len), REDIS_OK);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "*2\r\n$1\r\nA\r\n$0\r\n\r\n*2\r\n$1\r\nA\r\n$0\r\n\r\n");
    redisFree(c);
    close(peer);
}

TEST(sync, a_command_of_more_than_2_gigabytes_is_refused, "232") {
    size_t size = (size_t)4 << 30;
    /* Readable, but never touched when the length is looked at first. */
    char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    redisContext *c;
    int peer;

    CHECK(p != MAP_FAILED);
    alloc_count_begin();
    c = pair_context(&peer);
    CHECK_INT(redisAppendCommand(c, "SET k %b", p, size), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
    CHECK_UINT(sdslen(c->obuf), 0);
    CHECK(redisCommand(c, "SET k %b", p, size) == NULL);
    CHECK_UINT(sdslen(c->obuf), 0);
    CHECK(alloc_peak_bytes() < 1 << 20);
    CHECK(redisCommand(c, "SET k %b%b", p, size / 4, p, size / 4 + 1) == NULL);
    CHECK_UINT(sdslen(c->obuf), 0);
    redisFree(c);
    alloc_count_end();
    hand_expect_eof(peer);
    close(peer);
    munmap(p, size);
}

TEST(sync, a_length_that_overflows_is_refused_behind_other_commands, "15") {
    const char *argv[] = {"SET", "k", "v"};
    size_t len[] = {3, 1, 0};
    int peer;
    redisContext *c = pair_context(&peer);

    for (size_t before = 0; before <= 2048; before = 2 * before + 90) {
        sdssetlen(c->obuf, 0);
        if (before > 0) CHECK_INT(redisAppendFormattedCommand(c, test_bytes(before), before), REDIS_OK);
        for (size_t less = 0; less <= 8192; less += 61) {
            len[2] = SIZE_MAX - less;
            CHECK_INT(redisAppendCommandArgv(c, 3, argv, len), REDIS_ERR);
            CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
            CHECK_UINT(sdslen(c->obuf), before);
            c->err = 0;
            CHECK_INT(redisAppendFormattedCommand(c, "v", SIZE_MAX - less), REDIS_ERR);
            CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
            CHECK_UINT(sdslen(c->obuf), before);
            CHECK_INT(c->obuf[before], 0);
            c->err = 0;
        }
    }
    redisFree(c);
    close(peer);
}

TEST(sync, a_negative_argument_count_is_an_error, "") {
    const char *argv[] = {"PING"};
    redisContext *c;
    int peer;

    alloc_count_begin();
    c = pair_context(&peer);
    CHECK_INT(redisAppendCommandArgv(c, -1, argv, NULL), REDIS_ERR);
    CHECK(c->err != 0);
    CHECK(redisCommandArgv(c, -1, argv, NULL) == NULL);
    CHECK_UINT(sdslen(c->obuf), 0);
    redisFree(c);
    alloc_count_end();
    close(peer);
}
#endif

/* ---- The server misbehaves ---- */

TEST(sync, the_servers_goodbye_is_an_eof, "120") {
    redisContext *c;
    void *reply = &c;

    alloc_count_begin();
    c = live();
    CHECK_STR(command_text(c, "QUIT"), "+OK");
    CHECK_INT(redisGetReply(c, &reply), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");
    CHECK(reply == &c);
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, an_end_in_the_middle_of_a_reply_is_an_eof, "120") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, "*2\r\n$3\r\nfoo\r\n$3\r\nb");
    close(peer);
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, buffered_replies_are_delivered_after_an_eof, "121") {
    int peer;
    redisContext *c;
    void *reply = &peer;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, "+one\r\n:2\r\n$5\r\nthr");
    close(peer);
    CHECK_INT(redisBufferRead(c), REDIS_OK);
    CHECK_INT(redisBufferRead(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");
    CHECK_STR(next_reply(c), "+one");
    CHECK_STR(next_reply(c), ":2");
    CHECK_INT(redisGetReply(c, &reply), REDIS_ERR);
    CHECK(reply == &peer);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_failure_leaves_the_callers_pointer_alone, "122") {
    static const char *const bytes[] = {"", "+half", "?what\r\n", "*1\r\n"};

    for (int i = 0; i < 4; i++) {
        int peer;
        redisContext *c;
        void *reply = &peer;

        alloc_count_begin();
        c = pair_context(&peer);
        hand_send_str(peer, bytes[i]);
        close(peer);
        CHECK_INT(redisGetReply(c, &reply), REDIS_ERR);
        CHECK(reply == &peer);
        redisFree(c);
        alloc_count_end();
    }
}

TEST(sync, a_protocol_error_is_copied_to_the_context_and_stays, "122") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, "+fine\r\n*2\r\n+part\r\n@bad\r\n+lost\r\n");
    CHECK_STR(next_reply(c), "+fine");
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
    CHECK_INT(c->reader->err, REDIS_ERR_PROTOCOL);
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    CHECK_INT(redisGetReplyFromReader(c, NULL), REDIS_ERR);
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_ERROR(c, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
    redisFree(c);
    alloc_count_end();
    close(peer);
}

#if HIREDIS_MAJOR >= 1
TEST(sync, a_bulk_without_its_terminator_is_a_protocol_error, "85 213") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, "$3\r\nfooXX+PONG\r\n");
    CHECK(redisCommand(c, "GET x") == NULL);
    CHECK_ERROR(c, REDIS_ERR_PROTOCOL, "Bad bulk string terminator");
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(sync, a_huge_announced_array_costs_no_memory, "84 210") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, "*4294967295\r\n:1\r\n");
    shutdown(peer, SHUT_WR);
    CHECK(redisCommand(c, "KEYS *") == NULL);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");
    CHECK(alloc_peak_bytes() < 1 << 20);
    redisFree(c);
    alloc_count_end();
    close(peer);
}
#endif

static volatile sig_atomic_t pipes_broken;

static void on_pipe(int sig) {
    (void)sig;
    pipes_broken++;
}

TEST(sync, writing_to_a_closed_connection_is_an_error_and_no_signal, "128 236") {
    int peer;
    redisContext *c;

    signal(SIGPIPE, on_pipe);
    alloc_count_begin();
    c = pair_context(&peer);
    close(peer);
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_INT(errno, EPIPE);
    CHECK_ERROR(c, REDIS_ERR_IO, "Broken pipe");
    CHECK_INT(pipes_broken, 0);
    redisFree(c);
    alloc_count_end();
}

TEST(sync, writing_to_a_reset_connection_is_an_error_and_no_signal, "128 236") {
    int port, listener = hand_listen_tcp(&port, 4);
    redisContext *c;

    signal(SIGPIPE, on_pipe);
    c = redisConnect("127.0.0.1", port);
    CHECK_NO_ERROR(c);
    hand_reset(hand_accept(listener));
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_INT(c->err, REDIS_ERR_IO);
    CHECK_STR(c->errstr, strerror(errno));
    CHECK(errno == ECONNRESET || errno == EPIPE);
    /* a program that goes on nevertheless meets the closed pipe */
    c->err = 0;
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_INT(errno, EPIPE);
    CHECK_ERROR(c, REDIS_ERR_IO, "Broken pipe");
    CHECK_INT(pipes_broken, 0);
    redisFree(c);
    close(listener);
}

/* ---- Connecting again ---- */

TEST(sync, reconnecting_restores_service, "119") {
    for (int tcp = 0; tcp < 2; tcp++) {
        redisContext *c;

        alloc_count_begin();
        c = live_by(tcp);
        CHECK_STR(command_text(c, "QUIT"), "+OK");
        CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
        CHECK_INT(redisReconnect(c), REDIS_OK);
        CHECK_NO_ERROR(c);
        CHECK_INT(public_flags(c), REDIS_BLOCK | REDIS_CONNECTED);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        /* also from a healthy connection */
        CHECK_INT(redisReconnect(c), REDIS_OK);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        redisFree(c);
        alloc_count_end();
    }
}

TEST(sync, reconnecting_uses_its_own_copies_of_host_and_path, "119") {
    char *host = test_printf("127.0.0.1"), *path = test_printf("%s", live_unix());
    redisContext *a = redisConnectWithTimeout(host, live_port(), seconds(9));
    redisContext *b = redisConnectUnixWithTimeout(path, seconds(9));

    memset(host, 'x', strlen(host));
    memset(path, 'x', strlen(path));
    CHECK_INT(redisReconnect(a), REDIS_OK);
    CHECK_INT(redisReconnect(b), REDIS_OK);
    CHECK_STR(command_text(a, "PING"), "+PONG");
    CHECK_STR(command_text(b, "PING"), "+PONG");
    CHECK_STR(a->tcp.host, "127.0.0.1");
    CHECK_STR(b->unix_sock.path, live_unix());
    redisFree(a);
    redisFree(b);
}

TEST(sync, reconnecting_drops_unsent_commands_and_unread_replies, "119") {
    int port, listener = hand_listen_tcp(&port, 4), peer;
    redisContext *c;

    alloc_count_begin();
    c = redisConnect("127.0.0.1", port);
    CHECK_NO_ERROR(c);
    peer = hand_accept(listener);
    hand_send_str(peer, "+1\r\n+2\r\n*3\r\n+half");
    CHECK_STR(next_reply(c), "+1");
    CHECK_INT(redisAppendCommand(c, "LOST"), REDIS_OK);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK_UINT(sdslen(c->obuf), 0);
    CHECK_UINT(c->reader->len, 0);
    hand_expect_eof(peer);
    close(peer);
    peer = hand_accept(listener);
    hand_send_str(peer, "+new\r\n");
    CHECK_STR(command_text(c, "PING"), "+new");
    hand_expect_str(peer, "*1\r\n$4\r\nPING\r\n");
    hand_expect_quiet(peer);
    redisFree(c);
    alloc_count_end();
    close(peer);
    close(listener);
}

TEST(sync, a_failed_reconnect_can_be_repeated, "119") {
    int port, listener = hand_listen_tcp(&port, 4), peer;
    redisContext *c;

    alloc_count_begin();
    c = redisConnect("127.0.0.1", port);
    CHECK_NO_ERROR(c);
    peer = hand_accept(listener);
    close(peer);
    close(listener);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(redisReconnect(c), REDIS_ERR);
        CHECK_INT(errno, ECONNREFUSED);
        CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
    }
    CHECK(redisCommand(c, "PING") == NULL);
    c->tcp.port = live_port(); /* the stored parameters are what counts */
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_context_whose_connect_failed_can_be_connected_again, "119") {
    char path[108];
    redisContext *c;

    close(hand_listen_unix(path, sizeof path, 4));
    unlink(path);
    alloc_count_begin();
    c = redisConnectUnix(path);
    CHECK_ERROR(c, REDIS_ERR_IO, "No such file or directory");
    CHECK_INT(redisReconnect(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "No such file or directory");
    CHECK_INT(symlink(live_unix(), path), 0);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
    unlink(path);
}

TEST(sync, a_non_blocking_context_reconnects_without_blocking, "119") {
    redisContext *c = redisConnectUnixNonBlock(live_unix());

    CHECK_NO_ERROR(c);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK(is_nonblocking(c->fd));
    CHECK_INT(c->flags & REDIS_BLOCK, 0);
    redisFree(c);
}

/* ---- Without blocking ---- */

TEST(sync, a_non_blocking_command_is_only_appended, "115") {
    redisContext *c;
    const char *argv[] = {"PING"};
    void *reply = &c;
    int done = -1;

    alloc_count_begin();
    c = redisConnectUnixNonBlock(live_unix());
    CHECK_NO_ERROR(c);
    CHECK(redisCommand(c, "ECHO %s", "one") == NULL);
    CHECK_NO_ERROR(c);
    CHECK(redisCommandArgv(c, 1, argv, NULL) == NULL);
    CHECK_NO_ERROR(c);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "*2\r\n$4\r\nECHO\r\n$3\r\none\r\n*1\r\n$4\r\nPING\r\n");

    /* nothing is there yet: no error, no reply */
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK(reply == NULL);
    CHECK_INT(redisBufferRead(c), REDIS_OK);

    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    CHECK_INT(done, 1);
    for (int i = 0; i < 2; i++) {
        double start = test_now();

        reply = NULL;
        while (reply == NULL && test_now() - start < 20) {
            CHECK_INT(redisBufferRead(c), REDIS_OK);
            CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
            if (reply == NULL)
                test_sleep_ms(2);
        }
        CHECK_STR(reply_text(reply), i == 0 ? "\"one\"" : "+PONG");
        freeReplyObject(reply);
    }
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_program_may_clear_the_blocking_flag, "115") {
    int peer;
    redisContext *c = pair_context(&peer);
    void *reply = &peer;

    /* redis-cli --pipe does so after a blocking connect */
    c->flags &= ~REDIS_BLOCK;
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK(reply == NULL);
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_NO_ERROR(c);
    hand_expect_quiet(peer);
    c->flags |= REDIS_BLOCK;
    hand_send_str(peer, "+PONG\r\n");
    CHECK_STR(next_reply(c), "+PONG");
    hand_expect_str(peer, "*1\r\n$4\r\nPING\r\n");
    redisFree(c);
    close(peer);
}

/* ---- Replies in the hands of the program ---- */

TEST(sync, parts_of_a_reply_may_be_taken_and_moved, "110") {
    redisContext *c;
    redisReply *a, *b, *taken;
    char *text;

    alloc_count_begin();
    c = live();
    command_text(c, "DEL sync:list");
    command_text(c, "RPUSH sync:list zero one two");
    a = redisCommand(c, "LRANGE sync:list 0 -1");
    b = redisCommand(c, "LRANGE sync:list 0 -1");
    redisFree(c); /* replies do not need their context */

    /* as redis-plus-plus takes children out, and hiredis-cluster moves them to another reply */
    taken = a->element[1];
    a->element[1] = NULL;
    freeReplyObject(b->element[0]);
    b->element[0] = a->element[2];
    a->elements--;
    text = taken->str;
    taken->str = NULL;
    freeReplyObject(a);
    freeReplyObject(taken);
    CHECK_STR(text, "one");
    CHECK_STR(reply_text(b), "*[\"two\" \"one\" \"two\"]");
    freeReplyObject(b);
#if HIREDIS_MAJOR >= 1
    hi_free(text);
#else
    free(text);
#endif
    alloc_count_end();
}

/* ---- Processes and threads ---- */

TEST(sync, a_child_process_may_use_an_inherited_connection, "99") {
    redisContext *c = live(), *mine;
    int fd = redisFreeKeepFd(c), status;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        redisReply *r;
        int good;

        mine = redisConnectFd(fd);
        r = redisCommand(mine, "CLIENT SETNAME %s", "child");
        good = r != NULL && r->type == REDIS_REPLY_STATUS;
        freeReplyObject(r);
        redisFree(mine); /* closes the child's copy of the descriptor only */
        _exit(!good);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    mine = redisConnectFd(fd);
    CHECK_STR(command_text(mine, "CLIENT GETNAME"), "\"child\"");
    redisFree(mine);
}

/* Returns NULL when all went well. */
static void *talk(void *arg) {
    redisContext *c = redisConnectUnix(arg);
    void *wrong = c;

    for (int i = 0; c != NULL && c->err == 0 && i < 500; i++) {
        int want = i * 7 + (int)(uintptr_t)&i % 1000;
        redisReply *r = redisCommand(c, "ECHO %d", want);

        if (r == NULL || r->type != REDIS_REPLY_STRING || atoi(r->str) != want) {
            freeReplyObject(r);
            break;
        }
        freeReplyObject(r);
        if (i == 250 && redisReconnect(c) != REDIS_OK)
            break;
        if (i == 499)
            wrong = NULL;
    }
    redisFree(c);
    return wrong;
}

TEST(sync, contexts_of_different_threads_do_not_meet, "") {
    pthread_t thread[8];
    char *path = test_printf("%s", live_unix());

    for (int i = 0; i < 8; i++)
        CHECK_INT(pthread_create(&thread[i], NULL, talk, path), 0);
    for (int i = 0; i < 8; i++) {
        void *wrong;

        CHECK_INT(pthread_join(thread[i], &wrong), 0);
        CHECK(wrong == NULL);
    }
}
