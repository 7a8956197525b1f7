/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hiredis.h - a Redis client for C: connections, commands, replies.
 *
 * This is the interface of hiredis 1.x, implemented by hiredis_rs: the same names, the
 * same structs, the same results, linked with -lhiredis_rs. `Unlike hiredis` below
 * marks what is better defined here; docs/differences.md has all of it in one place.
 *
 *     redisContext *c = redisConnect("127.0.0.1", 6379);
 *     if (c == NULL || c->err) {
 *         fprintf(stderr, "no connection: %s\n", c ? c->errstr : "out of memory");
 *         redisFree(c);
 *         return 1;
 *     }
 *     redisReply *reply = (redisReply *)redisCommand(c, "INCRBY %s %d", key, 5);
 *     if (reply == NULL)                             // no answer
 *         fprintf(stderr, "%s\n", c->errstr);
 *     else if (reply->type == REDIS_REPLY_ERROR)     // the server said no
 *         fprintf(stderr, "%s\n", reply->str);
 *     else
 *         printf("%lld\n", reply->integer);
 *     freeReplyObject(reply);
 *     redisFree(c);
 *
 * A blocking context sends a command and waits for its reply. Several can be under way
 * at once: redisAppendCommand for each, then redisGetReply as often. A non-blocking one
 * moves bytes when redisBufferWrite and redisBufferRead are called; programs with an
 * event loop want async.h, which does that and hands each reply to a callback.
 *
 * For all functions:
 *   - A context has an error when `err` is not 0; `errstr` is its text. The codes are in
 *     read.h. It remains until redisReconnect, and a context with an error is good for
 *     redisReconnect, redisFree, and for replies that had arrived before.
 *   - After REDIS_ERR_IO errno still holds the cause.
 *   - NULL for a context gives REDIS_ERR or NULL, or does nothing. Unlike hiredis.
 *   - Texts and timeouts are copied; they need not outlive the call.
 *   - A context belongs to one thread at a time; two contexts know nothing of each other.
 *   - Nothing ends the program: no assertion, no abort when memory runs out, no SIGPIPE
 *     when the peer is gone. Unlike hiredis. A signal handler may interrupt any call;
 *     the call goes on.
 *   - A struct timeval is a duration. {0, 0} is no limit, except for a blocking connect.
 *
 * POSIX systems only; Windows is not supported.
 */
#ifndef __HIREDIS_H
#define __HIREDIS_H

#include "read.h"

#include <stdarg.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>

#include "alloc.h"
#include "sds.h"

/* ---- Version --------------------------------------------------------------------
 *
 * The hiredis release whose interface this is, and the release of this library.
 * HIREDIS_SONAME says nothing about the file name of the library. */

#define HIREDIS_MAJOR 1
#define HIREDIS_MINOR 5
#define HIREDIS_PATCH 0
#define HIREDIS_SONAME 1.5.0
#define HIREDIS_RS_VERSION "0.1.0"

/* ---- State of a context ---------------------------------------------------------
 *
 * Bits of redisContext.flags. The library looks at them anew in each call, so a program
 * may change those that say so; the others it may read. */

#define REDIS_BLOCK 0x1                  /* calls wait; may be cleared, with the descriptor
                                            made non-blocking as well */
#define REDIS_CONNECTED 0x2              /* connected; non-blocking sync: begun to connect */
#define REDIS_DISCONNECTING 0x4          /* async: redisAsyncDisconnect, or an error */
#define REDIS_FREEING 0x8                /* async: redisAsyncFree */
#define REDIS_IN_CALLBACK 0x10           /* async: a callback is running */
#define REDIS_SUBSCRIBED 0x20            /* async: to a channel or pattern */
#define REDIS_MONITORING 0x40            /* async: MONITOR was sent */
#define REDIS_REUSEADDR 0x80             /* of REDIS_OPT_REUSEADDR */
#define REDIS_SUPPORTS_PUSH 0x100        /* async: a push has come, so this is RESP3 */
#define REDIS_NO_AUTO_FREE 0x200         /* of REDIS_OPT_NOAUTOFREE */
#define REDIS_NO_AUTO_FREE_REPLIES 0x400 /* of REDIS_OPT_NOAUTOFREEREPLIES */
#define REDIS_PREFER_IPV4 0x800          /* of REDIS_OPT_PREFER_IPV4 */
#define REDIS_PREFER_IPV6 0x1000         /* of REDIS_OPT_PREFER_IPV6 */

/* Seconds for redisEnableKeepAlive. */
#define REDIS_KEEPALIVE_INTERVAL 15

/* How often one address is tried when its local address is still in use, see
 * REDIS_OPT_REUSEADDR. */
#define REDIS_CONNECT_RETRIES 10

#ifdef __cplusplus
extern "C" {
#endif

struct redisContext;
struct redisAsyncContext;
struct sockaddr;

/* What takes a push reply (RESP3) that comes between the replies to commands: gets the
 * context's privdata and the reply, which it must free. See redisSetPushCallback. */
typedef void redisPushFn(void *privdata, void *reply);

/* The same for asynchronous contexts; there the library frees the reply. */
typedef void redisAsyncPushFn(struct redisAsyncContext *ac, void *reply);

/* ---- Replies --------------------------------------------------------------------
 *
 * A tree that belongs to whoever received it. Each node, text and vector is a block of
 * its own from the allocator of alloc.h, and nothing hides beside them: a program may
 * keep a text, move an element into another tree (leaving NULL), or build a tree itself.
 * Fields that a type does not use are 0 or NULL. */
typedef struct redisReply {
    int type;                    /* REDIS_REPLY_* */
    long long integer;           /* INTEGER; BOOL, 0 or 1 */
    double dval;                 /* DOUBLE */
    size_t len;                  /* length of str */
    char *str;                   /* STRING, STATUS, ERROR, BIGNUM, VERB, and the text of a
                                    DOUBLE: any bytes, and a NUL behind them */
    char vtype[4];               /* VERB: its format, such as "txt" or "mkd" */
    size_t elements;             /* ARRAY, SET, PUSH, MAP, ATTR: length of element */
    struct redisReply **element; /* of MAP and ATTR key, value, key, value ...;
                                    NULL when there are none */
} redisReply;

/* Whether a reply is a push. */
#define redisIsPushReply(r) (((redisReply *)(r))->type == REDIS_REPLY_PUSH)

/* A reader (read.h) that makes redisReply trees. NULL when memory ran out. */
redisReader *redisReaderCreate(void);

/* Frees a tree, however deep. NULL does nothing, also as an element. */
void freeReplyObject(void *reply);

/* ---- Commands as bytes ----------------------------------------------------------
 *
 * Encode a command as an array of bulk strings, the only form in which this library
 * sends one: `GET k` is "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".
 *
 * A format is the command as one would type it. Spaces separate arguments; there are no
 * quotes. Within an argument, and without ending it, stand
 *
 *     %s    const char *         a C string, spaces and all; not NULL
 *     %b    const char *, size_t that many bytes of any kind; NULL only for 0
 *     %%                         a percent sign; so does a % at the very end
 *     %d %i %u %o %x %X %e %E %f %F %g %G %a %A
 *                                a number as printf prints it, with its flags (#0-+ and
 *                                space), width, precision, and h hh l ll for integers
 *
 * and nothing else of printf: no %c, %p, %n, %zu, no `*` for a width, no `%5s`. Two traps:
 * the length of %b is a size_t, an int must be cast; and text with a percent sign in it
 * belongs behind %s: `100% done` is the conversion `% d`. */

/* Stores the command in `*target`: one block with a NUL behind the command, for
 * redisFreeCommand. Returns its length without the NUL; `*target` stays as it was when
 * the result is negative:
 *   -1  no memory, more than INT_MAX bytes, NULL for a %s or a %b that is not empty, or for
 *       `target` or `format`
 *   -2  a conversion that does not exist (redisFormatCommand returns -1 for it too) */
int redisvFormatCommand(char **target, const char *format, va_list ap);
int redisFormatCommand(char **target, const char *format, ...);

/* The same from `argc` arguments at `argv` with the lengths at `argvlen`, or, when that
 * is NULL, C strings. Returns the length of the command, or -1: no memory, a negative
 * `argc`, a NULL argument that is not empty, or `target` NULL. */
long long redisFormatCommandArgv(char **target, int argc, const char **argv, const size_t *argvlen);

/* As redisFormatCommandArgv, but `*target` becomes an sds, for redisFreeSdsCommand. */
long long redisFormatSdsCommandArgv(sds *target, int argc, const char **argv,
                                    const size_t *argvlen);

/* Free what the functions above stored. NULL does nothing. */
void redisFreeCommand(char *cmd);
void redisFreeSdsCommand(sds cmd);

/* ---- Options for connecting ----------------------------------------------------- */

enum redisConnectionType {
    REDIS_CONN_TCP,   /* to a host and port */
    REDIS_CONN_UNIX,  /* to a unix socket */
    REDIS_CONN_USERFD /* over a connected descriptor that the program brings */
};

typedef int redisFD;
#define REDIS_INVALID_FD (-1)

/* Bits of redisOptions.options. */

/* Do not wait, neither for the connection nor for anything later. */
#define REDIS_OPT_NONBLOCK 0x01

/* With a source address: set SO_REUSEADDR before binding to it, and try again, up to
 * REDIS_CONNECT_RETRIES times, while its port is taken by an older connection. */
#define REDIS_OPT_REUSEADDR 0x02

/* Asynchronous contexts: do not free the context when the connection ends; the program
 * calls redisAsyncFree. */
#define REDIS_OPT_NOAUTOFREE 0x04

/* Install no default push_cb: push replies come out of redisGetReply. */
#define REDIS_OPT_NO_PUSH_AUTOFREE 0x08

/* Asynchronous contexts: do not free a reply after its callback; the program does. */
#define REDIS_OPT_NOAUTOFREEREPLIES 0x10

/* Which addresses of a host to ask for first: IPv4 (the default), then IPv6 if there are
 * none; or the other way round; or both at once, in the resolver's order. */
#define REDIS_OPT_PREFER_IPV4 0x20
#define REDIS_OPT_PREFER_IPV6 0x40
#define REDIS_OPT_PREFER_IP_UNSPEC (REDIS_OPT_PREFER_IPV4 | REDIS_OPT_PREFER_IPV6)

/* Have the socket closed in programs that this one executes (FD_CLOEXEC). Unlike hiredis:
 * independent of REDIS_OPT_REUSEADDR, and remembered by redisReconnect. */
#define REDIS_OPT_SET_SOCK_CLOEXEC 0x80

/* How to connect. Set it to zeroes, then set what matters:
 *
 *     redisOptions o = {0};
 *     REDIS_OPTIONS_SET_TCP(&o, "localhost", 6379);
 *     o.connect_timeout = &three_seconds;
 */
typedef struct {
    int type;    /* REDIS_CONN_*; the member of `endpoint` that counts */
    int options; /* REDIS_OPT_* */

    /* How long to wait for the connection; NULL: as long as the system does. */
    const struct timeval *connect_timeout;

    /* How long to wait for a reply, see redisSetTimeout and redisAsyncSetTimeout. NULL:
     * for ever. */
    const struct timeval *command_timeout;

    union {
        struct {
            const char *source_addr; /* local address to use, or NULL for any */
            const char *ip;          /* host name, IPv4 or IPv6 address */
            int port;                /* 0 to 65535 */
        } tcp;
        const char *unix_socket; /* path, at most 107 bytes on Linux */
        redisFD fd;              /* taken over: redisFree closes it */
    } endpoint;

    /* For the program: kept in the context, given to push_cb, and to free_privdata, unless
     * either is NULL, when the context is freed. */
    void *privdata;
    void (*free_privdata)(void *);

    redisPushFn *push_cb;            /* see redisSetPushCallback; not for async */
    redisAsyncPushFn *async_push_cb; /* see redisAsyncSetPushCallback */
} redisOptions;

#define REDIS_OPTIONS_SET_TCP(opts, ip_, port_)  \
    do {                                         \
        (opts)->type = REDIS_CONN_TCP;           \
        (opts)->endpoint.tcp.ip = (ip_);         \
        (opts)->endpoint.tcp.port = (port_);     \
    } while (0)

#define REDIS_OPTIONS_SET_UNIX(opts, path)       \
    do {                                         \
        (opts)->type = REDIS_CONN_UNIX;          \
        (opts)->endpoint.unix_socket = (path);   \
    } while (0)

#define REDIS_OPTIONS_SET_PRIVDATA(opts, data, dtor) \
    do {                                             \
        (opts)->privdata = (data);                   \
        (opts)->free_privdata = (dtor);              \
    } while (0)

/* ---- The transport --------------------------------------------------------------
 *
 * Every byte moves through the table that `funcs` of the context points to at that
 * moment: the default one over a socket, TLS, or one of the program's own. The table
 * itself must outlive the context.
 *
 * `read` and `write` set `err` and `errstr` before they return a negative number, and
 * leave the cause in errno if the error is REDIS_ERR_IO. */
typedef struct redisContextFuncs {
    /* Closes the transport and sets `fd` to -1. May be called twice. May be NULL. */
    void (*close)(struct redisContext *c);

    /* Frees the context's privctx, which may be NULL: when the context is freed, and
     * before it connects again. May be NULL. */
    void (*free_privctx)(void *privctx);

    /* What redisAsyncHandleRead and redisAsyncHandleWrite do once the connection is up.
     * The default table has redisAsyncRead and redisAsyncWrite. */
    void (*async_read)(struct redisAsyncContext *ac);
    void (*async_write)(struct redisAsyncContext *ac);

    /* Receives up to `len` bytes into `buf`. Returns how many, 0 when there are none now,
     * negative on failure; the end of the stream is a failure, REDIS_ERR_EOF. */
    ssize_t (*read)(struct redisContext *c, char *buf, size_t len);

    /* Sends from the start of `obuf`, which it must not change. Returns how many bytes
     * were taken, 0 when none can be taken now, negative on failure. */
    ssize_t (*write)(struct redisContext *c);
} redisContextFuncs;

/* ---- The context ----------------------------------------------------------------
 *
 * A connection, made by the functions below only. These fields are its whole state; no
 * copy is kept elsewhere. A program may read them all, and write those that say so. */
typedef struct redisContext {
    const redisContextFuncs *funcs; /* the transport; writable */

    int err;          /* 0, or REDIS_ERR_* of read.h; writable: 0 lets the next call try */
    char errstr[128]; /* the text of the error, NUL-terminated */
    redisFD fd;       /* the descriptor, or REDIS_INVALID_FD; writable */
    int flags;        /* REDIS_BLOCK and so on, see there */

    char *obuf;          /* commands not sent yet, an sds (sds.h); writable, never NULL */
    redisReader *reader; /* replies not taken yet (read.h); never NULL */

    enum redisConnectionType connection_type;

    /* Copies of the options, or NULL. */
    struct timeval *connect_timeout;
    struct timeval *command_timeout;

    /* Where it is connected to, by type, and from where. */
    struct {
        char *host;
        char *source_addr;
        int port;
    } tcp;
    struct {
        char *path;
    } unix_sock;

    /* The address that was tried last. */
    struct sockaddr *saddr;
    size_t addrlen;

    /* See redisOptions; writable. */
    void *privdata;
    void (*free_privdata)(void *);

    void *privctx; /* the transport's; NULL for the default one */

    redisPushFn *push_cb; /* see redisSetPushCallback */
} redisContext;

/* ---- Connecting -----------------------------------------------------------------
 *
 * All of these return a new context, for redisFree, also when there is no connection:
 * look at `err`. NULL is returned only when memory ran out, or for an unknown `type`.
 *
 * A blocking context is connected on return: of several addresses of a host the first
 * that answers, all within the connect timeout. A non-blocking one has begun, with the
 * first that does not fail at once; what comes of it shows in the first read or write.
 * Names are resolved during the call in either case, numeric addresses never. TCP_NODELAY
 * is set. Unlike hiredis: the next address is tried after any failure, signals do not
 * prolong the timeout, and a blocking connect waits while the queue of a unix socket is
 * full.
 *
 *   REDIS_ERR_IO
 *     `Connection refused`, `Connection timed out`, `No such file or directory` and other
 *     texts of errno. Some tell the call: `poll(2): ..`, `fcntl(F_GETFL): ..`,
 *     `fcntl(F_SETFL): ..`, `getsockopt(SO_ERROR): ..`, `setsockopt(TCP_NODELAY): ..`,
 *     `setsockopt(SO_RCVTIMEO): ..`, `setsockopt(SO_SNDTIMEO): ..`
 *     `File name too long`         of a unix socket. Unlike hiredis, which shortens it
 *     `Invalid timeout specified`  tv_usec above 1000000, or too many seconds to count in
 *                                  milliseconds
 *   REDIS_ERR_OTHER
 *     `Name or service not known`, `Temporary failure in name resolution` and other texts
 *     of the resolver, gai_strerror(3)
 *     `Servname not supported for ai_socktype`  a port outside 0 to 65535
 *     `Can't get addr: ..`         no such source address
 *     `Can't bind socket: ..`      it cannot be used
 *     `Can't create socket: ..`
 *   REDIS_ERR_OOM
 *     `Out of memory` */

/* Connects as the options say, which are read and not kept. For an unknown `type` NULL is
 * returned after free_privdata(privdata); NULL also for NULL. When there is no memory for a
 * context, NULL too, and `privdata` stays the caller's. */
redisContext *redisConnectWithOptions(const redisOptions *options);

/* Connects to a host and port, blocking. */
redisContext *redisConnect(const char *ip, int port);

/* The same, for no longer than `tv`. {0, 0} succeeds only if that takes no time, as it
 * can on this machine. */
redisContext *redisConnectWithTimeout(const char *ip, int port, const struct timeval tv);

/* Begins to connect to a host and port: a non-blocking context. */
redisContext *redisConnectNonBlock(const char *ip, int port);

/* The same from a local address, which must be of the same family; NULL for any. */
redisContext *redisConnectBindNonBlock(const char *ip, int port, const char *source_addr);

/* The same with REDIS_OPT_REUSEADDR. */
redisContext *redisConnectBindNonBlockWithReuse(const char *ip, int port, const char *source_addr);

/* Connects to a unix socket, blocking. */
redisContext *redisConnectUnix(const char *path);

/* The same, for no longer than `tv`. */
redisContext *redisConnectUnixWithTimeout(const char *path, const struct timeval tv);

/* Begins to connect to a unix socket: a non-blocking context. */
redisContext *redisConnectUnixNonBlock(const char *path);

/* Makes a blocking context of a connected descriptor, which it takes over as it is: no
 * option or mode is changed. An invalid one shows in the first read or write. */
redisContext *redisConnectFd(redisFD fd);

/* Connects again, to the same place with the same timeouts, after an error or not. What
 * was to be sent and what was received is gone. `err` is cleared, privdata, push_cb and
 * the settings of the reader stay. Keep-alive and the user timeout must be set again. A
 * TLS context becomes a plain one until TLS is initiated again. Unlike hiredis, which
 * resets the reader and crashes on a TLS context that is used as it is.
 *
 * REDIS_ERR with the errors above, or
 *   REDIS_ERR_OTHER  `Not enough information to reconnect`  made by redisConnectFd
 *
 * Not for asynchronous contexts. */
int redisReconnect(redisContext *c);

/* ---- Ending --------------------------------------------------------------------- */

/* Closes the connection and frees the context with all it owns; free_privdata(privdata)
 * is called if neither is NULL. Commands not sent yet are not sent. NULL does nothing. */
void redisFree(redisContext *c);

/* The same, but leaves the descriptor open and returns it. REDIS_INVALID_FD for NULL. */
redisFD redisFreeKeepFd(redisContext *c);

/* ---- Settings ------------------------------------------------------------------- */

/* Limits how long a blocking context takes for a reply; {0, 0} lifts the limit. It is one
 * deadline for sending what is due and receiving the whole reply, and remembered by
 * redisReconnect. A call that takes longer fails with REDIS_ERR_IO and errno EAGAIN,
 * `Resource temporarily unavailable`. Unlike hiredis, where every byte and every signal
 * starts the time anew.
 *
 * REDIS_ERR, without an error in `err` for a non-blocking context, else
 *   REDIS_ERR_IO   `setsockopt(SO_RCVTIMEO): ..`, `setsockopt(SO_SNDTIMEO): ..`
 *   REDIS_ERR_OOM  `Out of memory` */
int redisSetTimeout(redisContext *c, const struct timeval tv);

/* Has the system probe an idle TCP connection after `interval` seconds, and give it up
 * when three probes, each a third of that (at least 1 s) after the other, stay without an
 * answer: SO_KEEPALIVE, and where they exist TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT.
 * redisEnableKeepAlive does it with REDIS_KEEPALIVE_INTERVAL. For an asynchronous context
 * pass `&ac->c`.
 *
 * REDIS_ERR, without an error in `err` for a unix socket, else
 *   REDIS_ERR_OTHER  the text of errno: `Invalid argument` for 0. The connection stays */
int redisEnableKeepAlive(redisContext *c);
int redisEnableKeepAliveWithInterval(redisContext *c, int interval);

/* Has the system give up a TCP connection when data stays without acknowledgement for so
 * many milliseconds (TCP_USER_TIMEOUT, RFC 5482); 0 is the system's default. Linux only.
 *
 * REDIS_ERR, and the connection is closed:
 *   REDIS_ERR_IO  `setsockopt(TCP_USER_TIMEOUT): ..` */
int redisSetTcpUserTimeout(redisContext *c, unsigned int timeout);

/* Sets what push replies (RESP3) are given to when redisGetReply meets one, and returns
 * what they were given to before. A new context has a function that frees them, or the one
 * of the options. With NULL they come out of redisGetReply like other replies.
 *
 * In RESP3 the confirmations and messages of a subscription are pushes as well:
 *   - redisCommand("SUBSCRIBE a b c"), and its kin, returns the first confirmation whatever
 *     is set here, and two more redisGetReply return the others: a reply for each name.
 *     UNSUBSCRIBE without names has as many as the server sends in a row. Unlike hiredis,
 *     where redisCommand waits for ever when the function takes the confirmation.
 *   - Messages go to the function. Set NULL to take them from redisGetReply.
 *   - After redisAppendCommand confirmations go to the function too, as in hiredis: with
 *     one set, no redisGetReply is owed for it.
 *
 * The function may append commands and set another function; it must not free the context
 * or take replies from it. Not for asynchronous contexts, see redisAsyncSetPushCallback. */
redisPushFn *redisSetPushCallback(redisContext *c, redisPushFn *fn);

/* ---- Moving bytes ---------------------------------------------------------------
 *
 * For non-blocking contexts; a blocking one does this in redisGetReply. */

/* Receives once, what there is, into the reader. REDIS_OK also when there was nothing.
 *
 * REDIS_ERR when `err` is set already, and with
 *   REDIS_ERR_EOF      `Server closed the connection`
 *   REDIS_ERR_IO       the text of errno
 *   REDIS_ERR_TIMEOUT  `recv timeout`, ETIMEDOUT from a blocking receive
 *   REDIS_ERR_OOM      `Out of memory` */
int redisBufferRead(redisContext *c);

/* Sends once, as much of `obuf` as the connection takes, and leaves the rest there. Sets
 * `*done`, unless `done` is NULL, to 1 when `obuf` is empty now, else to 0.
 *
 * REDIS_ERR, with `*done` as it was, when `err` is set already, and with
 *   REDIS_ERR_IO   the text of errno: `Broken pipe` when the peer is gone
 *   REDIS_ERR_OOM  `Out of memory` */
int redisBufferWrite(redisContext *c, int *done);

/* ---- Taking replies ------------------------------------------------------------- */

/* Takes the next reply. A blocking context sends all that was appended and waits until
 * one is there; a non-blocking one gives what has been received, NULL if that is no
 * complete reply. `*reply` becomes the reply, for freeReplyObject; it is freed at once
 * when `reply` is NULL.
 *
 * Replies come in the order of their commands, each call gives one. Push replies go to
 * push_cb instead, except those that confirm a SUBSCRIBE of redisCommand and its kin, see
 * redisSetPushCallback. Attributes (RESP3) are dropped: they annotate a reply and are
 * none. Unlike hiredis, which takes them for replies.
 *
 * What the server sends is read while commands are written, so a pipeline may be of any
 * length. Unlike hiredis, which writes everything first and may wait for ever with a
 * server that waits for its replies to be read.
 *
 * A blocking context waits even when no command is outstanding, until something comes or
 * the timeout is over.
 *
 * REDIS_ERR, with `*reply` as it was, and
 *   the errors of redisBufferRead and redisBufferWrite
 *   REDIS_ERR_IO        `Resource temporarily unavailable`, errno EAGAIN: the timeout,
 *                       one deadline for the whole reply, see redisSetTimeout
 *   REDIS_ERR_PROTOCOL  the texts of redisReaderGetReply (read.h)
 *
 * Replies that had arrived before an error are still given out. */
int redisGetReply(redisContext *c, void **reply);

/* Takes the next reply from what has been received, of either kind of context: no sending,
 * no receiving, no push_cb. `*reply` is NULL when none is complete. REDIS_ERR with the
 * errors of redisReaderGetReply. */
int redisGetReplyFromReader(redisContext *c, void **reply);

/* ---- Sending commands without waiting -------------------------------------------
 *
 * Put a command at the end of `obuf`. redisGetReply, or redisBufferWrite, sends it; as
 * many calls to redisGetReply are owed as commands were appended. An error that the
 * context has already is not looked at here; it shows when sending.
 *
 * REDIS_ERR, and `obuf` is as it was:
 *   REDIS_ERR_OOM    `Out of memory`
 *   REDIS_ERR_OTHER  `Invalid format string`, or `NULL argument` for a %s or %b */

/* A command that is encoded already. The bytes are not looked at: it may be several. */
int redisAppendFormattedCommand(redisContext *c, const char *cmd, size_t len);

/* A command by format, see redisFormatCommand. */
int redisvAppendCommand(redisContext *c, const char *format, va_list ap);
int redisAppendCommand(redisContext *c, const char *format, ...);

/* A command by arguments, see redisFormatCommandArgv, which tells what else becomes
 * `Out of memory`. */
int redisAppendCommandArgv(redisContext *c, int argc, const char **argv, const size_t *argvlen);

/* ---- Commands and their replies -------------------------------------------------
 *
 * Append a command and, in a blocking context, take one reply: a redisReply for
 * freeReplyObject. NULL when there is none: `err` of the context tells why, with the
 * errors of redisAppendCommand and redisGetReply. What the server refuses is no such
 * error, it is a reply of type REDIS_REPLY_ERROR.
 *
 * A non-blocking context only appends, and NULL is returned in any case.
 *
 * They take the next reply, whatever command it belongs to: after redisAppendCommand take
 * those replies first. */

void *redisvCommand(redisContext *c, const char *format, va_list ap);
void *redisCommand(redisContext *c, const char *format, ...);
void *redisCommandArgv(redisContext *c, int argc, const char **argv, const size_t *argvlen);

#ifdef __cplusplus
}
#endif

#endif
