/* A program as it was compiled for hiredis 1.4.1: it reads and writes the structs by that
 * layout, and must work when linked with hiredis_rs. Arguments: the path of a unix socket and
 * a TCP port of 127.0.0.1 where redis-server listens. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hiredis-1.4.1.h"

static int passed, failed;

#define CHECK(cond)                                                                    \
    do {                                                                               \
        if (!(cond)) {                                                                 \
            printf("FAIL relink %s: line %d: not true: %s\n", __func__, __LINE__, #cond); \
            failed++;                                                                  \
            return;                                                                    \
        }                                                                              \
    } while (0)
#define OK(name) (printf("ok   relink %s\n", name), passed++)

/* ---- The reader ---- */

static void *number_plus_one(const redisReadTask *task, long long value)
{
    long long *sum = task->privdata;
    *sum += value * (task->parent != NULL ? 10 : 1) + task->idx;
    return sum;
}

static void *the_sum(const redisReadTask *task, size_t elements)
{
    (void)elements;
    return task->privdata;
}

static void replies_have_the_fields(void)
{
    static const char bytes[] = "*5\r\n$3\r\nfoo\r\n:42\r\n,1.5\r\n$-1\r\n=7\r\ntxt:abc\r\n";
    redisReader *r = redisReaderCreate();
    redisReply *reply = NULL;
    CHECK(r != NULL && r->maxbuf == 16384 && r->maxelements == 4294967295LL && r->ridx == -1);
    CHECK(redisReaderFeed(r, bytes, sizeof bytes - 1) == REDIS_OK);
    CHECK(redisReaderGetReply(r, (void **)&reply) == REDIS_OK && reply != NULL);
    CHECK(r->pos == r->len);
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 5);
    CHECK(reply->element[0]->len == 3 && strcmp(reply->element[0]->str, "foo") == 0);
    CHECK(reply->element[1]->integer == 42);
    CHECK(reply->element[2]->dval == 1.5 && strcmp(reply->element[2]->str, "1.5") == 0);
    CHECK(reply->element[3]->type == REDIS_REPLY_NIL);
    CHECK(strcmp(reply->element[4]->vtype, "txt") == 0 && strcmp(reply->element[4]->str, "abc") == 0);
    freeReplyObject(reply);
    CHECK(redisReaderFeed(r, "@\r\n", 3) == REDIS_OK);
    CHECK(redisReaderGetReply(r, (void **)&reply) == REDIS_ERR && r->err == REDIS_ERR_PROTOCOL);
    CHECK(strcmp(r->errstr, "Protocol error, got \"@\" as reply type byte") == 0);
    redisReaderFree(r);
    OK("replies_have_the_fields");
}

static void constructors_see_the_tasks(void)
{
    redisReplyObjectFunctions fns = {0};
    long long sum = 0;
    void *got = NULL;
    redisReader *r = redisReaderCreateWithFunctions(NULL);
    CHECK(r != NULL);
    fns.createInteger = number_plus_one;
    fns.createArray = the_sum;
    r->fn = &fns;
    r->privdata = &sum;
    CHECK(redisReaderFeed(r, "*2\r\n:5\r\n:7\r\n", 12) == REDIS_OK);
    CHECK(redisReaderGetReply(r, &got) == REDIS_OK && got == &sum);
    CHECK(sum == 5 * 10 + 0 + 7 * 10 + 1);
    redisReaderFree(r);
    OK("constructors_see_the_tasks");
}

/* ---- Memory ---- */

static int requests;

static void *counting_malloc(size_t size)
{
    requests++;
    return malloc(size);
}

static void the_allocator_table_is_shared(void)
{
    hiredisAllocFuncs before = hiredisAllocFns, fns = hiredisAllocFns, old;
    char *cmd = NULL;
    CHECK(before.mallocFn != NULL && before.freeFn != NULL);
    fns.mallocFn = counting_malloc;
    old = hiredisSetAllocators(&fns);
    CHECK(old.mallocFn == before.mallocFn);
    CHECK(hiredisAllocFns.mallocFn == counting_malloc); /* what inline hi_malloc would call */
    CHECK(redisFormatCommand(&cmd, "SET %s %d", "k", 7) == 27 && requests > 0);
    CHECK(strcmp(cmd, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n7\r\n") == 0);
    redisFreeCommand(cmd);
    requests = 0;
    hiredisAllocFns.mallocFn = before.mallocFn; /* the library must see our write as well */
    CHECK(redisFormatCommand(&cmd, "PING") == 14 && requests == 0);
    redisFreeCommand(cmd);
    hiredisResetAllocators();
    OK("the_allocator_table_is_shared");
}

/* ---- Blocking ---- */

static int freed;

static void count_free(void *privdata)
{
    (void)privdata;
    freed++;
}

static void options_are_read_and_no_further(int port)
{
    /* What stands behind the struct must not matter. */
    struct {
        redisOptions o;
        unsigned char beyond[64];
    } given;
    struct timeval tv = {5, 0};
    redisContext *c;
    redisReply *reply;
    int done = 0;

    memset(&given, 0, sizeof given);
    memset(given.beyond, 0xff, sizeof given.beyond);
    given.o.type = REDIS_CONN_TCP;
    given.o.options = REDIS_OPT_SET_SOCK_CLOEXEC;
    given.o.endpoint.tcp.ip = "127.0.0.1";
    given.o.endpoint.tcp.port = port;
    given.o.connect_timeout = &tv;
    given.o.command_timeout = &tv;
    given.o.privdata = &given;
    given.o.free_privdata = count_free;

    c = redisConnectWithOptions(&given.o);
    CHECK(c != NULL && c->err == 0 && c->fd > 2);
    CHECK((c->flags & (REDIS_BLOCK | REDIS_CONNECTED)) == (REDIS_BLOCK | REDIS_CONNECTED));
    CHECK(c->connection_type == REDIS_CONN_TCP && c->tcp.port == port);
    CHECK(strcmp(c->tcp.host, "127.0.0.1") == 0);
    CHECK(c->command_timeout != NULL && c->command_timeout != &tv && c->command_timeout->tv_sec == 5);
    CHECK(c->privdata == &given && c->push_cb != NULL && c->privctx == NULL);

    c->reader->maxbuf = 0; /* as redis-benchmark does */
    reply = redisCommand(c, "ECHO %b", "a\0b", (size_t)3);
    CHECK(reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == 3);
    CHECK(memcmp(reply->str, "a\0b", 4) == 0);
    freeReplyObject(reply);

    /* As redis-cli does: bytes straight into the output buffer. */
    c->obuf = sdscatlen(c->obuf, "PING\r\n", 6);
    while (!done) CHECK(redisBufferWrite(c, &done) == REDIS_OK);
    CHECK(redisGetReply(c, (void **)&reply) == REDIS_OK && strcmp(reply->str, "PONG") == 0);
    freeReplyObject(reply);

    /* The table of functions can be called, and what it sends stays in the buffer. */
    CHECK(redisAppendCommand(c, "PING") == REDIS_OK && c->funcs->write(c) == 14);
    sdsfree(c->obuf);
    c->obuf = sdsempty();
    CHECK(redisGetReply(c, (void **)&reply) == REDIS_OK && strcmp(reply->str, "PONG") == 0);
    freeReplyObject(reply);

    redisFree(c);
    CHECK(freed == 1);
    OK("options_are_read_and_no_further");
}

/* ---- Asynchronous ---- */

struct loop {
    int reading, writing, cleanups, timers;
    int connected, disconnected, datas;
    char log[256];
};

static void add_read(void *p) { ((struct loop *)p)->reading = 1; }
static void del_read(void *p) { ((struct loop *)p)->reading = 0; }
static void add_write(void *p) { ((struct loop *)p)->writing = 1; }
static void del_write(void *p) { ((struct loop *)p)->writing = 0; }
static void cleanup(void *p) { ((struct loop *)p)->cleanups++; }
static void data_cleanup(void *p) { ((struct loop *)p)->datas++; }

static void schedule(void *p, struct timeval tv)
{
    ((struct loop *)p)->timers += tv.tv_sec == 7;
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    ((struct loop *)ac->data)->connected += status == REDIS_OK ? 1 : 100;
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    ((struct loop *)ac->data)->disconnected += status == REDIS_OK ? 1 : 100;
}

static void note(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct loop *loop = ac->data;
    const char *name = privdata, *text = "NULL";
    redisReply *r = reply;
    size_t used = strlen(loop->log);
    if (r != NULL) text = r->type == REDIS_REPLY_ARRAY ? r->element[0]->str : r->str;
    snprintf(loop->log + used, sizeof loop->log - used, "%s=%s ", name, text);
    if (strcmp(text, "subscribe") == 0) redisAsyncCommand(ac, note, "never", "UNSUBSCRIBE");
    if (strcmp(text, "unsubscribe") == 0) redisAsyncCommand(ac, note, "last", "ECHO end");
    if (strcmp(name, "last") == 0) redisAsyncDisconnect(ac);
}

/* As Sentinel does: callbacks that wait for a reply are found and redirected. */
static void redirect(redisAsyncContext *ac, const char *from, const char *to)
{
    for (redisCallback *cb = ac->replies.head; cb != NULL; cb = cb->next)
        if (cb->fn == note && strcmp(cb->privdata, from) == 0) cb->privdata = (void *)(uintptr_t)to;
}

static void run(redisAsyncContext *ac, struct loop *loop)
{
    int fd = ac->c.fd; /* taken once: after cleanup the context is gone */
    while (loop->cleanups == 0) {
        struct pollfd p = {fd, (short)((loop->reading ? POLLIN : 0) | (loop->writing ? POLLOUT : 0)), 0};
        if (poll(&p, 1, 10000) <= 0) break;
        if (p.revents & (POLLIN | POLLERR | POLLHUP)) redisAsyncHandleRead(ac);
        if (loop->cleanups == 0 && (p.revents & POLLOUT)) redisAsyncHandleWrite(ac);
    }
}

static void async_contexts_have_the_fields(const char *path)
{
    struct loop loop = {0};
    struct timeval tv = {7, 0};
    redisOptions o = {0};
    redisAsyncContext *ac;

    o.type = REDIS_CONN_UNIX;
    o.endpoint.unix_socket = path;
    o.connect_timeout = &tv;
    ac = redisAsyncConnectWithOptions(&o);
    CHECK(ac != NULL && ac->err == 0 && ac->errstr == ac->c.errstr);
    CHECK(ac->ev.data == NULL && ac->replies.head == NULL && ac->sub.channels != NULL);
    CHECK(strcmp(ac->c.unix_sock.path, path) == 0 && ac->c.push_cb == NULL);
    ac->data = &loop;
    ac->dataCleanup = data_cleanup;
    ac->ev.data = &loop;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    ac->ev.scheduleTimer = schedule;
    CHECK(redisAsyncSetConnectCallback(ac, on_connect) == REDIS_OK && ac->onConnect == on_connect);
    CHECK(redisAsyncSetDisconnectCallback(ac, on_disconnect) == REDIS_OK && loop.timers == 1);

    CHECK(redisAsyncCommand(ac, note, "set", "SET relink %d", 1) == REDIS_OK);
    CHECK(redisAsyncCommand(ac, note, "get", "GET %s", "relink") == REDIS_OK);
    CHECK(ac->replies.head != NULL && ac->replies.head->next == ac->replies.tail);
    redirect(ac, "get", "got");
    CHECK(redisAsyncCommand(ac, note, "sub", "SUBSCRIBE ch") == REDIS_OK);
    run(ac, &loop);
    CHECK(strcmp(loop.log, "set=OK got=1 sub=subscribe sub=unsubscribe last=end ") == 0);
    CHECK(loop.connected == 1 && loop.disconnected == 1);
    CHECK(loop.cleanups == 1 && loop.datas == 1);
    OK("async_contexts_have_the_fields");
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    replies_have_the_fields();
    constructors_see_the_tasks();
    the_allocator_table_is_shared();
    options_are_read_and_no_further(atoi(argv[2]));
    async_contexts_have_the_fields(argv[1]);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
