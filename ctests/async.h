/* Asynchronous contexts under test. Every callback writes a word into one log, so that who was
 * called, with what and in which order is compared as a line of text:
 *
 *     conn c;
 *     conn_up(&c);                          a scripted server, driven by the test
 *     ask(&c, "a", "GET k");
 *     serve(&c, "$1\r\nV\r\n");
 *     CHECK_LOG("a:\"V\"");
 *     conn_done(&c);                        frees, and checks that nothing is left
 *
 * conn_live does the same with the redis-server of the suite; PUMP runs its event loop.
 *
 * The words: NAME:REPLY for a reply callback (REPLY as reply_text writes it, a line of MONITOR
 * without its time and address as +@ "GET" "k"), push:REPLY, connect=STATUS, disconnect=STATUS.
 * With `ends` also cleanup, data (dataCleanup) and privdata (free_privdata); with `hooks` every
 * hook by its name, T for scheduleTimer.
 *
 * At every callback the public fields are checked: see check_truth in async.c. */
#ifndef HIREDIS_RS_ASYNC_H
#define HIREDIS_RS_ASYNC_H

#include <hiredis/hiredis.h>
#include <hiredis/async.h>

#include "fake.h"
#include "test.h"

typedef struct conn conn;

struct conn {
    redisAsyncContext *ac;      /* NULL once the library has let go of it */
    int server, listener;       /* the scripted server's ends, -1 with the real one */
    int reading, writing;       /* what the hooks asked for and did not take back */
    double due;                 /* when the timer goes off, 0 when it is not set */
    struct timeval timer;       /* what it was last set to */

    int hooks, ends;            /* also log these */
    int counted;                /* log "NAME:REPLY/n", n callbacks still in the public lists */

    /* What to do inside a callback, after its word is written. */
    void (*on_reply)(conn *c, const char *name, redisReply *reply);
    void (*on_push)(conn *c, redisReply *reply);
    void (*on_connect)(conn *c, int status);
    void (*on_disconnect)(conn *c, int status);
    void (*on_hook)(conn *c, const char *name);
    const char *trigger;        /* for the test: the name a callback waits for */
    int count, mine[2];         /* for the test */

    int connects, disconnects, cleanups, datas, privdatas, timers;
    int attached;
};

/* ---- Making and ending ---- */

/* Comes first; empties the log, counts memory from here on. conn_up, conn_up_with, conn_live include it. */
void conn_zero(conn *c);

/* Connected to a listening socket of the test, but no event has been handled yet. Hooks and
 * callbacks are set. conn_up also handles the first write event and empties the log. */
void conn_open(conn *c);
void conn_up(conn *c);

/* Puts hooks, callbacks and bookkeeping onto a context that the test has made itself. */
void conn_adopt(conn *c, redisAsyncContext *ac);
void conn_hooks(conn *c);       /* the hooks alone */
void conn_callbacks(conn *c);   /* the callbacks alone */

#if HIREDIS_MAJOR >= 1
/* As conn_open, with the options and timeouts of *o; endpoint and callbacks are filled in. */
void conn_open_with(conn *c, const redisOptions *o);
/* With option bits and a command timeout in milliseconds (0: none), confirmed. */
void conn_up_with(conn *c, int options, int command_ms);
#endif

/* Connected to the live server by its unix socket, confirmed, the log empty. For protocol 3
 * HELLO 3 has been answered. */
void conn_live(conn *c, int protocol);
void conn_live_loose(conn *c);  /* not confirmed yet */

/* Frees the context if that has not happened, closes the server's ends, and checks: onConnect and
 * onDisconnect at most once, cleanup, dataCleanup and free_privdata exactly once. With the last
 * conn, and no live_sync context open, also that no block of memory is left. */
void conn_done(conn *c);

/* ---- Commands ---- */

/* The callback writes NAME:REPLY; name NULL is a NULL callback. ask fails the test unless the
 * command is accepted, ask_try returns what the library does. */
void ask(conn *c, const char *name, const char *format, ...);
int ask_try(conn *c, const char *name, const char *format, ...);
int ask_formatted(conn *c, const char *name, const char *bytes, size_t len);
void async_reply(redisAsyncContext *ac, void *reply, void *name);
#define NAME(text) ((void *)(uintptr_t)(text))   /* as privdata for async_reply */

/* Sends commands of every kind, none of them answered: a and b are regular, ping is regular and was
 * asked while subscribed, ch and pat are subscribed (to ch and p*). */
void owe_everything(conn *c);

/* ---- Driving a scripted connection ---- */

void flush(conn *c);                     /* one write event */
void serve(conn *c, const char *bytes);  /* the server sends, then read events until all is read */
void serve_n(conn *c, const char *bytes, size_t len);
void hang_up(conn *c);                   /* the server closes, then one read event */
const char *sent(conn *c);               /* what the server has received since last asked */
void expire(conn *c);                    /* waits for the timer and lets it go off, until it does not
                                            go off again or the context ends */

/* ---- Running a live connection ---- */

/* Waits for what the hooks asked for, at most ms, and handles it; 1 if something was handled. */
int conn_step(conn *c, int ms);

/* Runs the event loop until cond is true; fails the test after 20 seconds or when the context ends. */
#define PUMP(c, cond)                                                                           \
    for (double pump_end = test_now() + 20; !(cond); conn_step(c, 50)) {                        \
        if (test_now() > pump_end) FAIL("never came true: %s; log: %s", #cond, log_text());     \
        if (!(c)->ac) FAIL("the context ended before: %s; log: %s", #cond, log_text());         \
    }
/* Runs it until the log is at least as long as want, then compares and empties the log. */
#define PUMP_LOG(c, want)                                                                       \
    do {                                                                                        \
        PUMP(c, strlen(log_text()) >= strlen(want));                                            \
        CHECK_LOG(want);                                                                        \
    } while (0)

/* A blocking connection to the live server for publishing and looking at the result. The
 * functions return the reply as reply_text does, or its integer. */
redisContext *live_sync(void);
const char *sync_text(redisContext *s, const char *format, ...);
long long sync_int(redisContext *s, const char *format, ...);
void sync_done(redisContext *s);

/* The text with each ^ replaced by what a pub/sub message begins with: * or > */
const char *shaped(int protocol, const char *text);

/* ---- The log ---- */

__attribute__((format(printf, 1, 2))) void note(const char *format, ...);
const char *log_text(void);
const char *log_take(void);              /* and empties it */
#define CHECK_LOG(want) CHECK_STR(log_take(), want)
/* For orders that are left open. */
#define CHECK_LOG_EITHER(one, other)                                                            \
    do {                                                                                        \
        if (strcmp(log_text(), one) != 0) CHECK_STR(log_text(), other);                         \
        log_take();                                                                             \
    } while (0)

/* ---- Looking at a context ---- */

size_t list_length(const redisCallbackList *list);  /* also checks head, tail and next */
redisCallbackList *sub_replies(redisAsyncContext *ac);

#if HIREDIS_MAJOR >= 1
/* Exported for TLS libraries, so they stand in no header. */
void __redisSetError(redisContext *c, int type, const char *text);
void __redisAsyncDisconnect(redisAsyncContext *ac);
void redisProcessCallbacks(redisAsyncContext *ac);
void redisNetClose(redisContext *c);
#endif

/* The bytes right before a page that must not be touched, at the end of one that may. */
char *at_page_end(const char *bytes, size_t len);

#endif
