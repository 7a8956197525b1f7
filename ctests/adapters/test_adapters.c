/* What every adapter has to do, by a live server: the same tests for each of the loops.
 *
 * A `peer` is a context with its callbacks. They write words into one log, so that who
 * was called, with what and in which order is compared as a line of text: connect=STATUS,
 * NAME:REPLY, push:KIND, disconnect=STATUS. */
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct peer peer;
struct peer {
    redisAsyncContext *ac;  /* NULL once the library has let go of it */
    int connects, disconnects, replies;
    const char *end_in;     /* the kind of callback that ends the context */
    void (*end)(redisAsyncContext *);
    void (*then)(peer *p);  /* what else a reply callback does */
    const char *name;
};

static char words[8192];

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...) {
    size_t len = strlen(words);
    va_list ap;
    if (len > 0 && len + 1 < sizeof(words)) {
        words[len++] = ' ';
        words[len] = '\0';
    }
    va_start(ap, fmt);
    vsnprintf(words + len, sizeof(words) - len, fmt, ap);
    va_end(ap);
}

#define CHECK_LOG(want)                                                                         \
    do {                                                                                        \
        CHECK_STR(words, want);                                                                 \
        words[0] = '\0';                                                                        \
    } while (0)

/* Runs the loop until the condition holds. */
#define UNTIL(cond)                                                                             \
    for (double until_end = test_now() + 15; !(cond); loop_run(50)) {                           \
        if (test_now() > until_end) FAIL("never came true: %s; log: %s", #cond, words);         \
    }

static void run_for(int ms) {
    double end = test_now() + ms / 1e3;
    while (test_now() < end) loop_run((int)((end - test_now()) * 1e3) + 1);
}

/* ---- Peers -------------------------------------------------------------------- */

static void maybe_end(const redisAsyncContext *ac, const char *kind) {
    peer *p = ac->data;
    if (p->end_in != NULL && strcmp(p->end_in, kind) == 0) p->end((redisAsyncContext *)ac);
}

static void on_connect(const redisAsyncContext *ac, int status) {
    ((peer *)ac->data)->connects++;
    note("connect=%d", status);
    maybe_end(ac, "connect");
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    ((peer *)ac->data)->disconnects++;
    note("disconnect=%d", status);
    maybe_end(ac, "disconnect");
}

static void on_reply(redisAsyncContext *ac, void *reply, void *name) {
    peer *p = ac->data;
    const char *kind = reply != NULL ? "reply" : "null";
    p->replies++;
    if (name != NULL) note("%s:%s", (const char *)name, reply_text(reply));
    if (p->then != NULL) p->then(p);
    maybe_end(ac, kind);
}

/* Called for subscriptions; the kind is what comes first in the message. */
static void on_message(redisAsyncContext *ac, void *reply, void *name) {
    redisReply *r = reply;
    ((peer *)ac->data)->replies++;
    note("%s:%s", (const char *)name, reply_text(reply));
    maybe_end(ac, r != NULL ? r->element[0]->str : "null");
}

static void on_push(redisAsyncContext *ac, void *reply) {
    note("push:%s", ((redisReply *)reply)->element[0]->str);
    maybe_end(ac, "push");
}

static void on_gone(void *data) {
    peer *p = data;
#ifdef LOOP_FORGETS
    loop_forget(p->ac);
#endif
    p->ac = NULL;
}

static struct timeval *milliseconds(int ms) {
    struct timeval *tv = test_bytes(sizeof(*tv));
    tv->tv_sec = ms / 1000;
    tv->tv_usec = ms % 1000 * 1000;
    return tv;
}

/* A context on its way to a unix socket, without hooks. 0: no timeout. */
static void dial_path(peer *p, const char *path, int connect_ms, int command_ms) {
    redisOptions o = {0};
    REDIS_OPTIONS_SET_UNIX(&o, path);
    if (connect_ms > 0) o.connect_timeout = milliseconds(connect_ms);
    if (command_ms > 0) o.command_timeout = milliseconds(command_ms);
    o.async_push_cb = on_push;
    p->ac = redisAsyncConnectWithOptions(&o);
    CHECK(p->ac != NULL);
    CHECK_STR(p->ac->errstr, "");
    p->ac->data = p;
    p->ac->dataCleanup = on_gone;
    if (p->end == NULL) p->end = redisAsyncFree;
}

/* The same to the live server. */
static void dial(peer *p, int connect_ms, int command_ms) {
    dial_path(p, live_unix(), connect_ms, command_ms);
}

static void watch(peer *p) {
    CHECK_INT(loop_attach(p->ac), REDIS_OK);
    CHECK_INT(redisAsyncSetConnectCallback(p->ac, on_connect), REDIS_OK);
    CHECK_INT(redisAsyncSetDisconnectCallback(p->ac, on_disconnect), REDIS_OK);
}

/* Connected to the live server. */
static void up(peer *p, int command_ms) {
    dial(p, 0, command_ms);
    watch(p);
    UNTIL(p->connects == 1);
    CHECK_LOG("connect=0");
}

/* On its way to a port of 127.0.0.1, with hooks. */
static void dial_port(peer *p, int port, int connect_ms) {
    redisOptions o = {0};
    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", port);
    if (connect_ms > 0) o.connect_timeout = milliseconds(connect_ms);
    p->ac = redisAsyncConnectWithOptions(&o);
    CHECK(p->ac != NULL);
    CHECK_STR(p->ac->errstr, "");
    p->ac->data = p;
    p->ac->dataCleanup = on_gone;
    if (p->end == NULL) p->end = redisAsyncFree;
    watch(p);
}

#define ASK(p, name, ...) CHECK_INT(redisAsyncCommand((p)->ac, on_reply, name, __VA_ARGS__), REDIS_OK)

/* All that is left ends well, and neither the library nor the adapter keeps anything. */
static void begin(void) {
    alloc_count_begin();
    loop_new();
}

static void end(void) {
    loop_run(1);
    loop_free();
    alloc_count_end();
}

static redisContext *blocking(void) {
    redisContext *c = redisConnectUnix(live_unix());
    CHECK(c != NULL);
    CHECK_STR(c->errstr, "");
    return c;
}

static void blocking_ask(redisContext *c, const char *command) {
    redisReply *r = redisCommand(c, command);
    if (r == NULL) FAIL("%s: %s", command, c->errstr);
    CHECK(r->type != REDIS_REPLY_ERROR);
    freeReplyObject(r);
}

/* ---- Ports of 127.0.0.1 that behave badly --------------------------------------- */

static int bind_port(int *fd) {
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(*fd, (struct sockaddr *)&a, sizeof(a)) != 0) FAIL("bind: %s", strerror(errno));
    if (getsockname(*fd, (struct sockaddr *)&a, &len) != 0) FAIL("getsockname: %s", strerror(errno));
    return ntohs(a.sin_port);
}

/* Nobody listens there, nor can anybody else while the descriptor is open. */
static int refusing_port(void) {
    int fd;
    return bind_port(&fd);
}

/* Neither accepts nor refuses: the queue of connections is full. */
static int silent_port(void) {
    int fd, i, port = bind_port(&fd), waiting = 0;
    struct sockaddr_in a;
    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)port);
    if (listen(fd, 0) != 0) FAIL("listen: %s", strerror(errno));
    for (i = 0; i < 4; i++) {
        int filler = socket(AF_INET, SOCK_STREAM, 0);
        struct pollfd p = {filler, POLLOUT, 0};
        fcntl(filler, F_SETFL, O_NONBLOCK);
        if (connect(filler, (struct sockaddr *)&a, sizeof(a)) != 0 && errno != EINPROGRESS)
            FAIL("connect: %s", strerror(errno));
        if (poll(&p, 1, 100) == 0) waiting++;
    }
    if (waiting == 0) SKIP("this kernel completes connections beyond the length of the queue");
    return port;
}

/* ---- Attaching ------------------------------------------------------------------ */

static void check_unattached(const redisAsyncContext *ac) {
    CHECK(ac->ev.data == NULL);
    CHECK(ac->ev.addRead == NULL && ac->ev.delRead == NULL);
    CHECK(ac->ev.addWrite == NULL && ac->ev.delWrite == NULL);
    CHECK(ac->ev.cleanup == NULL && ac->ev.scheduleTimer == NULL);
}

TEST(LOOP, attaching_sets_every_hook_and_a_second_time_is_refused, "") {
    peer p = {0};
    begin();
    dial(&p, 0, 0);
    check_unattached(p.ac);
    CHECK_INT(loop_attach(p.ac), REDIS_OK);
    redisAsyncContext before = *p.ac;
    CHECK(before.ev.addRead != NULL && before.ev.delRead != NULL);
    CHECK(before.ev.addWrite != NULL && before.ev.delWrite != NULL);
    CHECK(before.ev.cleanup != NULL && before.ev.scheduleTimer != NULL);

    CHECK_INT(loop_attach(p.ac), REDIS_ERR);
    CHECK(memcmp(&before.ev, &p.ac->ev, sizeof(before.ev)) == 0);
    ASK(&p, "a", "PING");
    UNTIL(p.replies == 1);
    CHECK_LOG("a:+PONG");
    redisAsyncFree(p.ac);
    end();
}

TEST(LOOP, attaching_nothing_or_a_failed_context_is_refused, "") {
    begin();
    CHECK_INT(loop_attach(NULL), REDIS_ERR);
    redisAsyncContext *ac = redisAsyncConnectUnix("/nonexistent/redis.sock");
    CHECK(ac != NULL);
    CHECK_INT(ac->err, REDIS_ERR_IO);
    CHECK_INT(ac->c.fd, REDIS_INVALID_FD);
    CHECK_INT(loop_attach(ac), REDIS_ERR);
    check_unattached(ac);
    redisAsyncFree(ac);
    end();
}

#ifndef LOOP_poll
TEST(LOOP, attaching_to_no_loop_is_refused, "") {
    begin();
    redisAsyncContext *ac = redisAsyncConnectUnix(live_unix());
    CHECK(ac != NULL);
    CHECK_INT(ac->err, 0);
#if defined(LOOP_libevent)
    CHECK_INT(redisLibeventAttach(ac, NULL), REDIS_ERR);
#elif defined(LOOP_libev)
    CHECK_INT(redisLibevAttach(NULL, ac), REDIS_ERR);
#else
    CHECK_INT(redisAeAttach(NULL, ac), REDIS_ERR);
#endif
    check_unattached(ac);
    redisAsyncFree(ac);
    end();
}
#endif

#ifdef LOOP_libevent
static int event_allocs_left;

static void *event_malloc(size_t size) {
    return event_allocs_left-- > 0 ? malloc(size) : NULL;
}
#endif

TEST(LOOP, attaching_without_memory_leaves_the_context_as_it_was, "") {
    peer p = {0};
#ifdef LOOP_libevent
    event_allocs_left = 1000000;
    event_set_mem_functions(event_malloc, realloc, free);
#endif
    begin();
    dial(&p, 0, 0);
    alloc_fail_at(1);
    CHECK_INT(loop_attach(p.ac), REDIS_ERR);
    alloc_fail_never();
    check_unattached(p.ac);
#ifdef LOOP_libevent
    int k;
    for (k = 0; k < 3; k++) {
        size_t live = alloc_live();
        event_allocs_left = k;
        CHECK_INT(loop_attach(p.ac), REDIS_ERR);
        event_allocs_left = 1000000;
        check_unattached(p.ac);
        CHECK_UINT(alloc_live(), live);
    }
#endif
    watch(&p);
    ASK(&p, "a", "PING");
    UNTIL(p.replies == 1);
    CHECK_LOG("connect=0 a:+PONG");
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

#ifdef LOOP_ae
TEST(LOOP, a_descriptor_too_large_for_the_loop_is_refused, "") {
    peer p = {0};
    begin();
    dial(&p, 0, 0);
    int big = fcntl(p.ac->c.fd, F_DUPFD, 1024);
    if (big == -1) SKIP("the limit of descriptors is below 1025");
    close(p.ac->c.fd);
    p.ac->c.fd = big;
    CHECK_INT(loop_attach(p.ac), REDIS_ERR);
    check_unattached(p.ac);
    CHECK_INT(aeResizeSetSize(loop, big + 1), AE_OK);
    watch(&p);
    UNTIL(p.connects == 1);
    redisAsyncFree(p.ac);
    CHECK_LOG("connect=0 disconnect=0");
    end();
}
#endif

TEST(LOOP, what_was_asked_for_before_attaching_is_done_after_it, "") {
    peer p = {0}, q = {0};
    begin();
    dial(&p, 0, 0);
    CHECK_INT(redisAsyncSetConnectCallback(p.ac, on_connect), REDIS_OK);
    CHECK_INT(loop_attach(p.ac), REDIS_OK);
    UNTIL(p.connects == 1);
    CHECK_LOG("connect=0");

    dial(&q, 0, 0);
    ASK(&q, "a", "PING");
    CHECK_INT(loop_attach(q.ac), REDIS_OK);
    UNTIL(q.replies == 1);
    CHECK_LOG("a:+PONG");
    redisAsyncFree(p.ac);
    redisAsyncFree(q.ac);
    end();
}

TEST(LOOP, a_connect_timeout_set_before_attaching_counts, "") {
    peer p = {0};
    int port = silent_port();
    begin();
    redisOptions o = {0};
    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", port);
    o.connect_timeout = milliseconds(100);
    p.ac = redisAsyncConnectWithOptions(&o);
    p.ac->data = &p;
    p.ac->dataCleanup = on_gone;
    CHECK_INT(redisAsyncSetConnectCallback(p.ac, on_connect), REDIS_OK);
    CHECK_INT(loop_attach(p.ac), REDIS_OK);
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=-1");
    end();
}

TEST(LOOP, the_hooks_may_be_called_any_number_of_times, "") {
    peer p = {0};
    int i;
    begin();
    up(&p, 0);
    for (i = 0; i < 3; i++) p.ac->ev.delRead(p.ac->ev.data);
    for (i = 0; i < 3; i++) p.ac->ev.delWrite(p.ac->ev.data);
    for (i = 0; i < 3; i++) p.ac->ev.addWrite(p.ac->ev.data);
    for (i = 0; i < 3; i++) p.ac->ev.addRead(p.ac->ev.data);
    ASK(&p, "a", "PING");
    UNTIL(p.replies == 1);
    CHECK_LOG("a:+PONG");
    for (i = 0; i < 3; i++) p.ac->ev.addWrite(p.ac->ev.data);
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

/* ---- Traffic -------------------------------------------------------------------- */

static int in_order;

static void on_number(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = reply;
    (void)ac;
    CHECK(r != NULL);
    CHECK_REPLY_INT(r, ++in_order);
    CHECK_INT((int)(intptr_t)privdata, in_order);
}

TEST(LOOP, a_pipeline_is_answered_in_order_and_a_clean_end_waits_for_it, "") {
    peer p = {0};
    int i;
    begin();
    dial(&p, 0, 0);
    watch(&p);
    ASK(&p, NULL, "DEL adapter:count");
    for (i = 1; i <= 5000; i++)
        CHECK_INT(redisAsyncCommand(p.ac, on_number, (void *)(intptr_t)i, "INCR adapter:count"), REDIS_OK);
    redisAsyncDisconnect(p.ac);
    UNTIL(p.ac == NULL);
    CHECK_INT(in_order, 5000);
    CHECK_LOG("connect=0 disconnect=0");
    end();
}

static void on_big(redisAsyncContext *ac, void *reply, void *big) {
    redisReply *r = reply;
    ((peer *)ac->data)->replies++;
    CHECK(r != NULL);
    CHECK_MEM_N(r->str, r->len, big, 16 << 20);
}

TEST(LOOP, a_value_that_needs_many_writes_and_reads_arrives_whole, "") {
    peer p = {0};
    size_t size = 16 << 20, i;
    char *big = test_bytes(size);
    for (i = 0; i < size; i++) big[i] = (char)(i % 251);
    begin();
    up(&p, 0);
    ASK(&p, "set", "SET adapter:big %b", big, size);
    CHECK_INT(redisAsyncCommand(p.ac, on_big, big, "GET adapter:big"), REDIS_OK);
    ASK(&p, "del", "DEL adapter:big");
    UNTIL(p.replies == 3);
    CHECK_LOG("set:+OK del::1");
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

static void ask_again(peer *p) {
    if (p->replies < 100) ASK(p, NULL, "PING");
}

TEST(LOOP, commands_sent_from_reply_callbacks_go_out, "") {
    peer p = {0};
    begin();
    up(&p, 0);
    p.then = ask_again;
    ASK(&p, NULL, "PING");
    UNTIL(p.replies == 100);
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

TEST(LOOP, messages_of_one_connection_reach_another_on_the_same_loop, "") {
    peer p = {0}, s = {0};
    int i;
    begin();
    up(&p, 0);
    up(&s, 0);
    CHECK_INT(redisAsyncCommand(s.ac, on_message, "s", "SUBSCRIBE adapter:news"), REDIS_OK);
    UNTIL(s.replies == 1);
    CHECK_LOG("s:*[\"subscribe\" \"adapter:news\" :1]");
    for (i = 1; i <= 3; i++) ASK(&p, NULL, "PUBLISH adapter:news %d", i);
    UNTIL(s.replies == 4);
    CHECK_LOG("s:*[\"message\" \"adapter:news\" \"1\"] s:*[\"message\" \"adapter:news\" \"2\"] "
              "s:*[\"message\" \"adapter:news\" \"3\"]");
    CHECK_INT(redisAsyncCommand(s.ac, NULL, NULL, "UNSUBSCRIBE adapter:news"), REDIS_OK);
    UNTIL(s.replies == 5);
    CHECK_LOG("s:*[\"unsubscribe\" \"adapter:news\" :0]");
    ASK(&s, "a", "PING");
    UNTIL(s.replies == 6);
    redisAsyncDisconnect(s.ac);
    redisAsyncDisconnect(p.ac);
    UNTIL(p.ac == NULL && s.ac == NULL);
    CHECK_LOG("a:+PONG disconnect=0 disconnect=0");
    end();
}

static void on_own_number(redisAsyncContext *ac, void *reply, void *privdata) {
    peer *p = ac->data;
    redisReply *r = reply;
    CHECK(r != NULL);
    CHECK_STR(r->str, test_printf("%d:%d", (int)(intptr_t)privdata, p->replies));
    if (++p->replies == 10) redisAsyncDisconnect(ac);
}

TEST(LOOP, five_hundred_contexts_share_a_loop, "") {
    static peer p[500];
    int i, k, left = 500;
    begin();
    for (i = 0; i < 500; i++) {
        dial(&p[i], 10000, 10000);
        CHECK_INT(loop_attach(p[i].ac), REDIS_OK);
        for (k = 0; k < 10; k++)
            redisAsyncCommand(p[i].ac, on_own_number, (void *)(intptr_t)i, "ECHO %d:%d", i, k);
    }
    while (left > 0) {
        UNTIL(p[left - 1].ac == NULL);
        left--;
    }
    for (i = 0; i < 500; i++) CHECK_INT(p[i].replies, 10);
    end();
}

TEST(LOOP, an_idle_connection_notices_that_the_server_closes, "") {
    peer p = {0};
    begin();
    up(&p, 0);
    redisContext *c = blocking();
    blocking_ask(c, "CLIENT KILL TYPE normal");
    redisFree(c);
    UNTIL(p.ac == NULL);
    CHECK_LOG("disconnect=-1");
    end();
}

/* What a server says before it closes would be lost to a write that fails. */
TEST(LOOP, what_can_be_read_is_read_before_anything_is_written, "") {
    peer p = {0};
    static const char farewell[] = "-ERR max number of clients reached\r\n";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/farewell.sock", test_tmp());
    unlink(a.sun_path);
    CHECK_INT(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    CHECK_INT(listen(listener, 1), 0);
    begin();
    dial_path(&p, a.sun_path, 0, 0);
    watch(&p);
    int server = accept(listener, NULL, NULL);
    UNTIL(p.connects == 1);
    CHECK_INT(write(server, farewell, sizeof(farewell) - 1), sizeof(farewell) - 1);
    close(server);
    test_sleep_ms(20);
    ASK(&p, "a", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=0 a:-ERR max number of clients reached disconnect=-1");
    end();
}

TEST(LOOP, a_refused_connection_is_told_to_the_connect_callback, "") {
    peer p = {0};
    begin();
    dial_port(&p, refusing_port(), 0);
    ASK(&p, "a", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=-1 a:NULL");
    end();
}

/* ---- Timers --------------------------------------------------------------------- */

TEST(LOOP, connecting_times_out, "") {
    peer p = {0};
    int port = silent_port();
    begin();
    dial_port(&p, port, 100);
    ASK(&p, "a", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=-1 a:NULL");
    end();
}

TEST(LOOP, a_command_that_is_not_answered_times_out, "") {
    peer p = {0};
    begin();
    up(&p, 150);
    ASK(&p, "a", "BLPOP adapter:nothing 0");
    ASK(&p, "b", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:NULL b:NULL disconnect=-1");
    end();
}

TEST(LOOP, a_timer_that_fired_while_idle_can_be_set_again, "") {
    peer p = {0};
    begin();
    up(&p, 100);
    ASK(&p, "a", "PING");
    UNTIL(p.replies == 1);
    run_for(350);
    ASK(&p, "b", "PING");
    UNTIL(p.replies == 2);
    run_for(350);
    CHECK_LOG("a:+PONG b:+PONG");
    ASK(&p, "c", "BLPOP adapter:nothing 0");
    UNTIL(p.ac == NULL);
    CHECK_LOG("c:NULL disconnect=-1");
    end();
}

TEST(LOOP, a_connect_timer_that_fires_late_disturbs_nothing, "") {
    peer p = {0};
    begin();
    dial(&p, 100, 0);
    watch(&p);
    UNTIL(p.connects == 1);
    ASK(&p, "a", "BLPOP adapter:nothing 0.4");
    UNTIL(p.replies == 1);
    CHECK_LOG("connect=0 a:nil");
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

TEST(LOOP, each_answer_moves_the_deadline, "") {
    peer p = {0};
    int i;
    begin();
    up(&p, 600);
    for (i = 1; i <= 12; i++) {
        run_for(100);
        ASK(&p, NULL, "PING");
        UNTIL(p.replies == i);
    }
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

TEST(LOOP, a_shorter_deadline_replaces_a_longer_one, "") {
    peer p = {0};
    begin();
    up(&p, 3600000);
    ASK(&p, "a", "PING");
    UNTIL(p.replies == 1);
    CHECK_INT(redisAsyncSetTimeout(p.ac, *milliseconds(100)), REDIS_OK);
    ASK(&p, "b", "BLPOP adapter:nothing 0");
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:+PONG b:NULL disconnect=-1");
    end();
}

/* The hook itself, on contexts that have no timeouts and so never call it. */

static double scheduled;

static void schedule(peer *p, int ms) {
    scheduled = test_now();
    p->ac->ev.scheduleTimer(p->ac->ev.data, *milliseconds(ms));
}

/* Some loops look at a clock that moves every few milliseconds only. */
static void check_timer(int ms) {
    UNTIL(timeouts > 0);
    CHECK(timed_out - scheduled > ms / 1e3 - 0.02);
    CHECK(timed_out - scheduled < 5);
    timeouts = 0;
}

TEST(LOOP, a_timer_fires_once, "") {
    peer p = {0};
    begin();
    up(&p, 0);
    schedule(&p, 100);
    check_timer(100);
    run_for(250);
    CHECK_INT(timeouts, 0);
    schedule(&p, 0);
    check_timer(0);
    redisAsyncFree(p.ac);
    end();
}

TEST(LOOP, a_timer_that_is_set_again_fires_at_the_new_time_alone, "") {
    peer p = {0};
    begin();
    up(&p, 0);
    schedule(&p, 100);
    schedule(&p, 300);
    check_timer(300);
    schedule(&p, 100);
    run_for(50);
    schedule(&p, 200);
    run_for(100);
    schedule(&p, 150);
    check_timer(150);
    schedule(&p, 3600000);
    schedule(&p, 50);
    check_timer(50);
    run_for(250);
    CHECK_INT(timeouts, 0);
    redisAsyncFree(p.ac);
    end();
}

TEST(LOOP, a_timer_may_be_set_to_the_end_of_time, "") {
    peer p = {0};
    struct timeval ever = {LONG_MAX / 2000, 0};
    begin();
    up(&p, 0);
    p.ac->ev.scheduleTimer(p.ac->ev.data, ever);
    ASK(&p, "a", "PING");
    UNTIL(p.replies == 1);
    run_for(50);
    CHECK_INT(timeouts, 0);
    redisAsyncFree(p.ac);
    CHECK_LOG("a:+PONG disconnect=0");
    end();
}

static void work_long_then_schedule(peer *p) {
    test_sleep_ms(300);
    schedule(p, 200);
}

/* Loops remember when they last looked at the clock. */
TEST(LOOP, a_timer_counts_from_when_it_is_set, "") {
    peer p = {0};
    begin();
    up(&p, 0);
    test_sleep_ms(300);
    schedule(&p, 200);
    check_timer(200);

    p.then = work_long_then_schedule;
    ASK(&p, NULL, "PING");
    UNTIL(p.replies == 1);
    check_timer(200);
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

TEST(LOOP, nothing_happens_after_a_context_with_a_timer_is_freed, "") {
    peer p = {0};
    begin();
    up(&p, 100);
    ASK(&p, "a", "BLPOP adapter:nothing 0");
    run_for(20);
    redisAsyncFree(p.ac);
    CHECK_LOG("a:NULL disconnect=0");
    run_for(300);
    CHECK_LOG("");
    end();
}

TEST(LOOP, a_timer_that_is_due_dies_with_its_context, "") {
    peer p = {.end_in = "reply"};
    begin();
    up(&p, 0);
    ASK(&p, "a", "PING");
    UNTIL(sdslen(p.ac->c.obuf) == 0);
    schedule(&p, 20);
    test_sleep_ms(60);
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:+PONG disconnect=0");
    end();
}

/* ---- Contexts that end inside a callback ------------------------------------------- */

TEST(LOOP, free_in_the_connect_callback, "") {
    peer p = {.end_in = "connect"};
    begin();
    dial(&p, 1000, 1000);
    watch(&p);
    ASK(&p, "a", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=0 a:NULL disconnect=0");
    end();
}

TEST(LOOP, free_in_the_connect_callback_of_a_refused_connection, "") {
    peer p = {.end_in = "connect"};
    begin();
    dial_port(&p, refusing_port(), 1000);
    ASK(&p, "a", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=-1 a:NULL");
    end();
}

TEST(LOOP, free_in_the_connect_callback_of_a_timeout, "") {
    peer p = {.end_in = "connect"};
    int port = silent_port();
    begin();
    dial_port(&p, port, 100);
    ASK(&p, "a", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=-1 a:NULL");
    end();
}

TEST(LOOP, free_in_a_reply_callback, "") {
    peer p = {.end_in = "reply"};
    begin();
    up(&p, 1000);
    ASK(&p, "a", "PING");
    ASK(&p, "b", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:+PONG b:NULL disconnect=0");
    end();
}

TEST(LOOP, free_in_a_reply_callback_while_a_command_waits_to_be_written, "") {
    peer p = {.end_in = "reply"};
    begin();
    up(&p, 1000);
    ASK(&p, "a", "PING");
    UNTIL(sdslen(p.ac->c.obuf) == 0);
    test_sleep_ms(100);
    ASK(&p, "b", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:+PONG b:NULL disconnect=0");
    end();
}

static void ask_then_free(peer *p) {
    p->then = NULL;
    ASK(p, "b", "PING");
}

TEST(LOOP, free_in_a_reply_callback_that_has_just_sent_a_command, "") {
    peer p = {.end_in = "reply", .then = ask_then_free};
    begin();
    up(&p, 1000);
    ASK(&p, "a", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:+PONG b:NULL disconnect=0");
    end();
}

TEST(LOOP, free_in_the_callback_of_a_command_lost_with_the_connection, "") {
    peer p = {.end_in = "null"};
    begin();
    up(&p, 60000);
    ASK(&p, "a", "BLPOP adapter:nothing 0");
    ASK(&p, "b", "PING");
    run_for(50);
    redisContext *c = blocking();
    blocking_ask(c, "CLIENT KILL TYPE normal");
    redisFree(c);
    UNTIL(p.ac == NULL);
    CHECK_INT(strncmp(words, "a:NULL b:NULL disconnect=", 25), 0);
    CHECK_INT(p.disconnects, 1);
    end();
}

TEST(LOOP, free_in_the_callback_of_a_command_that_timed_out, "") {
    peer p = {.end_in = "null"};
    begin();
    up(&p, 100);
    ASK(&p, "a", "BLPOP adapter:nothing 0");
    ASK(&p, "b", "PING");
    UNTIL(p.ac == NULL);
    CHECK_INT(strncmp(words, "a:NULL b:NULL disconnect=", 25), 0);
    CHECK_INT(p.disconnects, 1);
    end();
}

TEST(LOOP, free_when_a_subscription_is_confirmed, "") {
    peer p = {.end_in = "subscribe"};
    begin();
    up(&p, 1000);
    CHECK_INT(redisAsyncCommand(p.ac, on_message, "s", "SUBSCRIBE adapter:a"), REDIS_OK);
    UNTIL(p.ac == NULL);
    CHECK_LOG("s:*[\"subscribe\" \"adapter:a\" :1] s:NULL disconnect=0");
    end();
}

TEST(LOOP, free_when_a_message_arrives, "") {
    peer p = {.end_in = "message"};
    begin();
    up(&p, 1000);
    CHECK_INT(redisAsyncCommand(p.ac, on_message, "s", "SUBSCRIBE adapter:a"), REDIS_OK);
    UNTIL(p.replies == 1);
    CHECK_LOG("s:*[\"subscribe\" \"adapter:a\" :1]");
    redisContext *c = blocking();
    blocking_ask(c, "PUBLISH adapter:a text");
    redisFree(c);
    UNTIL(p.ac == NULL);
    CHECK_LOG("s:*[\"message\" \"adapter:a\" \"text\"] s:NULL disconnect=0");
    end();
}

TEST(LOOP, free_when_a_push_arrives, "") {
    peer p = {.end_in = "push"};
    begin();
    redisContext *c = blocking();
    up(&p, 60000);
    ASK(&p, NULL, "HELLO 3");
    ASK(&p, NULL, "CLIENT TRACKING ON");
    ASK(&p, NULL, "GET adapter:tracked");
    UNTIL(p.replies == 3);
    ASK(&p, "a", "BLPOP adapter:nothing 0");
    run_for(20);
    blocking_ask(c, "SET adapter:tracked 1");
    UNTIL(p.ac == NULL);
    CHECK_LOG("push:invalidate a:NULL disconnect=0");
    blocking_ask(c, "DEL adapter:tracked");
    redisFree(c);
    end();
}

TEST(LOOP, free_in_the_disconnect_callback, "") {
    peer p = {.end_in = "disconnect"};
    begin();
    up(&p, 1000);
    ASK(&p, "a", "PING");
    redisAsyncDisconnect(p.ac);
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:+PONG disconnect=0");
    end();
}

TEST(LOOP, disconnect_in_the_connect_callback, "") {
    peer p = {.end_in = "connect", .end = redisAsyncDisconnect};
    begin();
    dial(&p, 1000, 1000);
    watch(&p);
    UNTIL(p.ac == NULL);
    CHECK_LOG("connect=0 disconnect=0");
    end();
}

TEST(LOOP, disconnect_in_a_reply_callback, "") {
    peer p = {.end_in = "reply", .end = redisAsyncDisconnect};
    begin();
    up(&p, 1000);
    ASK(&p, "a", "PING");
    ASK(&p, "b", "PING");
    UNTIL(p.ac == NULL);
    CHECK_LOG("a:+PONG b:+PONG disconnect=0");
    end();
}

/* Two contexts are ready in the same turn of the loop. The callback of the first frees
 * the other, and makes a third, which gets the descriptor of the one that is gone. */
static peer one, two, three;

static void replace_the_other(peer *p) {
    peer *other = p == &one ? &two : &one;
    p->then = NULL;
    other->then = NULL;
    redisAsyncFree(other->ac);
    dial(&three, 1000, 1000);
    watch(&three);
    ASK(&three, "c", "PING");
}

TEST(LOOP, free_another_context_that_is_ready_and_reuse_its_descriptor, "") {
    begin();
    up(&one, 1000);
    up(&two, 1000);
    ASK(&one, NULL, "PING");
    ASK(&two, NULL, "PING");
    UNTIL(sdslen(one.ac->c.obuf) == 0 && sdslen(two.ac->c.obuf) == 0);
    CHECK_INT(one.replies + two.replies, 0);
    test_sleep_ms(100);
    one.then = two.then = replace_the_other;
    UNTIL(one.ac == NULL || two.ac == NULL);
    peer *left = one.ac != NULL ? &one : &two;
    UNTIL(three.replies == 1);
    CHECK_LOG("disconnect=0 connect=0 c:+PONG");
    ASK(left, "a", "PING");
    UNTIL(left->replies == 2);
    redisAsyncFree(left->ac);
    redisAsyncFree(three.ac);
    CHECK_LOG("a:+PONG disconnect=0 disconnect=0");
    end();
}

TEST(LOOP, a_context_that_is_not_freed_by_itself_leaves_the_loop_all_the_same, "") {
    peer p = {0};
    begin();
    redisOptions o = {0};
    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    o.options |= REDIS_OPT_NOAUTOFREE;
    o.command_timeout = milliseconds(60000);
    p.ac = redisAsyncConnectWithOptions(&o);
    p.ac->data = &p;
    p.ac->dataCleanup = on_gone;
    watch(&p);
    UNTIL(p.connects == 1);
    redisContext *c = blocking();
    blocking_ask(c, "CLIENT KILL TYPE normal");
    redisFree(c);
    UNTIL(p.ac->err != 0);
    run_for(50);
    CHECK_INT(p.ac->err, REDIS_ERR_EOF);
    redisAsyncFree(p.ac);
    CHECK(p.ac == NULL);
    end();
}

/* ---- poll alone --------------------------------------------------------------------- */

#ifdef LOOP_poll
TEST(LOOP, a_tick_tells_what_it_handled, "") {
    peer p = {0};
    begin();
    dial(&p, 0, 400);
    CHECK_INT(redisPollTick(p.ac, 0), 0);
    CHECK_INT(redisPollTick(NULL, 0), 0);
    watch(&p);
    CHECK_INT(redisPollTick(p.ac, 5), REDIS_POLL_HANDLED_WRITE);
    CHECK_INT(redisPollTick(p.ac, 0), 0);
    ASK(&p, "a", "PING");
    CHECK_INT(redisPollTick(p.ac, 5), REDIS_POLL_HANDLED_WRITE);
    CHECK_INT(redisPollTick(p.ac, 5), REDIS_POLL_HANDLED_READ);
    /* Idle: the timer ends the wait all the same, even one without limit. */
    CHECK_INT(redisPollTick(p.ac, -1), REDIS_POLL_HANDLED_TIMEOUT);
    CHECK_INT(redisPollTick(p.ac, 0.05), 0);
    CHECK_LOG("connect=0 a:+PONG");

    ASK(&p, "b", "BLPOP adapter:nothing 0");
    CHECK_INT(redisPollTick(p.ac, -1), REDIS_POLL_HANDLED_WRITE);
    int handled = 0;
    while (p.ac != NULL) handled = redisPollTick(p.ac, -1);
    CHECK_INT(handled, REDIS_POLL_HANDLED_TIMEOUT);
    CHECK_LOG("b:NULL disconnect=-1");
    end();
}

TEST(LOOP, a_tick_waits_as_long_as_told_and_no_less, "") {
    peer p = {0};
    begin();
    up(&p, 0);
    double from = test_now();
    CHECK_INT(redisPollTick(p.ac, 0.12), 0);
    CHECK(test_now() - from > 0.119);
    from = test_now();
    CHECK_INT(redisPollTick(p.ac, 0.0004), 0);
    CHECK(test_now() - from > 0.0003);
    redisAsyncFree(p.ac);
    CHECK_LOG("disconnect=0");
    end();
}

static int inner = -1;

static void tick_inside(peer *p) {
    inner = redisPollTick(p->ac, 0);
}

TEST(LOOP, a_tick_inside_a_callback_does_nothing, "") {
    peer p = {.then = tick_inside, .end_in = "reply"};
    begin();
    up(&p, 0);
    ASK(&p, "a", "PING");
    ASK(&p, "b", "PING");
    UNTIL(p.ac == NULL);
    CHECK_INT(inner, 0);
    CHECK_LOG("a:+PONG b:NULL disconnect=0");
    end();
}
#endif
