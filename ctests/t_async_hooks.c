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

#if HIREDIS_MAJOR >= 1
/* obuf belongs to the program as well, also while a large part of it is on its way. */

enum { BIG = 1 << 20 };
enum { CLEAR, REPLACE, REPLACE_WITH_ROOM, APPEND };

struct edit {
    int how;           /* what the program does to obuf */
    size_t own;        /* then it appends so many bytes itself, */
    size_t value;      /* then asks for a SET of so many bytes; 0: PING */
    char filler;       /* the bytes of both */
};

static void edited(const struct edit *e) {
    static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n";
    int small = 4096;
    char *value = test_bytes(BIG), *filler = test_bytes(2 * BIG);
    conn c;
    conn_up(&c);
    CHECK_INT(setsockopt(c.ac->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    memset(value, 'v', BIG);
    memset(filler, e->filler, 2 * BIG);
    ask(&c, "a", "SET k %b", value, (size_t)BIG);
    CHECK_UINT(sdslen(c.ac->c.obuf), strlen(head) + BIG + 2);
    char *all = test_bytes(4 * BIG);
    memcpy(all, c.ac->c.obuf, sdslen(c.ac->c.obuf));
    flush(&c);
    size_t before = hand_read_now(c.server, filler + BIG, BIG), rest = strlen(head) + BIG + 2 - before;
    CHECK(before > 0 && before < rest);
    CHECK(memcmp(filler + BIG, all, before) == 0);
    memset(filler, e->filler, 2 * BIG);

    /* What must arrive from now on. */
    char *want = test_bytes(4 * BIG);
    size_t len = 0;
    sds obuf = c.ac->c.obuf;
    if (e->how == CLEAR) sdsclear(obuf);
    if (e->how == REPLACE || e->how == REPLACE_WITH_ROOM) {
        sdsfree(obuf);
        obuf = sdsempty();
        if (e->how == REPLACE_WITH_ROOM) obuf = sdsMakeRoomFor(obuf, strlen(head) + BIG);
    }
    if (e->how == APPEND) {
        memcpy(want, all + before, rest);
        len = rest;
    }
    obuf = sdscatlen(obuf, filler, e->own);
    memcpy(want + len, filler, e->own);
    len += e->own;
    c.ac->c.obuf = obuf;
    if (e->value > 0) {
        char *bytes;
        int n = redisFormatCommand(&bytes, "SET k %b", filler, e->value);
        CHECK(n > 0);
        memcpy(want + len, bytes, (size_t)n);
        len += (size_t)n;
        redisFreeCommand(bytes);
        ask(&c, "b", "SET k %b", filler, e->value);
    } else {
        memcpy(want + len, "*1\r\n$4\r\nPING\r\n", 14);
        len += 14;
        ask(&c, "b", "PING");
    }

    size_t have = 0;
    for (double end = test_now() + 20; sdslen(c.ac->c.obuf) > 0;) {
        flush(&c);
        have += hand_read_now(c.server, all + have, 4 * BIG - have);
        if (test_now() > end) FAIL("obuf is never empty");
    }
    have += hand_read_now(c.server, all + have, 4 * BIG - have);
    if (have != len || memcmp(all, want, len) != 0)
        FAIL("way %d, %zu own, %zu by command: %zu bytes instead of %zu came, beginning with %.14s", e->how,
             e->own, e->value, have, len, all);
    CHECK(!c.writing);
    conn_done(&c);
}

TEST(async_hooks, what_a_program_puts_into_obuf_after_a_partial_write_is_sent_whole_and_once, "130") {
    static const struct edit edits[] = {
        {CLEAR, 0, 0, 'y'},
        {CLEAR, 0, 20000, 'y'},
        {CLEAR, 0, 400000, 'v'},
        {CLEAR, 0, BIG - 100, 'v'},
        {CLEAR, 30000, 0, 'y'},
        {CLEAR, 400000, 0, 'v'},
        {CLEAR, BIG + 100000, 0, 'y'},
        {REPLACE, 0, 0, 'y'},
        {REPLACE, 0, 20000, 'y'},
        {REPLACE, 0, 400000, 'v'},
        {REPLACE, 400000, 0, 'v'},
        {REPLACE_WITH_ROOM, 0, 0, 'y'},
        {REPLACE_WITH_ROOM, 0, 20000, 'y'},
        {REPLACE_WITH_ROOM, 0, 400000, 'v'},
        {REPLACE_WITH_ROOM, 400000, 0, 'y'},
        {APPEND, 0, 0, 'y'},
        {APPEND, 20000, 20000, 'v'},
        {APPEND, BIG, 20000, 'v'},
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) edited(&edits[i]);
}

TEST(async_hooks, obuf_may_be_replaced_often_after_partial_writes, "130") {
    int small = 4096;
    char *value = test_bytes(40000), *all = test_bytes(65536);
    memset(value, 'x', 40000);
    for (int i = 0; i < 40; i++) {
        conn c;
        conn_up(&c);
        CHECK_INT(setsockopt(c.ac->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        ask(&c, "a", "SET k %b", value, (size_t)40000);
        flush(&c);
        CHECK(sdslen(c.ac->c.obuf) > 20000);
        hand_read_now(c.server, all, 65536);
        /* Often the same block again. */
        sdsfree(c.ac->c.obuf);
        c.ac->c.obuf = sdsMakeRoomFor(sdsempty(), 39000);
        ask(&c, "b", "SET k %b", value, (size_t)(20000 + i));
        size_t want = sdslen(c.ac->c.obuf), have = 0;
        for (double end = test_now() + 20; sdslen(c.ac->c.obuf) > 0;) {
            flush(&c);
            have += hand_read_now(c.server, all + have, 65536 - have);
            if (test_now() > end) FAIL("obuf is never empty");
        }
        have += hand_read_now(c.server, all + have, 65536 - have);
        CHECK_UINT(have, want);
        conn_done(&c);
    }
}
#endif

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

TEST(async_hooks, hooks_without_a_cleanup_hook_are_forgotten_at_the_end_as_well, "152 226") {
    conn c;
    conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
    c.ac->ev.cleanup = NULL;
    c.attached = 0;
    hang_up(&c);
    CHECK(c.ac != NULL);
    CHECK(c.ac->ev.data == NULL);
    CHECK(c.ac->ev.addRead == NULL);
    CHECK(c.ac->ev.delRead == NULL);
    CHECK(c.ac->ev.addWrite == NULL);
    CHECK(c.ac->ev.delWrite == NULL);
    CHECK(c.ac->ev.scheduleTimer == NULL);
    redisAsyncFree(c.ac);
    conn_done(&c);
}

TEST(async_hooks, an_event_loop_attached_to_a_dead_context_is_told_of_its_end, "152 226") {
    for (int disconnect = 0; disconnect < 2; disconnect++) {
        conn c;
        conn_up_with(&c, REDIS_OPT_NOAUTOFREE, 0);
        hang_up(&c);
        CHECK_INT(c.cleanups, 1);
        CHECK(c.ac != NULL);
        c.cleanups = 0;
        conn_hooks(&c);
        log_take();
        c.ends = 1;
        if (disconnect) redisAsyncDisconnect(c.ac);
        else redisAsyncFree(c.ac);
        CHECK_LOG("cleanup data privdata");
        CHECK(c.ac == NULL);
        conn_done(&c);
    }
}

static int hook_calls;

static void count_hook(void *data) {
    (void)data;
    hook_calls++;
}

static void count_timer(void *data, struct timeval tv) {
    (void)data;
    (void)tv;
    hook_calls++;
}

static void no_status(const redisAsyncContext *ac, int status) {
    (void)ac;
    FAIL("a callback of a dead context, with status %d", status);
}

static void no_reply(redisAsyncContext *ac, void *reply, void *privdata) {
    (void)ac;
    (void)reply;
    (void)privdata;
    FAIL("a reply callback of a dead context");
}

TEST(async_hooks, a_dead_context_calls_no_hook_even_when_its_error_is_cleared, "152 226") {
    struct timeval tv = {1, 0};
    redisOptions o = {0};
    int fd[2];
    hand_pair(fd);
    alloc_count_begin();
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = fd[0];
    o.options = REDIS_OPT_NOAUTOFREE;
    redisAsyncContext *ac = redisAsyncConnectWithOptions(&o);
    CHECK(ac != NULL);
    redisAsyncHandleWrite(ac);
    CHECK(ac->c.flags & REDIS_CONNECTED);
    close(fd[1]);
    redisAsyncHandleRead(ac);
    CHECK_INT(ac->err, REDIS_ERR_EOF);
    ac->err = ac->c.err = 0;
    ac->c.errstr[0] = '\0';
    ac->ev.addRead = ac->ev.delRead = ac->ev.addWrite = ac->ev.delWrite = count_hook;
    ac->ev.scheduleTimer = count_timer;
    CHECK_INT(redisAsyncSetTimeout(ac, tv), REDIS_OK);
    redisAsyncSetConnectCallback(ac, no_status);
    redisAsyncSetDisconnectCallback(ac, no_status);
    CHECK_INT(redisAsyncCommand(ac, no_reply, NULL, "PING"), REDIS_ERR);
    CHECK_INT(redisAsyncCommand(ac, no_reply, NULL, "SUBSCRIBE a"), REDIS_ERR);
    redisAsyncHandleRead(ac);
    redisAsyncHandleWrite(ac);
    redisAsyncHandleTimeout(ac);
    CHECK_INT(hook_calls, 0);
    redisAsyncFree(ac);
    CHECK_INT(hook_calls, 0);
    alloc_count_end();
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

TEST(async_hooks, a_blocking_descriptor_of_the_program_never_blocks, "150 230") {
    size_t size = 8 << 20;
    redisOptions o = {0};
    int fd[2];
    conn c;
    hand_pair(fd);
    conn_zero(&c);
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = fd[0];
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    c.server = fd[1];
    CHECK_INT(fcntl(fd[0], F_GETFL) & O_NONBLOCK, 0);
    ask(&c, "a", "PING");
    flush(&c);
    CHECK_LOG("connect=0");
    /* Nothing has come. */
    for (int i = 0; i < 3; i++) redisAsyncHandleRead(c.ac);
    CHECK_LOG("");
    CHECK_INT(c.ac->err, 0);
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    redisAsyncHandleRead(c.ac);
    CHECK_LOG("");
    /* Nobody reads. */
    char *value = test_bytes(size);
    memset(value, 'v', size);
    ask(&c, "b", "SET k %b", value, size);
    flush(&c);
    flush(&c);
    CHECK(sdslen(c.ac->c.obuf) > 0);
    redisAsyncFree(c.ac);
    CHECK_LOG("b:NULL disconnect=0");
    conn_done(&c);
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
