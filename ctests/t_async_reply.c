/* Asynchronous contexts: replies, and the lists of those who wait for them. */
#include "async.h"

#include <stdio.h>

#include <hiredis/sds.h>

#define SUBSCRIBED_CH "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"
#define SUBSCRIBED_PAT "*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:2\r\n"

TEST(async_reply, replies_go_to_the_callbacks_in_the_order_of_the_commands, "140") {
    conn c;
    conn_live(&c, 2);
    c.counted = 1;
    ask(&c, "del", "DEL async_reply_k");
    ask(&c, "set", "SET async_reply_k v");
    ask(&c, "get", "GET async_reply_k");
    ask(&c, "bad", "LPOP async_reply_k");
    ask(&c, "range", "LRANGE async_reply_none 0 -1");
    ask(&c, "mget", "MGET async_reply_k async_reply_none");
    PUMP_LOG(&c, "del::0/5 set:+OK/4 get:\"v\"/3 "
                 "bad:-WRONGTYPE Operation against a key holding the wrong kind of value/2 "
                 "range:*[]/1 mget:*[\"v\" nil]/0");
    conn_done(&c);
}

TEST(async_reply, a_reply_may_arrive_in_any_pieces, "") {
    static const char bytes[] = "$5\r\nhello\r\n*2\r\n:1\r\n+two\r\n-ERR no\r\n";
    for (size_t step = 1; step < 7; step++) {
        conn c;
        conn_up(&c);
        ask(&c, "a", "GET a");
        ask(&c, "b", "GET b");
        ask(&c, "c", "GET c");
        flush(&c);
        for (size_t i = 0; i < sizeof(bytes) - 1; i += step)
            serve_n(&c, bytes + i, i + step < sizeof(bytes) - 1 ? step : sizeof(bytes) - 1 - i);
        CHECK_LOG("a:\"hello\" b:*[:1 +two] c:-ERR no");
        conn_done(&c);
    }
}

TEST(async_reply, many_replies_in_one_read_event_and_a_reply_over_many_events, "") {
    conn c;
    conn_up(&c);
    for (int i = 0; i < 500; i++) ask(&c, "r", "GET k");
    size_t size = 1000000;
    ask(&c, NULL, "GET big");
    ask(&c, "end", "PING");
    flush(&c);
    sent(&c);
    char *bytes = test_bytes(500 * 4 + size + 100);
    size_t len = 0;
    for (int i = 0; i < 500; i++) len += (size_t)sprintf(bytes + len, ":%d\r\n", i % 10);
    serve_n(&c, bytes, len);
    size_t words = 0;
    for (const char *p = log_take(); (p = strstr(p, "r::")) != NULL; p++) words++;
    CHECK_UINT(words, 500);
    len = (size_t)sprintf(bytes, "$%zu\r\n", size);
    memset(bytes + len, 'x', size);
    len += size;
    len += (size_t)sprintf(bytes + len, "\r\n+PONG\r\n");
    for (size_t i = 0; i < len; i += 10000) serve_n(&c, bytes + i, len - i < 10000 ? len - i : 10000);
    CHECK_LOG("end:+PONG");
    conn_done(&c);
}

TEST(async_reply, resp3_types_reach_the_callback, "") {
    conn c;
    if (HIREDIS_MAJOR < 1) SKIP("needs hiredis 1.x");
    conn_up(&c);
    for (int i = 0; i < 7; i++) ask(&c, "r", "GET k");
    flush(&c);
    serve(&c, "_\r\n#t\r\n,1.5\r\n%1\r\n+k\r\n:1\r\n~1\r\n:2\r\n(12345678901234567890\r\n=6\r\ntxt:hi\r\n");
    CHECK_LOG("r:nil r:#t r:,1.5 r:%[+k :1] r:~[:2] r:(12345678901234567890 r:=txt:\"hi\"");
    conn_done(&c);
}

TEST(async_reply, a_command_without_callback_has_its_reply_freed, "169") {
    conn c;
    conn_up(&c);
    ask(&c, NULL, "GET a");
    ask(&c, "b", "GET b");
    ask(&c, NULL, "GET c");
    CHECK_INT(list_length(&c.ac->replies), 3);
    CHECK(c.ac->replies.head->fn == NULL);
    flush(&c);
    serve(&c, "$1\r\na\r\n$1\r\nb\r\n-ERR not seen by anybody\r\n");
    CHECK_LOG("b:\"b\"");
    CHECK(c.ac->replies.head == NULL);
    CHECK_INT(c.ac->err, 0);
    conn_done(&c);
}

static void ask_twice(conn *c, const char *name, redisReply *reply) {
    (void)reply;
    if (strcmp(name, "first") != 0) return;
    ask(c, "second", "GET second");
    ask(c, "third", "GET third");
}

TEST(async_reply, commands_from_a_reply_callback_are_accepted, "") {
    conn c;
    conn_up(&c);
    c.on_reply = ask_twice;
    c.counted = 1;
    ask(&c, "first", "GET first");
    flush(&c);
    sent(&c);
    serve(&c, "$1\r\n1\r\n");
    CHECK_LOG("first:\"1\"/0");
    CHECK(c.writing);
    flush(&c);
    CHECK_STR(sent(&c), "*2\r\n$3\r\nGET\r\n$6\r\nsecond\r\n*2\r\n$3\r\nGET\r\n$5\r\nthird\r\n");
    serve(&c, "$1\r\n2\r\n$1\r\n3\r\n");
    CHECK_LOG("second:\"2\"/1 third:\"3\"/0");
    conn_done(&c);
}

TEST(async_reply, a_length_that_overflows_is_refused_behind_other_commands, "15") {
    char *value = memset(test_bytes(1500), 'v', 1500);
    const char *argv[] = {"SET", "k", value};
    for (size_t less = 0; less <= 4096; less += 61) {
        size_t len[] = {3, 1, 1500}, written;
        conn c;
        conn_up(&c);
        CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("first"), 3, argv, len), REDIS_OK);
        written = sdslen(c.ac->c.obuf);
        len[2] = SIZE_MAX - less;
        CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("huge"), 3, argv, len), REDIS_ERR);
        CHECK_INT(ask_formatted(&c, "huge", "*1\r\n$1\r\nv\r\n", SIZE_MAX - less), REDIS_ERR);
        CHECK_INT(c.ac->err, 0);
        CHECK_UINT(sdslen(c.ac->c.obuf), written);
        CHECK_STR(c.ac->c.obuf + written - 3, "v\r\n");
        conn_done(&c);
        CHECK_LOG("first:NULL disconnect=0");
    }
}

/* The arguments are wrong, not the context. */
TEST(async_reply, a_length_that_cannot_be_is_refused_and_the_context_goes_on, "15") {
    const char *argv[] = {"SET", "k", "v"};
    size_t len[] = {3, 1, SIZE_MAX};
    conn c;
    conn_up(&c);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("huge"), 3, argv, len), REDIS_ERR);
    CHECK_INT(c.ac->err, 0);
    ask(&c, "next", "PING");
    flush(&c);
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("next:+PONG");
    conn_done(&c);
}

TEST(async_reply, the_argv_and_the_formatted_forms_queue_the_same, "") {
    const char *argv[] = {"SET", "k", "a\0b"};
    size_t len[] = {3, 1, 3};
    char *cmd;
    conn c;
    conn_up(&c);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("argv"), 3, argv, len), REDIS_OK);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("nolen"), 2, argv, NULL), REDIS_OK);
    int n = redisFormatCommand(&cmd, "GET %s", "k");
    CHECK_INT(ask_formatted(&c, "formatted", cmd, (size_t)n), REDIS_OK);
    redisFreeCommand(cmd);
    flush(&c);
    char buf[200];
    size_t got = hand_read_now(c.server, buf, sizeof(buf));
    CHECK_MEM(buf, got, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\0b\r\n*2\r\n$3\r\nSET\r\n$1\r\nk\r\n"
                        "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    serve(&c, "+OK\r\n-ERR few\r\n$3\r\na\0b\r\n");
    CHECK_LOG("argv:+OK nolen:-ERR few");
    serve_n(&c, "\0b\r\n", 4);
    CHECK_LOG("formatted:\"a\\x00b\"");
    conn_done(&c);
}

TEST(async_reply, a_bad_format_is_refused_and_leaves_no_trace, "") {
    conn c;
    conn_up(&c);
    CHECK_INT(ask_try(&c, "bad", "SET k %z"), REDIS_ERR);
    CHECK_INT(ask_try(&c, "bad", "SET k %08p", NULL), REDIS_ERR);
    CHECK_INT(c.ac->err, 0);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    CHECK_INT(list_length(&c.ac->replies), 0);
    ask(&c, "good", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("good:+PONG");
    conn_done(&c);
}

#if HIREDIS_MAJOR >= 1
static void untouched(conn *c, const char *before, const char *format, int want_err) {
    size_t len = strlen(before);
    CHECK_INT(ask_try(c, "no", format, "a value that is there"), REDIS_ERR);
    CHECK_INT(c->ac->err, want_err);
    CHECK_MEM_N(c->ac->c.obuf, sdslen(c->ac->c.obuf) + 1, before, len + 1);
}

TEST(async_reply, a_refused_command_leaves_obuf_as_it_was_up_to_its_nul, "178 235") {
    static const char *const refused[] = {
        "UNSUBSCRIBE x", "PUNSUBSCRIBE", "SUNSUBSCRIBE %s", "SET %s %q", "SET %s x%-", "SET k %08p",
        "", "   ", "CLIENT REPLY OFF", "CLIENT REPLY SKIP",
    };
    for (int waiting = 0; waiting < 3; waiting++) {
        conn c;
        conn_up(&c);
        ask(&c, NULL, "MULTI");
        if (waiting != 1) flush(&c);
        if (waiting == 2) ask(&c, NULL, "SET k v");
        const char *before = test_printf("%s", c.ac->c.obuf);
        CHECK_UINT(strlen(before), sdslen(c.ac->c.obuf));
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
            /* Whatever was there behind the end, and shows when the NUL is gone. */
            untouched(&c, before, refused[i], 0);
        }
        CHECK_INT(ask_formatted(&c, "no", "*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\nx", 26), REDIS_ERR);
        CHECK_MEM_N(c.ac->c.obuf, sdslen(c.ac->c.obuf) + 1, before, strlen(before) + 1);
        conn_done(&c);
    }
}

TEST(async_reply, a_command_without_memory_leaves_obuf_as_it_was_up_to_its_nul, "7 235") {
    static const char *const commands[] = {"GET %s%0900d", "SUBSCRIBE %s %0900d", "GET %s",
                                           "SUBSCRIBE %s"};
    const char *name = test_printf("%060d", 7);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        for (size_t k = 1; ; k++) {
            conn c;
            conn_up(&c);
            ask(&c, "a", "SET k v");
            const char *before = test_printf("%s", c.ac->c.obuf);
            alloc_fail_at(k);
            int status = ask_try(&c, "b", commands[i], name, 1);
            size_t failures = alloc_failures();
            alloc_fail_never();
            if (status != REDIS_OK) {
                CHECK_INT(c.ac->err, REDIS_ERR_OOM);
                CHECK_MEM_N(c.ac->c.obuf, sdslen(c.ac->c.obuf) + 1, before, strlen(before) + 1);
            }
            conn_done(&c);
            if (failures == 0) {
                CHECK_INT(status, REDIS_OK);
                CHECK(k > 1);
                break;
            }
        }
    }
}
#endif

/* ---- The lists are the state ---- */

static void other_reply(redisAsyncContext *ac, void *reply, void *name) {
    (void)ac;
    note("other(%s):%s", (const char *)name, reply_text(reply));
}

TEST(async_reply, queued_callbacks_may_be_rewritten_by_the_program, "") {
    conn c;
    int n = 0;
    conn_up(&c);
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    ask(&c, "c", "GET c");
    /* As Sentinel does when an instance goes while commands are in flight. */
    for (redisCallback *cb = c.ac->replies.head; cb != NULL; cb = cb->next, n++) {
        if (strcmp(cb->privdata, "a") == 0) cb->privdata = "A";
        if (strcmp(cb->privdata, "b") == 0) {
            cb->fn = other_reply;
            cb->privdata = "B";
        }
        if (strcmp(cb->privdata, "c") == 0) cb->fn = NULL;
    }
    CHECK_INT(n, 3);
    flush(&c);
    serve(&c, "+1\r\n+2\r\n+3\r\n");
    CHECK_LOG("A:+1 other(B):+2");
    CHECK(c.ac->replies.head == NULL);
    conn_done(&c);
}

TEST(async_reply, queued_callbacks_may_be_rewritten_while_subscribed, "") {
    conn c;
    conn_up(&c);
    ask(&c, "ch", "SUBSCRIBE ch");
    ask(&c, "a", "PING");
    ask(&c, "b", "PING");
    CHECK_INT(list_length(sub_replies(c.ac)), 2);
    sub_replies(c.ac)->head->privdata = "A";
    sub_replies(c.ac)->tail->fn = other_reply;
    flush(&c);
    serve(&c, SUBSCRIBED_CH "*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    CHECK_LOG("ch:*[\"subscribe\" \"ch\" :1] A:*[\"pong\" \"\"] other(b):*[\"pong\" \"\"]");
    conn_done(&c);
}

static void rewrite_next(conn *c, const char *name, redisReply *reply) {
    (void)reply;
    if (strcmp(name, "a") != 0) return;
    for (redisCallback *cb = c->ac->replies.head; cb != NULL; cb = cb->next) cb->privdata = "rewritten";
}

TEST(async_reply, queued_callbacks_may_be_rewritten_inside_a_callback, "") {
    conn c;
    conn_up(&c);
    c.on_reply = rewrite_next;
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    ask(&c, "c", "GET c");
    flush(&c);
    serve(&c, "+1\r\n+2\r\n");
    CHECK_LOG("a:+1 rewritten:+2");
    hang_up(&c);
    CHECK_LOG("rewritten:NULL disconnect=-1");
    conn_done(&c);
}

TEST(async_reply, the_lists_are_true_at_every_callback, "") {
    conn c;
    conn_up(&c);
    c.counted = 1;
    owe_everything(&c);
    serve(&c, "$1\r\na\r\n");
    CHECK_LOG("a:\"a\"/2");
    serve(&c, "$1\r\nb\r\n" SUBSCRIBED_CH SUBSCRIBED_PAT);
    CHECK_LOG("b:\"b\"/1 ch:*[\"subscribe\" \"ch\" :1]/1 pat:*[\"psubscribe\" \"p*\" :2]/1");
    serve(&c, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    CHECK_LOG("ping:*[\"pong\" \"\"]/0");
    conn_done(&c);
}
