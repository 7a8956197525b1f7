/* The asynchronous client on libevent: commands, and a pipeline of them in one go.
 *
 *     cc example-libevent.c $(pkg-config --cflags --libs hiredis_rs libevent) -o example-libevent
 *     ./example-libevent [HOST PORT | /path/to/socket]
 */
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

static int status = 1; /* of the program; 0 once all has gone well */

static void on_connect(const redisAsyncContext *ac, int result) {
    if (result != REDIS_OK) {
        fprintf(stderr, "Cannot connect: %s\n", ac->errstr);
        return;
    }
    printf("Connected\n");
}

static void on_disconnect(const redisAsyncContext *ac, int result) {
    if (result != REDIS_OK) {
        fprintf(stderr, "Connection lost: %s\n", ac->errstr);
        return;
    }
    printf("Disconnected\n");
    status = 0;
}

/* `reply` is NULL when the connection ended before the answer came; otherwise it is
 * freed by the library when this returns. */
static void on_incr(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    (void)ac;
    if (r != NULL) printf("INCR %s: %lld\n", (const char *)privdata, r->integer);
}

static void on_get(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    (void)privdata;
    if (r == NULL) return;
    printf("GET: %s\n", r->str);
    /* Waits for what is still owed, then ends the connection. */
    redisAsyncDisconnect(ac);
}

int main(int argc, char **argv) {
    struct event_base *base = event_base_new();
    redisAsyncContext *ac = argc == 2   ? redisAsyncConnectUnix(argv[1])
                            : argc == 3 ? redisAsyncConnect(argv[1], atoi(argv[2]))
                                        : redisAsyncConnect("127.0.0.1", 6379);
    if (base == NULL || ac == NULL || ac->err) {
        fprintf(stderr, "Cannot connect: %s\n", ac != NULL ? ac->errstr : "out of memory");
        redisAsyncFree(ac);
        if (base != NULL) event_base_free(base);
        return 1;
    }
    if (redisLibeventAttach(ac, base) != REDIS_OK) return 1;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);

    /* None of these waits for the one before; they leave together, and the replies come
     * in order. A NULL callback says that nobody cares about the reply. */
    redisAsyncCommand(ac, NULL, NULL, "DEL example:counter");
    redisAsyncCommand(ac, on_incr, "one", "INCR example:counter");
    redisAsyncCommand(ac, on_incr, "two", "INCRBY example:counter %d", 41);
    redisAsyncCommand(ac, on_get, NULL, "GET example:counter");

    /* Returns when no context waits for anything any more. */
    event_base_dispatch(base);
    event_base_free(base);
    return status;
}
