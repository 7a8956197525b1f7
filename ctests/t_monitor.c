/* MONITOR: its lines go to its callback, everything else to everybody else. */
#include "async.h"

#include <stdio.h>
#include <sys/socket.h>

static void resp2_3(void (*test)(int protocol)) {
    test(2);
    if (HIREDIS_MAJOR >= 1) test(3);
}

/* A line as the server writes it. */
#define LINE(what) "+1339518083.107412 [0 127.0.0.1:60866] \"" what "\"\r\n"

/* ---- Live ---- */

static void watch_and_quit(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    PUMP_LOG(&c, "m:+OK");
    CHECK(c.ac->c.flags & REDIS_MONITORING);
    sync_text(other, "ECHO one");
    sync_text(other, "ECHO two");
    PUMP_LOG(&c, "m:+@ \"ECHO\" \"one\" m:+@ \"ECHO\" \"two\"");
    ask(&c, NULL, "QUIT");
    PUMP(&c, c.ac == NULL);
    /* Servers since 7.2 show the QUIT itself. */
    CHECK_LOG_EITHER("m:NULL disconnect=-1", "m:+@ \"QUIT\" m:NULL disconnect=-1");
    conn_done(&c);
    sync_done(other);
}

TEST(monitor, lines_go_to_the_callback_and_quit_ends_with_one_null, "176") {
    resp2_3(watch_and_quit);
}

static void ping_between(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "before", "ECHO before");
    ask(&c, "m", "MONITOR");
    ask(&c, "ping", "PING");
    ask(&c, "id", "CLIENT SETNAME monitor");
    PUMP(&c, strstr(log_text(), "\"SETNAME\"") != NULL);
    const char *log = log_take();
    /* The server answers a command before it shows it. */
    CHECK_STR(log, "before:\"before\" m:+OK ping:+PONG m:+@ \"PING\" id:+OK "
                   "m:+@ \"CLIENT\" \"SETNAME\" \"monitor\"");
    sync_text(other, "ECHO x");
    PUMP_LOG(&c, "m:+@ \"ECHO\" \"x\"");
    conn_done(&c);
    CHECK_LOG("m:NULL disconnect=0");
    sync_done(other);
}

TEST(monitor, other_commands_of_a_monitoring_connection_get_their_own_replies, "176 219") {
    resp2_3(ping_between);
}

static void error_between(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    ask(&c, "bad", "NOSUCHCOMMAND");
    ask(&c, "ping", "PING");
    PUMP(&c, strstr(log_text(), "\"PING\"") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, "m:+OK bad:-ERR unknown command") == log);
    CHECK(strstr(log, "ping:+PONG m:+@ \"PING\"") != NULL);
    conn_done(&c);
}

TEST(monitor, an_error_goes_to_the_command_that_caused_it, "182") {
    resp2_3(error_between);
}

static void disconnecting(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    PUMP_LOG(&c, "m:+OK");
    redisAsyncDisconnect(c.ac);
    if (c.ac != NULL) PUMP(&c, c.ac == NULL);
    CHECK_LOG("m:NULL disconnect=0");
    conn_done(&c);

    /* With a command on its way. */
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    ask(&c, "ping", "PING");
    redisAsyncDisconnect(c.ac);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG_EITHER("m:+OK ping:+PONG m:NULL disconnect=0",
                     "m:+OK ping:+PONG m:+@ \"PING\" m:NULL disconnect=0");
    conn_done(&c);
}

TEST(monitor, a_disconnect_while_monitoring_completes, "188 219") {
    resp2_3(disconnecting);
}

static void refused(int protocol) {
    redisContext *other = live_sync();
    conn c;
    sync_text(other, "ACL SETUSER nomonitor on >pw ~* &* +@all -monitor");
    conn_live(&c, protocol);
    ask(&c, "auth", "AUTH nomonitor pw");
    ask(&c, "m", "MONITOR");
    ask(&c, "ping", "PING");
    PUMP(&c, strstr(log_text(), "ping:") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, "auth:+OK m:-NOPERM ") == log);
    CHECK(strstr(log, " ping:+PONG") != NULL);
    ask(&c, "set", "SET monitor.refused v");
    ask(&c, "get", "GET monitor.refused");
    PUMP_LOG(&c, "set:+OK get:\"v\"");
    CHECK_INT(c.ac->c.flags & REDIS_MONITORING, 0);
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("disconnect=0");
    conn_done(&c);
    sync_text(other, "ACL DELUSER nomonitor");
    sync_done(other);
}

TEST(monitor, a_refused_monitor_changes_nothing, "219") {
    resp2_3(refused);
}

static void reset(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    PUMP_LOG(&c, "m:+OK");
    ask(&c, "reset", "RESET");
    ask(&c, "ping", "PING");
    PUMP(&c, strstr(log_text(), "ping:") != NULL);
    CHECK_LOG_EITHER("reset:+RESET m:NULL ping:+PONG", "m:NULL reset:+RESET ping:+PONG");
    CHECK_INT(c.ac->c.flags & REDIS_MONITORING, 0);
    sync_text(other, "ECHO unseen");
    ask(&c, "set", "SET monitor.reset v");
    ask(&c, "get", "GET monitor.reset");
    PUMP_LOG(&c, "set:+OK get:\"v\"");
    ask(&c, "again", "MONITOR");
    PUMP_LOG(&c, "again:+OK");
    sync_text(other, "ECHO seen");
    PUMP_LOG(&c, "again:+@ \"ECHO\" \"seen\"");
    conn_done(&c);
    sync_done(other);
}

TEST(monitor, reset_ends_monitoring, "218 219") {
    resp2_3(reset);
}

static void twice(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    PUMP_LOG(&c, "m:+OK");
    /* The server does not answer it again. */
    ask(&c, "m2", "MONITOR");
    ask(&c, "name", "CLIENT SETNAME twice");
    PUMP(&c, strstr(log_text(), "\"SETNAME\"") != NULL);
    CHECK_LOG("m2:NULL name:+OK m:+@ \"CLIENT\" \"SETNAME\" \"twice\"");
    redisAsyncDisconnect(c.ac);
    if (c.ac != NULL) PUMP(&c, c.ac == NULL);
    CHECK_LOG("m:NULL disconnect=0");
    conn_done(&c);

    /* The same in one go. */
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    ask(&c, "m2", "MONITOR");
    ask(&c, "name", "CLIENT SETNAME twice");
    PUMP(&c, strstr(log_text(), "\"SETNAME\"") != NULL);
    CHECK_LOG("m:+OK m2:NULL name:+OK m:+@ \"CLIENT\" \"SETNAME\" \"twice\"");
    conn_done(&c);
    sync_done(other);
}

TEST(monitor, a_second_monitor_is_not_answered_and_takes_nobody_elses_reply, "176") {
    resp2_3(twice);
}

TEST_1X(monitor, a_second_monitor_takes_no_reply_while_output_is_pending, "176 219") {
    int small = 4096;
    conn c;
    conn_up(&c);
    CHECK_INT(setsockopt(c.ac->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    char *value = test_bytes(1 << 20);
    memset(value, 'v', 1 << 20);
    ask(&c, "m", "MONITOR");
    flush(&c);
    serve(&c, "+OK\r\n");
    CHECK_LOG("m:+OK");
    ask(&c, "m2", "MONITOR");
    ask(&c, "ping", "PING");
    ask(&c, "set", "SET k %b", value, (size_t)1 << 20);
    redisAsyncHandleWrite(c.ac);
    CHECK(sdslen(c.ac->c.obuf) > 0);
    serve(&c, "+PONG\r\n" LINE("PING"));
    CHECK_LOG("m2:NULL ping:+PONG m:+@ \"PING\"");
    while (c.writing) {
        redisAsyncHandleWrite(c.ac);
        sent(&c);
    }
    serve(&c, "+OK\r\n");
    CHECK_LOG("set:+OK");
    conn_done(&c);
    CHECK_LOG("m:NULL disconnect=0");
}

static void subscribing(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "m", "MONITOR");
    PUMP_LOG(&c, "m:+OK");
    ask(&c, "s", "SUBSCRIBE mon");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"subscribe\" \"mon\" :1] m:+@ \"SUBSCRIBE\" \"mon\""));
    sync_int(other, "PUBLISH mon hi");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"message\" \"mon\" \"hi\"] m:+@ \"PUBLISH\" \"mon\" \"hi\""));
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, protocol == 3 ? "ping:+PONG m:+@ \"PING\"" : "ping:*[\"pong\" \"\"] m:+@ \"PING\"");
    ask(&c, NULL, "UNSUBSCRIBE mon");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"unsubscribe\" \"mon\" :0] m:+@ \"UNSUBSCRIBE\" \"mon\""));
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:+PONG m:+@ \"PING\"");
    conn_done(&c);
    CHECK_LOG("m:NULL disconnect=0");
    sync_done(other);
}

TEST(monitor, subscriptions_of_a_monitoring_connection_get_their_own_messages, "176") {
    resp2_3(subscribing);
}

/* ---- By hand ---- */

TEST(monitor, a_command_from_before_is_not_given_lines, "176") {
    conn c;
    conn_up(&c);
    ask(&c, "get", "GET k");
    ask(&c, "m", "MONITOR");
    flush(&c);
    serve(&c, "$1\r\nV\r\n+OK\r\n" LINE("one") LINE("two") LINE("three"));
    CHECK_LOG("get:\"V\" m:+OK m:+@ \"one\" m:+@ \"two\" m:+@ \"three\"");
    hang_up(&c);
    CHECK_LOG("m:NULL disconnect=-1");
    conn_done(&c);
}

TEST(monitor, lines_and_replies_in_any_order, "176") {
    conn c;
    conn_up(&c);
    ask(&c, "m", "MONITOR");
    ask(&c, "a", "PING");
    ask(&c, "b", "GET b");
    flush(&c);
    serve(&c, "+OK\r\n" LINE("x") "+PONG\r\n" LINE("PING") LINE("y") "$1\r\nB\r\n" LINE("GET"));
    CHECK_LOG("m:+OK m:+@ \"x\" a:+PONG m:+@ \"PING\" m:+@ \"y\" b:\"B\" m:+@ \"GET\"");
    conn_done(&c);
}

TEST(monitor, two_monitors_that_are_both_refused_both_hear_so, "183") {
    conn c;
    conn_up(&c);
    ask(&c, "m", "MONITOR");
    ask(&c, "m2", "MONITOR");
    ask(&c, "ping", "PING");
    flush(&c);
    serve(&c, "-NOPERM no\r\n-NOPERM still no\r\n+PONG\r\n");
    CHECK_LOG("m:-NOPERM no m2:-NOPERM still no ping:+PONG");
    CHECK_INT(c.ac->c.flags & REDIS_MONITORING, 0);
    conn_done(&c);
}

TEST_1X(monitor, after_one_was_refused_and_one_accepted_the_next_gets_null, "176 219") {
    conn c;
    conn_up(&c);
    ask(&c, "m1", "MONITOR");
    ask(&c, "auth", "AUTH x");
    ask(&c, "m2", "MONITOR");
    flush(&c);
    serve(&c, "-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n");
    CHECK_LOG("m1:-NOAUTH Authentication required. auth:+OK m2:+OK");
    CHECK(c.ac->c.flags & REDIS_MONITORING);
    ask(&c, "m3", "MONITOR");
    ask(&c, "get", "GET a");
    flush(&c);
    serve(&c, "$1\r\nA\r\n" LINE("GET"));
    CHECK_LOG("m3:NULL get:\"A\" m2:+@ \"GET\"");
    CHECK_INT(list_length(&c.ac->replies), 0);
    conn_done(&c);
    CHECK_LOG("m2:NULL disconnect=0");
}

static void refused_then_accepted(int protocol) {
    redisContext *other = live_sync();
    conn c;
    sync_text(other, "ACL SETUSER mon3 on >pw ~* &* +@all -monitor");
    conn_live(&c, protocol);
    ask(&c, "auth", "AUTH mon3 pw");
    ask(&c, "m1", "MONITOR");
    ask(&c, "auth", "AUTH default any");
    ask(&c, "m2", "MONITOR");
    PUMP(&c, strstr(log_text(), "m2:") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, "auth:+OK m1:-NOPERM ") == log);
    CHECK_STR(strstr(log + 9, " auth:"), " auth:+OK m2:+OK");
    ask(&c, "m3", "MONITOR");
    ask(&c, "name", "CLIENT SETNAME third");
    PUMP(&c, strstr(log_text(), "\"SETNAME\"") != NULL);
    CHECK_LOG("m3:NULL name:+OK m2:+@ \"CLIENT\" \"SETNAME\" \"third\"");
    conn_done(&c);
    sync_text(other, "ACL DELUSER mon3");
    sync_done(other);
}

TEST_1X(monitor, a_monitor_allowed_after_a_refusal_is_the_one_that_counts, "176 219") {
    resp2_3(refused_then_accepted);
}

TEST(monitor, without_callback_the_lines_are_dropped, "169") {
    conn c;
    conn_up(&c);
    ask(&c, NULL, "MONITOR");
    ask(&c, "a", "PING");
    flush(&c);
    serve(&c, "+OK\r\n" LINE("x") "+PONG\r\n" LINE("PING"));
    CHECK_LOG("a:+PONG");
    CHECK_INT(c.ac->err, 0);
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("disconnect=0");
    conn_done(&c);
}

static void end_at_line(conn *c, const char *name, redisReply *reply) {
    (void)name;
    if (reply == NULL || reply->type != REDIS_REPLY_STATUS || reply->len < 10) return;
    if (strcmp(c->trigger, "free") == 0) redisAsyncFree(c->ac);
    else redisAsyncDisconnect(c->ac);
}

static void ended_by_callback(const char *how) {
    conn c;
    conn_up(&c);
    c.on_reply = end_at_line;
    c.trigger = how;
    ask(&c, "m", "MONITOR");
    flush(&c);
    serve(&c, "+OK\r\n");
    CHECK_LOG("m:+OK");
    serve(&c, LINE("x"));
    CHECK_LOG("m:+@ \"x\" m:NULL disconnect=0");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

TEST_1X(monitor, a_free_or_disconnect_inside_the_callback_takes_effect, "157 188") {
    ended_by_callback("free");
    ended_by_callback("disconnect");
}

TEST_1X(monitor, freeing_calls_the_callback_once_with_null, "154") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    ask(&c, "m", "MONITOR");
    ask(&c, "a", "PING");
    flush(&c);
    serve(&c, "+OK\r\n");
    redisAsyncFree(c.ac);
    const char *log = log_take();
    if (strcmp(log, "m:+OK a:NULL m:NULL cleanup disconnect=0 data privdata") != 0)
        CHECK_STR(log, "m:+OK m:NULL a:NULL cleanup disconnect=0 data privdata");
    conn_done(&c);

    /* Not confirmed yet. */
    conn_up(&c);
    ask(&c, "m", "MONITOR");
    redisAsyncFree(c.ac);
    CHECK_LOG("m:NULL disconnect=0");
    conn_done(&c);
}

#if HIREDIS_MAJOR >= 1
TEST(monitor, a_quiet_monitor_does_not_time_out_but_a_command_does, "160") {
    conn c;
    conn_up_with(&c, 0, 20);
    ask(&c, "m", "MONITOR");
    flush(&c);
    serve(&c, "+OK\r\n");
    CHECK_LOG("m:+OK");
    expire(&c);
    CHECK_LOG("");
    CHECK(c.ac != NULL);
    ask(&c, "a", "PING");
    flush(&c);
    expire(&c);
    CHECK_LOG_EITHER("a:NULL m:NULL disconnect=-1", "m:NULL a:NULL disconnect=-1");
    conn_done(&c);

    /* Without its own +OK the monitor is a command like any other. */
    conn_up_with(&c, 0, 20);
    ask(&c, "m", "MONITOR");
    flush(&c);
    expire(&c);
    CHECK_LOG("m:NULL disconnect=-1");
    conn_done(&c);
}

static void rewritten_reply(redisAsyncContext *ac, void *reply, void *name) {
    (void)ac;
    (void)name;
    note("rewritten:%s", reply_text(reply));
}

TEST(monitor, the_queued_callback_may_be_rewritten_before_it_is_answered, "") {
    conn c;
    conn_up(&c);
    ask(&c, "m", "MONITOR");
    CHECK_INT(list_length(&c.ac->replies), 1);
    c.ac->replies.head->fn = rewritten_reply;
    flush(&c);
    serve(&c, "+OK\r\n" LINE("x"));
    CHECK(strncmp(log_take(), "rewritten:+OK rewritten:+1339518083.107412 [0 ", 46) == 0);
    conn_done(&c);
}
#endif
