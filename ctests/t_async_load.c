/* Many asynchronous contexts at once. */
#include "async.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hiredis/sds.h>

#if HIREDIS_MAJOR >= 1

enum { CONTEXTS = 10000, BATCH = 200, ROUNDS = 3, IDLE_BYTES = 1536 };

/* One of the contexts, and what the event loop knows of it. */
struct many {
    redisAsyncContext *ac;
    unsigned wanted;
    int fd, connected, answers, ended;
    char name[24];
};

static int loop = -1;
static int connected, answered, ended;

static void want(struct many *m, unsigned events) {
    struct epoll_event e = {.events = events, .data = {.ptr = m}};
    if (events == m->wanted) return;
    if (epoll_ctl(loop, m->wanted == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, m->fd,
                  &e) != 0)
        FAIL("epoll_ctl: %s", strerror(errno));
    m->wanted = events;
}

static void many_add_read(void *data) {
    struct many *m = data;
    want(m, m->wanted | EPOLLIN);
}

static void many_add_write(void *data) {
    struct many *m = data;
    want(m, m->wanted | EPOLLOUT);
}

static void many_del_write(void *data) {
    struct many *m = data;
    want(m, m->wanted & ~(unsigned)EPOLLOUT);
}

static void many_cleanup(void *data) {
    want(data, 0);
}

static void many_connected(const redisAsyncContext *ac, int status) {
    struct many *m = ac->data;
    CHECK_INT(status, REDIS_OK);
    CHECK_INT(m->connected++, 0);
    connected++;
}

static void many_disconnected(const redisAsyncContext *ac, int status) {
    struct many *m = ac->data;
    CHECK_INT(status, REDIS_OK);
    CHECK_INT(m->ended++, 0);
    m->ac = NULL;
    ended++;
}

static void many_answer(redisAsyncContext *ac, void *reply, void *privdata) {
    struct many *m = ac->data;
    CHECK(privdata == m);
    CHECK_STR(((redisReply *)reply)->str, m->name);
    m->answers++;
    answered++;
}

static void many_open(struct many *m, int number) {
    snprintf(m->name, sizeof(m->name), "many.%d", number);
    m->ac = redisAsyncConnectUnix(live_unix());
    CHECK(m->ac != NULL);
    if (m->ac->err != 0) FAIL("context %d: %s", number, m->ac->errstr);
    m->fd = m->ac->c.fd;
    m->ac->data = m;
    m->ac->ev.data = m;
    m->ac->ev.addRead = many_add_read;
    m->ac->ev.addWrite = many_add_write;
    m->ac->ev.delWrite = many_del_write;
    m->ac->ev.cleanup = many_cleanup;
    CHECK_INT(redisAsyncSetConnectCallback(m->ac, many_connected), REDIS_OK);
    CHECK_INT(redisAsyncSetDisconnectCallback(m->ac, many_disconnected), REDIS_OK);
}

/* Runs the loop until the counter has reached its goal. */
static void turn(const int *counter, int goal) {
    struct epoll_event events[256];
    double end = test_now() + 25;
    while (*counter < goal) {
        int n = epoll_wait(loop, events, 256, 100);
        if (n < 0 && errno != EINTR) FAIL("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct many *m = events[i].data.ptr;
            if (m->ac != NULL && (events[i].events & ~(unsigned)EPOLLOUT)) redisAsyncHandleRead(m->ac);
            if (m->ac != NULL && (events[i].events & ~(unsigned)EPOLLIN)) redisAsyncHandleWrite(m->ac);
        }
        if (test_now() > end) FAIL("%d of %d after 25 seconds", *counter, goal);
    }
}

static void raise_file_limit(void) {
    struct rlimit limit;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < CONTEXTS + 100) SKIP("the hard limit of open files is below 10100");
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST(async_load, ten_thousand_contexts_on_one_loop, "") {
    redisContext *s = redisConnectUnix(live_unix());
    CHECK_INT(s->err, 0);
    redisReply *r = redisCommand(s, "CONFIG GET maxclients");
    CHECK_REPLY_ARRAY(r, 2);
    if (atoi(r->element[1]->str) < CONTEXTS + 100) SKIP("the server does not take 10100 clients");
    freeReplyObject(r);
    redisFree(s);

    raise_file_limit();
    loop = epoll_create1(EPOLL_CLOEXEC);
    CHECK(loop >= 0);
    struct many *many = calloc(CONTEXTS, sizeof(*many));
    CHECK(many != NULL);
    alloc_count_begin();

    /* The server's queue of new connections is short. */
    for (int i = 0; i < CONTEXTS; i++) {
        many_open(&many[i], i);
        if ((i + 1) % BATCH == 0) turn(&connected, i + 1);
    }
    CHECK_INT(connected, CONTEXTS);

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CONTEXTS; i++)
            CHECK_INT(redisAsyncCommand(many[i].ac, many_answer, &many[i], "ECHO %s", many[i].name),
                      REDIS_OK);
        turn(&answered, (round + 1) * CONTEXTS);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        CHECK_INT(many[i].connected, 1);
        CHECK_INT(many[i].answers, ROUNDS);
        CHECK(many[i].ac->replies.head == NULL);
    }

    size_t each = alloc_live_bytes() / CONTEXTS;
    printf("     an idle context has %zu bytes in %.1f blocks\n", each, (double)alloc_live() / CONTEXTS);
    fflush(stdout);
    if (each >= IDLE_BYTES) FAIL("an idle context has %zu bytes", each);

    /* Half of them the one way, half the other. */
    for (int i = 0; i < CONTEXTS; i++) {
        if (i % 2 == 0) redisAsyncFree(many[i].ac);
        else redisAsyncDisconnect(many[i].ac);
    }
    turn(&ended, CONTEXTS);
    alloc_count_end();
    free(many);
    close(loop);
}

/* ---- Long queues ----
 *
 * Were the work for one command in proportion to the queue, these would take minutes, and the limit
 * for a test is half of one. */

enum { QUEUED = 300000 };

static void count_answer(redisAsyncContext *ac, void *reply, void *privdata) {
    (void)ac;
    (void)reply;
    (void)privdata;
    answered++;
}

TEST(async_load, many_subscriptions_behind_many_commands_cost_linear_work, "") {
    conn c;
    conn_up(&c);
    for (int i = 0; i < QUEUED; i++)
        CHECK_INT(redisAsyncCommand(c.ac, count_answer, NULL, "GET k"), REDIS_OK);
    for (int i = 0; i < QUEUED; i++)
        CHECK_INT(redisAsyncCommand(c.ac, count_answer, NULL, "SUBSCRIBE %d", i), REDIS_OK);
    CHECK_INT(answered, 0);
    redisAsyncFree(c.ac);
    CHECK_INT(answered, 2 * QUEUED);
    conn_done(&c);
}

TEST(async_load, many_commands_without_reply_cost_linear_work, "") {
    conn c;
    conn_up_with(&c, 0, 1000000);
    CHECK_INT(redisAsyncCommand(c.ac, count_answer, NULL, "CLIENT REPLY OFF"), REDIS_OK);
    for (int i = 0; i < QUEUED; i++)
        CHECK_INT(redisAsyncCommand(c.ac, count_answer, NULL, "SET a b"), REDIS_OK);
    CHECK(c.timers >= QUEUED);
    CHECK_INT(redisAsyncCommand(c.ac, count_answer, NULL, "CLIENT REPLY ON"), REDIS_OK);
    CHECK_INT(answered, 0);
    char *sink = test_bytes(1 << 20);
    while (sdslen(c.ac->c.obuf) > 0) {
        flush(&c);
        hand_read_now(c.server, sink, 1 << 20);
    }
    CHECK_INT(answered, 1 + QUEUED);
    serve(&c, "+OK\r\n");
    CHECK_INT(answered, 2 + QUEUED);
    conn_done(&c);
}

TEST(async_load, many_subscriptions_in_a_transaction_cost_linear_work, "220") {
    enum { NAMES = 3 * QUEUED };
    static char names[NAMES][8];
    static const char *argv[NAMES + 1] = {"SUBSCRIBE"};
    conn c;
    conn_up(&c);
    ask(&c, "multi", "MULTI");
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        argv[i + 1] = names[i];
    }
    CHECK_INT(redisAsyncCommandArgv(c.ac, count_answer, NULL, NAMES + 1, argv, NULL), REDIS_OK);
    ask(&c, "exec", "EXEC");
    ask(&c, "ping", "PING");
    char *sink = test_bytes(1 << 20);
    while (sdslen(c.ac->c.obuf) > 0) {
        flush(&c);
        hand_read_now(c.server, sink, 1 << 20);
    }
    serve(&c, "+OK\r\n+QUEUED\r\n*-1\r\n+PONG\r\n");
    CHECK_LOG("multi:+OK exec:nil ping:+PONG");
    CHECK_INT(answered, 1 + NAMES);
    conn_done(&c);
}

TEST(async_load, many_transactions_cost_linear_work, "220") {
    static const char ok[] = "+OK\r\n";
    enum { AT_ONCE = 1000, LEN = sizeof(ok) - 1 };
    char *sink = test_bytes(1 << 20), *replies = test_bytes(AT_ONCE * LEN + 1);
    conn c;
    conn_up(&c);
    for (int i = 0; i < QUEUED; i++)
        CHECK_INT(redisAsyncCommand(c.ac, count_answer, NULL, "MULTI"), REDIS_OK);
    while (sdslen(c.ac->c.obuf) > 0) {
        flush(&c);
        hand_read_now(c.server, sink, 1 << 20);
    }
    for (int i = 0; i < AT_ONCE; i++) memcpy(replies + i * LEN, ok, LEN + 1);
    for (int i = 0; i < QUEUED / AT_ONCE; i++) serve(&c, replies);
    CHECK_INT(answered, QUEUED);
    conn_done(&c);
}
#endif
