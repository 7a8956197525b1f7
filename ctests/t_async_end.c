/* Asynchronous contexts: how they end, and what may be done inside callbacks. */
#include "async.h"

#include <stdio.h>
#include <unistd.h>

#include <hiredis/sds.h>

#define SUBSCRIBED_CH "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"
#define SUBSCRIBED_PAT "*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:2\r\n"

/* ---- The server ends it ---- */

static void disconnected_by(conn *c, int err, const char *text) {
    CHECK_INT(c->ac->err, err);
    CHECK_STR(c->ac->errstr, text);
    c->count++;
}

static void end_of_stream(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    disconnected_by(c, REDIS_ERR_EOF, "Server closed the connection");
}

TEST_1X(async_end, the_end_of_the_stream_fails_everything_in_the_documented_order, "153") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    c.on_disconnect = end_of_stream;
    owe_everything(&c);
    hang_up(&c);
    CHECK_LOG("cleanup a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=-1 data privdata");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

TEST(async_end, the_end_of_the_stream_calls_every_callback_once, "153") {
    conn c;
    conn_up(&c);
    c.on_disconnect = end_of_stream;
    owe_everything(&c);
    hang_up(&c);
    CHECK_LOG("a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

TEST(async_end, data_before_the_end_of_the_stream_is_delivered, "153") {
    conn c;
    conn_up(&c);
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    sent(&c);
    hand_send_str(c.server, "+1\r\n+half");
    close(c.server);
    c.server = -1;
    redisAsyncHandleRead(c.ac);
    CHECK_LOG("a:+1");
    redisAsyncHandleRead(c.ac);
    CHECK_LOG("b:NULL disconnect=-1");
    conn_done(&c);
}

TEST(async_end, one_null_per_channel_even_when_the_callback_is_shared, "153") {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE one two three");
    ask(&c, "p", "PSUBSCRIBE four* five*");
    flush(&c);
    hang_up(&c);
    CHECK_LOG("s:NULL s:NULL s:NULL p:NULL p:NULL disconnect=-1");
    conn_done(&c);
}

TEST(async_end, a_reset_connection_is_an_io_error, "153") {
    int port, listener = hand_listen_tcp(&port, 4);
    conn c;
    conn_zero(&c);
    conn_adopt(&c, redisAsyncConnect("127.0.0.1", port));
    c.server = hand_accept(listener);
    PUMP_LOG(&c, "connect=0");
    ask(&c, "a", "GET a");
    flush(&c);
    hand_reset(c.server);
    c.server = -1;
    test_sleep_ms(20);
    redisAsyncHandleRead(c.ac);
    CHECK_LOG("a:NULL disconnect=-1");
    conn_done(&c);
    close(listener);
}

static void protocol_error(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    disconnected_by(c, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
}

TEST(async_end, a_protocol_error_is_told_to_the_disconnect_callback, "162") {
    conn c;
    conn_up(&c);
    c.on_disconnect = protocol_error;
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    serve(&c, "+1\r\n@foo\r\n+2\r\n");
    CHECK_LOG("a:+1 b:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

static void max_clients(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    disconnected_by(c, REDIS_ERR_OTHER, "ERR max number of clients reached");
}

TEST(async_end, an_error_reply_with_nothing_pending_ends_the_connection_with_its_text, "163") {
    conn c;
    conn_up(&c);
    c.on_disconnect = max_clients;
    serve(&c, "-ERR max number of clients reached\r\n");
    CHECK_LOG("disconnect=-1");
    CHECK_INT(c.count, 1);
    CHECK(c.ac == NULL);
    conn_done(&c);
}

static void long_error(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(c->ac->err, REDIS_ERR_OTHER);
    CHECK_UINT(strlen(c->ac->errstr), 127);
    CHECK_MEM(c->ac->errstr, 8, "ERR xxxx");
    c->count++;
}

TEST(async_end, a_long_error_text_is_cut_to_the_buffer, "163") {
    char line[300] = "-ERR ";
    conn c;
    conn_up(&c);
    memset(line + 5, 'x', 250);
    memcpy(line + 255, "\r\n", 3);
    c.on_disconnect = long_error;
    serve(&c, line);
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

/* ---- What the callbacks may look at ---- */

static void host_is_there(conn *c, int status) {
    (void)status;
    CHECK_STR(c->ac->c.tcp.host, "127.0.0.1");
    CHECK_INT(c->ac->c.tcp.port, c->mine[0]);
    c->count++;
}

TEST(async_end, host_and_port_are_there_in_the_connect_and_disconnect_callbacks, "137") {
    conn c;
    conn_zero(&c);
    c.mine[0] = live_port();
    c.on_connect = c.on_disconnect = host_is_there;
    conn_adopt(&c, redisAsyncConnect("127.0.0.1", live_port()));
    PUMP_LOG(&c, "connect=0");
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("disconnect=0");
    CHECK_INT(c.count, 2);
    conn_done(&c);
}

#if HIREDIS_MAJOR >= 1
static int null_cleanups;

static void cleans_null(void *data) {
    CHECK(data == NULL);
    null_cleanups++;
}

TEST(async_end, data_cleanup_is_called_once_even_without_data, "138") {
    alloc_count_begin();
    for (int how = 0; how < 2; how++) {
        null_cleanups = 0;
        redisAsyncContext *ac = redisAsyncConnectUnix(live_unix());
        ac->dataCleanup = cleans_null;
        redisAsyncHandleWrite(ac);
        if (how == 0) redisAsyncFree(ac);
        else redisAsyncDisconnect(ac);
        CHECK_INT(null_cleanups, 1);
    }
    alloc_count_end();
}
#endif

/* ---- The program ends it ---- */

TEST_1X(async_end, free_fails_everything_in_the_documented_order, "154") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    owe_everything(&c);
    redisAsyncFree(c.ac);
    CHECK_LOG("a:NULL b:NULL ping:NULL ch:NULL pat:NULL cleanup disconnect=0 data privdata");
    conn_done(&c);
}

TEST_1X(async_end, free_before_the_connection_is_up_calls_neither_connect_nor_disconnect, "154") {
    conn c;
    conn_zero(&c);
    c.ends = 1;
    conn_open(&c);
    ask(&c, "a", "GET a");
    ask(&c, "ch", "SUBSCRIBE ch");
    redisAsyncFree(c.ac);
    CHECK_LOG("a:NULL ch:NULL cleanup data privdata");
    conn_done(&c);
}

TEST(async_end, free_discards_what_was_not_sent, "154") {
    conn c;
    conn_up(&c);
    ask(&c, "a", "GET a");
    redisAsyncFree(c.ac);
    c.ac = NULL;
    CHECK_LOG("a:NULL disconnect=0");
    hand_expect_eof(c.server);
    conn_done(&c);
}

TEST_1X(async_end, disconnect_delivers_pending_replies_and_refuses_new_commands, "155") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("");
    CHECK_INT(ask_try(&c, "late", "GET late"), REDIS_ERR);
    CHECK_INT(ask_try(&c, "late", "SUBSCRIBE late"), REDIS_ERR);
    CHECK_INT(ask_formatted(&c, "late", "*1\r\n$4\r\nPING\r\n", 14), REDIS_ERR);
    CHECK_INT(c.ac->err, 0);
    CHECK_STR(c.ac->errstr, "");
    CHECK(c.writing);
    flush(&c);
    CHECK_STR(sent(&c), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
    serve(&c, "$1\r\nA\r\n");
    CHECK_LOG("a:\"A\"");
    redisAsyncDisconnect(c.ac);     /* once more changes nothing */
    CHECK_LOG("");
    serve(&c, "$1\r\nB\r\n");
    CHECK_LOG("b:\"B\" cleanup disconnect=0 data privdata");
    conn_done(&c);
}

TEST(async_end, disconnect_delivers_pending_replies_live, "155") {
    conn c;
    conn_live(&c, 2);
    ask(&c, "a", "ECHO a");
    ask(&c, "b", "ECHO b");
    redisAsyncDisconnect(c.ac);
    CHECK_INT(ask_try(&c, "late", "PING"), REDIS_ERR);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("a:\"a\" b:\"b\" disconnect=0");
    conn_done(&c);
}

TEST_1X(async_end, disconnect_of_an_idle_connection_is_immediate, "156") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("cleanup disconnect=0 data privdata");
    hand_expect_eof(c.server);
    conn_done(&c);
}

TEST_1X(async_end, disconnect_while_subscribed_gives_the_subscriptions_a_null, "156") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    ask(&c, "ch", "SUBSCRIBE ch");
    flush(&c);
    serve(&c, SUBSCRIBED_CH);
    log_take();
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("cleanup ch:NULL disconnect=0 data privdata");
    conn_done(&c);
}

TEST_1X(async_end, the_stream_ending_during_a_disconnect_is_an_error, "155") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    ask(&c, "a", "GET a");
    redisAsyncDisconnect(c.ac);
    flush(&c);
    hang_up(&c);
    CHECK_LOG("cleanup a:NULL disconnect=-1 data privdata");
    conn_done(&c);
}

TEST_1X(async_end, a_disconnect_with_commands_before_the_connection_is_up_waits_for_both, "155") {
    conn c;
    conn_zero(&c);
    c.ends = 1;
    conn_open(&c);
    ask(&c, "a", "GET a");
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("");
    CHECK_INT(ask_try(&c, "late", "PING"), REDIS_ERR);
    flush(&c);
    CHECK_LOG("connect=0");
    if (c.writing) flush(&c);
    CHECK_STR(sent(&c), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    serve(&c, "$1\r\nA\r\n");
    CHECK_LOG("a:\"A\" cleanup disconnect=0 data privdata");
    conn_done(&c);
}

/* ---- Inside callbacks ---- */

static void free_at(conn *c, const char *name, redisReply *reply) {
    (void)reply;
    if (strcmp(name, c->trigger) != 0) return;
    redisAsyncFree(c->ac);
    CHECK(c->ac != NULL);       /* only later */
}

static void disconnect_at(conn *c, const char *name, redisReply *reply) {
    (void)reply;
    if (strcmp(name, c->trigger) == 0) redisAsyncDisconnect(c->ac);
}

TEST_1X(async_end, a_free_inside_a_callback_fails_the_rest_when_it_returns, "157") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    c.on_reply = free_at;
    c.trigger = "a";
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    ask(&c, "c", "GET c");
    flush(&c);
    /* The reply for b has arrived already: it is discarded. */
    serve(&c, "+1\r\n+2\r\n");
    CHECK_LOG("a:+1 b:NULL c:NULL cleanup disconnect=0 data privdata");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

TEST_1X(async_end, a_disconnect_inside_a_callback_still_delivers_what_arrived, "157") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    c.on_reply = disconnect_at;
    c.trigger = "a";
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    serve(&c, "+1\r\n");
    CHECK_LOG("a:+1");
    serve(&c, "+2\r\n");
    CHECK_LOG("b:+2 cleanup disconnect=0 data privdata");
    conn_done(&c);
}

TEST_1X(async_end, a_disconnect_inside_the_last_callback_ends_in_the_same_event, "157") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    c.on_reply = disconnect_at;
    c.trigger = "a";
    ask(&c, "a", "GET a");
    flush(&c);
    serve(&c, "+1\r\n");
    CHECK_LOG("a:+1 cleanup disconnect=0 data privdata");
    conn_done(&c);
}

#if HIREDIS_MAJOR >= 1
static void ask_on_null(conn *c, const char *name, redisReply *reply) {
    (void)name;
    if (reply != NULL) return;
    CHECK_INT(ask_try(c, "again", "GET again"), REDIS_ERR);
    CHECK_INT(ask_try(c, "again", "SUBSCRIBE again"), REDIS_ERR);
    c->count++;
}

static void ask_on_disconnect(conn *c, int status) {
    (void)status;
    CHECK_INT(ask_try(c, "again", "GET again"), REDIS_ERR);
    redisAsyncDisconnect(c->ac);
    redisAsyncFree(c->ac);
    c->count++;
}

TEST(async_end, commands_inside_null_callbacks_and_the_disconnect_callback_are_refused, "158") {
    for (int how = 0; how < 3; how++) {
        conn c;
        conn_up_with(&c, 0, how == 2 ? 10 : 0);
        c.on_reply = ask_on_null;
        c.on_disconnect = ask_on_disconnect;
        owe_everything(&c);
        if (how == 0) hang_up(&c);
        if (how == 1) redisAsyncFree(c.ac);
        if (how == 2) expire(&c);
        CHECK_LOG(how == 1 ? "a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=0"
                           : "a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=-1");
        CHECK_INT(c.count, 6);
        conn_done(&c);
    }
}

static void end_on_null(conn *c, const char *name, redisReply *reply) {
    (void)name;
    if (reply != NULL) return;
    redisAsyncDisconnect(c->ac);
    redisAsyncFree(c->ac);
    redisAsyncDisconnect(c->ac);
}

TEST(async_end, free_and_disconnect_inside_null_callbacks_do_no_harm, "158") {
    for (int how = 0; how < 3; how++) {
        conn c;
        conn_up_with(&c, 0, how == 2 ? 10 : 0);
        c.on_reply = end_on_null;
        owe_everything(&c);
        if (how == 0) hang_up(&c);
        if (how == 1) redisAsyncFree(c.ac);
        if (how == 2) expire(&c);
        /* Freeing makes the final status OK. */
        CHECK_LOG("a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=0");
        CHECK(c.ac == NULL);
        conn_done(&c);
    }
}

/* ---- Timeouts ---- */

static void timed_out(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    disconnected_by(c, REDIS_ERR_TIMEOUT, "Timeout");
}

TEST(async_end, a_command_timeout_fails_everything_in_the_documented_order, "159") {
    conn c;
    conn_up_with(&c, 0, 20);
    c.ends = 1;
    c.on_disconnect = timed_out;
    owe_everything(&c);
    expire(&c);
    CHECK_LOG("a:NULL b:NULL cleanup ping:NULL ch:NULL pat:NULL disconnect=-1 data privdata");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

TEST(async_end, a_command_timeout_fires_with_a_live_server, "159") {
    conn c;
    conn_live(&c, 2);
    CHECK_INT(redisAsyncSetTimeout(c.ac, (struct timeval){0, 100000}), REDIS_OK);
    c.on_disconnect = timed_out;
    ask(&c, "a", "BLPOP async_end_nothing 0");
    ask(&c, "b", "PING");
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("a:NULL b:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

TEST(async_end, an_idle_connection_does_not_time_out, "160") {
    conn c;
    conn_up_with(&c, 0, 10);
    redisAsyncHandleTimeout(c.ac);
    ask(&c, "a", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    expire(&c);
    CHECK_LOG("");
    CHECK_INT(c.ac->err, 0);
    conn_done(&c);
}

TEST(async_end, subscriptions_alone_do_not_time_out, "160") {
    conn c;
    conn_up_with(&c, 0, 10);
    ask(&c, "ch", "SUBSCRIBE ch");
    ask(&c, "pat", "PSUBSCRIBE p*");
    flush(&c);
    serve(&c, SUBSCRIBED_CH SUBSCRIBED_PAT);
    log_take();
    expire(&c);
    serve(&c, "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n");
    expire(&c);
    CHECK_LOG("ch:*[\"message\" \"ch\" \"m\"]");
    CHECK_INT(c.ac->err, 0);
    conn_done(&c);
}

TEST(async_end, a_timer_that_fires_without_a_command_timeout_is_ignored, "160") {
    conn c;
    conn_up(&c);
    ask(&c, "a", "PING");
    flush(&c);
    redisAsyncHandleTimeout(c.ac);
    CHECK_INT(redisAsyncSetTimeout(c.ac, (struct timeval){0, 0}), REDIS_OK);
    redisAsyncHandleTimeout(c.ac);
    CHECK_LOG("");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    conn_done(&c);
}

TEST(async_end, a_timeout_during_a_disconnect_ends_it, "159") {
    conn c;
    conn_up_with(&c, 0, 10);
    c.on_disconnect = timed_out;
    ask(&c, "a", "GET a");
    redisAsyncDisconnect(c.ac);
    flush(&c);
    expire(&c);
    CHECK_LOG("a:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

static void ask_again(conn *c, const char *name, redisReply *reply) {
    (void)name;
    if (reply != NULL) return;
    c->count++;
    CHECK(c->count < 10);
    CHECK_INT(ask_try(c, "a", "GET a"), REDIS_ERR);
}

TEST(async_end, a_command_issued_again_in_its_null_callback_does_not_loop, "161 224") {
    conn c;
    conn_up_with(&c, 0, 10);
    c.on_reply = ask_again;
    ask(&c, "a", "GET a");
    flush(&c);
    expire(&c);
    CHECK_LOG("a:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    CHECK(c.ac == NULL);
    conn_done(&c);
}

/* ---- REDIS_OPT_NOAUTOFREE ---- */

TEST(async_end, with_noautofree_the_context_survives_the_error_until_it_is_freed, "165") {
    conn c;
    conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
    c.ends = 1;
    c.on_disconnect = end_of_stream;
    owe_everything(&c);
    hang_up(&c);
    CHECK_LOG("cleanup a:NULL b:NULL ping:NULL ch:NULL pat:NULL disconnect=-1");
    CHECK(c.ac != NULL);
    CHECK_INT(c.ac->err, REDIS_ERR_EOF);
    CHECK_STR(c.ac->errstr, "Server closed the connection");
    CHECK_INT(ask_try(&c, "late", "PING"), REDIS_ERR);
    redisAsyncHandleTimeout(c.ac);
    CHECK_LOG("");
    redisAsyncFree(c.ac);
    CHECK_LOG("data privdata");
    conn_done(&c);
}

TEST(async_end, with_noautofree_a_disconnect_finishes_a_dead_context, "166") {
    for (int pending = 0; pending < 2; pending++) {
        conn c;
        conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
        if (pending) owe_everything(&c);
        hang_up(&c);
        log_take();
        c.ends = 1;
        CHECK(c.ac != NULL);
        redisAsyncDisconnect(c.ac);
        CHECK_LOG("data privdata");
        CHECK(c.ac == NULL);
        conn_done(&c);
    }
}

static void free_when_failed(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    redisAsyncFree(c->ac);
    CHECK(c->ac != NULL);
}

static void open_refused(conn *c, int options, int *dead) {
    redisOptions o = {0};
    conn_zero(c);
    o.options = options;
    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", hand_dead_port(dead));
    conn_adopt(c, redisAsyncConnectWithOptions(&o));
    CHECK_INT(c->ac->err, 0);
}

TEST(async_end, with_noautofree_a_free_inside_a_failed_connect_callback_frees, "167") {
    conn c;
    int dead;
    open_refused(&c, REDIS_OPT_NOAUTOFREE, &dead);
    c.on_connect = free_when_failed;
    ask(&c, "a", "GET a");
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("connect=-1 a:NULL");
    conn_done(&c);
    close(dead);
}

TEST(async_end, with_noautofree_a_failed_connect_leaves_the_context_to_the_program, "165") {
    conn c;
    int dead;
    open_refused(&c, REDIS_OPT_NOAUTOFREE, &dead);
    ask(&c, "a", "GET a");
    PUMP(&c, c.cleanups == 1);
    CHECK_LOG("connect=-1 a:NULL");
    CHECK(c.ac != NULL);
    CHECK_STR(c.ac->errstr, "Connection refused");
    redisAsyncFree(c.ac);
    CHECK_LOG("");
    conn_done(&c);
    close(dead);
}

TEST(async_end, with_noautofree_a_clean_disconnect_frees, "165") {
    conn c;
    conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
    c.ends = 1;
    ask(&c, "a", "PING");
    redisAsyncDisconnect(c.ac);
    flush(&c);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG cleanup disconnect=0 data privdata");
    conn_done(&c);
}

/* ---- REDIS_OPT_NOAUTOFREEREPLIES ---- */

static redisReply *kept[8];

static void keep_reply(conn *c, const char *name, redisReply *reply) {
    (void)name;
    if (reply != NULL) kept[c->count++] = reply;
}

TEST(async_end, with_noautofreereplies_a_reply_stays_after_its_callback, "168") {
    conn c;
    conn_up_with(&c, REDIS_OPT_NOAUTOFREEREPLIES, 0);
    c.on_reply = keep_reply;
    ask(&c, "a", "GET a");
    ask(&c, "s", "SUBSCRIBE ch");
    ask(&c, NULL, "PING");
    flush(&c);
    /* Those without callback, pushes, and the error that ends it stay the library's. */
    serve(&c, "$1\r\nA\r\n>3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n+PONG\r\n"
              ">2\r\n$10\r\ninvalidate\r\n_\r\n>3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n"
              ">3\r\n$7\r\nmessage\r\n$5\r\nother\r\n$1\r\nm\r\n-ERR go away\r\n");
    CHECK_LOG("a:\"A\" s:>[\"subscribe\" \"ch\" :1] push:>[\"invalidate\" nil] s:>[\"message\" \"ch\" \"m\"] "
              "s:NULL disconnect=-1");
    CHECK(c.ac == NULL);
    CHECK_INT(c.count, 3);
    CHECK_STR(reply_text(kept[0]), "\"A\"");
    CHECK_STR(reply_text(kept[2]), ">[\"message\" \"ch\" \"m\"]");
    for (int i = 0; i < 3; i++) freeReplyObject(kept[i]);
    conn_done(&c);
}

/* ---- Pushes ---- */

static void free_on_push(conn *c, redisReply *reply) {
    (void)reply;
    redisAsyncFree(c->ac);
    CHECK(c->ac != NULL);
}

TEST(async_end, a_free_inside_the_push_callback_takes_effect, "170") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    c.on_push = free_on_push;
    ask(&c, "a", "GET a");
    flush(&c);
    serve(&c, ">2\r\n$10\r\ninvalidate\r\n_\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n$1\r\nA\r\n");
    CHECK_LOG("push:>[\"invalidate\" nil] a:NULL cleanup disconnect=0 data privdata");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

static void disconnect_on_push(conn *c, redisReply *reply) {
    (void)reply;
    redisAsyncDisconnect(c->ac);
}

TEST(async_end, a_disconnect_inside_the_push_callback_takes_effect, "170") {
    conn c;
    conn_up(&c);
    c.ends = 1;
    c.on_push = disconnect_on_push;
    serve(&c, ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    CHECK_LOG("push:>[\"invalidate\" nil] cleanup disconnect=0 data privdata");
    conn_done(&c);
}

static void ask_on_push(conn *c, redisReply *reply) {
    (void)reply;
    ask(c, "from push", "GET k");
}

TEST(async_end, commands_inside_the_push_callback_are_accepted, "170") {
    conn c;
    conn_up(&c);
    c.on_push = ask_on_push;
    serve(&c, ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    flush(&c);
    CHECK_STR(sent(&c), "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    serve(&c, "$1\r\nv\r\n");
    CHECK_LOG("push:>[\"invalidate\" nil] from push:\"v\"");
    conn_done(&c);
}

TEST(async_end, without_a_push_callback_pushes_are_freed, "170") {
    conn c;
    conn_up(&c);
    redisAsyncSetPushCallback(c.ac, NULL);
    ask(&c, "a", "GET a");
    flush(&c);
    serve(&c, ">2\r\n$10\r\ninvalidate\r\n_\r\n>0\r\n$1\r\nA\r\n");
    CHECK_LOG("a:\"A\"");
    conn_done(&c);
}

/* ---- Transports of the program's own ---- */

static char feed[512];
static size_t feed_len;
static int feed_times, feed_fails, writes;

static ssize_t read_feed(redisContext *c, char *buf, size_t size) {
    (void)c;
    if (feed_fails) return -1;
    size_t n = feed_len < size ? feed_len : size;
    memcpy(buf, feed, n);
    memmove(feed, feed + n, feed_len - n);
    feed_len -= n;
    feed_times++;
    return (ssize_t)n;
}

static ssize_t write_three(redisContext *c) {
    size_t n = sdslen(c->obuf);
    if (feed_fails) return -1;
    writes++;
    return (ssize_t)(n < 3 ? n : 3);
}

static void on_own_transport(conn *c, redisContextFuncs *funcs) {
    conn_up(c);
    *funcs = *c->ac->c.funcs;
    funcs->read = read_feed;
    funcs->write = write_three;
    c->ac->c.funcs = funcs;
    feed_len = 0;
    feed_times = feed_fails = writes = 0;
}

TEST(async_end, bytes_move_through_the_function_table, "") {
    redisContextFuncs funcs;
    conn c;
    on_own_transport(&c, &funcs);
    c.hooks = 1;
    ask(&c, "a", "PING");
    CHECK_LOG("addWrite");
    for (size_t left = 14; left > 3; left -= 3) {
        flush(&c);
        CHECK_UINT(sdslen(c.ac->c.obuf), left - 3);
        CHECK_LOG("addWrite addRead");
    }
    flush(&c);
    CHECK_LOG("delWrite addRead");
    CHECK_INT(writes, 5);
    strcpy(feed, "+PONG\r\n");
    feed_len = 7;
    redisAsyncHandleRead(c.ac);
    CHECK_LOG("addRead a:+PONG");
    CHECK_INT(feed_times, 1);
    conn_done(&c);
    CHECK_LOG("cleanup disconnect=0");
}

static int own_reads, own_writes;

static void read_and_process(redisAsyncContext *ac) {
    /* As the TLS library does it: several reads, then the replies. */
    own_reads++;
    CHECK_INT(redisBufferRead(&ac->c), REDIS_OK);
    CHECK_INT(redisBufferRead(&ac->c), REDIS_OK);
    redisProcessCallbacks(ac);
}

static void write_all(redisAsyncContext *ac) {
    int done = 0;
    own_writes++;
    while (!done) CHECK_INT(redisBufferWrite(&ac->c, &done), REDIS_OK);
    ac->ev.delWrite(ac->ev.data);
    ac->ev.addRead(ac->ev.data);
}

TEST(async_end, the_event_handlers_go_through_the_function_table, "") {
    redisContextFuncs funcs;
    conn c;
    on_own_transport(&c, &funcs);
    own_reads = own_writes = 0;
    funcs.async_read = read_and_process;
    funcs.async_write = write_all;
    ask(&c, "a", "PING");
    ask(&c, "b", "PING");
    flush(&c);
    CHECK_INT(own_writes, 1);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    strcpy(feed, "+1\r\n+2\r\n");
    feed_len = 8;
    redisAsyncHandleRead(c.ac);
    CHECK_INT(own_reads, 1);
    CHECK_LOG("a:+1 b:+2");
    /* The default handlers are exported for transports that only add something. */
    ask(&c, "c", "PING");
    while (sdslen(c.ac->c.obuf) > 0) redisAsyncWrite(c.ac);
    strcpy(feed, "+3\r\n");
    feed_len = 4;
    redisAsyncRead(c.ac);
    CHECK_LOG("c:+3");
    CHECK_INT(own_reads, 1);
    conn_done(&c);
}

TEST(async_end, a_transport_that_fails_without_an_error_ends_the_connection_with_one, "") {
    for (int write = 0; write < 2; write++) {
        redisContextFuncs funcs;
        conn c;
        on_own_transport(&c, &funcs);
        ask(&c, "a", "PING");
        feed_fails = 1;
        if (write) redisAsyncHandleWrite(c.ac);
        else redisAsyncHandleRead(c.ac);
        CHECK_LOG("a:NULL disconnect=-1");
        CHECK(c.ac == NULL);
        conn_done(&c);
    }
}

static void error_is_set(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK(c->ac->err == REDIS_ERR_IO || c->ac->err == REDIS_ERR_OTHER);
    CHECK(c->ac->errstr[0] != '\0');
    c->count++;
}

TEST(async_end, a_disconnect_by_a_transport_without_an_error_gets_one, "") {
    conn c;
    conn_up(&c);
    c.on_disconnect = error_is_set;
    ask(&c, "a", "PING");
    __redisAsyncDisconnect(c.ac);
    CHECK_LOG("a:NULL disconnect=-1");
    CHECK_INT(c.count, 1);
    conn_done(&c);
}

static int closes;

static void close_counted(redisContext *c) {
    closes++;
    redisNetClose(c);
}

TEST(async_end, the_connection_is_closed_through_the_function_table, "") {
    redisContextFuncs funcs;
    conn c;
    on_own_transport(&c, &funcs);
    closes = 0;
    funcs.close = close_counted;
    redisAsyncFree(c.ac);
    CHECK(closes >= 1);
    hand_expect_eof(c.server);
    conn_done(&c);
}
#endif
