/* Asynchronous contexts: the hooks of the event loop, its timer, and descriptors from outside. */
#include "async.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hiredis/sds.h>

#if HIREDIS_MAJOR >= 1
/* ---- Timers ---- */

static int between(struct timeval tv, double low, double high) {
    double t = (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
    return t > low && t <= high;
}

TEST(async_hooks, the_timer_is_set_before_every_request_for_events, "151") {
    struct timeval connect_tv = {50, 0}, command_tv = {20, 0};
    redisOptions o = {0};
    conn c;
    conn_zero(&c);
    c.hooks = 1;
    o.connect_timeout = &connect_tv;
    o.command_timeout = &command_tv;
    conn_open_with(&c, &o);
    CHECK_LOG("T addWrite");
    CHECK(between(c.timer, 40, 50));
    ask(&c, "a", "PING");
    CHECK_LOG("T addWrite");
    CHECK(between(c.timer, 40, 50));
    flush(&c);
    CHECK_LOG("connect=0 delWrite T addRead");
    CHECK(between(c.timer, 10, 20));
    serve(&c, "+PONG\r\n");
    CHECK_LOG("T addRead a:+PONG");
    CHECK(between(c.timer, 10, 20));
    ask(&c, "b", "PING");
    CHECK_LOG("T addWrite");
    CHECK(between(c.timer, 10, 20));
    flush(&c);
    CHECK_LOG("delWrite T addRead");
    /* Nothing to read: still a read without failure. */
    redisAsyncHandleRead(c.ac);
    CHECK_LOG("T addRead");
    CHECK(between(c.timer, 10, 20));
    conn_done(&c);
}

TEST(async_hooks, the_timer_is_set_even_when_the_other_hooks_are_absent, "151") {
    conn c;
    conn_up_with(&c, 0, 5000);
    c.hooks = 1;
    c.ac->ev.addWrite = NULL;
    ask(&c, "a", "PING");
    CHECK_LOG("T");
    c.ac->ev.addRead = NULL;
    c.ac->ev.delWrite = NULL;
    flush(&c);
    CHECK_LOG("T");
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("T a:+PONG");
    conn_done(&c);
}

TEST(async_hooks, no_timer_is_set_for_an_absent_or_zero_timeout, "151") {
    struct timeval zero = {0, 0}, tv = {9, 0};
    redisOptions o = {0};
    conn c;
    conn_zero(&c);
    o.connect_timeout = &zero;
    o.command_timeout = &zero;
    conn_open_with(&c, &o);
    ask(&c, "a", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("connect=0 a:+PONG");
    CHECK_INT(c.timers, 0);
    conn_done(&c);

    /* A connect timeout alone is not used once connected, a command timeout not before. */
    conn_zero(&c);
    memset(&o, 0, sizeof(o));
    o.connect_timeout = &tv;
    conn_open_with(&c, &o);
    CHECK_INT(c.timers, 1);
    flush(&c);
    int before = c.timers;
    ask(&c, "a", "PING");
    flush(&c);
    CHECK_INT(c.timers, before);
    conn_done(&c);

    conn_zero(&c);
    memset(&o, 0, sizeof(o));
    o.command_timeout = &tv;
    conn_open_with(&c, &o);
    ask(&c, "a", "PING");
    CHECK_INT(c.timers, 0);
    flush(&c);
    CHECK(c.timers > 0);
    conn_done(&c);
}
#endif

/* ---- Hooks ---- */

static void connected(const redisAsyncContext *ac, int status) {
    conn *c = ac->data;
    c->connects++;
    note("connected=%d", status);
}

TEST(async_hooks, every_hook_may_be_absent, "") {
    char path[108];
    conn c;
    conn_zero(&c);
    c.listener = hand_listen_unix(path, sizeof(path), 8);
    c.ac = redisAsyncConnectUnix(path);
    c.ac->data = &c;
    c.server = hand_accept(c.listener);
    CHECK_INT(redisAsyncSetConnectCallback(c.ac, connected), REDIS_OK);
    ask(&c, "a", "PING");
    CHECK_STR(sent(&c), "");    /* nothing is sent until the program says so */
    flush(&c);
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("connected=0 a:+PONG");
    hang_up(&c);
    c.ac = NULL;
    c.datas = c.privdatas = 1;
    conn_done(&c);
}

TEST(async_hooks, an_accepted_command_asks_for_write_events_and_a_refused_one_does_not, "") {
    conn c;
    conn_up(&c);
    c.hooks = 1;
    ask(&c, "a", "PING");
    CHECK_LOG("addWrite");
    CHECK_INT(ask_try(&c, "b", "UNSUBSCRIBE x"), REDIS_ERR);
    CHECK_LOG("");
    CHECK_INT(ask_try(&c, "b", "PING %z"), REDIS_ERR);
    CHECK_LOG("");
    CHECK_INT(c.ac->err, 0);
    flush(&c);
    CHECK_LOG("delWrite addRead");
    conn_done(&c);
}

TEST(async_hooks, a_partial_write_keeps_asking_for_write_events, "") {
    size_t size = 8 << 20;
    int small = 4096;
    conn c;
    conn_up(&c);
    CHECK_INT(setsockopt(c.ac->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    char *value = test_bytes(size);
    memset(value, 'v', size);
    ask(&c, "a", "SET k %b", value, size);
    c.hooks = 1;
    flush(&c);
    CHECK_LOG("addWrite addRead");
    const char *head = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8388608\r\n";
    size_t want = strlen(head) + size + 2, have = 0;
    char *all = test_bytes(want + 1);
    have += hand_read_now(c.server, all, want);
    CHECK(have > 0 && have < want);
    while (have < want) {
        flush(&c);
        if (sdslen(c.ac->c.obuf) == 0) CHECK_LOG("delWrite addRead");
        else CHECK_LOG("addWrite addRead");
        have += hand_read_now(c.server, all + have, want - have);
    }
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    CHECK(memcmp(all, head, strlen(head)) == 0);
    CHECK(memcmp(all + strlen(head), value, size) == 0);
    CHECK_MEM(all + want - 2, 2, "\r\n");
    hand_expect_quiet(c.server);
    serve(&c, "+OK\r\n");
    CHECK_LOG("addRead a:+OK");
    conn_done(&c);
}

TEST(async_hooks, a_write_event_without_data_takes_back_the_request, "") {
    conn c;
    conn_up(&c);
    c.hooks = 1;
    flush(&c);
    CHECK_LOG("delWrite addRead");
    conn_done(&c);
}

TEST(async_hooks, a_read_event_asks_again_before_the_reply_callbacks, "") {
    conn c;
    conn_up(&c);
    c.hooks = 1;
    ask(&c, "a", "PING");
    ask(&c, "b", "PING");
    flush(&c);
    log_take();
    serve(&c, "+1\r\n+2\r\n");
    CHECK_LOG("addRead a:+1 b:+2");
    conn_done(&c);
}

#if HIREDIS_MAJOR >= 1
TEST(async_hooks, after_cleanup_no_hook_is_left_to_be_called, "152") {
    conn c;
    conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
    hang_up(&c);
    CHECK_INT(c.cleanups, 1);
    CHECK(c.ac != NULL);
    CHECK(c.ac->ev.data == NULL);
    CHECK(c.ac->ev.addRead == NULL);
    CHECK(c.ac->ev.delRead == NULL);
    CHECK(c.ac->ev.addWrite == NULL);
    CHECK(c.ac->ev.delWrite == NULL);
    CHECK(c.ac->ev.cleanup == NULL);
    CHECK(c.ac->ev.scheduleTimer == NULL);
    redisAsyncFree(c.ac);
    conn_done(&c);
}

/* Each way to end a context; conn_done checks that cleanup and the rest ran exactly once. */
static void end_context(conn *c, const char *how) {
    if (strcmp(how, "free") == 0) redisAsyncFree(c->ac);
    if (strcmp(how, "disconnect") == 0) redisAsyncDisconnect(c->ac);
    if (strcmp(how, "end of stream") == 0) hang_up(c);
    if (strcmp(how, "protocol error") == 0) serve(c, "@foo\r\n");
    if (strcmp(how, "error reply") == 0) serve(c, "-ERR max number of clients reached\r\n");
    if (strcmp(how, "unasked reply") == 0) serve(c, "+HI\r\n");
    if (strcmp(how, "error of the transport") == 0) {
        __redisSetError(&c->ac->c, REDIS_ERR_OTHER, "tls says no");
        __redisAsyncDisconnect(c->ac);
    }
    if (strcmp(how, "failed write") == 0) {
        ask(c, "a", "PING");
        close(c->server);
        c->server = -1;
        flush(c);
    }
    if (strcmp(how, "timeout") == 0) {
        ask(c, "a", "PING");
        flush(c);
        expire(c);
    }
}

TEST(async_hooks, cleanup_runs_exactly_once_in_every_ending, "152") {
    static const struct {
        const char *how, *log;
    } ending[] = {
        {"free", "cleanup disconnect=0 data privdata"},
        {"disconnect", "cleanup disconnect=0 data privdata"},
        {"end of stream", "cleanup disconnect=-1 data privdata"},
        {"protocol error", "cleanup disconnect=-1 data privdata"},
        {"error reply", "cleanup disconnect=-1 data privdata"},
        {"unasked reply", "cleanup disconnect=-1 data privdata"},
        {"error of the transport", "cleanup disconnect=-1 data privdata"},
        {"failed write", "cleanup a:NULL disconnect=-1 data privdata"},
        {"timeout", "a:NULL cleanup disconnect=-1 data privdata"},
    };
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
        conn c;
        conn_up_with(&c, 0, strcmp(ending[i].how, "timeout") == 0 ? 10 : 0);
        c.ends = 1;
        end_context(&c, ending[i].how);
        if (c.ac != NULL) FAIL("the context is still there after: %s", ending[i].how);
        CHECK_STR(log_take(), ending[i].log);
        conn_done(&c);
    }
}
#endif

/* ---- A descriptor of the program's own ---- */

#if HIREDIS_MAJOR >= 1
static void on_own_descriptor(conn *c, int fd) {
    redisOptions o = {0};
    conn_zero(c);
    CHECK_INT(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = fd;
    conn_adopt(c, redisAsyncConnectWithOptions(&o));
    CHECK_INT(c->ac->err, 0);
    CHECK_INT(c->ac->c.fd, fd);
}

TEST(async_hooks, a_descriptor_of_the_program_works, "150") {
    for (int read_first = 0; read_first < 2; read_first++) {
        int fd[2];
        conn c;
        hand_pair(fd);
        on_own_descriptor(&c, fd[0]);
        c.server = fd[1];
        CHECK_INT(c.ac->c.flags & REDIS_CONNECTED, 0);
        ask(&c, "a", "PING");
        if (read_first) redisAsyncHandleRead(c.ac);
        flush(&c);
        CHECK_LOG("connect=0");
        CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
        serve(&c, "+PONG\r\n");
        CHECK_LOG("a:+PONG");
        hang_up(&c);
        CHECK_LOG("disconnect=-1");
        CHECK(c.ac == NULL);
        conn_done(&c);
    }
}

TEST(async_hooks, a_bad_descriptor_of_the_program_ends_in_an_error, "150") {
    redisOptions o = {0};
    conn c;
    conn_zero(&c);
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = -1;
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    CHECK_INT(c.ac->err, 0);
    ask(&c, "a", "PING");
    flush(&c);
    CHECK(c.ac == NULL);
    CHECK_LOG_EITHER("connect=-1 a:NULL", "connect=0 a:NULL disconnect=-1");
    conn_done(&c);
}
#endif
