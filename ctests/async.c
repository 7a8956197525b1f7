#include "async.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_things;  /* conns and blocking connections: at none, no memory may be left */
static char log_buf[65536];
static size_t log_len;

static void opened(void) {
    if (open_things++ == 0) alloc_count_begin();
}

static void closed(void) {
    if (--open_things == 0) alloc_count_end();
}

/* ---- The log ---- */

void note(const char *format, ...) {
    va_list ap;
    if (log_len > 0 && log_len < sizeof(log_buf) - 1) log_buf[log_len++] = ' ';
    va_start(ap, format);
    int n = vsnprintf(log_buf + log_len, sizeof(log_buf) - log_len, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(log_buf) - log_len) FAIL("the log is full");
    log_len += (size_t)n;
}

const char *log_text(void) {
    log_buf[log_len] = '\0';
    return log_buf;
}

const char *log_take(void) {
    const char *text = test_printf("%s", log_text());
    log_len = 0;
    return text;
}

/* ---- Looking at a context ---- */

size_t list_length(const redisCallbackList *list) {
    const redisCallback *last = NULL;
    size_t n = 0;
    for (const redisCallback *cb = list->head; cb != NULL; cb = cb->next) {
        last = cb;
        if (++n > 1000000) FAIL("a callback list runs in a circle");
    }
    if (list->tail != last) FAIL("tail is not the last callback of a list of %zu", n);
    return n;
}

redisCallbackList *sub_replies(redisAsyncContext *ac) {
#if HIREDIS_MAJOR >= 1
    return &ac->sub.replies;
#else
    return &ac->sub.invalid;
#endif
}

/* What must hold whenever user code runs: the public fields are the state. */
static void check_truth(const redisAsyncContext *const_ac) {
    redisAsyncContext *ac = (redisAsyncContext *)(uintptr_t)const_ac;
    list_length(&ac->replies);
    list_length(sub_replies(ac));
    CHECK(ac->c.obuf != NULL);
    CHECK(ac->c.reader != NULL);
    CHECK(ac->sub.channels != NULL);
    CHECK(ac->sub.patterns != NULL);
    CHECK(ac->errstr == ac->c.errstr);
#if HIREDIS_MAJOR >= 1
    CHECK_INT(ac->err, ac->c.err);
    CHECK(ac->c.flags & REDIS_IN_CALLBACK);
    CHECK((ac->c.err == 0) == (ac->c.errstr[0] == '\0'));
    CHECK(ac->c.push_cb == NULL);
#endif
}

static conn *conn_of(const redisAsyncContext *ac) {
    conn *c = ac->data;
    if (c == NULL) FAIL("a callback for a context without its data");
    if (c->datas > 0) FAIL("a callback after dataCleanup");
    if (c->ac != NULL && c->ac != ac) FAIL("a callback with another context");
    return c;
}

/* ---- Callbacks ---- */

/* A line of MONITOR without what differs from run to run. */
static const char *shown_reply(const redisReply *r) {
    if (r != NULL && r->type == REDIS_REPLY_STATUS && r->len > 10 && r->str[0] >= '0' && r->str[0] <= '9') {
        const char *after = strstr(r->str, "] ");
        if (after != NULL) return test_printf("+@ %s", after + 2);
    }
    return reply_text(r);
}

void async_reply(redisAsyncContext *ac, void *reply, void *name) {
    conn *c = conn_of(ac);
    check_truth(ac);
    note("%s:%s", (const char *)name, shown_reply(reply));
    if (c->counted)
        log_len += (size_t)snprintf(log_buf + log_len, sizeof(log_buf) - log_len, "/%zu",
                                    list_length(&ac->replies) + list_length(sub_replies(ac)));
    if (c->on_reply != NULL) c->on_reply(c, name, reply);
}

static void on_connect(const redisAsyncContext *ac, int status) {
    conn *c = conn_of(ac);
    check_truth(ac);
    CHECK_INT((ac->c.flags & REDIS_CONNECTED) != 0, status == REDIS_OK);
    c->connects++;
    note("connect=%d", status);
    if (c->on_connect != NULL) c->on_connect(c, status);
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    conn *c = conn_of(ac);
    check_truth(ac);
    CHECK(ac->replies.head == NULL);
    CHECK(sub_replies((redisAsyncContext *)(uintptr_t)ac)->head == NULL);
    c->disconnects++;
    note("disconnect=%d", status);
    redisAsyncContext *before = c->ac;
    c->ac = (redisAsyncContext *)(uintptr_t)ac;
    if (c->on_disconnect != NULL) c->on_disconnect(c, status);
    c->ac = before;
}

#if HIREDIS_MAJOR >= 1
static void on_push(redisAsyncContext *ac, void *reply) {
    conn *c = conn_of(ac);
    check_truth(ac);
    note("push:%s", reply_text(reply));
    if (c->on_push != NULL) c->on_push(c, reply);
}

static void on_data(void *data) {
    conn *c = data;
    if (c->ends) note("data");
    c->datas++;
    c->ac = NULL;
}

static void on_privdata(void *privdata) {
    conn *c = privdata;
    if (c->ends) note("privdata");
    c->privdatas++;
}
#endif

/* ---- Hooks ---- */

static conn *hooked(void *data, const char *name) {
    conn *c = data;
    if (c->cleanups > 0) FAIL("%s after cleanup", name);
    if (c->hooks) note("%s", name);
    if (c->on_hook != NULL) c->on_hook(c, name);
    return c;
}

static void add_read(void *data) { hooked(data, "addRead")->reading = 1; }
static void del_read(void *data) { hooked(data, "delRead")->reading = 0; }
static void add_write(void *data) { hooked(data, "addWrite")->writing = 1; }
static void del_write(void *data) { hooked(data, "delWrite")->writing = 0; }

static void cleanup(void *data) {
    conn *c = hooked(data, "cleanup");
    if (c->ends && !c->hooks) note("cleanup");
    c->cleanups++;
    c->reading = c->writing = 0;
    c->due = 0;
#if HIREDIS_MAJOR < 1
    /* Without dataCleanup this is the last thing that always happens. */
    c->ac = NULL;
#endif
}

#if HIREDIS_MAJOR >= 1
static void schedule_timer(void *data, struct timeval tv) {
    conn *c = hooked(data, "T");
    /* To several event loops zero means "stop the timer". */
    if (tv.tv_sec < 0 || tv.tv_usec < 0 || (tv.tv_sec == 0 && tv.tv_usec == 0))
        FAIL("the timer was set to {%ld, %ld}", (long)tv.tv_sec, (long)tv.tv_usec);
    c->timers++;
    c->timer = tv;
    c->due = test_now() + (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}
#endif

/* ---- Making and ending ---- */

void conn_zero(conn *c) {
    opened();
    log_len = 0;
    memset(c, 0, sizeof(*c));
    c->server = c->listener = -1;
}

void conn_hooks(conn *c) {
    redisAsyncContext *ac = c->ac;
    CHECK(ac->ev.data == NULL);
    ac->ev.data = c;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
#if HIREDIS_MAJOR >= 1
    ac->ev.scheduleTimer = schedule_timer;
#endif
    c->attached = 1;
}

void conn_callbacks(conn *c) {
    CHECK_INT(redisAsyncSetConnectCallback(c->ac, on_connect), REDIS_OK);
    CHECK_INT(redisAsyncSetDisconnectCallback(c->ac, on_disconnect), REDIS_OK);
}

static void conn_data(conn *c, redisAsyncContext *ac) {
    if (ac == NULL) FAIL("no context");
    c->ac = ac;
    ac->data = c;
#if HIREDIS_MAJOR >= 1
    ac->dataCleanup = on_data;
    redisAsyncSetPushCallback(ac, on_push);
    /* Contexts that conn_open_with made have it already. */
    ac->c.privdata = c;
    ac->c.free_privdata = on_privdata;
#endif
}

void conn_adopt(conn *c, redisAsyncContext *ac) {
    conn_data(c, ac);
    conn_hooks(c);
    conn_callbacks(c);
}

static void conn_accepted(conn *c, redisAsyncContext *ac) {
    conn_data(c, ac);
    c->server = hand_accept(c->listener);
    conn_hooks(c);
    conn_callbacks(c);
}

void conn_open(conn *c) {
    char path[108];
    c->listener = hand_listen_unix(path, sizeof(path), 8);
    conn_accepted(c, redisAsyncConnectUnix(path));
}

static void conn_confirm(conn *c) {
    redisAsyncHandleWrite(c->ac);
    CHECK_INT(c->connects, 1);
    CHECK(c->ac != NULL && (c->ac->c.flags & REDIS_CONNECTED));
    log_take();
}

void conn_up(conn *c) {
    conn_zero(c);
    conn_open(c);
    conn_confirm(c);
}

#if HIREDIS_MAJOR >= 1
void conn_open_with(conn *c, const redisOptions *o) {
    char path[108];
    redisOptions own = *o;
    c->listener = hand_listen_unix(path, sizeof(path), 8);
    REDIS_OPTIONS_SET_UNIX(&own, path);
    REDIS_OPTIONS_SET_PRIVDATA(&own, c, on_privdata);
    own.async_push_cb = on_push;
    conn_accepted(c, redisAsyncConnectWithOptions(&own));
}

void conn_up_with(conn *c, int options, int command_ms) {
    struct timeval tv = {command_ms / 1000, command_ms % 1000 * 1000};
    redisOptions o = {0};
    o.options = options;
    if (command_ms > 0) o.command_timeout = &tv;
    conn_zero(c);
    conn_open_with(c, &o);
    conn_confirm(c);
}
#endif

void conn_live_loose(conn *c) {
    conn_data(c, redisAsyncConnectUnix(live_unix()));
    CHECK_INT(c->ac->err, 0);
    conn_hooks(c);
    conn_callbacks(c);
}

void conn_live(conn *c, int protocol) {
    conn_zero(c);
    conn_live_loose(c);
    PUMP(c, c->connects == 1);
    CHECK_LOG("connect=0");
    if (protocol == 3) {
        ask(c, "hello", "HELLO 3");
        PUMP(c, log_len > 0);
        if (strncmp(log_take(), "hello:%[", 8) != 0) FAIL("HELLO 3 was not answered by a map");
    }
}

void conn_done(conn *c) {
    if (c->ac != NULL) redisAsyncFree(c->ac);
    if (c->server >= 0) close(c->server);
    if (c->listener >= 0) close(c->listener);
    c->server = c->listener = -1;
    CHECK(c->connects <= 1);
    CHECK(c->disconnects <= 1);
    CHECK_INT(c->cleanups, c->attached);
#if HIREDIS_MAJOR >= 1
    CHECK_INT(c->datas, 1);
    CHECK_INT(c->privdatas, 1);
#endif
    closed();
}

/* ---- Commands ---- */

static int ask_va(conn *c, const char *name, const char *format, va_list ap) {
    return redisvAsyncCommand(c->ac, name != NULL ? async_reply : NULL, NAME(name), format, ap);
}

int ask_try(conn *c, const char *name, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int status = ask_va(c, name, format, ap);
    va_end(ap);
    return status;
}

void ask(conn *c, const char *name, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int status = ask_va(c, name, format, ap);
    va_end(ap);
    if (status != REDIS_OK) FAIL("not accepted: %s; log: %s", format, log_text());
}

int ask_formatted(conn *c, const char *name, const char *bytes, size_t len) {
    return redisAsyncFormattedCommand(c->ac, name != NULL ? async_reply : NULL, NAME(name), bytes, len);
}

void owe_everything(conn *c) {
    ask(c, "a", "GET a");
    ask(c, "b", "GET b");
    ask(c, "ch", "SUBSCRIBE ch");
    ask(c, "pat", "PSUBSCRIBE p*");
    ask(c, "ping", "PING");
    flush(c);
    CHECK_INT(list_length(&c->ac->replies), 2);
    CHECK_INT(list_length(sub_replies(c->ac)), 1);
}

/* ---- Driving a scripted connection ---- */

void flush(conn *c) {
    redisAsyncHandleWrite(c->ac);
}

void serve_n(conn *c, const char *bytes, size_t len) {
    int left = 0;
    hand_send(c->server, bytes, len);
    do redisAsyncHandleRead(c->ac);
    while (c->ac != NULL && c->ac->err == 0 && ioctl(c->ac->c.fd, FIONREAD, &left) == 0 && left > 0);
}

void serve(conn *c, const char *bytes) {
    serve_n(c, bytes, strlen(bytes));
}

void hang_up(conn *c) {
    /* Unread bytes would make it a reset. */
    sent(c);
    close(c->server);
    c->server = -1;
    redisAsyncHandleRead(c->ac);
}

const char *sent(conn *c) {
    char *buf = test_bytes(65536);
    buf[hand_read_now(c->server, buf, 65535)] = '\0';
    return buf;
}

#if HIREDIS_MAJOR >= 1
void expire(conn *c) {
    double end = test_now() + 20;
    while (c->ac != NULL && c->due != 0) {
        if (test_now() > end) FAIL("the timer goes off again and again; log: %s", log_text());
        while (test_now() < c->due) test_sleep_ms(1);
        c->due = 0;
        redisAsyncHandleTimeout(c->ac);
    }
}
#endif

/* ---- Running a live connection ---- */

int conn_step(conn *c, int ms) {
    struct pollfd p = {c->ac->c.fd, 0, 0};
    if (c->reading) p.events |= POLLIN;
    if (c->writing) p.events |= POLLOUT;
    if (c->due != 0) {
        double left = (c->due - test_now()) * 1000 + 1;
        if (left < ms) ms = left < 0 ? 0 : (int)left;
    }
    int n = poll(&p, 1, ms);
    if (n < 0 && errno != EINTR) FAIL("poll: %s", strerror(errno));
    if (n > 0 && c->reading && (p.revents & ~POLLOUT)) redisAsyncHandleRead(c->ac);
    if (n > 0 && c->ac != NULL && c->writing && (p.revents & ~POLLIN)) redisAsyncHandleWrite(c->ac);
#if HIREDIS_MAJOR >= 1
    if (c->ac != NULL && c->due != 0 && test_now() >= c->due) {
        c->due = 0;
        redisAsyncHandleTimeout(c->ac);
        return 1;
    }
#endif
    return n > 0;
}

redisContext *live_sync(void) {
    opened();
    redisContext *s = redisConnectUnix(live_unix());
    if (s == NULL || s->err != 0) FAIL("no connection to the live server");
    return s;
}

static redisReply *sync_reply(redisContext *s, const char *format, va_list ap) {
    redisReply *r = redisvCommand(s, format, ap);
    if (r == NULL) FAIL("%s: %s", format, s->errstr);
    return r;
}

const char *sync_text(redisContext *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = sync_reply(s, format, ap);
    va_end(ap);
    const char *text = reply_text(r);
    freeReplyObject(r);
    return text;
}

const char *shaped(int protocol, const char *text) {
    char *copy = test_printf("%s", text);
    for (char *p = copy; *p != '\0'; p++)
        if (*p == '^') *p = protocol == 3 ? '>' : '*';
    return copy;
}

long long sync_int(redisContext *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = sync_reply(s, format, ap);
    va_end(ap);
    if (r->type != REDIS_REPLY_INTEGER) FAIL("%s: %s", format, reply_text(r));
    long long n = r->integer;
    freeReplyObject(r);
    return n;
}

void sync_done(redisContext *s) {
    redisFree(s);
    closed();
}

/* ---- Memory with an edge ---- */

char *at_page_end(const char *bytes, size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (len + page - 1) / page * page;
    char *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + room, page, PROT_NONE) != 0) FAIL("mmap: %s", strerror(errno));
    memcpy(p + room - len, bytes, len);
    return p + room - len;
}
