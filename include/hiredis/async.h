/* SPDX-License-Identifier: BSD-3-Clause
 *
 * async.h - the asynchronous client: commands now, replies in callbacks.
 *
 * An asynchronous context never waits. An event loop watches its socket and tells it
 * when there is something to read or room to write; adapters/ has the few lines that
 * connect it to libevent, libev, ae and poll(2).
 *
 *     static void show(redisAsyncContext *ac, void *r, void *privdata) {
 *         redisReply *reply = (redisReply *)r;
 *         if (reply == NULL)                          // no answer, see ac->errstr
 *             return;
 *         if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_ERROR)
 *             printf("%s: %s\n", (const char *)privdata, reply->str);
 *         redisAsyncDisconnect(ac);
 *     }
 *
 *     struct event_base *base = event_base_new();
 *     redisAsyncContext *ac = redisAsyncConnect("127.0.0.1", 6379);
 *     if (ac == NULL || ac->err) {
 *         fprintf(stderr, "%s\n", ac ? ac->errstr : "out of memory");
 *         redisAsyncFree(ac);
 *         return 1;
 *     }
 *     redisLibeventAttach(ac, base);                  // adapters/libevent.h
 *     redisAsyncSetConnectCallback(ac, connected);
 *     redisAsyncSetDisconnectCallback(ac, disconnected);
 *     redisAsyncCommand(ac, NULL, NULL, "SET greeting %s", "hello");
 *     redisAsyncCommand(ac, show, (void *)"greeting", "GET greeting");
 *     event_base_dispatch(base);
 *
 *
 * The life of a context
 *
 * It is made by redisAsyncConnect and its relatives. If `err` is set then, the program
 * frees it. Otherwise, once an event loop is attached, it goes its way alone:
 *
 *   1. The first event tells whether the connection is up: onConnect(REDIS_OK), or
 *      onConnect(REDIS_ERR) and the end.
 *   2. Commands may be issued from the beginning. They are written when the socket takes
 *      them, and their callbacks run in their order as the replies come.
 *   3. It ends by redisAsyncDisconnect, by redisAsyncFree, or by an error. The steps are
 *        - the event loop is detached (ev.cleanup),
 *        - every callback that is still owed something runs with a NULL reply,
 *        - onDisconnect runs, if the connection had been up,
 *        - dataCleanup(data), then free_privdata(privdata) run, and memory is freed.
 *      redisAsyncFree detaches the loop after the callbacks, a timeout between them.
 *
 * So the pointer is dead once onDisconnect, or onConnect(REDIS_ERR), has returned. With
 * REDIS_OPT_NOAUTOFREE it lives on after an error, good only for redisAsyncFree.
 *
 *
 * Promises
 *
 *   - A command that was accepted (REDIS_OK) has its callback called exactly once, with
 *     the reply or with NULL. Subscriptions and MONITOR are called as often as there are
 *     messages, and with NULL when they end with the connection.
 *   - NULL means that no reply came: the connection ended, and `err` tells why (0 when the
 *     program ended it). While it goes on, `err` is 0 and the callbacks of commands that
 *     the server does not answer get NULL, see CLIENT REPLY below, and those of what RESET
 *     and HELLO end.
 *   - A reply is the callback's until it returns; the library frees it. With
 *     REDIS_OPT_NOAUTOFREEREPLIES it is the program's, for freeReplyObject.
 *   - Callbacks run inside redisAsyncHandleRead, -Write, -Timeout, redisAsyncFree and
 *     redisAsyncDisconnect, never inside a function that issues a command.
 *   - `err` and `errstr` tell the cause in every callback. onConnect and onDisconnect run
 *     once at most.
 *   - What the server sends cannot end the program: a reply that nobody asked for, or a
 *     malformed message, is an error REDIS_ERR_PROTOCOL. Unlike hiredis, which aborts.
 *
 *
 * What may be called inside
 *
 *                            command    redisAsyncFree,        redisAsyncHandle..
 *                            functions  redisAsyncDisconnect
 *   reply or push callback   yes        yes, when it returns   no effect
 *   the same at the end      refused    no effect, it ends     no effect
 *   onConnect(REDIS_OK)      yes        yes, when it returns   no effect
 *   onConnect(REDIS_ERR)     refused    no effect, it ends     no effect
 *   onDisconnect             refused    no effect, it ends     no effect
 *   dataCleanup, free_privdata, and the hooks in `ev`: nothing on this context
 *
 * Everything is allowed on other contexts, blocking ones included. Functions for blocking
 * contexts take `&ac->c` where hiredis.h says so; none of its commands or replies.
 */
#ifndef __HIREDIS_ASYNC_H
#define __HIREDIS_ASYNC_H

#include "hiredis.h"

#ifdef __cplusplus
extern "C" {
#endif

struct redisAsyncContext;
struct dict;

/* ---- Callbacks ------------------------------------------------------------------ */

/* Gets the reply to a command, a redisReply, or NULL when there will be none; `privdata`
 * is what was given with the command. */
typedef void redisCallbackFn(struct redisAsyncContext *ac, void *reply, void *privdata);

/* Tell how connecting, or the connection, ended. `status` is REDIS_OK, or REDIS_ERR with
 * the cause in ac->err and ac->errstr. A connection that the program ended by
 * redisAsyncFree or redisAsyncDisconnect ended well. */
typedef void redisDisconnectCallback(const struct redisAsyncContext *ac, int status);
typedef void redisConnectCallback(const struct redisAsyncContext *ac, int status);
typedef void redisConnectCallbackNC(struct redisAsyncContext *ac, int status);

/* The shape of a timer function, for adapters. */
typedef void redisTimerCallback(void *timer, void *privdata);

/* One command that waits for its reply. Programs may walk a list of these and change `fn`
 * (NULL: the reply is dropped) and `privdata`; both are read when the reply is there. None
 * may be taken out or put in: they are no blocks of their own. */
typedef struct redisCallback {
    struct redisCallback *next; /* the command after it; NULL at the end */
    redisCallbackFn *fn;
    int pending_subs;           /* the library's own */
    int unsubscribe_sent;       /* likewise */
    void *privdata;
} redisCallback;

/* Commands in the order of their replies. Both are NULL when there are none. */
typedef struct redisCallbackList {
    redisCallback *head;
    redisCallback *tail;
} redisCallbackList;

/* ---- The context ----------------------------------------------------------------
 *
 * As with redisContext these fields are all there is; a program may read them, and write
 * those that say so. */
typedef struct redisAsyncContext {
    /* The connection itself. First, so that a redisAsyncContext is a redisContext. */
    redisContext c;

    /* The error of `c`: its code, and a pointer to its text, which is never NULL. */
    int err;
    char *errstr;

    /* For the program; writable. dataCleanup(data) runs when the context is freed. */
    void *data;
    void (*dataCleanup)(void *privdata);

    /* The event loop. An adapter sets `data` and the hooks when it is attached, provided
     * that `data` is NULL; each hook may be left NULL, and gets `data`.
     *
     * What the library expects:
     *   - addRead, addWrite: call redisAsyncHandleRead, redisAsyncHandleWrite whenever
     *     the socket (c.fd, as it is when the adapter is attached) is readable, writable,
     *     until delRead, delWrite. Errors and hang-ups count as either. All four are
     *     called as often as it pleases; what is watched already stays watched.
     *   - scheduleTimer: call redisAsyncHandleTimeout once after `tv`. A new call replaces
     *     the time of the one before. There is no way to call it off: a timer that turns
     *     out to be idle is ignored.
     *   - cleanup: stop watching and forget the context. No handler may run for it after
     *     this. It is called once, before the socket is closed, and may well be called
     *     from inside a redisAsyncHandle function that the adapter itself called: after
     *     such a call the adapter cannot take its own record for granted.
     *
     * What the library does:
     *   after a command, or setting onConnect     scheduleTimer, addWrite
     *   redisAsyncHandleWrite, all written        delWrite, scheduleTimer, addRead
     *   redisAsyncHandleWrite, some left          scheduleTimer, addWrite,
     *                                             scheduleTimer, addRead
     *   redisAsyncHandleRead                      scheduleTimer, addRead
     *   at the end                                cleanup
     *
     * scheduleTimer gets the time that is left: of the connect timeout until the connection
     * is up, from then on of the command timeout for the oldest unanswered command, all of
     * it when none is outstanding. It is not called when that timeout is not set. */
    struct {
        void *data;
        void (*addRead)(void *privdata);
        void (*delRead)(void *privdata);
        void (*addWrite)(void *privdata);
        void (*delWrite)(void *privdata);
        void (*cleanup)(void *privdata);
        void (*scheduleTimer)(void *privdata, struct timeval tv);
    } ev;

    /* Set by the functions below. */
    redisDisconnectCallback *onDisconnect;
    redisConnectCallback *onConnect;
    redisConnectCallbackNC *onConnectNC;

    /* Commands that wait for their replies: see redisCallback. */
    redisCallbackList replies;

    /* Not used. */
    struct sockaddr *saddr;
    size_t addrlen;

    /* Subscriptions. `replies` are commands issued while subscribed, younger than those
     * above; the tables are private. */
    struct {
        redisCallbackList replies;
        struct dict *channels;
        struct dict *patterns;
        int pending_unsubs;
    } sub;

    /* Set by redisAsyncSetPushCallback. */
    redisAsyncPushFn *push_cb;
} redisAsyncContext;

/* ---- Connecting -----------------------------------------------------------------
 *
 * All of these begin to connect and return a new context. NULL is returned only when
 * memory ran out, or for an unknown `type`. If `err` is set, with the errors of connecting
 * in hiredis.h, nothing more will happen, and the program calls redisAsyncFree. Otherwise
 * the next steps are to attach an event loop and to set callbacks.
 *
 * A host name is resolved during the call, which may take its time; a numeric address is
 * never looked up. */

/* Connects as the options say: REDIS_OPT_NONBLOCK is implied, and async_push_cb counts
 * instead of push_cb. A descriptor (REDIS_CONN_USERFD) must be connected and non-blocking;
 * it counts as connected at its first event. Unlike hiredis, where that fails. */
redisAsyncContext *redisAsyncConnectWithOptions(const redisOptions *options);

/* Connects to a host and port. */
redisAsyncContext *redisAsyncConnect(const char *ip, int port);

/* The same from a local address; NULL for any. */
redisAsyncContext *redisAsyncConnectBind(const char *ip, int port, const char *source_addr);

/* The same with REDIS_OPT_REUSEADDR. */
redisAsyncContext *redisAsyncConnectBindWithReuse(const char *ip, int port,
                                                  const char *source_addr);

/* Connects to a unix socket. */
redisAsyncContext *redisAsyncConnectUnix(const char *path);

/* ---- Settings ------------------------------------------------------------------- */

/* Set what is told that the connection is up, or that it could not be made. The NC form
 * passes a context that is not const. Attach the event loop first: it is asked here to
 * watch the socket. REDIS_ERR when either form has been set already; NULL sets nothing. */
int redisAsyncSetConnectCallback(redisAsyncContext *ac, redisConnectCallback *fn);
int redisAsyncSetConnectCallbackNC(redisAsyncContext *ac, redisConnectCallbackNC *fn);

/* Sets what is told that the connection ended, unless it was never up. REDIS_ERR when it
 * has been set already. */
int redisAsyncSetDisconnectCallback(redisAsyncContext *ac, redisDisconnectCallback *fn);

/* Sets what gets push replies (RESP3) that belong to no subscription, such as those of
 * CLIENT TRACKING, and returns what got them before; NULL drops them. The library frees
 * the reply when the function returns. */
redisAsyncPushFn *redisAsyncSetPushCallback(redisAsyncContext *ac, redisAsyncPushFn *fn);

/* Limits how long replies may take; {0, 0} lifts the limit. It holds from the next command
 * or event on, needs an adapter with a timer, and ends the connection, see
 * redisAsyncHandleTimeout.
 *
 * REDIS_ERR
 *   REDIS_ERR_OOM  `Out of memory` */
int redisAsyncSetTimeout(redisAsyncContext *ac, struct timeval tv);

/* ---- Ending --------------------------------------------------------------------- */

/* Ends the connection in good order: no new commands, those accepted are written, their
 * replies delivered, then it ends with onDisconnect(REDIS_OK). At once if nothing is
 * outstanding; the end of subscriptions and of MONITOR is not waited for. Inside a
 * callback it begins when that returns. The context is freed at the end, with
 * REDIS_OPT_NOAUTOFREE too.
 *
 * While connecting, with nothing outstanding, onConnect(REDIS_ERR) takes its place, and
 *   REDIS_ERR_OTHER  `Disconnected before the connection was up` */
void redisAsyncDisconnect(redisAsyncContext *ac);

/* Ends the connection now. Commands not written yet are not; all callbacks run with NULL;
 * onDisconnect(REDIS_OK) follows if the connection was up. Inside a callback it happens
 * when that returns. NULL does nothing. */
void redisAsyncFree(redisAsyncContext *ac);

/* ---- For event loops ------------------------------------------------------------
 *
 * The context may be gone when one of these returns. Inside a callback of the same context
 * they do nothing: a nested event loop is harmless. Unlike hiredis, which aborts. */

/* The socket is readable, writable. The first of either finishes connecting. Replies are
 * delivered, commands written; what fails ends the connection with
 *   the errors of connecting, redisBufferRead and redisBufferWrite (hiredis.h)
 *   REDIS_ERR_PROTOCOL
 *     the texts of redisReaderGetReply (read.h)
 *     `Protocol error, got a reply that no command is waiting for`
 *     `Protocol error, malformed pub/sub frame`
 *   REDIS_ERR_OTHER
 *     the text of an error reply that no command is waiting for, such as
 *     `ERR max number of clients reached` */
void redisAsyncHandleRead(redisAsyncContext *ac);
void redisAsyncHandleWrite(redisAsyncContext *ac);

/* The timer of ev.scheduleTimer fired. It counts while connecting, and when a reply is
 * outstanding; then the connection ends with
 *   REDIS_ERR_TIMEOUT  `Timeout`
 * and onConnect(REDIS_ERR) or onDisconnect(REDIS_ERR). Subscriptions alone are idle. */
void redisAsyncHandleTimeout(redisAsyncContext *ac);

/* What the two above do once connected, by way of `funcs`: read and deliver, write. For
 * transports, see redisContextFuncs. */
void redisAsyncRead(redisAsyncContext *ac);
void redisAsyncWrite(redisAsyncContext *ac);

/* ---- Commands -------------------------------------------------------------------
 *
 * Queue one command; `fn` gets its reply with `privdata`, which the library does not look
 * at. With `fn` NULL the reply is dropped.
 *
 * SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE keep `fn` for each name they give. It gets the
 * confirmation, every message, and as the last the confirmation of UNSUBSCRIBE,
 * PUNSUBSCRIBE or SUNSUBSCRIBE; subscribing again replaces it. When the server refuses,
 * it gets the error, and other subscriptions go on. The commands that unsubscribe have no
 * callback of their own. In RESP2 a subscribed connection takes few other commands; in
 * RESP3 (HELLO 3) all. The pushes of SSUBSCRIBE with `fn` NULL go to push_cb.
 * https://redis.io/docs/latest/develop/interact/pubsub/
 *
 * MONITOR keeps `fn` for its reply and for every line that follows. The server answers no
 * further one, whose callback gets NULL. RESET, once answered, has ended MONITOR and all
 * subscriptions: their callbacks get NULL. Unlike hiredis, each reply finds its command in
 * all of these states, errors too.
 *
 * CLIENT REPLY OFF and SKIP are not answered, nor are the commands they silence. Their
 * callbacks get NULL, in their order among the others: once the command has been sent and
 * all before it are answered. That assumes that the server obeys; when it refuses (a user
 * without the right to CLIENT, RESP2 while subscribed, a script that keeps it busy) the
 * replies to commands that have had their NULL are dropped, and the others find theirs.
 * https://redis.io/docs/latest/commands/client-reply/
 *
 * REDIS_ERR: the command is not queued and `fn` will not be called:
 *   - the context is ending, by redisAsyncDisconnect, redisAsyncFree or an error;
 *   - the command cannot be made of the format or the arguments, see hiredis.h;
 *   - UNSUBSCRIBE, PUNSUBSCRIBE or SUNSUBSCRIBE, and nothing is subscribed;
 *   - CLIENT REPLY between MULTI and EXEC, if it would change whether the server answers,
 *     which would break the reply to EXEC;
 *   - memory ran out: REDIS_ERR_OOM, `Out of memory`. The connection goes on. */

/* By format, see redisFormatCommand. */
int redisvAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata,
                       const char *format, va_list ap);
int redisAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata,
                      const char *format, ...);

/* By arguments, see redisFormatCommandArgv. */
int redisAsyncCommandArgv(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, int argc,
                          const char **argv, const size_t *argvlen);

/* Encoded already, as by redisFormatCommand: exactly one command, an array of bulk strings.
 * Anything else within the `len` bytes is refused. Unlike hiredis, which reads beyond them. */
int redisAsyncFormattedCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata,
                               const char *cmd, size_t len);

#ifdef __cplusplus
}
#endif

#endif
