/* Where the original crashes, loses a reply or hands it to somebody else: one test for each
 * situation, with the bytes that show it. docs/differences.md tells the same in words. */
#include "async.h"
#include "syscalls.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hiredis/sds.h>

#if HIREDIS_MAJOR >= 1
#include <hiredis/adapters/poll.h>

static void resp2_3(void (*test)(int protocol)) {
    test(2);
    test(3);
}

static int subscribed(const conn *c) {
    return (c->ac->c.flags & REDIS_SUBSCRIBED) != 0;
}

static void is_protocol_error(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(c->ac->err, REDIS_ERR_PROTOCOL);
    CHECK(c->ac->errstr[0] != '\0');
    c->count++;
}

/* ---- Bytes from the server -------------------------------------------------- */

TEST(defects_async, a_reply_that_nobody_asked_for_is_a_protocol_error, "164 201") {
    static const char *const bytes[] = {
        "+EXTRA\r\n", ":1\r\n", "$1\r\nx\r\n", "$-1\r\n", "_\r\n", "*0\r\n", "#t\r\n",
        ",1\r\n", "%0\r\n", "~0\r\n", "(1\r\n",
        "=5\r\ntxt:x\r\n", "*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
    };
    conn c;
    conn_up(&c);
    c.on_disconnect = is_protocol_error;
    ask(&c, "ping", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n+EXTRA\r\n");
    CHECK_LOG("ping:+PONG disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);

    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        conn_up(&c);
        c.on_disconnect = is_protocol_error;
        serve(&c, bytes[i]);
        CHECK_LOG("disconnect=-1");
        CHECK_INT(c.count, 1);
        conn_done(&c);
    }
}

static void is_other_error(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(c->ac->err, REDIS_ERR_OTHER);
    CHECK_STR(c->ac->errstr, "LOADING Redis is loading the dataset in memory");
    c->count++;
}

TEST(defects_async, an_error_reply_that_nobody_asked_for_keeps_its_text, "163 201 216") {
    conn c;
    conn_up(&c);
    c.on_disconnect = is_other_error;
    ask(&c, "ping", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n-LOADING Redis is loading the dataset in memory\r\n");
    CHECK_LOG("ping:+PONG disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

TEST(defects_async, a_subscribe_push_of_one_element_is_a_protocol_error, "185 202") {
    conn c;
    conn_up(&c);
    c.on_disconnect = is_protocol_error;
    ask(&c, "s", "SUBSCRIBE foo");
    flush(&c);
    serve(&c, ">1\r\n$9\r\nsubscribe\r\n");
    CHECK_LOG("s:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

TEST(defects_async, an_unsubscribe_push_of_two_elements_is_a_protocol_error, "185 203") {
    conn c;
    conn_up(&c);
    c.on_disconnect = is_protocol_error;
    ask(&c, "s", "SUBSCRIBE foo");
    flush(&c);
    serve(&c, ">3\r\n$9\r\nsubscribe\r\n$3\r\nfoo\r\n:1\r\n");
    CHECK_LOG("s:>[\"subscribe\" \"foo\" :1]");
    serve(&c, ">2\r\n$11\r\nunsubscribe\r\n$3\r\nfoo\r\n");
    CHECK_LOG("s:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

TEST(defects_async, an_array_of_integers_while_subscribed_goes_to_the_command_that_is_owed_one, "185 204") {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE foo");
    ask(&c, "range", "LRANGE k 0 -1");
    flush(&c);
    serve(&c, "*3\r\n$9\r\nsubscribe\r\n$3\r\nfoo\r\n:1\r\n*3\r\n:1\r\n:2\r\n:3\r\n");
    CHECK_LOG("s:*[\"subscribe\" \"foo\" :1] range:*[:1 :2 :3]");
    CHECK_INT(c.ac->err, 0);
    /* Nobody is owed one any more. */
    c.on_disconnect = is_protocol_error;
    serve(&c, "*3\r\n:1\r\n:2\r\n:3\r\n");
    CHECK_LOG("s:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

static void wrong_confirmation(const char *bytes) {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE foo");
    ask(&c, "get", "PING");
    flush(&c);
    serve(&c, bytes);
    if (c.ac == NULL) {
        CHECK_LOG_EITHER("get:NULL s:NULL disconnect=-1", "s:NULL get:NULL disconnect=-1");
    } else {
        CHECK_LOG("");
        serve(&c, "*3\r\n$9\r\nsubscribe\r\n$3\r\nfoo\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        CHECK_LOG("s:*[\"subscribe\" \"foo\" :1] get:*[\"pong\" \"\"]");
        ask(&c, NULL, "UNSUBSCRIBE foo");
        flush(&c);
        serve(&c, "*3\r\n$11\r\nunsubscribe\r\n$3\r\nfoo\r\n:0\r\n");
        CHECK_LOG("s:*[\"unsubscribe\" \"foo\" :0]");
        CHECK(!subscribed(&c));
    }
    conn_done(&c);
}

TEST(defects_async, a_confirmation_for_a_channel_never_asked_for_leaves_the_state_consistent, "185 205") {
    wrong_confirmation("*3\r\n$9\r\nsubscribe\r\n$3\r\nbar\r\n:1\r\n");
    wrong_confirmation("*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n");
}

TEST(defects_async, an_unsubscribe_message_without_a_count_is_a_protocol_error, "185 206") {
    for (int protocol = 2; protocol <= 3; protocol++) {
        conn c;
        conn_up(&c);
        c.on_disconnect = is_protocol_error;
        ask(&c, "s", "SUBSCRIBE foo");
        flush(&c);
        serve(&c, shaped(protocol, "^3\r\n$9\r\nsubscribe\r\n$3\r\nfoo\r\n:1\r\n"));
        log_take();
        serve(&c, shaped(protocol, "^3\r\n$11\r\nunsubscribe\r\n$3\r\nfoo\r\n$1\r\n0\r\n"));
        CHECK_LOG("s:NULL disconnect=-1");
        CHECK_INT(c.count, 1);
        conn_done(&c);
    }
}

TEST(defects_async, a_subscribe_push_on_a_connection_that_never_subscribed_goes_to_the_push_callback,
     "185 207") {
    conn c;
    conn_up(&c);
    serve(&c, ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
    CHECK_LOG("push:>[\"subscribe\" \"x\" :1]");
    ask(&c, "ping", "PING");
    flush(&c);
    serve(&c, ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n+PONG\r\n");
    CHECK_LOG("push:>[\"subscribe\" \"x\" :1] ping:+PONG");
    conn_done(&c);
}

TEST(defects_async, a_message_push_does_not_take_the_place_of_a_reply, "181 208") {
    conn c;
    conn_up(&c);
    ask(&c, "A", "GET A");
    ask(&c, "B", "GET B");
    flush(&c);
    serve(&c, ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nA\r\n$1\r\nB\r\n");
    CHECK_LOG("push:>[\"message\" \"x\" \"y\"] A:\"A\" B:\"B\"");
    conn_done(&c);
}

TEST(defects_async, an_attribute_is_neither_a_reply_nor_an_element, "209") {
    conn c;
    conn_up(&c);
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    ask(&c, "c", "LRANGE c 0 -1");
    ask(&c, "d", "HGETALL d");
    ask(&c, "e", "GET e");
    flush(&c);
    serve(&c, "|1\r\n+ttl\r\n:3600\r\n$1\r\nA\r\n");
    CHECK_LOG("a:\"A\"");
    serve(&c, "$1\r\nB\r\n");
    CHECK_LOG("b:\"B\"");
    serve(&c, "*3\r\n:1\r\n|1\r\n+k\r\n*2\r\n:8\r\n:9\r\n:2\r\n|0\r\n:3\r\n");
    CHECK_LOG("c:*[:1 :2 :3]");
    serve(&c, "%2\r\n|1\r\n+x\r\n+y\r\n+k1\r\n|1\r\n+x\r\n+y\r\n:1\r\n"
              "+k2\r\n|1\r\n+x\r\n%1\r\n+y\r\n+z\r\n*1\r\n:2\r\n");
    CHECK_LOG("d:%[+k1 :1 +k2 *[:2]]");
    serve(&c, "|1\r\n+a\r\n|1\r\n+b\r\n:1\r\n:2\r\n");
    CHECK_LOG("");
    serve(&c, "|2\r\n+a\r\n:1\r\n+b\r\n:2\r\n+E\r\n");
    CHECK_LOG("e:+E");
    CHECK_INT(c.ac->err, 0);
    conn_done(&c);
}

TEST(defects_async, an_attribute_before_a_push_or_a_message_is_dropped, "209") {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    serve(&c, "|1\r\n+a\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"
              "|1\r\n+a\r\n:1\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n"
              ">3\r\n|1\r\n+a\r\n:1\r\n$7\r\nmessage\r\n$2\r\nch\r\n|1\r\n+a\r\n:1\r\n$1\r\nm\r\n");
    CHECK_LOG("s:>[\"subscribe\" \"ch\" :1] push:>[\"invalidate\" nil] s:>[\"message\" \"ch\" \"m\"]");
    conn_done(&c);
}

TEST(defects_async, an_attribute_of_a_live_server_is_dropped, "209") {
    conn c;
    conn_live(&c, 3);
    ask(&c, "set", "SET attribute v");
    ask(&c, "attrib", "DEBUG PROTOCOL attrib");
    ask(&c, "get", "GET attribute");
    ask(&c, "echo", "ECHO two");
    PUMP_LOG(&c, "set:+OK attrib:\"Some real reply following the attribute\" get:\"v\" echo:\"two\"");
    conn_done(&c);
}

/* ---- Who gets which reply ---------------------------------------------------- */

static void sharded(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "s", "SSUBSCRIBE shard");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"ssubscribe\" \"shard\" :1]"));
    CHECK_INT(sync_int(pub, "SPUBLISH shard hi"), 1);
    CHECK_INT(sync_int(pub, "SPUBLISH shard ho"), 1);
    PUMP_LOG(&c, shaped(protocol, "s:^[\"smessage\" \"shard\" \"hi\"] s:^[\"smessage\" \"shard\" \"ho\"]"));
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, protocol == 3 ? "ping:+PONG" : "ping:*[\"pong\" \"\"]");
    ask(&c, "never", "SUNSUBSCRIBE shard");
    ask(&c, "get", "GET shard.none");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"sunsubscribe\" \"shard\" :0] get:nil"));
    CHECK(!subscribed(&c));
    /* Together with the other kinds; each has a count of its own. */
    ask(&c, "s", "SSUBSCRIBE both");
    ask(&c, "ch", "SUBSCRIBE both");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"ssubscribe\" \"both\" :1] ch:^[\"subscribe\" \"both\" :1]"));
    sync_int(pub, "PUBLISH both all");
    sync_int(pub, "SPUBLISH both shard");
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"message\" \"both\" \"all\"] s:^[\"smessage\" \"both\" \"shard\"]"));
    ask(&c, NULL, "UNSUBSCRIBE");
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"unsubscribe\" \"both\" :0]"));
    CHECK(subscribed(&c));
    sync_int(pub, "SPUBLISH both still");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"smessage\" \"both\" \"still\"]"));
    ask(&c, NULL, "SUNSUBSCRIBE");
    ask(&c, NULL, "SUNSUBSCRIBE");
    ask(&c, "get", "GET shard.none");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"sunsubscribe\" \"both\" :0] get:nil"));
    CHECK(!subscribed(&c));
    conn_done(&c);
    CHECK_LOG("disconnect=0");
    sync_done(pub);
}

TEST(defects_async, sharded_messages_reach_their_callback, "187 214") {
    resp2_3(sharded);
}

static void sharded_moved(int protocol) {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SSUBSCRIBE ch");
    ask(&c, "get", "GET k");
    flush(&c);
    serve(&c, "-MOVED 3999 127.0.0.1:6381\r\n$1\r\nV\r\n");
    CHECK_LOG("s:-MOVED 3999 127.0.0.1:6381 get:\"V\"");
    CHECK_INT(c.ac->err, 0);
    ask(&c, "s2", "SSUBSCRIBE ch");
    flush(&c);
    serve(&c, shaped(protocol, "^3\r\n$10\r\nssubscribe\r\n$2\r\nch\r\n:1\r\n"
                               "^3\r\n$8\r\nsmessage\r\n$2\r\nch\r\n$1\r\nm\r\n"));
    CHECK_LOG(shaped(protocol, "s2:^[\"ssubscribe\" \"ch\" :1] s2:^[\"smessage\" \"ch\" \"m\"]"));
    /* The slot moves away: the server unsubscribes by itself. */
    serve(&c, shaped(protocol, "^3\r\n$12\r\nsunsubscribe\r\n$2\r\nch\r\n:0\r\n"));
    CHECK_LOG(shaped(protocol, "s2:^[\"sunsubscribe\" \"ch\" :0]"));
    CHECK(!subscribed(&c));
    ask(&c, "get", "GET k");
    flush(&c);
    serve(&c, "$1\r\nV\r\n");
    CHECK_LOG("get:\"V\"");
    conn_done(&c);
}

TEST(defects_async, an_error_answering_ssubscribe_goes_to_its_callback, "187 214") {
    resp2_3(sharded_moved);
}

TEST(defects_async, sharded_pushes_without_a_callback_go_to_the_push_callback, "187 214") {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, 3);
    ask(&c, NULL, "SSUBSCRIBE quiet");
    PUMP_LOG(&c, "push:>[\"ssubscribe\" \"quiet\" :1]");
    CHECK_INT(list_length(&c.ac->replies), 0);
    sync_int(pub, "SPUBLISH quiet hi");
    PUMP_LOG(&c, "push:>[\"smessage\" \"quiet\" \"hi\"]");
    ask(&c, "get", "GET quiet");
    PUMP_LOG(&c, "get:nil");
    ask(&c, NULL, "SUNSUBSCRIBE quiet");
    ask(&c, "get", "GET quiet");
    PUMP_LOG(&c, "push:>[\"sunsubscribe\" \"quiet\" :0] get:nil");
    conn_done(&c);
    sync_done(pub);
}

TEST(defects_async, sunsubscribe_when_not_subscribed_is_refused, "178 187 214") {
    conn c;
    conn_up(&c);
    CHECK_INT(ask_try(&c, "u", "SUNSUBSCRIBE a"), REDIS_ERR);
    CHECK_INT(ask_try(&c, "u", "SUNSUBSCRIBE"), REDIS_ERR);
    CHECK_INT(c.ac->err, 0);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    conn_done(&c);
}

TEST(defects_async, an_error_reply_while_subscribed_goes_to_the_command_that_caused_it, "182 215") {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, 3);
    sync_text(pub, "SET wrong V");
    ask(&c, "s", "SUBSCRIBE wrong");
    PUMP_LOG(&c, "s:>[\"subscribe\" \"wrong\" :1]");
    ask(&c, "lpop", "LPOP wrong");
    ask(&c, "get", "GET wrong");
    PUMP_LOG(&c, "lpop:-WRONGTYPE Operation against a key holding the wrong kind of value get:\"V\"");
    CHECK(subscribed(&c));
    sync_int(pub, "PUBLISH wrong m");
    PUMP_LOG(&c, "s:>[\"message\" \"wrong\" \"m\"]");
    conn_done(&c);

    /* In RESP2 the server refuses commands, and says so. */
    conn_live(&c, 2);
    ask(&c, "s", "SUBSCRIBE wrong");
    ask(&c, "get", "GET wrong");
    ask(&c, "ping", "PING");
    PUMP(&c, strstr(log_text(), "ping:") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, "s:*[\"subscribe\" \"wrong\" :1] get:-ERR Can't execute 'get'") == log);
    CHECK(strstr(log, " ping:*[\"pong\" \"\"]") != NULL);
    sync_int(pub, "PUBLISH wrong m");
    PUMP_LOG(&c, "s:*[\"message\" \"wrong\" \"m\"]");
    conn_done(&c);
    sync_done(pub);
}

static void forbidden(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    sync_text(pub, "ACL SETUSER channels on >pw ~* resetchannels &ok* +@all");
    sync_text(pub, "SET forbidden V");
    sync_text(pub, "DEL forbidden.list");
    sync_text(pub, "RPUSH forbidden.list message forbidden x");
    conn_live(&c, protocol);
    ask(&c, "auth", "AUTH channels pw");
    PUMP_LOG(&c, "auth:+OK");
    static const char *const asks[] = {"SUBSCRIBE forbidden", "SUBSCRIBE ok1 forbidden ok2", "PSUBSCRIBE *",
                                       "SSUBSCRIBE forbidden"};
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        ask(&c, "s", asks[i]);
        ask(&c, "get", "GET forbidden");
        ask(&c, "range", "LRANGE forbidden.list 0 -1");
        PUMP(&c, strstr(log_text(), "range:") != NULL);
        const char *log = log_take(), *get = strstr(log, " get:");
        CHECK(strstr(log, "s:-NOPERM ") == log);
        CHECK(strstr(log + 1, "s:-NOPERM ") == NULL);    /* one error, one call */
        CHECK_STR(get, " get:\"V\" range:*[\"message\" \"forbidden\" \"x\"]");
        CHECK(!subscribed(&c));
        CHECK_INT(c.ac->err, 0);
    }
    /* The same in the middle of subscriptions that are allowed. */
    ask(&c, "ok1", "SUBSCRIBE ok1");
    ask(&c, "bad", "SUBSCRIBE ok1 forbidden");
    ask(&c, "ok2", "SUBSCRIBE ok2");
    ask(&c, "ping", "PING");
    PUMP(&c, strstr(log_text(), "ping:") != NULL);
    const char *log = log_take(), *bad = strstr(log, " bad:-NOPERM ");
    CHECK(bad != NULL);
    CHECK(strstr(bad + 2, "bad:-") == NULL);
    CHECK(strstr(bad, shaped(protocol, " ok2:^[\"subscribe\" \"ok2\" :2] ping:")) != NULL);
    sync_int(pub, "PUBLISH ok2 m");
    PUMP_LOG(&c, shaped(protocol, "ok2:^[\"message\" \"ok2\" \"m\"]"));
    ask(&c, NULL, "UNSUBSCRIBE ok1 ok2");
    ask(&c, "get", "GET forbidden");
    PUMP(&c, strstr(log_text(), "get:\"V\"") != NULL);
    CHECK(!subscribed(&c));
    conn_done(&c);
    log_take();
    sync_text(pub, "ACL DELUSER channels");
    sync_done(pub);
}

TEST(defects_async, an_error_answering_subscribe_goes_to_its_callback_and_the_connection_stays, "183 216") {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE forbidden");
    ask(&c, "get", "GET k");
    flush(&c);
    serve(&c, "-NOPERM this user has no permissions to access one of the channels\r\n$1\r\nV\r\n");
    CHECK_LOG("s:-NOPERM this user has no permissions to access one of the channels get:\"V\"");
    CHECK(!subscribed(&c));
    hang_up(&c);
    CHECK_LOG("disconnect=-1");     /* no NULL: the channel is not registered */
    conn_done(&c);
    resp2_3(forbidden);
}

/* Sentinel counts on it: it connects again, perhaps with another password. */
TEST(defects_async, an_error_answering_the_only_command_of_a_connection_ends_it, "183 216") {
    conn c;
    conn_up(&c);
    ask(&c, "name", "CLIENT SETNAME x");
    ask(&c, "s", "SUBSCRIBE a b");
    flush(&c);
    serve(&c, "-NOAUTH no\r\n-NOAUTH Authentication required.\r\n");
    CHECK_LOG("name:-NOAUTH no s:-NOAUTH Authentication required. disconnect=-1");
    conn_done(&c);

    /* Within a transaction it stays: EXEC will tell. */
    conn_up(&c);
    ask(&c, "s", "MULTI");
    flush(&c);
    serve(&c, "+OK\r\n");
    CHECK_LOG("s:+OK");
    ask(&c, "s", "SUBSCRIBE a");
    flush(&c);
    serve(&c, "-NOPERM no\r\n");
    CHECK_LOG("s:-NOPERM no");
    ask(&c, "exec", "EXEC");
    flush(&c);
    serve(&c, "-EXECABORT no\r\n");
    CHECK_LOG("exec:-EXECABORT no");
    conn_done(&c);
}

static void pipelined_counts(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "s1", "SUBSCRIBE a");
    ask(&c, "s2", "SUBSCRIBE a b");
    ask(&c, NULL, "UNSUBSCRIBE a b");
    ask(&c, "hmget", "HMGET nosuch f1 f2 f3");
    PUMP_LOG(&c, shaped(protocol, "s2:^[\"subscribe\" \"a\" :1] s2:^[\"subscribe\" \"a\" :1] "
                                  "s2:^[\"subscribe\" \"b\" :2] s2:^[\"unsubscribe\" \"a\" :1] "
                                  "s2:^[\"unsubscribe\" \"b\" :0] hmget:*[nil nil nil]"));
    CHECK(!subscribed(&c));
    conn_done(&c);
}

TEST(defects_async, pipelined_subscriptions_are_counted_per_channel, "180 217") {
    resp2_3(pipelined_counts);
}

static void reset_subscribed(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "s", "SUBSCRIBE reset");
    ask(&c, "p", "PSUBSCRIBE reset*");
    ask(&c, "h", "SSUBSCRIBE reset");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"subscribe\" \"reset\" :1] p:^[\"psubscribe\" \"reset*\" :2] "
                                  "h:^[\"ssubscribe\" \"reset\" :1]"));
    ask(&c, "reset", "RESET");
    ask(&c, "hmget", "HMGET nosuch f1 f2 f3");
    PUMP(&c, strstr(log_text(), "hmget:") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, "reset:+RESET") != NULL);
    CHECK(strstr(log, "s:NULL") != NULL);
    CHECK(strstr(log, "p:NULL") != NULL);
    CHECK(strstr(log, "h:NULL") != NULL);
    CHECK_UINT(strlen(log), strlen("reset:+RESET s:NULL p:NULL h:NULL hmget:*[nil nil nil]"));
    CHECK_STR(strstr(log, "hmget:"), "hmget:*[nil nil nil]");
    CHECK(!subscribed(&c));
    CHECK_INT(sync_int(pub, "PUBLISH reset m"), 0);
    /* Afterwards the connection speaks RESP2, whatever it spoke before. */
    ask(&c, "again", "SUBSCRIBE reset");
    PUMP_LOG(&c, "again:*[\"subscribe\" \"reset\" :1]");
    sync_int(pub, "PUBLISH reset n");
    PUMP_LOG(&c, "again:*[\"message\" \"reset\" \"n\"]");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:*[\"pong\" \"\"]");
    ask(&c, NULL, "UNSUBSCRIBE");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "again:*[\"unsubscribe\" \"reset\" :0] ping:+PONG");
    conn_done(&c);
    CHECK_LOG("disconnect=0");
    sync_done(pub);
}

TEST(defects_async, reset_while_subscribed_ends_the_subscriptions, "218") {
    resp2_3(reset_subscribed);
}

static void free_at_null(conn *c, const char *name, redisReply *reply) {
    (void)name;
    if (reply == NULL) redisAsyncFree(c->ac);
}

static void freed_by_reset(int protocol) {
    conn c;
    conn_up(&c);
    c.on_reply = free_at_null;
    ask(&c, "s", "SUBSCRIBE a");
    ask(&c, "reset", "RESET");
    ask(&c, "get", "GET k");
    flush(&c);
    serve(&c, shaped(protocol, "^3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+RESET\r\n$1\r\nV\r\n"));
    CHECK_LOG(shaped(protocol, "s:^[\"subscribe\" \"a\" :1] s:NULL reset:NULL get:NULL disconnect=0"));
    CHECK(c.ac == NULL);
    conn_done(&c);

    /* The same for the callback of MONITOR, and with a second subscription to be told. */
    conn_up(&c);
    c.on_reply = free_at_null;
    ask(&c, "m", "MONITOR");
    ask(&c, "s", "SUBSCRIBE a");
    ask(&c, "reset", "RESET");
    flush(&c);
    serve(&c, shaped(protocol, "+OK\r\n^3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+RESET\r\n"));
    CHECK_LOG_EITHER(
        shaped(protocol, "m:+OK s:^[\"subscribe\" \"a\" :1] m:NULL reset:NULL s:NULL disconnect=0"),
        shaped(protocol, "m:+OK s:^[\"subscribe\" \"a\" :1] s:NULL reset:NULL m:NULL disconnect=0"));
    CHECK(c.ac == NULL);
    conn_done(&c);
}

TEST(defects_async, a_free_in_a_null_callback_caused_by_reset_tells_resets_callback_too, "157 158 218") {
    resp2_3(freed_by_reset);
}

static void back_to_resp2(const char *command) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, 3);
    ask(&c, "s", "SUBSCRIBE back2");
    ask(&c, NULL, "UNSUBSCRIBE back2");
    PUMP_LOG(&c, "s:>[\"subscribe\" \"back2\" :1] s:>[\"unsubscribe\" \"back2\" :0]");
    ask(&c, "back", command);
    ask(&c, "again", "SUBSCRIBE back2");
    PUMP(&c, strstr(log_text(), "again:") != NULL);
    const char *log = log_take();
    CHECK_STR(strstr(log, " again:"), " again:*[\"subscribe\" \"back2\" :1]");
    CHECK_INT(sync_int(pub, "PUBLISH back2 m"), 1);
    PUMP_LOG(&c, "again:*[\"message\" \"back2\" \"m\"]");
    ask(&c, NULL, "UNSUBSCRIBE");
    ask(&c, "hmget", "HMGET nosuch f1 f2 f3");
    PUMP_LOG(&c, "again:*[\"unsubscribe\" \"back2\" :0] hmget:*[nil nil nil]");
    CHECK(!subscribed(&c));
    conn_done(&c);
    sync_done(pub);
}

TEST(defects_async, after_hello_2_or_reset_messages_are_understood_as_resp2, "218") {
    back_to_resp2("HELLO 2");
    back_to_resp2("RESET");
}

TEST(defects_async, hello_2_in_the_middle_of_a_subscription_loses_no_message, "218") {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, 3);
    ask(&c, "s", "SUBSCRIBE middle");
    PUMP_LOG(&c, "s:>[\"subscribe\" \"middle\" :1]");
    /* The server keeps the subscription and goes on in RESP2. */
    ask(&c, "hello", "HELLO 2");
    PUMP(&c, strstr(log_text(), "hello:*[") != NULL);
    log_take();
    CHECK_INT(sync_int(pub, "PUBLISH middle m"), 1);
    PUMP_LOG(&c, "s:*[\"message\" \"middle\" \"m\"]");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:*[\"pong\" \"\"]");
    conn_done(&c);
    sync_done(pub);
}

static void monitor_refused(int protocol) {
    redisContext *other = live_sync();
    conn c;
    sync_text(other, "ACL SETUSER nomon on >pw ~* &* +@all -monitor");
    conn_live(&c, protocol);
    ask(&c, "auth", "AUTH nomon pw");
    ask(&c, "m", "MONITOR");
    ask(&c, "set", "SET nomon v");
    ask(&c, "get", "GET nomon");
    PUMP(&c, strstr(log_text(), "get:") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, "auth:+OK m:-NOPERM ") == log);
    CHECK_STR(strstr(log, " set:"), " set:+OK get:\"v\"");
    conn_done(&c);
    CHECK_LOG("disconnect=0");
    sync_text(other, "ACL DELUSER nomon");
    sync_done(other);
}

TEST(defects_async, a_monitor_that_is_refused_takes_nobody_elses_replies, "188 219") {
    resp2_3(monitor_refused);
}

static void monitor_between(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "m:+OK ping:+PONG m:+@ \"PING\"");
    ask(&c, "reset", "RESET");
    ask(&c, "name", "CLIENT SETNAME after");
    PUMP(&c, strstr(log_text(), "name:") != NULL);
    CHECK_LOG_EITHER("reset:+RESET m:NULL name:+OK", "m:NULL reset:+RESET name:+OK");
    sync_text(other, "ECHO unseen");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:+PONG");
    ask(&c, "m", "MONITOR");
    PUMP_LOG(&c, "m:+OK");
    redisAsyncDisconnect(c.ac);
    if (c.ac != NULL) PUMP(&c, c.ac == NULL);
    CHECK_LOG("m:NULL disconnect=0");
    conn_done(&c);
    sync_done(other);
}

TEST(defects_async, monitor_lines_and_replies_are_told_apart_until_reset_or_disconnect, "188 219") {
    resp2_3(monitor_between);
}

static void reply_off(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    sync_text(other, "DEL off");
    ask(&c, "ping", "PING");
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "set", "SET off 1");
    ask(&c, "incr", "INCR off");
    ask(&c, "bad", "NOSUCHCOMMAND");
    ask(&c, NULL, "INCR off");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET off");
    PUMP_LOG(&c, "ping:+PONG off:NULL set:NULL incr:NULL bad:NULL on:+OK get:\"3\"");
    /* ON without OFF is a command like any other, and so is a wrong argument. */
    ask(&c, "on", "client reply on");
    ask(&c, "maybe", "CLIENT REPLY MAYBE");
    ask(&c, "get", "GET off");
    PUMP_LOG(&c, "on:+OK maybe:-ERR syntax error get:\"3\"");
    conn_done(&c);
    CHECK_LOG("disconnect=0");
    sync_done(other);
}

TEST(defects_async, commands_without_reply_get_null_while_replies_are_off, "220") {
    resp2_3(reply_off);
}

static void reply_skip(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "skip", "CLIENT REPLY SKIP");
    ask(&c, "set", "SET skip 1");
    ask(&c, "get", "GET skip");
    PUMP_LOG(&c, "skip:NULL set:NULL get:\"1\"");
    /* Twice: the second is what the first skips, and it skips another. */
    ask(&c, "skip1", "CLIENT REPLY SKIP");
    ask(&c, "skip2", "CLIENT REPLY SKIP");
    ask(&c, "one", "INCR skip");
    ask(&c, "two", "INCR skip");
    PUMP_LOG(&c, "skip1:NULL skip2:NULL one:NULL two::3");
    /* Inside OFF it changes nothing. */
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "skip", "CLIENT REPLY SKIP");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET skip");
    PUMP_LOG(&c, "off:NULL skip:NULL on:+OK get:\"3\"");
    conn_done(&c);
}

TEST(defects_async, client_reply_skip_skips_one_reply, "220") {
    resp2_3(reply_skip);
}

static void reply_off_end(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    sync_text(other, "DEL offend");
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "set", "SET offend 1");
    redisAsyncDisconnect(c.ac);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("off:NULL set:NULL disconnect=0");
    conn_done(&c);
    for (int i = 0; i < 200 && strcmp(sync_text(other, "GET offend"), "nil") == 0; i++) test_sleep_ms(10);
    CHECK_STR(sync_text(other, "GET offend"), "\"1\"");

    /* RESET switches replies on again. */
    conn_live(&c, protocol);
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "set", "SET offend 2");
    ask(&c, "reset", "RESET");
    ask(&c, "get", "GET offend");
    PUMP_LOG(&c, "off:NULL set:NULL reset:+RESET get:\"2\"");
    conn_done(&c);
    sync_done(other);
}

TEST(defects_async, a_disconnect_does_not_wait_for_replies_that_will_not_come, "220") {
    resp2_3(reply_off_end);
}

/* What was asked before the refusal is known may have been given up, in order; what is asked
 * afterwards gets its reply. */
static void off_refused(conn *c) {
    static const char *const switches[] = {"CLIENT REPLY OFF", "CLIENT REPLY SKIP"};
    for (int i = 0; i < 2; i++) {
        ask(c, "off", switches[i]);
        ask(c, "one", "PING 1");
        ask(c, "two", "PING 2");
        for (double end = test_now() + 0.2; test_now() < end && c->ac != NULL;) conn_step(c, 10);
        CHECK(c->ac != NULL);
        const char *log = log_take(), *one = strstr(log, " one:"), *two = strstr(log, " two:");
        CHECK(strstr(log, "off:NULL") == log || strstr(log, "off:-") == log);
        CHECK(one != NULL && two != NULL && one < two);
        CHECK(strncmp(one, " one:NULL", 9) == 0 || strstr(one, "\"1\"") != NULL);
        CHECK(strncmp(two, " two:NULL", 9) == 0 || strstr(two, "\"2\"") != NULL);
        ask(c, "three", "PING 3");
        ask(c, "four", "PING 4");
        PUMP_LOG(c, subscribed(c) ? "three:*[\"pong\" \"3\"] four:*[\"pong\" \"4\"]"
                                  : "three:\"3\" four:\"4\"");
    }
}

static void reply_off_refused(int protocol) {
    redisContext *other = live_sync();
    conn c;
    sync_text(other, "ACL SETUSER noclient on >pw ~* &* +@all -client");
    conn_live(&c, protocol);
    ask(&c, "auth", "AUTH noclient pw");
    PUMP_LOG(&c, "auth:+OK");
    off_refused(&c);
    conn_done(&c);
    sync_text(other, "ACL DELUSER noclient");
    sync_done(other);
    if (protocol == 3) return;
    /* A subscribed RESP2 connection may not send CLIENT. */
    conn_live(&c, 2);
    ask(&c, "s", "SUBSCRIBE offrefused");
    PUMP_LOG(&c, "s:*[\"subscribe\" \"offrefused\" :1]");
    off_refused(&c);
    conn_done(&c);
}

TEST(defects_async, when_client_reply_is_refused_replies_go_on, "220") {
    resp2_3(reply_off_refused);
}

/* An error after CLIENT REPLY SKIP and a command that is skipped; the pairing must go on. */
static void other_error(const char *command, const char *error) {
    conn c;
    conn_up(&c);
    ask(&c, "skip", "CLIENT REPLY SKIP");
    ask(&c, "set", "SET k v");
    ask(&c, "bad", command);
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    CHECK_LOG("skip:NULL set:NULL");
    serve(&c, test_printf("%s\r\n$1\r\nA\r\n$1\r\nB\r\n", error));
    CHECK_STR(log_take(), test_printf("bad:%s a:\"A\" b:\"B\"", error));
    CHECK_INT(list_length(&c.ac->replies), 0);
    conn_done(&c);
}

static void other_error_live(int protocol) {
    static const char *const commands[] = {"CLIENT KILL 1.2.3.4:5", "CLIENT KILL ID no", "clientfoo x",
                                           "CLIENT NOSUCH"};
    conn c;
    conn_live(&c, protocol);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        ask(&c, "skip", "CLIENT REPLY SKIP");
        ask(&c, "set", "SET refusal v");
        ask(&c, "bad", commands[i]);
        ask(&c, "one", "PING 1");
        ask(&c, "two", "PING 2");
        PUMP(&c, list_length(&c.ac->replies) == 0);
        const char *log = log_take();
        CHECK(strstr(log, "skip:NULL set:NULL bad:-ERR ") == log);
        CHECK_STR(strstr(log, " one:"), " one:\"1\" two:\"2\"");
    }
    conn_done(&c);
}

TEST(defects_async, only_an_error_about_client_reply_itself_is_its_refusal, "220") {
    other_error("CLIENT KILL ID 99999", "-ERR No such client");
    other_error("clientfoo x", "-ERR unknown command 'clientfoo', with args beginning with: 'x' ");
    other_error("CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.");
    other_error("CLIENT KILL ID 1",
                "-NOPERM User joe has no permissions to run the 'client|kill' command");
    other_error("GET client", "-NOPERM No permissions to access a key");
    resp2_3(other_error_live);
}

TEST(defects_async, a_word_client_among_the_arguments_is_no_refusal_of_client_reply, "220") {
    other_error("nosuch CLIENT", "-ERR unknown command 'nosuch', with args beginning with: 'CLIENT' ");
    other_error("nosuch client", "-ERR unknown command `nosuch`, with args beginning with: `client`, ");
}

/* The refusals that servers write, each for two commands: CLIENT REPLY and the one after it. */
TEST(defects_async, a_refusal_of_client_reply_in_any_wording_drops_only_the_replies_given_up, "220") {
    static const char *const refusals[] = {
        "-NOPERM User joe has no permissions to run the 'client|reply' command",
        "-NOPERM this user has no permissions to run the 'client|reply' command",
        "-NOPERM this user has no permissions to run the 'client' command or its subcommand",
        "-NOAUTH Authentication required.",
        "-ERR unknown command 'CLIENT', with args beginning with: 'REPLY' 'SKIP' ",
        "-ERR unknown command `client`, with args beginning with: `reply`, `skip`, ",
        "-ERR Can't execute 'client|reply': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE are allowed",
    };
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        conn c;
        conn_up(&c);
        ask(&c, "skip", "CLIENT REPLY SKIP");
        ask(&c, "set", "SET k v");
        ask(&c, "a", "GET a");
        ask(&c, "kill", "CLIENT KILL ID 99999");
        ask(&c, "b", "GET b");
        flush(&c);
        CHECK_LOG("skip:NULL set:NULL");
        serve(&c, refusals[i]);
        serve(&c, "\r\n+OK\r\n$1\r\nA\r\n-ERR No such client\r\n$1\r\nB\r\n");
        CHECK_LOG("a:\"A\" kill:-ERR No such client b:\"B\"");
        /* Once more, with an error of another kind in between. */
        ask(&c, "skip", "CLIENT REPLY SKIP");
        ask(&c, "set", "SET k v");
        ask(&c, "kill", "CLIENT KILL ID 99999");
        ask(&c, "b", "GET b");
        flush(&c);
        CHECK_LOG("skip:NULL set:NULL");
        serve(&c, "-ERR No such client\r\n$1\r\nB\r\n");
        CHECK_LOG("kill:-ERR No such client b:\"B\"");
        conn_done(&c);
    }
}

static void off_around_multi(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "del", "DEL offmulti");
    PUMP(&c, list_length(&c.ac->replies) == 0);
    log_take();
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "multi", "MULTI");
    ask(&c, "set", "SET offmulti 1");
    ask(&c, "exec", "EXEC");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET offmulti");
    PUMP_LOG(&c, "off:NULL multi:NULL set:NULL exec:NULL on:+OK get:\"1\"");
    /* DISCARD ends a transaction as well. */
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "multi", "MULTI");
    ask(&c, "set", "SET offmulti 2");
    ask(&c, "discard", "DISCARD");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET offmulti");
    PUMP_LOG(&c, "off:NULL multi:NULL set:NULL discard:NULL on:+OK get:\"1\"");
    /* SKIP skips the reply to MULTI alone. */
    ask(&c, "skip", "CLIENT REPLY SKIP");
    ask(&c, "multi", "MULTI");
    ask(&c, "incr", "INCR offmulti");
    ask(&c, "exec", "EXEC");
    ask(&c, "get", "GET offmulti");
    PUMP_LOG(&c, "skip:NULL multi:NULL incr:+QUEUED exec:*[:2] get:\"2\"");
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET offmulti");
    PUMP_LOG(&c, "off:NULL on:+OK get:\"2\"");
    conn_done(&c);
    CHECK_LOG("disconnect=0");
}

TEST(defects_async, a_transaction_while_replies_are_off_keeps_replies_paired, "220") {
    resp2_3(off_around_multi);
}

static void off_after_refused_multi(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "multi", "MULTI x");
    PUMP(&c, list_length(&c.ac->replies) == 0);
    CHECK(strstr(log_take(), "multi:-ERR wrong number of arguments") != NULL);
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "set", "SET refusedmulti 1");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET refusedmulti");
    ask(&c, "two", "PING 2");
    PUMP_LOG(&c, "off:NULL set:NULL on:+OK get:\"1\" two:\"2\"");
    /* In one go the refusal is not known yet: OFF may be refused, but not be mistaken. */
    ask(&c, "multi", "MULTI x");
    int accepted = ask_try(&c, "off", "CLIENT REPLY OFF") == REDIS_OK;
    ask(&c, "set", "SET refusedmulti 2");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET refusedmulti");
    ask(&c, "two", "PING 2");
    PUMP(&c, strstr(log_text(), " two:") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, "multi:-ERR wrong number of arguments") == log);
    CHECK_STR(strstr(log, accepted ? " off:" : " set:"),
              accepted ? " off:NULL set:NULL on:+OK get:\"2\" two:\"2\""
                       : " set:+OK on:+OK get:\"2\" two:\"2\"");
    conn_done(&c);
    CHECK_LOG("disconnect=0");
}

TEST(defects_async, client_reply_off_after_a_refused_multi_keeps_replies_paired, "220") {
    resp2_3(off_after_refused_multi);
}

static void off_inside_multi(int protocol) {
    static const char *const switches[] = {"CLIENT REPLY OFF", "client reply skip"};
    conn c;
    conn_live(&c, protocol);
    for (int i = 0; i < 2; i++) {
        ask(&c, "multi", "MULTI");
        for (int answered = 0; answered < 2; answered++) {
            size_t len = sdslen(c.ac->c.obuf), waiting = list_length(&c.ac->replies);
            CHECK_INT(ask_try(&c, "off", switches[i]), REDIS_ERR);
            CHECK_UINT(sdslen(c.ac->c.obuf), len);
            CHECK_UINT(list_length(&c.ac->replies), waiting);
            CHECK_INT(c.ac->err, 0);
            if (!answered) PUMP_LOG(&c, "multi:+OK");
        }
        ask(&c, "set", "SET insidemulti 1");
        ask(&c, "on", "CLIENT REPLY ON");
        ask(&c, "exec", "EXEC");
        ask(&c, "get", "GET insidemulti");
        PUMP_LOG(&c, "set:+QUEUED on:+QUEUED exec:*[+OK +OK] get:\"1\"");
        ask(&c, "off", switches[i]);
        ask(&c, "set", "SET insidemulti 2");
        ask(&c, "on", "CLIENT REPLY ON");
        ask(&c, "get", "GET insidemulti");
        PUMP_LOG(&c, "off:NULL set:NULL on:+OK get:\"2\"");
    }
    conn_done(&c);
    CHECK_LOG("disconnect=0");
}

TEST(defects_async, client_reply_off_and_skip_inside_multi_are_refused_and_nothing_is_sent, "220") {
    resp2_3(off_inside_multi);
}

/* The server would execute it in the middle of EXEC, and send what comes after without a head. */
static void on_inside_silent_multi(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "multi", "MULTI");
    ask(&c, "set", "SET silent 1");
    size_t len = sdslen(c.ac->c.obuf);
    CHECK_INT(ask_try(&c, "no", "CLIENT REPLY ON"), REDIS_ERR);
    CHECK_UINT(sdslen(c.ac->c.obuf), len);
    CHECK_INT(c.ac->err, 0);
    ask(&c, "incr", "INCR silent");
    ask(&c, "exec", "EXEC");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET silent");
    PUMP_LOG(&c, "off:NULL multi:NULL set:NULL incr:NULL exec:NULL on:+OK get:\"2\"");
    conn_done(&c);
    CHECK_LOG("disconnect=0");
}

TEST(defects_async, client_reply_on_inside_a_silent_multi_is_refused_and_nothing_is_sent, "220") {
    resp2_3(on_inside_silent_multi);
}

/* What a silent server does not confirm is over once it answers again. */
static void silent_subscription(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "multi", "MULTI");
    ask(&c, "s", "SUBSCRIBE silent");
    ask(&c, "discard", "DISCARD");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "ping", "ECHO hello");
    PUMP_LOG(&c, "off:NULL multi:NULL s:NULL discard:NULL on:+OK ping:\"hello\"");
    conn_done(&c);
    CHECK_LOG("disconnect=0");
}

TEST(defects_async, a_subscription_that_a_silent_server_does_not_confirm_shifts_no_reply, "220") {
    resp2_3(silent_subscription);
}

TEST(defects_async, what_the_reply_to_exec_has_no_room_for_is_nobodys_reply, "220") {
    conn c;
    for (int named = 0; named < 2; named++) {
        conn_live(&c, 3);
        ask(&c, "s", "SUBSCRIBE q r s");
        PUMP(&c, list_length(&c.ac->replies) == 0 && strstr(log_text(), ":3]") != NULL);
        log_take();
        ask(&c, "multi", "MULTI");
        ask(&c, NULL, named ? "UNSUBSCRIBE q r s" : "UNSUBSCRIBE");
        ask(&c, "get", "GET none");
        ask(&c, "exec", "EXEC");
        ask(&c, "1", "PING one");
        ask(&c, "2", "PING two");
        PUMP(&c, strstr(log_text(), "2:") != NULL);
        const char *exec = strstr(log_text(), "exec:");
        CHECK(exec != NULL);
        CHECK(strstr(exec, " 1:\"one\" 2:\"two\"") != NULL);
        log_take();
        conn_done(&c);
        CHECK_LOG("disconnect=0");
    }
}

TEST(defects_async, silence_may_be_refused_while_output_is_pending, "220") {
    int small = 4096;
    conn c;
    conn_up(&c);
    CHECK_INT(setsockopt(c.ac->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    char *value = test_bytes(1 << 20);
    memset(value, 'v', 1 << 20);
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "set", "SET k %b", value, (size_t)1 << 20);
    ask(&c, "ping", "PING");
    redisAsyncHandleWrite(c.ac);
    CHECK(sdslen(c.ac->c.obuf) > 0);
    serve(&c, "-NOPERM this user has no permissions to run the 'client|reply' command\r\n");
    CHECK_LOG("off:-NOPERM this user has no permissions to run the 'client|reply' command");
    while (c.writing) {
        redisAsyncHandleWrite(c.ac);
        sent(&c);
    }
    serve(&c, "+OK\r\n+PONG\r\n");
    CHECK_LOG("set:+OK ping:+PONG");
    conn_done(&c);
}

/* Asks the rest of a batch with a value that does not fit the socket, so that output is pending. */
static void ask_too_much(conn *c) {
    int small = 4096;
    CHECK_INT(setsockopt(c->ac->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    char *value = test_bytes(1 << 20);
    memset(value, 'v', 1 << 20);
    ask(c, "set", "SET k %b", value, (size_t)1 << 20);
    redisAsyncHandleWrite(c->ac);
    CHECK(sdslen(c->ac->c.obuf) > 0);
}

static void flush_all(conn *c) {
    while (c->writing) {
        redisAsyncHandleWrite(c->ac);
        sent(c);
    }
}

static void confirmed_behind_a_skipped_reply(int protocol) {
    conn c;
    conn_up(&c);
    if (protocol == 3) {
        ask(&c, NULL, "HELLO 3");
        flush(&c);
        serve(&c, "%1\r\n+proto\r\n:3\r\n");
    }
    ask(&c, "skip", "CLIENT REPLY SKIP");
    ask(&c, "skipped", "SET a b");
    ask(&c, "s", "SUBSCRIBE ch");
    ask(&c, NULL, "UNSUBSCRIBE ch");
    ask_too_much(&c);
    serve(&c, shaped(protocol, "^3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"));
    CHECK_LOG(shaped(protocol, "skip:NULL skipped:NULL s:^[\"subscribe\" \"ch\" :1]"));
    serve(&c, shaped(protocol, "^3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:0\r\n"));
    CHECK_LOG(shaped(protocol, "s:^[\"unsubscribe\" \"ch\" :0]"));
    CHECK_INT(c.ac->c.flags & REDIS_SUBSCRIBED, 0);
    flush_all(&c);
    serve(&c, "+OK\r\n");
    CHECK_LOG("set:+OK");
    conn_done(&c);
}

TEST(defects_async, a_subscription_behind_a_skipped_reply_is_confirmed_while_output_is_pending, "220") {
    resp2_3(confirmed_behind_a_skipped_reply);
}

TEST(defects_async, a_refused_subscription_behind_a_skipped_reply_hears_so_while_output_is_pending, "220") {
    conn c;
    conn_up(&c);
    ask(&c, "skip", "CLIENT REPLY SKIP");
    ask(&c, "skipped", "SET a b");
    ask(&c, "s", "SUBSCRIBE ch");
    ask(&c, "get", "GET a");
    ask_too_much(&c);
    serve(&c, "-NOPERM no channel\r\n$1\r\nb\r\n");
    CHECK_LOG("skip:NULL skipped:NULL s:-NOPERM no channel get:\"b\"");
    flush_all(&c);
    serve(&c, "+OK\r\n");
    CHECK_LOG("set:+OK");
    conn_done(&c);
}

static int repeated;

static void repeat_when_silent(redisAsyncContext *ac, void *reply, void *privdata) {
    (void)privdata;
    async_reply(ac, reply, NAME(repeated == 0 ? "first" : "again"));
    if (reply == NULL && ++repeated < 1000) redisAsyncCommand(ac, repeat_when_silent, NULL, "SET a b");
}

/* Also when its callbacks never cease to send. */
TEST(defects_async, a_server_that_answers_although_told_to_be_silent_is_believed, "220") {
    static const char *const answers[] = {"-ERR no such thing\r\n", "+OK\r\n"};
    for (int i = 0; i < 2; i++) {
        conn c;
        conn_up(&c);
        repeated = 0;
        ask(&c, "off", "CLIENT REPLY OFF");
        CHECK_INT(redisAsyncCommand(c.ac, repeat_when_silent, NULL, "SET a b"), REDIS_OK);
        redisAsyncHandleWrite(c.ac);
        CHECK_LOG("off:NULL first:NULL");
        serve(&c, answers[i]); /* to CLIENT REPLY */
        serve(&c, "+FIRST\r\n");
        CHECK_LOG("");
        redisAsyncHandleWrite(c.ac);
        serve(&c, "+AGAIN\r\n");
        CHECK_LOG("again:+AGAIN");
        ask(&c, "ping", "PING");
        redisAsyncHandleWrite(c.ac);
        serve(&c, "+PONG\r\n");
        CHECK_LOG("ping:+PONG");
        conn_done(&c);
    }
}

TEST(defects_async, a_line_of_monitor_before_its_refusal_does_not_confirm_silence, "220") {
    conn c;
    conn_up(&c);
    ask(&c, "m", "MONITOR");
    ask(&c, "off", "CLIENT REPLY OFF");
    redisAsyncHandleWrite(c.ac);
    serve(&c, "+OK\r\n");
    serve(&c, "+123.4 [0 127.0.0.1:1] \"GET\" \"x\"\r\n");
    log_take();
    serve(&c, "-NOPERM this user has no permissions to run the 'client|reply' command\r\n");
    CHECK(c.ac != NULL);
    ask(&c, "ping", "PING");
    redisAsyncHandleWrite(c.ac);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("ping:+PONG");
    conn_done(&c);
}

TEST(defects_async, a_busy_server_may_refuse_silence, "220") {
    static const char *const states[] = {"-BUSY x\r\n", "-LOADING x\r\n", "-MASTERDOWN x\r\n"};
    for (int i = 0; i < 3; i++) {
        conn c;
        conn_up(&c);
        ask(&c, "skip", "CLIENT REPLY SKIP");
        ask(&c, "1", "GET a");
        ask(&c, "2", "GET b");
        ask(&c, "3", "GET c");
        redisAsyncHandleWrite(c.ac);
        serve(&c, states[i]);
        serve(&c, states[i]);
        serve(&c, "$2\r\nv2\r\n$2\r\nv3\r\n");
        CHECK_LOG("skip:NULL 1:NULL 2:\"v2\" 3:\"v3\"");
        conn_done(&c);
    }
}

TEST(defects_async, a_refused_silence_is_over_before_a_subscription_behind_it, "220") {
    conn c;
    conn_up(&c);
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "set", "SET a b");
    ask(&c, "s", "SUBSCRIBE ch");
    redisAsyncHandleWrite(c.ac);
    serve(&c, "-NOPERM this user has no permissions to run the 'client|reply' command\r\n");
    serve(&c, "-NOPERM this user has no permissions to run the 'set' command\r\n");
    serve(&c, "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n");
    serve(&c, "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n");
    CHECK_LOG("off:NULL set:NULL s:*[\"subscribe\" \"ch\" :1] s:*[\"message\" \"ch\" \"m\"]");
    conn_done(&c);
}

TEST(defects_async, a_monitor_in_a_transaction_is_none_for_the_next, "220") {
    conn c;
    conn_live(&c, 2);
    ask(&c, "multi", "MULTI");
    ask(&c, "m1", "MONITOR");
    ask(&c, "exec", "EXEC");
    PUMP(&c, strstr(log_text(), "exec:") != NULL);
    CHECK(strstr(log_take(), "multi:+OK m1:+QUEUED exec:*[-ERR ") != NULL);
    ask(&c, "m2", "MONITOR");
    PUMP_LOG(&c, "m2:+OK");
    conn_done(&c);
    CHECK_LOG("m2:NULL disconnect=0");
}

static void nested_multi(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "multi", "MULTI");
    ask(&c, "nested", "MULTI");
    PUMP(&c, list_length(&c.ac->replies) == 0);
    CHECK(strstr(log_take(), "multi:+OK nested:-ERR ") != NULL);
    /* The server is still in the first one. */
    CHECK_INT(ask_try(&c, "off", "CLIENT REPLY OFF"), REDIS_ERR);
    ask(&c, "discard", "DISCARD");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "discard:+OK ping:+PONG");
    /* A refused one before one that is accepted. */
    ask(&c, "refused", "MULTI x");
    ask(&c, "multi", "MULTI");
    PUMP(&c, list_length(&c.ac->replies) == 0);
    CHECK(strstr(log_take(), " multi:+OK") != NULL);
    CHECK_INT(ask_try(&c, "off", "CLIENT REPLY OFF"), REDIS_ERR);
    ask(&c, "discard", "DISCARD");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "discard:+OK ping:+PONG");
    conn_done(&c);
}

TEST(defects_async, a_second_multi_that_is_refused_does_not_end_the_first, "220") {
    resp2_3(nested_multi);
}

TEST(defects_async, messages_still_arrive_while_replies_are_off, "220") {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, 3);
    ask(&c, "s", "SUBSCRIBE offmsg");
    ask(&c, "off", "CLIENT REPLY OFF");
    ask(&c, "set", "SET offmsg 1");
    PUMP_LOG(&c, "s:>[\"subscribe\" \"offmsg\" :1] off:NULL set:NULL");
    sync_int(pub, "PUBLISH offmsg m");
    PUMP_LOG(&c, "s:>[\"message\" \"offmsg\" \"m\"]");
    ask(&c, "on", "CLIENT REPLY ON");
    ask(&c, "get", "GET offmsg");
    PUMP_LOG(&c, "on:+OK get:\"1\"");
    conn_done(&c);
    sync_done(pub);
}

static void unasked_unsubscribe(int protocol) {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE foo");
    flush(&c);
    serve(&c, shaped(protocol, "^3\r\n$9\r\nsubscribe\r\n$3\r\nfoo\r\n:1\r\n"));
    const char *unasked = shaped(protocol, "^3\r\n$11\r\nunsubscribe\r\n$3\r\nbar\r\n:1\r\n");
    for (int i = 0; i < 3; i++) serve(&c, unasked);
    CHECK_LOG(shaped(protocol, "s:^[\"subscribe\" \"foo\" :1]"));
    CHECK(subscribed(&c));
    CHECK(c.ac->sub.pending_unsubs >= 0);
    ask(&c, NULL, "UNSUBSCRIBE foo");
    ask(&c, "get", "GET k");
    flush(&c);
    serve(&c, shaped(protocol, "^3\r\n$11\r\nunsubscribe\r\n$3\r\nfoo\r\n:0\r\n"));
    CHECK_LOG(shaped(protocol, "s:^[\"unsubscribe\" \"foo\" :0]"));
    CHECK(!subscribed(&c));
    serve(&c, "*3\r\n:1\r\n:2\r\n:3\r\n");
    CHECK_LOG("get:*[:1 :2 :3]");
    conn_done(&c);
}

TEST(defects_async, unsubscribe_messages_nobody_asked_for_do_not_block_leaving_subscribed_mode, "186 222") {
    resp2_3(unasked_unsubscribe);
}

static void server_unsubscribes(int protocol) {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE foo");
    flush(&c);
    serve(&c, shaped(protocol, "^3\r\n$9\r\nsubscribe\r\n$3\r\nfoo\r\n:1\r\n"));
    serve(&c, shaped(protocol, "^3\r\n$11\r\nunsubscribe\r\n$3\r\nfoo\r\n:0\r\n"));
    CHECK_LOG(shaped(protocol, "s:^[\"subscribe\" \"foo\" :1] s:^[\"unsubscribe\" \"foo\" :0]"));
    CHECK(!subscribed(&c));
    ask(&c, "get", "GET k");
    flush(&c);
    serve(&c, "*3\r\n:1\r\n:2\r\n:3\r\n");
    CHECK_LOG("get:*[:1 :2 :3]");
    conn_done(&c);
}

TEST(defects_async, an_unsubscribe_by_the_server_is_the_last_message_of_the_subscription, "186 222") {
    resp2_3(server_unsubscribes);
}

static void disconnect_after_set(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    sync_text(other, "DEL sent");
    ask(&c, "s", "SUBSCRIBE sent");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"subscribe\" \"sent\" :1]"));
    ask(&c, "set", protocol == 3 ? "SET sent 1" : "PING");
    redisAsyncDisconnect(c.ac);
    CHECK_INT(ask_try(&c, "late", "PING"), REDIS_ERR);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG(protocol == 3 ? "set:+OK s:NULL disconnect=0" : "set:*[\"pong\" \"\"] s:NULL disconnect=0");
    if (protocol == 3) CHECK_STR(sync_text(other, "GET sent"), "\"1\"");
    conn_done(&c);

    /* A subscription that was accepted is sent and confirmed as well. */
    conn_live(&c, protocol);
    ask(&c, "s", "SUBSCRIBE sent");
    redisAsyncDisconnect(c.ac);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG(shaped(protocol, "s:^[\"subscribe\" \"sent\" :1] s:NULL disconnect=0"));
    conn_done(&c);

    /* So is an unsubscribe. */
    conn_live(&c, protocol);
    ask(&c, "s", "SUBSCRIBE sent");
    ask(&c, NULL, "UNSUBSCRIBE sent");
    redisAsyncDisconnect(c.ac);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG(shaped(protocol, "s:^[\"subscribe\" \"sent\" :1] s:^[\"unsubscribe\" \"sent\" :0] "
                               "disconnect=0"));
    conn_done(&c);
    sync_done(other);
}

TEST(defects_async, a_clean_disconnect_writes_what_was_accepted_and_waits_for_its_replies, "155 223") {
    resp2_3(disconnect_after_set);
}

/* ---- Life of a context --------------------------------------------------------- */

static void again_on_null(conn *c, const char *name, redisReply *reply) {
    if (reply != NULL) return;
    c->count++;
    CHECK(c->count < 10);
    CHECK_INT(ask_try(c, name, "GET again"), REDIS_ERR);
}

TEST(defects_async, a_null_callback_that_asks_again_during_a_timeout_is_refused, "161 224") {
    conn c;
    conn_up_with(&c, 0, 10);
    c.on_reply = again_on_null;
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    expire(&c);
    CHECK_LOG("a:NULL b:NULL disconnect=-1");
    conn_done(&c);
}

static void free_in_push(conn *c, redisReply *reply) {
    (void)reply;
    redisAsyncFree(c->ac);
}

static void free_in_connect(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    redisAsyncFree(c->ac);
}

static void free_in_reply(conn *c, const char *name, redisReply *reply) {
    (void)name;
    (void)reply;
    redisAsyncFree(c->ac);
}

TEST(defects_async, a_free_in_a_push_callback_takes_effect_right_after_it, "170 225") {
    conn c;
    conn_up(&c);
    c.on_push = free_in_push;
    serve(&c, ">2\r\n$10\r\ninvalidate\r\n_\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n");
    CHECK_LOG("push:>[\"invalidate\" nil] disconnect=0");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

TEST(defects_async, a_free_in_a_failed_connect_callback_takes_effect_right_after_it, "167 225") {
    for (int options = 0; options <= REDIS_OPT_NOAUTOFREE; options += REDIS_OPT_NOAUTOFREE) {
        redisOptions o = {0};
        int dead;
        conn c;
        conn_zero(&c);
        c.on_connect = free_in_connect;
        o.options = options;
        REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", hand_dead_port(&dead));
        conn_adopt(&c, redisAsyncConnectWithOptions(&o));
        PUMP(&c, c.ac == NULL);
        CHECK_LOG("connect=-1");
        conn_done(&c);
        close(dead);
    }
}

TEST(defects_async, a_free_in_a_callback_of_a_timeout_takes_effect, "167 225") {
    for (int options = 0; options <= REDIS_OPT_NOAUTOFREE; options += REDIS_OPT_NOAUTOFREE) {
        conn c;
        conn_up_with(&c, options, 10);
        c.on_reply = free_in_reply;
        ask(&c, "a", "GET a");
        ask(&c, "b", "GET b");
        flush(&c);
        expire(&c);
        CHECK_LOG("a:NULL b:NULL disconnect=0");
        CHECK(c.ac == NULL);
        conn_done(&c);
    }
}

TEST(defects_async, with_noautofree_everybody_is_told_when_the_server_closes, "165 226") {
    conn c;
    conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
    c.ends = 1;
    ask(&c, "a", "GET a");
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    hang_up(&c);
    CHECK_LOG("cleanup a:NULL s:NULL disconnect=-1");
    CHECK(c.ac != NULL);
    CHECK_INT(c.ac->err, REDIS_ERR_EOF);
    redisAsyncFree(c.ac);
    CHECK_LOG("data privdata");
    conn_done(&c);
}

TEST(defects_async, a_disconnect_before_the_connection_is_up_is_told_to_the_connect_callback, "227") {
    conn c;
    conn_zero(&c);
    c.ends = 1;
    conn_open(&c);
    redisAsyncDisconnect(c.ac);
    CHECK_LOG_EITHER("connect=-1 cleanup data privdata", "cleanup connect=-1 data privdata");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

static void events_in_reply(conn *c, const char *name, redisReply *reply) {
    (void)name;
    (void)reply;
    redisAsyncHandleRead(c->ac);
    redisAsyncHandleWrite(c->ac);
    redisAsyncHandleTimeout(c->ac);
    c->count++;
}

static void events_in_status(conn *c, int status) {
    (void)status;
    events_in_reply(c, NULL, NULL);
}

static void events_in_push(conn *c, redisReply *reply) {
    events_in_reply(c, NULL, reply);
}

TEST(defects_async, events_handled_inside_a_callback_have_no_effect, "228") {
    conn c;
    conn_zero(&c);
    c.on_connect = events_in_status;
    c.on_disconnect = events_in_status;
    c.on_reply = events_in_reply;
    c.on_push = events_in_push;
    conn_open(&c);
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    CHECK_LOG("connect=0");
    serve(&c, ">1\r\n+x\r\n$1\r\nA\r\n");
    CHECK_LOG("push:>[+x] a:\"A\"");
    hang_up(&c);
    CHECK_LOG("b:NULL disconnect=-1");
    CHECK_INT(c.count, 5);
    conn_done(&c);
}

/* ---- The functions behind, which TLS libraries call, inside a callback ---- */

static void (*inside)(redisAsyncContext *ac);

static void call_inside(conn *c, const char *name, redisReply *reply) {
    (void)name;
    (void)reply;
    note("<");
    inside(c->ac);
    note(">");
}

static void call_inside_status(conn *c, int status) {
    (void)status;
    call_inside(c, NULL, NULL);
}

static void call_inside_push(conn *c, redisReply *reply) {
    call_inside(c, NULL, reply);
}

static void call_inside_and_free(conn *c, const char *name, redisReply *reply) {
    call_inside(c, name, reply);
    redisAsyncFree(c->ac);
}

TEST(defects_async, the_transports_functions_have_no_effect_inside_a_callback, "228") {
    static void (*const functions[])(redisAsyncContext *) = {redisProcessCallbacks, redisAsyncRead,
                                                             redisAsyncWrite};
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        conn c;
        inside = functions[i];
        conn_zero(&c);
        c.on_connect = call_inside_status;
        c.on_disconnect = call_inside_status;
        c.on_reply = call_inside;
        c.on_push = call_inside_push;
        conn_open(&c);
        ask(&c, "a", "GET a");
        ask(&c, "b", "GET b");
        flush(&c);
        CHECK_LOG("connect=0 < >");
        serve(&c, ">1\r\n+x\r\n$1\r\nA\r\n>1\r\n+y\r\n$1\r\nB\r\n");
        CHECK_LOG("push:>[+x] < > a:\"A\" < > push:>[+y] < > b:\"B\" < >");
        /* In callbacks with a NULL reply and while others still wait. */
        ask(&c, "a", "GET a");
        ask(&c, "s", "SUBSCRIBE ch");
        flush(&c);
        hang_up(&c);
        CHECK_LOG("a:NULL < > s:NULL < > disconnect=-1 < >");
        CHECK(c.ac == NULL);
        conn_done(&c);

        /* Freed by the same callback, with more replies at hand. */
        conn_up(&c);
        c.on_reply = call_inside_and_free;
        ask(&c, "a", "GET a");
        ask(&c, "b", "GET b");
        flush(&c);
        serve(&c, "$1\r\nA\r\n$1\r\nB\r\n");
        CHECK_LOG("a:\"A\" < > b:NULL < > disconnect=0");
        CHECK(c.ac == NULL);
        conn_done(&c);
    }
}

TEST(defects_async, a_disconnect_by_the_transport_inside_a_callback_waits_for_its_return, "228") {
    conn c;
    inside = __redisAsyncDisconnect;
    conn_up(&c);
    c.on_reply = call_inside;
    c.on_disconnect = call_inside_status;
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    serve(&c, "$1\r\nA\r\n");
    CHECK_LOG("a:\"A\" < > b:NULL < > s:NULL < > disconnect=-1 < >");
    CHECK(c.ac == NULL);
    conn_done(&c);

    conn_up(&c);
    c.on_reply = call_inside_and_free;
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    serve(&c, "$1\r\nA\r\n");
    CHECK_LOG("a:\"A\" < > b:NULL < > disconnect=0");
    conn_done(&c);

    conn_zero(&c);
    c.on_connect = call_inside_status;
    conn_open(&c);
    ask(&c, "a", "GET a");
    flush(&c);
    CHECK_LOG("connect=0 < > a:NULL disconnect=-1");
    CHECK(c.ac == NULL);
    conn_done(&c);

    conn_up(&c);
    c.on_push = call_inside_push;
    ask(&c, "a", "GET a");
    flush(&c);
    serve(&c, ">1\r\n+x\r\n");
    CHECK_LOG("push:>[+x] < > a:NULL disconnect=-1");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

TEST(defects_async, a_dead_context_hands_out_nothing_more, "165 226") {
    static const char *const rest[] = {
        "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n+str\r\n*3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n",
        "*2\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n>1\r\n+x\r\n",
        ">1\r\n$9\r\nsubscribe\r\n>1\r\n+x\r\n+MORE\r\n",
    };
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        conn c;
        conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
        ask(&c, "s", "SUBSCRIBE channel");
        flush(&c);
        serve(&c, rest[i]);
        CHECK_LOG("s:NULL disconnect=-1");
        CHECK(c.ac != NULL);
        CHECK_INT(c.ac->err, REDIS_ERR_PROTOCOL);
        redisProcessCallbacks(c.ac);
        redisAsyncRead(c.ac);
        redisAsyncWrite(c.ac);
        CHECK_LOG("");
        CHECK(c.ac != NULL);
        redisAsyncFree(c.ac);
        CHECK_LOG("");
        conn_done(&c);
    }
}

TEST(defects_async, a_command_on_a_context_whose_connect_failed_is_refused, "145 229") {
    conn c;
    conn_zero(&c);
    conn_adopt(&c, redisAsyncConnectUnix(test_printf("%s/no.such.socket", test_tmp())));
    CHECK_INT(c.ac->err, REDIS_ERR_IO);
    CHECK_INT(ask_try(&c, "a", "PING"), REDIS_ERR);
    CHECK_INT(ask_try(&c, "a", "SUBSCRIBE x"), REDIS_ERR);
    CHECK_INT(ask_formatted(&c, "a", "*1\r\n$4\r\nPING\r\n", 14), REDIS_ERR);
    CHECK_INT(c.ac->err, REDIS_ERR_IO);
    CHECK_STR(c.ac->errstr, "No such file or directory");
    redisAsyncFree(c.ac);
    CHECK_LOG("");
    conn_done(&c);
}

TEST(defects_async, an_asynchronous_context_on_a_descriptor_of_the_program_works, "150 230") {
    redisOptions o = {0};
    int fd[2];
    conn c;
    hand_pair(fd);
    conn_zero(&c);
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = fd[0];
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    c.server = fd[1];
    ask(&c, "a", "PING");
    flush(&c);
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("connect=0 a:+PONG");
    conn_done(&c);
}

TEST(defects_async, an_empty_command_is_refused, "231") {
    conn c;
    conn_up(&c);
    CHECK_INT(ask_try(&c, "a", ""), REDIS_ERR);
    CHECK_INT(ask_try(&c, "a", "   "), REDIS_ERR);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("a"), 0, NULL, NULL), REDIS_ERR);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("a"), -1, NULL, NULL), REDIS_ERR);
    CHECK_INT(ask_formatted(&c, "a", "", 0), REDIS_ERR);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    CHECK_INT(list_length(&c.ac->replies), 0);
    conn_done(&c);
}

static void refuse_formatted(const char *bytes, size_t len) {
    conn c;
    conn_up(&c);
    /* Nothing behind the bytes may be looked at. */
    char *edge = at_page_end(bytes, len);
    if (ask_formatted(&c, "a", edge, len) != REDIS_ERR) FAIL("accepted: %s", bytes);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    CHECK_INT(list_length(&c.ac->replies), 0);
    CHECK_INT(list_length(sub_replies(c.ac)), 0);
    CHECK(!subscribed(&c));
    conn_done(&c);
    CHECK_LOG("disconnect=0");
}

TEST(defects_async, a_formatted_command_that_is_no_command_is_refused_within_its_length, "231") {
    static const char *const bytes[] = {
        "PING\r\n",
        "*2\r\n$9\r\nSUBSCRIBE\r\n$100000000\r\nx\r\n",
        "*2\r\n$9\r\nSUBSCRIBE\r\n$-1\r\nx\r\n",
        "*2\r\n$9\r\nSUBSCRIBE\r\n$99999999999999999999\r\nx\r\n",
        "*2\r\n$9\r\nSUBSCRIBE\r\n",
        "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx",
        "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r",
        "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nxyz",
        "*2\r\n$9\r\nSUBSCRIBE\r\n:1\r\n",
        "*1\r\n$400\r\nPING\r\n",
        "*1\r\n$18446744073709551615\r\nPING\r\n",
        "*1\r\n$4\r\n",
        "*1\r\n$4",
        "*1\r\n",
        "*1",
        "*",
        "*0\r\n",
        "*-1\r\n",
        "*9999999999999999999999\r\n$4\r\nPING\r\n",
        "*x\r\n$4\r\nPING\r\n",
        "$4\r\nPING\r\n",
        "$",
        "\r\n",
    };
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        refuse_formatted(bytes[i], strlen(bytes[i]));
    /* Every beginning of a good one. */
    static const char good[] = "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r\n$2\r\nyz\r\n";
    for (size_t len = 0; len < sizeof(good) - 1; len++) refuse_formatted(good, len);
}

TEST(defects_async, a_formatted_command_need_not_end_in_nul, "231") {
    static const char get[] = "*2\r\n$3\r\nGET\r\n$3\r\na\0b\r\n";
    static const char sub[] = "*2\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n";
    conn c;
    conn_up(&c);
    CHECK_INT(ask_formatted(&c, "get", at_page_end(get, sizeof(get) - 1), sizeof(get) - 1), REDIS_OK);
    CHECK_INT(ask_formatted(&c, "s", at_page_end(sub, sizeof(sub) - 1), sizeof(sub) - 1), REDIS_OK);
    CHECK(subscribed(&c));
    flush(&c);
    serve(&c, "$1\r\nV\r\n*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n");
    CHECK_LOG("get:\"V\" s:*[\"subscribe\" \"ch\" :1]");
    conn_done(&c);
}

TEST(defects_async, bytes_behind_the_first_formatted_command_are_no_channel_names, "231") {
    static const char two[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$2\r\nch\r\n*2\r\n$4\r\nECHO\r\n$5\r\nother\r\n";
    conn c;
    conn_up(&c);
    if (ask_formatted(&c, "s", two, sizeof(two) - 1) == REDIS_OK) {
        flush(&c);
        hang_up(&c);
        CHECK_LOG("s:NULL disconnect=-1");   /* one channel, one NULL */
    } else {
        CHECK_UINT(sdslen(c.ac->c.obuf), 0);
        CHECK(!subscribed(&c));
    }
    conn_done(&c);
}

TEST(defects_async, null_arguments_are_refused, "232") {
    conn c;
    conn_up(&c);
    CHECK_INT(ask_try(&c, "a", "SET k %s", (char *)NULL), REDIS_ERR);
    CHECK_INT(ask_try(&c, "a", "SET k %b", (char *)NULL, (size_t)3), REDIS_ERR);
    const char *argv[] = {"SET", NULL, "v"};
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("a"), 3, argv, NULL), REDIS_ERR);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("a"), 3, NULL, NULL), REDIS_ERR);
    CHECK_INT(ask_formatted(&c, "a", NULL, 5), REDIS_ERR);
    CHECK_INT(redisAsyncCommand(c.ac, async_reply, NAME("a"), NULL), REDIS_ERR);
    CHECK_INT(c.ac->err, 0);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    CHECK_INT(list_length(&c.ac->replies), 0);
    conn_done(&c);
}

TEST(defects_async, null_contexts_are_refused, "") {
    const char *argv[] = {"PING"};
    struct timeval tv = {1, 0};
    CHECK_INT(redisAsyncCommand(NULL, NULL, NULL, "PING"), REDIS_ERR);
    CHECK_INT(redisAsyncCommandArgv(NULL, NULL, NULL, 1, argv, NULL), REDIS_ERR);
    CHECK_INT(redisAsyncFormattedCommand(NULL, NULL, NULL, "*1\r\n$4\r\nPING\r\n", 14), REDIS_ERR);
    CHECK_INT(redisAsyncSetConnectCallback(NULL, NULL), REDIS_ERR);
    CHECK_INT(redisAsyncSetConnectCallbackNC(NULL, NULL), REDIS_ERR);
    CHECK_INT(redisAsyncSetDisconnectCallback(NULL, NULL), REDIS_ERR);
    CHECK(redisAsyncSetPushCallback(NULL, NULL) == NULL);
    CHECK_INT(redisAsyncSetTimeout(NULL, tv), REDIS_ERR);
    redisAsyncHandleRead(NULL);
    redisAsyncHandleWrite(NULL);
    redisAsyncHandleTimeout(NULL);
    redisAsyncDisconnect(NULL);
    redisAsyncFree(NULL);
}

static void is_timeout(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(c->ac->err, REDIS_ERR_TIMEOUT);
}

TEST(defects_async, the_oldest_unanswered_command_decides_when_to_time_out, "159 233") {
    conn c;
    conn_up_with(&c, 0, 300);
    c.on_disconnect = is_timeout;
    double start = test_now(), next = start;
    /* The server is dead; commands go on being queued. */
    while (c.ac != NULL && test_now() < start + 15) {
        if (test_now() >= next) {
            ask(&c, "a", "PING");
            next += 0.1;
        }
        conn_step(&c, 20);
    }
    CHECK(c.ac == NULL);
    CHECK_INT(c.disconnects, 1);
    double took = test_now() - start;
    CHECK(took >= 0.29);
    CHECK(took < 10);
    conn_done(&c);
}

TEST(defects_async, messages_do_not_keep_a_lost_reply_from_timing_out, "159 233") {
    conn c;
    conn_up_with(&c, 0, 300);
    c.on_disconnect = is_timeout;
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    serve(&c, ">3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n");
    ask(&c, "lost", "GET k");
    double start = test_now(), next = start;
    while (c.ac != NULL && test_now() < start + 15) {
        if (test_now() >= next) {
            hand_send_str(c.server, ">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n");
            next += 0.1;
        }
        conn_step(&c, 20);
    }
    CHECK(c.ac == NULL);
    CHECK_INT(c.disconnects, 1);
    CHECK(test_now() - start < 10);
    conn_done(&c);
}

TEST(defects_async, an_early_timer_does_not_end_a_connection_and_is_set_again, "141") {
    conn c;
    conn_up_with(&c, 0, 300);
    ask(&c, "a", "PING");
    flush(&c);
    c.due = 0;
    redisAsyncHandleTimeout(c.ac);      /* a connect timer that was set long ago, say */
    CHECK_LOG("");
    CHECK(c.ac != NULL);
    CHECK_INT(c.ac->err, 0);
    CHECK(c.due != 0);
    expire(&c);
    CHECK_LOG("a:NULL disconnect=-1");
    conn_done(&c);
}

TEST(defects_async, an_answered_command_does_not_time_out_its_successor, "159 233") {
    conn c;
    conn_up_with(&c, 0, 400);
    ask(&c, "a", "PING");
    flush(&c);
    test_sleep_ms(250);
    ask(&c, "b", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    test_sleep_ms(250);                 /* 500 ms since a, 250 since b */
    c.due = 0;
    redisAsyncHandleTimeout(c.ac);
    CHECK_LOG("");
    CHECK(c.ac != NULL);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("b:+PONG");
    conn_done(&c);
}

static void fires_connected(const redisAsyncContext *ac, int status) {
    conn *c = ac->data;
    c->connects++;
    note("connected=%d", status);
}

TEST(defects_async, a_connect_callback_set_before_the_adapter_is_attached_fires, "147 234") {
    char path[108];
    conn c;
    conn_zero(&c);
    c.listener = hand_listen_unix(path, sizeof(path), 8);
    c.ac = redisAsyncConnectUnix(path);
    c.ac->data = &c;
    CHECK_INT(redisAsyncSetConnectCallback(c.ac, fires_connected), REDIS_OK);
    conn_hooks(&c);
    /* The next call that reaches the library makes up for the request. */
    CHECK_INT(redisAsyncSetDisconnectCallback(c.ac, fires_connected), REDIS_OK);
    CHECK(c.writing);
    flush(&c);
    CHECK_LOG("connected=0");
    redisAsyncFree(c.ac);
    c.ac = NULL;
    c.connects = c.datas = c.privdatas = 1;
    conn_done(&c);
}

TEST(defects_async, a_connect_callback_set_before_the_poll_adapter_is_attached_fires, "147 234") {
    conn c;
    conn_zero(&c);
    c.ac = redisAsyncConnectUnix(live_unix());
    c.ac->data = &c;
    CHECK_INT(redisAsyncSetConnectCallback(c.ac, fires_connected), REDIS_OK);
    CHECK_INT(redisAsyncSetDisconnectCallback(c.ac, fires_connected), REDIS_OK);
    CHECK_INT(redisPollAttach(c.ac), REDIS_OK);
    for (double end = test_now() + 5; c.connects == 0 && test_now() < end;) {
        if (redisPollTick(c.ac, 0.1) == 0) test_sleep_ms(1);
    }
    CHECK_LOG("connected=0");
    redisAsyncFree(c.ac);
    c.ac = NULL;
    c.connects = c.datas = c.privdatas = 1;
    conn_done(&c);
}

static void accepted_or_undone(const char *command) {
    for (size_t k = 1; ; k++) {
        conn c;
        conn_up(&c);
        ask(&c, "a", "GET a");
        size_t before = sdslen(c.ac->c.obuf), n = list_length(&c.ac->replies);
        int flags = c.ac->c.flags;
        alloc_fail_at(k);
        int status = ask_try(&c, "b", command, test_printf("%020000d", 1));
        size_t failures = alloc_failures();
        alloc_fail_never();
        if (failures == 0) {
            CHECK_INT(status, REDIS_OK);
            conn_done(&c);
            return;
        }
        if (status == REDIS_ERR) {
            CHECK_INT(c.ac->err, REDIS_ERR_OOM);
            CHECK_STR(c.ac->errstr, "Out of memory");
            CHECK_UINT(sdslen(c.ac->c.obuf), before);
            CHECK_UINT(list_length(&c.ac->replies), n);
            CHECK_INT(list_length(sub_replies(c.ac)), 0);
            CHECK_INT(c.ac->c.flags, flags);
            redisAsyncFree(c.ac);
            CHECK_LOG("a:NULL disconnect=0");
        } else {
            redisAsyncFree(c.ac);
            CHECK_LOG_EITHER("a:NULL b:NULL disconnect=0", "a:NULL b:NULL b:NULL disconnect=0");
        }
        conn_done(&c);
    }
}

TEST(defects_async, a_command_for_which_memory_runs_out_is_undone, "7 235") {
    accepted_or_undone("GET %s");
    accepted_or_undone("SUBSCRIBE ch %s");
    accepted_or_undone("PSUBSCRIBE ch %s");
    accepted_or_undone("SSUBSCRIBE ch %s");
    accepted_or_undone("MONITOR %s");
}

/* ---- Sockets -------------------------------------------------------------------- */

/* A unix socket whose queue of new connections is full; returns how many stand in it. */
static int fill_backlog(conn *c, char path[108], int filler[16]) {
    struct sockaddr_un sa;
    int n = 0;
    c->listener = hand_listen_unix(path, 108, 0);
    memset(&sa, 0, sizeof(sa));
    sa.sun_family = AF_UNIX;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    for (; n < 16; n++) {
        filler[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(filler[n], (struct sockaddr *)&sa, sizeof(sa)) != 0) break;
    }
    CHECK(n < 16);
    close(filler[n]);
    return n;
}

static void full_backlog(int connect_timeout, int timer) {
    struct timeval tv = {20, 0};
    redisOptions o = {0};
    int filler[16], handled = 0;
    char path[108];
    conn c;
    conn_zero(&c);
    int fillers = fill_backlog(&c, path, filler);
    if (connect_timeout) o.connect_timeout = &tv;
    REDIS_OPTIONS_SET_UNIX(&o, path);
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    if (!timer) c.ac->ev.scheduleTimer = NULL;
    CHECK_INT(c.ac->err, 0);
    ask(&c, "a", "PING");
    for (double end = test_now() + 0.3; test_now() < end;) handled += conn_step(&c, 10);
    CHECK_LOG("");
    /* Without a timer there is nothing to wait for but the descriptor. */
    if (timer && handled > 200) FAIL("%d events handled in 300 ms of waiting", handled);
    for (int i = 0; i < fillers; i++) {
        close(hand_accept(c.listener));
        close(filler[i]);
    }
    PUMP_LOG(&c, "connect=0");
    c.server = hand_accept(c.listener);
    while (c.writing) conn_step(&c, 10);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    conn_done(&c);
}

TEST(defects_async, a_full_unix_backlog_is_retried_without_spinning, "241") {
    full_backlog(1, 1);
    full_backlog(0, 1);
    full_backlog(0, 0);
}

static int slept;  /* milliseconds */

static int count_sleeps(struct pollfd *fds, nfds_t n, int ms) {
    if (n == 0 && ms > 0) slept += ms;
    return real_poll(fds, n, ms);
}

/* Each of them would pause for a moment before it tries again. */
TEST(defects_async, many_contexts_at_a_full_unix_backlog_pause_once_for_all, "241") {
    enum { MANY = 200 };
    redisAsyncContext *many[MANY];
    int filler[16];
    char path[108];
    conn c;
    conn_zero(&c);
    int fillers = fill_backlog(&c, path, filler);
    for (int i = 0; i < MANY; i++) {
        many[i] = redisAsyncConnectUnix(path);
        CHECK(many[i] != NULL);
        CHECK_INT(many[i]->err, 0);
    }
    instead.poll = count_sleeps;
    for (int pass = 0; pass < 5; pass++) {
        slept = 0;
        for (int i = 0; i < MANY; i++) redisAsyncHandleWrite(many[i]);
        if (slept > 50) FAIL("one pass over %d contexts sleeps for %d ms", (int)MANY, slept);
    }
    instead.poll = NULL;
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(many[i]->err, 0);
        redisAsyncFree(many[i]);
    }
    while (fillers > 0) close(filler[--fillers]);
    close(c.listener);
    alloc_count_end();
}

TEST(defects_async, a_unix_backlog_that_stays_full_ends_in_a_timeout, "139 241") {
    struct timeval tv = {0, 200000};
    redisOptions o = {0};
    int filler[16];
    char path[108];
    conn c;
    conn_zero(&c);
    int fillers = fill_backlog(&c, path, filler);
    o.connect_timeout = &tv;
    REDIS_OPTIONS_SET_UNIX(&o, path);
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    ask(&c, "a", "PING");
    double start = test_now();
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("connect=-1 a:NULL");
    CHECK(test_now() - start >= 0.15);
    conn_done(&c);
    while (fillers > 0) close(filler[--fillers]);
}
#endif
