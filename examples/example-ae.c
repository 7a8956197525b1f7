/* The asynchronous client on ae, the event loop of Redis: a program that already has
 * the sources of Redis, a module or a fork of it, say. ae is not a library that one
 * could link; it is compiled along.
 *
 *     ./example-ae [HOST PORT | /path/to/socket]
 */
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/adapters/ae.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

static aeEventLoop *loop;
static int status = 1; /* of the program; 0 once all has gone well */

static void on_connect(const redisAsyncContext *ac, int result) {
    if (result == REDIS_OK) {
        printf("Connected\n");
        return;
    }
    fprintf(stderr, "Cannot connect: %s\n", ac->errstr);
    aeStop(loop);
}

static void on_disconnect(const redisAsyncContext *ac, int result) {
    if (result == REDIS_OK) {
        printf("Disconnected\n");
        status = 0;
    } else {
        fprintf(stderr, "Connection lost: %s\n", ac->errstr);
    }
    /* ae goes on without anything to wait for. */
    aeStop(loop);
}

static void on_pop(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    (void)privdata;
    if (r == NULL) return;
    if (r->type == REDIS_REPLY_NIL) {
        printf("LPOP: nothing left\n");
        redisAsyncDisconnect(ac);
        return;
    }
    printf("LPOP: %s\n", r->str);
    redisAsyncCommand(ac, on_pop, NULL, "LPOP example:queue");
}

int main(int argc, char **argv) {
    loop = aeCreateEventLoop(64);
    redisAsyncContext *ac = argc == 2   ? redisAsyncConnectUnix(argv[1])
                            : argc == 3 ? redisAsyncConnect(argv[1], atoi(argv[2]))
                                        : redisAsyncConnect("127.0.0.1", 6379);
    if (loop == NULL || ac == NULL || ac->err) {
        fprintf(stderr, "Cannot connect: %s\n", ac != NULL ? ac->errstr : "out of memory");
        redisAsyncFree(ac);
        if (loop != NULL) aeDeleteEventLoop(loop);
        return 1;
    }
    if (redisAeAttach(loop, ac) != REDIS_OK) return 1;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);

    redisAsyncCommand(ac, NULL, NULL, "DEL example:queue");
    redisAsyncCommand(ac, NULL, NULL, "RPUSH example:queue job-1 job-2 job-3");
    redisAsyncCommand(ac, on_pop, NULL, "LPOP example:queue");

    aeMain(loop);
    aeDeleteEventLoop(loop);
    return status;
}
