/* Target connect: ways to connect, to connect again and to find out what came of it, on the network of
 * net.c, against a plain account of what hiredis.h and async.h say must come of the answers: error,
 * text, descriptor, time, and how often each call was made.
 *
 *   what         see enum
 *   options      as in redisOptions, without the bits that mean nothing here
 *   host, source, port, timeouts
 *   faults       two bytes, see in_faults
 *   answers      NET_ANSWERS for each call of enum net_call
 *   the rest     events, or what a blocking program does next */
#include "net.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <hiredis/async.h>

enum { ASYNC = 1, UNIX = 2, AGAIN = 4, PIPELINE = 8 };
enum { CLOEXEC_FLAG = 0x2000 };

/* ---- What must come of it ------------------------------------------------------------------ */

static struct expected {
    unsigned calls[NET_CALLS];
    long long now;
    int err, cause;             /* cause: errno */
    char errstr[128];
    int open, blocks, connected;
    int at_once;                /* the last connect succeeded */
} e;

static struct {
    redisOptions o;
    struct timeval connect_timeout, command_timeout;
    int busy;                   /* a full queue was met, so time has passed as the library likes */
} p;

static uint8_t answer(enum net_call call) {
    return net_answer(call, e.calls[call]++);
}

static int fail(int err, const char *prefix, const char *text) {
    e.err = err;
    snprintf(e.errstr, sizeof(e.errstr), "%s%s", prefix, text);
    return -1;
}

static int io(int cause, const char *prefix) {
    e.cause = cause;
    return fail(REDIS_ERR_IO, prefix, strerror(cause));
}

static int closing(int failed) {
    e.open = 0;
    return failed;
}

/* There is no use in trying another address. */
static int final(int failed) {
    return failed - 1;
}

static long long left(long long deadline) {
    if (deadline < 0) return -1;
    return deadline > e.now ? deadline - e.now : 0;
}

static int is_valid(const struct timeval *tv) {
    return tv->tv_usec <= 1000000 && tv->tv_sec <= (LONG_MAX - 999) / 1000;
}

/* Negative ones, and those longer than poll can tell, are the longest there is. */
static long long in_ms(const struct timeval *tv) {
    if (tv->tv_sec < -INT_MAX || tv->tv_sec > INT_MAX) return INT_MAX;
    long long ms = tv->tv_sec * 1000LL + (tv->tv_usec + 999) / 1000;
    return ms < 0 || ms > INT_MAX ? INT_MAX : ms;
}

static int try_connect(void) {
    int error = net_connect_errno(answer(NET_CONNECT));
    if (e.blocks) e.now += error == EAGAIN ? 5 : error == EINTR ? 1 : 0;
    e.at_once = error == 0;
    return error;
}

static int set_blocking(void) {
    int error = net_option_errno(answer(NET_GETFL));
    if (error) return closing(io(error, "fcntl(F_GETFL): "));
    error = net_option_errno(answer(NET_SETFL));
    if (error) return closing(io(error, "fcntl(F_SETFL): "));
    e.blocks = 1;
    return 0;
}

/* A socket that may be connected: 0 up, 1 not yet, 2 its queue is full, else -1. */
static int progress(void) {
    int error = try_connect(), pending;
    switch (error) {
    case 0: case EISCONN: return 0;
    case EALREADY: case EINTR: return 1;
    case EAGAIN: return 2;
    case EINPROGRESS:
        pending = net_so_error(answer(NET_SO_ERROR));
        if (pending == 0) return 0;
        error = pending < 0 ? ENOTSOCK : pending;
        break;
    }
    /* The socket's own error counts more. */
    pending = net_so_error(answer(NET_SO_ERROR));
    if (pending < 0) return io(ENOTSOCK, "getsockopt(SO_ERROR): ");
    return io(pending ? pending : error, "");
}

static int wait_until_up(long long deadline) {
    for (;;) {
        int took, got = net_poll_result(answer(NET_POLL), (int)left(deadline), &took);
        e.now += took;
        if (got > 0) break;
        if (got == -EINTR && left(deadline) != 0) continue;
        if (got == -ENOMEM) return closing(io(ENOMEM, "poll(2): "));
        return closing(io(ETIMEDOUT, ""));
    }
    int got = progress();
    return got > 0 ? closing(io(ETIMEDOUT, "")) : got;
}

static int connect_address(int family, long long deadline) {
    int blocking = !(p.o.options & REDIS_OPT_NONBLOCK), error;
    for (int tries = 1;; tries++) {
        error = net_socket_errno(answer(NET_SOCKET));
        if (error) {
            e.cause = error;
            return fail(REDIS_ERR_OTHER, "Can't create socket: ", strerror(error));
        }
        e.open = 1;
        e.blocks = 0;
        error = net_option_errno(answer(NET_NODELAY));
        if (error) return final(closing(io(error, "setsockopt(TCP_NODELAY): ")));
        if (p.o.endpoint.tcp.source_addr != NULL) {
            int n = 1;
            if (net_is_numeric(p.o.endpoint.tcp.source_addr) != family) {
                uint8_t a = answer(NET_RESOLVE);
                error = net_resolve_error(a);
                if (error) return final(fail(REDIS_ERR_OTHER, "Can't get addr: ", gai_strerror(error)));
                n = net_addresses(a);
            }
            error = p.o.options & REDIS_OPT_REUSEADDR ? net_option_errno(answer(NET_REUSEADDR)) : 0;
            if (error) return final(io(error, ""));
            do error = net_option_errno(answer(NET_BIND));
            while (error != 0 && --n > 0);
            if (error) {
                e.cause = error;
                return final(fail(REDIS_ERR_OTHER, "Can't bind socket: ", strerror(error)));
            }
        }
        error = try_connect();
        if (error == 0 || (error == EINPROGRESS && !blocking)) return 0;
        if (error == EINPROGRESS) return wait_until_up(deadline);
        if (error != EADDRNOTAVAIL || !(p.o.options & REDIS_OPT_REUSEADDR) || tries == REDIS_CONNECT_RETRIES)
            return io(error, "");
    }
}

static int connect_tcp(long long deadline) {
    const char *host = p.o.endpoint.tcp.ip;
    int prefer = p.o.options & REDIS_OPT_PREFER_IP_UNSPEC, family = net_is_numeric(host), n = 1, failed = -1;
    if (p.o.endpoint.tcp.port < 0 || p.o.endpoint.tcp.port > 65535)
        return fail(REDIS_ERR_OTHER, "", gai_strerror(EAI_SERVICE));
    if (family == 0) {
        uint8_t a = answer(NET_RESOLVE);
        family = prefer == REDIS_OPT_PREFER_IP_UNSPEC ? AF_UNSPEC
                 : prefer == REDIS_OPT_PREFER_IPV6    ? AF_INET6
                                                      : AF_INET;
        if (net_resolve_error(a) && family != AF_UNSPEC) {
            a = answer(NET_RESOLVE);
            family = family == AF_INET ? AF_INET6 : AF_INET;
        }
        if (net_resolve_error(a)) return fail(REDIS_ERR_OTHER, "", gai_strerror(net_resolve_error(a)));
        n = net_addresses(a);
    }
    for (int i = 0; i < n && failed == -1; i++) {
        int this_family = family != AF_UNSPEC ? family : i & 1 ? AF_INET6 : AF_INET;
        failed = connect_address(this_family, deadline);
        if (failed != -1) break;
        e.open = 0;
        if (left(deadline) == 0) break;
    }
    if (failed != 0) return -1;
    e.err = 0;
    e.errstr[0] = '\0';
    return 0;
}

static int connect_unix(long long deadline) {
    int blocking = !(p.o.options & REDIS_OPT_NONBLOCK), error;
    if (strlen(p.o.endpoint.unix_socket) > 107) return io(ENAMETOOLONG, "");
    error = net_socket_errno(answer(NET_SOCKET));
    if (error) return io(error, "");
    e.open = 1;
    e.blocks = 0;
    error = try_connect();
    if (error == 0 || (!blocking && (error == EINPROGRESS || error == EAGAIN))) return 0;
    if (error == EINPROGRESS) return wait_until_up(deadline);
    if (error != EAGAIN) return closing(io(error, ""));
    if (set_blocking() != 0) return -1;
    for (;;) {
        if (left(deadline) == 0) return closing(io(ETIMEDOUT, ""));
        answer(NET_SNDTIMEO);
        error = try_connect();
        if (error == 0) break;
        if (error != EINTR && error != EAGAIN) return closing(io(error, ""));
    }
    answer(NET_SNDTIMEO);
    return 0;
}

static void expect_connect(void) {
    const struct timeval *tv = p.o.connect_timeout;
    long long deadline = -1;
    int blocking = !(p.o.options & REDIS_OPT_NONBLOCK);
    e.err = e.open = 0;
    e.errstr[0] = '\0';
    if (tv != NULL) {
        if (!is_valid(tv)) {
            fail(REDIS_ERR_IO, "", "Invalid timeout specified");
            return;
        }
        deadline = e.now + in_ms(tv);
    }
    if ((p.o.type == REDIS_CONN_UNIX ? connect_unix(deadline) : connect_tcp(deadline)) != 0) return;
    if (blocking && set_blocking() != 0) return;
    e.connected = 1;
    if (p.o.command_timeout == NULL || !blocking) return;
    int error = net_option_errno(answer(NET_RCVTIMEO));
    if (error) {
        io(error, "setsockopt(SO_RCVTIMEO): ");
        return;
    }
    error = net_option_errno(answer(NET_SNDTIMEO));
    if (error) io(error, "setsockopt(SO_SNDTIMEO): ");
}

/* ---- What came of it ------------------------------------------------------------------------ */

static void check_context(const redisContext *c, int cause) {
    if (c->err == REDIS_ERR_OOM && alloc_failures() > 0) {
        CHECK_STR(c->errstr, "Out of memory");
        return;
    }
    if (planted("disagree")) e.err = 99;
    if (c->err != e.err) FAIL("err %d %s, the reference has %d %s", c->err, c->errstr, e.err, e.errstr);
    CHECK_STR(c->errstr, e.errstr);
    if (e.err == REDIS_ERR_IO && e.cause != 0) CHECK_INT(cause, e.cause);
    CHECK_INT(c->fd >= 0, e.open);
    if (c->fd >= 0) {
        CHECK(net_is_open(c->fd));
        CHECK_INT(net_blocks(c->fd), e.blocks);
    }
    CHECK_INT(net.open, e.open);
    CHECK_INT((c->flags & CLOEXEC_FLAG) != 0, (p.o.options & REDIS_OPT_SET_SOCK_CLOEXEC) != 0);
    for (int call = 0; call < NET_CALLS; call++) {
        if (net.calls[call] != e.calls[call])
            FAIL("%u calls of kind %d, the reference has %u", net.calls[call], call, e.calls[call]);
    }
    if (!p.busy) CHECK_INT(net.now, e.now);
}

/* ---- A blocking program ----------------------------------------------------------------------- */

static int pushes;

static void take_push(void *privdata, void *reply) {
    CHECK(privdata == &pushes);
    CHECK_INT(((redisReply *)reply)->type, REDIS_REPLY_PUSH);
    pushes++;
    freeReplyObject(reply);
}

/* The server's answers to so many commands, with what may come between them. */
static int serve(struct input *in, int commands) {
    int sent = 0;
    for (int i = 0; i < commands; i++) {
        uint8_t b = in_byte(in);
        if (b & 1) text_printf(&net.incoming, "|1\r\n+ttl\r\n:%d\r\n", i);
        if (b & 2) text_printf(&net.incoming, ">2\r\n+invalidate\r\n_\r\n");
        sent += (b & 2) != 0;
        if (b & 4) text_printf(&net.incoming, "*2\r\n|1\r\n+a\r\n+b\r\n:%d\r\n+x\r\n", i);
        else text_printf(&net.incoming, "$2\r\nr%d\r\n", i);
    }
    return sent;
}

static void check_reply(const redisReply *r, int i) {
    if (r->type == REDIS_REPLY_ARRAY) {
        CHECK_INT(r->elements, 2);
        CHECK_INT(r->element[0]->integer, i);
        CHECK_STR(r->element[1]->str, "x");
        return;
    }
    CHECK_INT(r->type, REDIS_REPLY_STRING);
    CHECK_INT(r->str[1], '0' + i);
}

static void check_cause(const redisContext *c) {
    static const char *const causes[] = {
        "Server closed the connection", "Connection reset by peer", "Broken pipe", "Out of memory",
        "Resource temporarily unavailable", "poll(2): Cannot allocate memory",
    };
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (strcmp(c->errstr, causes[i]) != 0) continue;
        CHECK(c->err != 0);
        return;
    }
    FAIL("no reply, and err %d %s", c->err, c->errstr);
}

/* A pipeline, on a network that may fail at any time: the replies, in order, or a cause that can be. */
static void pipeline(struct input *in, redisContext *c) {
    const struct timeval *tv = p.o.command_timeout;
    long long limit = tv != NULL && is_valid(tv) ? in_ms(tv) : 0;
    int commands = 1 + (int)in_below(in, 5), appended = 0, got = 0;
    struct text wanted = {0};
    text_clear(&net.incoming);
    text_clear(&net.sent);
    net.received = 0;
    net.ended = 1;
    pushes = 0;
    int sent = serve(in, commands);
    c->privdata = &pushes;
    redisSetPushCallback(c, take_push);
    while (appended < commands) {
        if (redisAppendCommand(c, "GET %d", appended) != REDIS_OK) break;
        text_printf(&wanted, "*2\r\n$3\r\nGET\r\n$1\r\n%d\r\n", appended++);
    }
    if (appended < commands) {
        CHECK(alloc_failures() > 0);
        CHECK_INT(c->err, REDIS_ERR_OOM);
    }
    for (; got < appended && c->err == 0; got++) {
        long long began = net.now;
        void *reply = NULL;
        int status = redisGetReply(c, &reply);
        if (limit > 0 && net.now > began + limit + 1)
            FAIL("a reply took %lld ms, its limit is %lld ms", net.now - began, limit);
        if (status != REDIS_OK) {
            CHECK(reply == NULL);
            check_cause(c);
            break;
        }
        CHECK(reply != NULL);
        check_reply(reply, got);
        freeReplyObject(reply);
    }
    if (got == commands) {
        same_text("sent", net.sent.p, net.sent.len, &wanted);
        CHECK_INT(pushes, sent);
    }
    CHECK(net.sent.len <= wanted.len);
    text_free(&wanted);
}

static void play_blocking(struct input *in, int what) {
    errno = 0;
    redisContext *c = redisConnectWithOptions(&p.o);
    if (c == NULL) {
        CHECK(alloc_failures() > 0);
        return;
    }
    int cause = errno;
    expect_connect();
    check_context(c, cause);
    if ((what & PIPELINE) && c->err == 0 && !(p.o.options & REDIS_OPT_NONBLOCK)) pipeline(in, c);
    for (int i = 0; (what & AGAIN) && i < 4 && in_byte(in) > 0; i++) {
        memcpy(e.calls, net.calls, sizeof(e.calls));
        e.now = net.now;
        errno = e.cause = 0;
        int status = redisReconnect(c);
        cause = errno;
        CHECK_INT(status, c->err ? REDIS_ERR : REDIS_OK);
        if (alloc_failures() > 0) continue;
        expect_connect();
        check_context(c, cause);
        if ((what & PIPELINE) && c->err == 0 && !(p.o.options & REDIS_OPT_NONBLOCK)) pipeline(in, c);
    }
    redisFree(c);
}

/* ---- A program with an event loop ---------------------------------------------------------------- */

static struct {
    int connects, status, disconnects, gone;
    int err;
    char errstr[128];
} a;

static void on_connect(const redisAsyncContext *ac, int status) {
    a.connects++;
    a.status = status;
    CHECK_INT(status, ac->err ? REDIS_ERR : REDIS_OK);
    a.err = ac->err;
    snprintf(a.errstr, sizeof(a.errstr), "%s", ac->errstr);
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    (void)ac;
    (void)status;
    CHECK_INT(a.connects, 1);
    CHECK_INT(a.status, REDIS_OK);
    a.disconnects++;
}

static void on_gone(void *privdata) {
    (void)privdata;
    a.gone++;
}

/* One event: what connecting has come to. 1 while it goes on. */
static int event(redisAsyncContext *ac, int kind, long long since) {
    const struct timeval *tv = p.o.connect_timeout;
    memcpy(e.calls, net.calls, sizeof(e.calls));
    int got = 1;
    if (kind == 2) {
        if (net.now - since >= (tv == NULL ? 0 : in_ms(tv))) got = fail(REDIS_ERR_TIMEOUT, "", "Timeout");
        redisAsyncHandleTimeout(ac);
    } else {
        if (!e.at_once) got = progress();
        else got = 0;
        if (kind == 0) redisAsyncHandleWrite(ac);
        else redisAsyncHandleRead(ac);
    }
    if (got > 0) {
        CHECK(a.connects == 0 && a.gone == 0);
        return 1;
    }
    CHECK_INT(a.connects, 1);
    CHECK_INT(a.status, got);
    if (got == 0) return 0;
    CHECK_INT(a.err, e.err);
    CHECK_STR(a.errstr, e.errstr);
    CHECK_INT(a.disconnects, 0);
    CHECK_INT(a.gone, (p.o.options & REDIS_OPT_NOAUTOFREE) == 0);
    return 0;
}

static void play_async(struct input *in) {
    memset(&a, 0, sizeof(a));
    p.o.options |= REDIS_OPT_NONBLOCK;
    redisAsyncContext *ac = redisAsyncConnectWithOptions(&p.o);
    if (ac == NULL) {
        CHECK(alloc_failures() > 0);
        return;
    }
    long long since = net.now;
    int cause = errno;
    expect_connect();
    ac->data = &a;
    ac->dataCleanup = on_gone;
    check_context(&ac->c, cause);
    CHECK_INT(ac->err, ac->c.err);
    if (ac->err == 0) {
        CHECK_INT(redisAsyncSetConnectCallback(ac, on_connect), REDIS_OK);
        CHECK_INT(redisAsyncSetDisconnectCallback(ac, on_disconnect), REDIS_OK);
        for (int i = 0; i < 20; i++) {
            uint8_t b = in_byte(in);
            net.now += b / 4;
            if (i == 19 || !event(ac, b % 4 == 3 ? 2 : b % 4, since)) break;
        }
    }
    if (!a.gone) redisAsyncFree(ac);
    CHECK_INT(a.gone, 1);
    CHECK_INT(a.disconnects, a.connects == 1 && a.status == REDIS_OK);
}

/* ---- One input ------------------------------------------------------------------------------------- */

static void timeval_of(struct input *in, struct timeval *tv, const struct timeval **to) {
    static const long seconds[] = {LONG_MAX / 1000 + 1, LONG_MAX / 1000 - 1, -1, INT_MAX};
    uint8_t b = in_byte(in), c = in_byte(in);
    *to = b & 1 ? tv : NULL;
    tv->tv_sec = b >= 0xf0 ? seconds[b / 2 % 4] : 0;
    tv->tv_usec = c == 0xff ? 1000001 : c == 0xfe ? 1000000 : c * 500;
}

void fuzz_one(struct input *in) {
    static const char *const hosts[] = {"name", "127.0.0.1", "::1", "name"};
    static const char *const sources[] = {NULL, "10.0.0.1", "fe80::1", "here"};
    static const int ports[] = {6379, 0, 65535, -1, 65536};
    static char path[200];
    memset(&p, 0, sizeof(p));
    memset(&e, 0, sizeof(e));
    int what = in_byte(in), b = in_byte(in);
    p.o.options = b & (REDIS_OPT_NONBLOCK | REDIS_OPT_REUSEADDR | REDIS_OPT_NOAUTOFREE |
                       REDIS_OPT_PREFER_IP_UNSPEC | REDIS_OPT_SET_SOCK_CLOEXEC);
    b = in_byte(in);
    if (what & UNIX) {
        size_t n = (size_t)b % 16 == 15 ? 100 + (size_t)b / 16 : 4;
        memset(path, 'p', n);
        path[n] = '\0';
        REDIS_OPTIONS_SET_UNIX(&p.o, path);
    } else {
        REDIS_OPTIONS_SET_TCP(&p.o, hosts[b % 4], ports[b / 16 < 4 ? 0 : b / 16 % 5]);
        p.o.endpoint.tcp.source_addr = sources[b / 4 % 4];
    }
    timeval_of(in, &p.connect_timeout, &p.o.connect_timeout);
    timeval_of(in, &p.command_timeout, &p.o.command_timeout);
    net_begin();
    e.now = net.now;
    struct input faults = *in;
    in_byte(in);
    in_byte(in);
    net_answers(in);
    in_faults(&faults);
    if (what & ASYNC) play_async(in);
    else play_blocking(in, what);
    alloc_fail_never();
    net_end();
}
