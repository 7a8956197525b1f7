/* The binary interface of hiredis 1.4.1 on LP64, as an object file built for it knows it:
 * the layout of the structs, the constants and the functions that client.c uses. Written from
 * measured sizes and offsets, so that nothing of our own headers takes part in the test. */
#ifndef HIREDIS_1_4_1_H
#define HIREDIS_1_4_1_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>

enum { REDIS_OK = 0, REDIS_ERR = -1 };
enum { REDIS_ERR_IO = 1, REDIS_ERR_OTHER = 2, REDIS_ERR_EOF = 3, REDIS_ERR_PROTOCOL = 4, REDIS_ERR_OOM = 5 };
enum { REDIS_REPLY_STRING = 1, REDIS_REPLY_ARRAY = 2, REDIS_REPLY_INTEGER = 3, REDIS_REPLY_NIL = 4,
       REDIS_REPLY_STATUS = 5, REDIS_REPLY_ERROR = 6 };
enum { REDIS_BLOCK = 0x1, REDIS_CONNECTED = 0x2 };
enum { REDIS_CONN_TCP = 0, REDIS_CONN_UNIX = 1, REDIS_CONN_USERFD = 2 };
enum { REDIS_OPT_NONBLOCK = 0x1, REDIS_OPT_SET_SOCK_CLOEXEC = 0x80 };

typedef char *sds;
typedef struct redisReply redisReply;
typedef struct redisReadTask redisReadTask;
typedef struct redisReplyObjectFunctions redisReplyObjectFunctions;
typedef struct redisReader redisReader;
typedef struct redisContext redisContext;
typedef struct redisContextFuncs redisContextFuncs;
typedef struct redisAsyncContext redisAsyncContext;
typedef struct redisCallback redisCallback;
typedef void push_fn(void *privdata, void *reply);
typedef void async_push_fn(redisAsyncContext *ac, void *reply);
typedef void callback_fn(redisAsyncContext *ac, void *reply, void *privdata);
typedef void connect_fn(const redisAsyncContext *ac, int status);

struct redisReply {
    int type;
    long long integer;
    double dval;
    size_t len;
    char *str;
    char vtype[4];
    size_t elements;
    redisReply **element;
};

struct redisReadTask {
    int type;
    long long elements;
    int idx;
    void *obj;
    redisReadTask *parent;
    void *privdata;
};

struct redisReplyObjectFunctions {
    void *(*createString)(const redisReadTask *task, char *str, size_t len);
    void *(*createArray)(const redisReadTask *task, size_t elements);
    void *(*createInteger)(const redisReadTask *task, long long value);
    void *(*createDouble)(const redisReadTask *task, double value, char *str, size_t len);
    void *(*createNil)(const redisReadTask *task);
    void *(*createBool)(const redisReadTask *task, int value);
    void (*freeObject)(void *object);
};

struct redisReader {
    int err;
    char errstr[128];
    char *buf;
    size_t pos, len, maxbuf;
    long long maxelements;
    redisReadTask **task;
    int tasks, ridx;
    void *reply;
    redisReplyObjectFunctions *fn;
    void *privdata;
};

typedef struct {
    int type, options;
    const struct timeval *connect_timeout, *command_timeout;
    union {
        struct {
            const char *source_addr, *ip;
            int port;
        } tcp;
        const char *unix_socket;
        int fd;
    } endpoint;
    void *privdata;
    void (*free_privdata)(void *privdata);
    push_fn *push_cb;
    async_push_fn *async_push_cb;
} redisOptions;

struct redisContextFuncs {
    void (*close)(redisContext *c);
    void (*free_privctx)(void *privctx);
    void (*async_read)(redisAsyncContext *ac);
    void (*async_write)(redisAsyncContext *ac);
    ssize_t (*read)(redisContext *c, char *buf, size_t cap);
    ssize_t (*write)(redisContext *c);
};

struct redisContext {
    const redisContextFuncs *funcs;
    int err;
    char errstr[128];
    int fd, flags;
    char *obuf;
    redisReader *reader;
    int connection_type; /* an enum there */
    struct timeval *connect_timeout, *command_timeout;
    struct {
        char *host, *source_addr;
        int port;
    } tcp;
    struct {
        char *path;
    } unix_sock;
    struct sockaddr *saddr;
    size_t addrlen;
    void *privdata;
    void (*free_privdata)(void *privdata);
    void *privctx;
    push_fn *push_cb;
};

struct redisCallback {
    redisCallback *next;
    callback_fn *fn;
    int pending_subs, unsubscribe_sent;
    void *privdata;
};

typedef struct {
    redisCallback *head, *tail;
} redisCallbackList;

struct redisAsyncContext {
    redisContext c;
    int err;
    char *errstr;
    void *data;
    void (*dataCleanup)(void *data);
    struct {
        void *data;
        void (*addRead)(void *data), (*delRead)(void *data);
        void (*addWrite)(void *data), (*delWrite)(void *data);
        void (*cleanup)(void *data);
        void (*scheduleTimer)(void *data, struct timeval tv);
    } ev;
    connect_fn *onDisconnect, *onConnect;
    void (*onConnectNC)(redisAsyncContext *ac, int status);
    redisCallbackList replies;
    struct sockaddr *saddr;
    size_t addrlen;
    struct {
        redisCallbackList replies;
        void *channels, *patterns; /* opaque */
        int pending_unsubs;
    } sub;
    async_push_fn *push_cb;
};

typedef struct {
    void *(*mallocFn)(size_t size);
    void *(*callocFn)(size_t count, size_t size);
    void *(*reallocFn)(void *p, size_t size);
    char *(*strdupFn)(const char *s);
    void (*freeFn)(void *p);
} hiredisAllocFuncs;

/* Should this file be wrong, the test must not pass by luck. */
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define OFFSET(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
SIZE(redisReply, 64);
OFFSET(redisReply, str, 32);
OFFSET(redisReply, element, 56);
SIZE(redisReadTask, 48);
SIZE(redisReplyObjectFunctions, 56);
SIZE(redisReader, 216);
OFFSET(redisReader, maxbuf, 160);
OFFSET(redisReader, privdata, 208);
SIZE(redisOptions, 80);
OFFSET(redisOptions, endpoint.tcp.port, 40);
OFFSET(redisOptions, async_push_cb, 72);
SIZE(redisContextFuncs, 48);
SIZE(redisContext, 272);
OFFSET(redisContext, fd, 140);
OFFSET(redisContext, connection_type, 168);
OFFSET(redisContext, unix_sock.path, 216);
OFFSET(redisContext, push_cb, 264);
SIZE(redisCallback, 32);
SIZE(redisAsyncContext, 464);
OFFSET(redisAsyncContext, err, 272);
OFFSET(redisAsyncContext, ev.scheduleTimer, 352);
OFFSET(redisAsyncContext, replies, 384);
OFFSET(redisAsyncContext, sub.pending_unsubs, 448);
OFFSET(redisAsyncContext, push_cb, 456);
SIZE(hiredisAllocFuncs, 40);

/* A data object: the executable keeps a copy of it, and the library must use that copy. */
extern hiredisAllocFuncs hiredisAllocFns;
hiredisAllocFuncs hiredisSetAllocators(hiredisAllocFuncs *fns);
void hiredisResetAllocators(void);

redisContext *redisConnectWithOptions(const redisOptions *options);
redisContext *redisConnectUnix(const char *path);
void redisFree(redisContext *c);
void *redisCommand(redisContext *c, const char *format, ...);
int redisAppendCommand(redisContext *c, const char *format, ...);
int redisGetReply(redisContext *c, void **reply);
int redisBufferWrite(redisContext *c, int *done);
int redisFormatCommand(char **target, const char *format, ...);
void redisFreeCommand(char *cmd);
void freeReplyObject(void *reply);

redisReader *redisReaderCreate(void);
redisReader *redisReaderCreateWithFunctions(redisReplyObjectFunctions *fn);
int redisReaderFeed(redisReader *r, const char *buf, size_t len);
int redisReaderGetReply(redisReader *r, void **reply);
void redisReaderFree(redisReader *r);

redisAsyncContext *redisAsyncConnectWithOptions(const redisOptions *options);
int redisAsyncSetConnectCallback(redisAsyncContext *ac, connect_fn *fn);
int redisAsyncSetDisconnectCallback(redisAsyncContext *ac, connect_fn *fn);
int redisAsyncCommand(redisAsyncContext *ac, callback_fn *fn, void *privdata, const char *format, ...);
void redisAsyncDisconnect(redisAsyncContext *ac);
void redisAsyncHandleRead(redisAsyncContext *ac);
void redisAsyncHandleWrite(redisAsyncContext *ac);

sds sdsempty(void);
sds sdscatlen(sds s, const void *bytes, size_t len);
void sdsfree(sds s);

#endif
