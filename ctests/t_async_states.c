/* Asynchronous contexts: every event in every state, and everything a callback may call. */
#include "async.h"

#include <stdio.h>
#include <unistd.h>

#if HIREDIS_MAJOR >= 1

#define SUBSCRIBED_CH "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"

/* ---- Events in states ------------------------------------------------------- */

enum state {
    NEW,            /* not known to be connected */
    IDLE,
    PENDING,        /* a has been sent */
    SUBSCRIBED,
    DISCONNECTING,  /* a has been sent, then redisAsyncDisconnect */
    DEAD,           /* REDIS_OPT_NOAUTOFREE and an error */
    STATES
};

static const char *const state_name[] = {"new", "idle", "pending", "subscribed", "disconnecting", "dead"};

static void reach(conn *c, enum state state) {
    struct timeval tv = {0, 10000};
    redisOptions o = {0};
    conn_zero(c);
    o.connect_timeout = o.command_timeout = &tv;
    if (state == DEAD) o.options = REDIS_OPT_NOAUTOFREE;
    conn_open_with(c, &o);
    if (state != NEW) flush(c);
    if (state == PENDING || state == DISCONNECTING) ask(c, "a", "GET a");
    if (state == SUBSCRIBED) ask(c, "s", "SUBSCRIBE ch");
    if (state > IDLE && state < DEAD) flush(c);
    if (state == SUBSCRIBED) serve(c, SUBSCRIBED_CH);
    if (state == DISCONNECTING) redisAsyncDisconnect(c->ac);
    if (state == DEAD) hang_up(c);
    log_take();
    c->ends = 1;
}

/* Makes the events of all states happen and compares what was called. "" stands for nothing,
 * NULL for a cell that cannot be. */
static void check_events(void (*event)(conn *c), const char *what, const char *const want[STATES]) {
    for (int s = 0; s < STATES; s++) {
        conn c;
        if (want[s] == NULL) continue;
        reach(&c, (enum state)s);
        event(&c);
        if (strcmp(log_text(), want[s]) != 0)
            FAIL("%s in state %s: got \"%s\", wanted \"%s\"", what, state_name[s], log_text(), want[s]);
        conn_done(&c);
        log_take();
    }
}

#define CHECK_EVENTS(event, ...)                                                                \
    do {                                                                                        \
        static const char *const want[STATES] = {__VA_ARGS__};                                  \
        check_events(event, #event, want);                                                      \
    } while (0)

static void command(conn *c) {
    note("%d", ask_try(c, "x", "GET x"));
    CHECK_STR(c->ac->errstr, c->ac->c.errstr);
    redisAsyncFree(c->ac);
}

TEST(async_states, a_command, "155 158") {
    CHECK_EVENTS(command,
        [NEW] = "0 x:NULL cleanup data privdata",
        [IDLE] = "0 x:NULL cleanup disconnect=0 data privdata",
        [PENDING] = "0 a:NULL x:NULL cleanup disconnect=0 data privdata",
        [SUBSCRIBED] = "0 x:NULL s:NULL cleanup disconnect=0 data privdata",
        [DISCONNECTING] = "-1 a:NULL cleanup disconnect=0 data privdata",
        [DEAD] = "-1 data privdata");
}

static void writable(conn *c) {
    flush(c);
}

TEST(async_states, a_write_event, "137") {
    CHECK_EVENTS(writable, [NEW] = "connect=0", [IDLE] = "", [PENDING] = "", [SUBSCRIBED] = "",
                 [DISCONNECTING] = "", [DEAD] = "");
}

static void nothing_to_read(conn *c) {
    redisAsyncHandleRead(c->ac);
}

TEST(async_states, a_read_event_without_data, "148") {
    CHECK_EVENTS(nothing_to_read, [NEW] = "connect=0", [IDLE] = "", [PENDING] = "", [SUBSCRIBED] = "",
                 [DISCONNECTING] = "", [DEAD] = "");
}

static void status_reply(conn *c) {
    serve(c, "+X\r\n");
}

TEST(async_states, a_reply, "155 164") {
    CHECK_EVENTS(status_reply,
        [NEW] = "connect=0 cleanup disconnect=-1 data privdata",
        [IDLE] = "cleanup disconnect=-1 data privdata",
        [PENDING] = "a:+X",
        [SUBSCRIBED] = "cleanup s:NULL disconnect=-1 data privdata",
        [DISCONNECTING] = "a:+X cleanup disconnect=0 data privdata");
}

static void error_reply(conn *c) {
    serve(c, "-ERR x\r\n");
}

TEST(async_states, an_error_reply, "163 182") {
    CHECK_EVENTS(error_reply,
        [NEW] = "connect=0 cleanup disconnect=-1 data privdata",
        [IDLE] = "cleanup disconnect=-1 data privdata",
        [PENDING] = "a:-ERR x",
        [SUBSCRIBED] = "cleanup s:NULL disconnect=-1 data privdata",
        [DISCONNECTING] = "a:-ERR x cleanup disconnect=0 data privdata");
}

TEST(async_states, the_end_of_the_stream, "153") {
    CHECK_EVENTS(hang_up,
        [NEW] = "connect=0 cleanup disconnect=-1 data privdata",
        [IDLE] = "cleanup disconnect=-1 data privdata",
        [PENDING] = "cleanup a:NULL disconnect=-1 data privdata",
        [SUBSCRIBED] = "cleanup s:NULL disconnect=-1 data privdata",
        [DISCONNECTING] = "cleanup a:NULL disconnect=-1 data privdata");
}

static void nonsense(conn *c) {
    serve(c, "?\r\n");
}

TEST(async_states, a_protocol_error, "162") {
    CHECK_EVENTS(nonsense,
        [NEW] = "connect=0 cleanup disconnect=-1 data privdata",
        [IDLE] = "cleanup disconnect=-1 data privdata",
        [PENDING] = "cleanup a:NULL disconnect=-1 data privdata",
        [SUBSCRIBED] = "cleanup s:NULL disconnect=-1 data privdata",
        [DISCONNECTING] = "cleanup a:NULL disconnect=-1 data privdata");
}

static void push(conn *c) {
    serve(c, ">1\r\n+x\r\n");
}

TEST(async_states, a_push, "181") {
    CHECK_EVENTS(push,
        [NEW] = "connect=0 push:>[+x]",
        [IDLE] = "push:>[+x]",
        [PENDING] = "push:>[+x]",
        [SUBSCRIBED] = "push:>[+x]",
        [DISCONNECTING] = "push:>[+x]");
}

static void timeout(conn *c) {
    if (c->cleanups > 0) redisAsyncHandleTimeout(c->ac);    /* nobody sets timers any more */
    else expire(c);
}

TEST(async_states, a_timeout, "139 159 160") {
    CHECK_EVENTS(timeout,
        [NEW] = "connect=-1 cleanup data privdata",
        [IDLE] = "",
        [PENDING] = "a:NULL cleanup disconnect=-1 data privdata",
        [SUBSCRIBED] = "",
        [DISCONNECTING] = "a:NULL cleanup disconnect=-1 data privdata",
        [DEAD] = "");
}

static void disconnect(conn *c) {
    redisAsyncDisconnect(c->ac);
}

TEST(async_states, redis_async_disconnect, "155 156 166") {
    CHECK_EVENTS(disconnect,
        [IDLE] = "cleanup disconnect=0 data privdata",
        [PENDING] = "",
        [SUBSCRIBED] = "cleanup s:NULL disconnect=0 data privdata",
        [DISCONNECTING] = "",
        [DEAD] = "data privdata");
}

static void free_context(conn *c) {
    redisAsyncFree(c->ac);
}

TEST(async_states, redis_async_free, "154 165") {
    CHECK_EVENTS(free_context,
        [NEW] = "cleanup data privdata",
        [IDLE] = "cleanup disconnect=0 data privdata",
        [PENDING] = "a:NULL cleanup disconnect=0 data privdata",
        [SUBSCRIBED] = "s:NULL cleanup disconnect=0 data privdata",
        [DISCONNECTING] = "a:NULL cleanup disconnect=0 data privdata",
        [DEAD] = "data privdata");
}

/* ---- Calls from callbacks ---------------------------------------------------- */

/* What the callback in question does; "other" contexts are made and used as well. */
static const char *action;

static void use_other_context(void) {
    redisContext *s = redisConnectUnix(live_unix());
    CHECK_INT(s->err, 0);
    redisReply *r = redisCommand(s, "PING");
    CHECK_REPLY_STATUS(r, "PONG");
    freeReplyObject(r);
    redisFree(s);
    redisAsyncContext *ac = redisAsyncConnectUnix(live_unix());
    CHECK_INT(ac->err, 0);
    CHECK_INT(redisAsyncCommand(ac, NULL, NULL, "PING"), REDIS_OK);
    redisAsyncHandleWrite(ac);
    redisAsyncFree(ac);
}

static void do_action(conn *c) {
    if (c->count++ > 0) return;
    if (strcmp(action, "command") == 0) note("%d", ask_try(c, "x", "GET x"));
    if (strcmp(action, "free") == 0) redisAsyncFree(c->ac);
    if (strcmp(action, "disconnect") == 0) redisAsyncDisconnect(c->ac);
    if (strcmp(action, "disconnect free") == 0) {
        redisAsyncDisconnect(c->ac);
        redisAsyncFree(c->ac);
    }
    if (strcmp(action, "events") == 0) {
        redisAsyncHandleRead(c->ac);
        redisAsyncHandleWrite(c->ac);
        redisAsyncHandleTimeout(c->ac);
    }
    if (strcmp(action, "other") == 0) use_other_context();
    CHECK(c->ac != NULL);
    CHECK(c->ac->c.flags & REDIS_IN_CALLBACK);
}

static void act_in_reply(conn *c, const char *name, redisReply *reply) {
    (void)name;
    (void)reply;
    do_action(c);
}

static void act_in_push(conn *c, redisReply *reply) {
    (void)reply;
    do_action(c);
}

static void act_in_status(conn *c, int status) {
    (void)status;
    do_action(c);
}

struct row {
    const char *action, *log;
};

static void check_action(const struct row *row, void (*scene)(conn *c)) {
    conn c;
    action = row->action;
    scene(&c);
    if (strcmp(log_text(), row->log) != 0)
        FAIL("%s: got \"%s\", wanted \"%s\"", row->action, log_text(), row->log);
    CHECK(c.count >= 1);
    conn_done(&c);
    log_take();
}

#define CHECK_ACTIONS(scene, ...)                                                               \
    do {                                                                                        \
        static const struct row row[] = {__VA_ARGS__};                                          \
        for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) check_action(&row[i], scene); \
    } while (0)

/* In each scene one callback acts, once; then what comes next is played to its end. */

static void in_reply(conn *c) {
    conn_up(c);
    c->ends = 1;
    c->on_reply = act_in_reply;
    ask(c, "a", "GET a");
    ask(c, "b", "GET b");
    flush(c);
    serve(c, "+1\r\n");
    if (c->ac != NULL && c->writing) flush(c);
    if (c->ac != NULL) serve(c, "+2\r\n");
    if (c->ac != NULL) hang_up(c);
}

TEST(async_states, calls_from_a_reply_callback, "157") {
    CHECK_ACTIONS(in_reply,
        {"command", "a:+1 0 b:+2 cleanup x:NULL disconnect=-1 data privdata"},
        {"free", "a:+1 b:NULL cleanup disconnect=0 data privdata"},
        {"disconnect", "a:+1 b:+2 cleanup disconnect=0 data privdata"},
        {"disconnect free", "a:+1 b:NULL cleanup disconnect=0 data privdata"},
        {"events", "a:+1 b:+2 cleanup disconnect=-1 data privdata"},
        {"other", "a:+1 b:+2 cleanup disconnect=-1 data privdata"});
}

static void in_null_reply(conn *c) {
    conn_up(c);
    c->ends = 1;
    c->on_reply = act_in_reply;
    ask(c, "a", "GET a");
    ask(c, "b", "GET b");
    flush(c);
    hang_up(c);
}

TEST(async_states, calls_from_a_null_reply_callback, "158") {
    CHECK_ACTIONS(in_null_reply,
        {"command", "cleanup a:NULL -1 b:NULL disconnect=-1 data privdata"},
        {"free", "cleanup a:NULL b:NULL disconnect=0 data privdata"},
        {"disconnect", "cleanup a:NULL b:NULL disconnect=-1 data privdata"},
        {"disconnect free", "cleanup a:NULL b:NULL disconnect=0 data privdata"},
        {"events", "cleanup a:NULL b:NULL disconnect=-1 data privdata"},
        {"other", "cleanup a:NULL b:NULL disconnect=-1 data privdata"});
}

static void in_null_reply_of_free(conn *c) {
    conn_up(c);
    c->ends = 1;
    c->on_reply = act_in_reply;
    ask(c, "a", "GET a");
    ask(c, "b", "GET b");
    redisAsyncFree(c->ac);
}

TEST(async_states, calls_from_a_null_reply_callback_of_a_free, "158") {
    CHECK_ACTIONS(in_null_reply_of_free,
        {"command", "a:NULL -1 b:NULL cleanup disconnect=0 data privdata"},
        {"free", "a:NULL b:NULL cleanup disconnect=0 data privdata"},
        {"disconnect", "a:NULL b:NULL cleanup disconnect=0 data privdata"},
        {"events", "a:NULL b:NULL cleanup disconnect=0 data privdata"},
        {"other", "a:NULL b:NULL cleanup disconnect=0 data privdata"});
}

static void in_null_reply_of_timeout(conn *c) {
    conn_up_with(c, 0, 10);
    c->ends = 1;
    c->on_reply = act_in_reply;
    ask(c, "a", "GET a");
    ask(c, "b", "GET b");
    flush(c);
    expire(c);
}

TEST(async_states, calls_from_a_null_reply_callback_of_a_timeout, "158 161") {
    CHECK_ACTIONS(in_null_reply_of_timeout,
        {"command", "a:NULL -1 b:NULL cleanup disconnect=-1 data privdata"},
        {"disconnect", "a:NULL b:NULL cleanup disconnect=-1 data privdata"},
        {"events", "a:NULL b:NULL cleanup disconnect=-1 data privdata"},
        {"other", "a:NULL b:NULL cleanup disconnect=-1 data privdata"});
}

static void in_message(conn *c) {
    conn_up(c);
    c->ends = 1;
    ask(c, "s", "SUBSCRIBE ch");
    flush(c);
    serve(c, SUBSCRIBED_CH);
    log_take();
    c->on_reply = act_in_reply;
    serve(c, "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\n1\r\n");
    if (c->ac != NULL && c->writing) flush(c);
    if (c->ac != NULL) serve(c, "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\n2\r\n");
    if (c->ac != NULL) hang_up(c);
}

TEST(async_states, calls_from_a_message_callback, "157") {
    CHECK_ACTIONS(in_message,
        {"command", "s:*[\"message\" \"ch\" \"1\"] 0 s:*[\"message\" \"ch\" \"2\"] "
                    "cleanup x:NULL s:NULL disconnect=-1 data privdata"},
        {"free", "s:*[\"message\" \"ch\" \"1\"] s:NULL cleanup disconnect=0 data privdata"},
        {"disconnect", "s:*[\"message\" \"ch\" \"1\"] cleanup s:NULL disconnect=0 data privdata"},
        {"events", "s:*[\"message\" \"ch\" \"1\"] s:*[\"message\" \"ch\" \"2\"] "
                   "cleanup s:NULL disconnect=-1 data privdata"},
        {"other", "s:*[\"message\" \"ch\" \"1\"] s:*[\"message\" \"ch\" \"2\"] "
                  "cleanup s:NULL disconnect=-1 data privdata"});
}

static void in_push(conn *c) {
    conn_up(c);
    c->ends = 1;
    c->on_push = act_in_push;
    ask(c, "a", "GET a");
    flush(c);
    serve(c, ">1\r\n+x\r\n+1\r\n");
    if (c->ac != NULL && c->writing) flush(c);
    if (c->ac != NULL) hang_up(c);
}

TEST(async_states, calls_from_a_push_callback, "170") {
    CHECK_ACTIONS(in_push,
        {"command", "push:>[+x] 0 a:+1 cleanup x:NULL disconnect=-1 data privdata"},
        {"free", "push:>[+x] a:NULL cleanup disconnect=0 data privdata"},
        {"disconnect", "push:>[+x] a:+1 cleanup disconnect=0 data privdata"},
        {"disconnect free", "push:>[+x] a:NULL cleanup disconnect=0 data privdata"},
        {"events", "push:>[+x] a:+1 cleanup disconnect=-1 data privdata"},
        {"other", "push:>[+x] a:+1 cleanup disconnect=-1 data privdata"});
}

static void in_connect(conn *c) {
    conn_zero(c);
    c->ends = 1;
    c->on_connect = act_in_status;
    conn_open(c);
    flush(c);
    if (c->ac != NULL && c->writing) flush(c);
    if (c->ac != NULL) note("sent %zu", strlen(sent(c)));
    if (c->ac != NULL) hang_up(c);
}

TEST(async_states, calls_from_a_connect_callback, "142 143") {
    CHECK_ACTIONS(in_connect,
        {"command", "connect=0 0 sent 20 cleanup x:NULL disconnect=-1 data privdata"},
        {"free", "connect=0 cleanup disconnect=0 data privdata"},
        {"disconnect", "connect=0 cleanup disconnect=0 data privdata"},
        {"disconnect free", "connect=0 cleanup disconnect=0 data privdata"},
        {"events", "connect=0 sent 0 cleanup disconnect=-1 data privdata"},
        {"other", "connect=0 sent 0 cleanup disconnect=-1 data privdata"});
}

static void in_failed_connect(conn *c) {
    int dead;
    conn_zero(c);
    c->ends = 1;
    c->on_connect = act_in_status;
    conn_adopt(c, redisAsyncConnect("127.0.0.1", hand_dead_port(&dead)));
    PUMP(c, c->ac == NULL);
    close(dead);
}

TEST(async_states, calls_from_a_failed_connect_callback, "144") {
    CHECK_ACTIONS(in_failed_connect,
        {"command", "connect=-1 -1 cleanup data privdata"},
        {"free", "connect=-1 cleanup data privdata"},
        {"disconnect", "connect=-1 cleanup data privdata"},
        {"disconnect free", "connect=-1 cleanup data privdata"},
        {"events", "connect=-1 cleanup data privdata"},
        {"other", "connect=-1 cleanup data privdata"});
}

static void in_disconnect(conn *c) {
    conn_up(c);
    c->ends = 1;
    c->on_disconnect = act_in_status;
    hang_up(c);
}

TEST(async_states, calls_from_a_disconnect_callback, "158") {
    CHECK_ACTIONS(in_disconnect,
        {"command", "cleanup disconnect=-1 -1 data privdata"},
        {"free", "cleanup disconnect=-1 data privdata"},
        {"disconnect", "cleanup disconnect=-1 data privdata"},
        {"disconnect free", "cleanup disconnect=-1 data privdata"},
        {"events", "cleanup disconnect=-1 data privdata"},
        {"other", "cleanup disconnect=-1 data privdata"});
}

static void in_disconnect_kept(conn *c) {
    conn_up_with(c, REDIS_OPT_NOAUTOFREE, 0);
    c->ends = 1;
    c->on_disconnect = act_in_status;
    hang_up(c);
    if (c->ac != NULL) {
        note("kept");
        redisAsyncFree(c->ac);
    }
}

TEST(async_states, calls_from_a_disconnect_callback_with_noautofree, "165") {
    CHECK_ACTIONS(in_disconnect_kept,
        {"command", "cleanup disconnect=-1 -1 kept data privdata"},
        {"free", "cleanup disconnect=-1 data privdata"},
        {"events", "cleanup disconnect=-1 kept data privdata"},
        {"other", "cleanup disconnect=-1 kept data privdata"});
}

static void in_monitor(conn *c) {
    conn_up(c);
    c->ends = 1;
    ask(c, "m", "MONITOR");
    flush(c);
    serve(c, "+OK\r\n");
    log_take();
    c->on_reply = act_in_reply;
    serve(c, "+1339518083.107412 [0 127.0.0.1:60866] \"one\"\r\n");
    if (c->ac != NULL && c->writing) flush(c);
    if (c->ac != NULL) serve(c, "+1339518083.107412 [0 127.0.0.1:60866] \"two\"\r\n");
    if (c->ac != NULL) redisAsyncFree(c->ac);
}

TEST(async_states, calls_from_a_monitor_callback, "157 188") {
    CHECK_ACTIONS(in_monitor,
        {"free", "m:+@ \"one\" m:NULL cleanup disconnect=0 data privdata"},
        {"events", "m:+@ \"one\" m:+@ \"two\" m:NULL cleanup disconnect=0 data privdata"},
        {"other", "m:+@ \"one\" m:+@ \"two\" m:NULL cleanup disconnect=0 data privdata"});
}
#endif
