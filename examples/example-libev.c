/* The asynchronous client on libev: a subscriber and a publisher on one loop.
 *
 *     cc example-libev.c $(pkg-config --cflags --libs hiredis_rs) -lev -o example-libev
 *     ./example-libev [HOST PORT | /path/to/socket]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/adapters/libev.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#define CHANNEL "example:news"

static int connections; /* that have ended well */

static void on_connect(const redisAsyncContext *ac, int result) {
    if (result != REDIS_OK) fprintf(stderr, "Cannot connect: %s\n", ac->errstr);
}

static void on_disconnect(const redisAsyncContext *ac, int result) {
    if (result == REDIS_OK) connections++;
    else fprintf(stderr, "Connection lost: %s\n", ac->errstr);
}

/* Called for the confirmation, each message, and at the end once more: with the
 * confirmation of UNSUBSCRIBE, or with NULL when the connection ends before. */
static void on_message(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    redisAsyncContext *publisher = (redisAsyncContext *)privdata;
    if (r == NULL || r->elements != 3) return;

    const char *kind = r->element[0]->str;
    if (strcmp(kind, "subscribe") == 0) {
        printf("Subscribed to %s\n", r->element[1]->str);
        redisAsyncCommand(publisher, NULL, NULL, "PUBLISH " CHANNEL " %s", "first message");
        redisAsyncCommand(publisher, NULL, NULL, "PUBLISH " CHANNEL " %s", "last message");
        redisAsyncDisconnect(publisher);
    } else if (strcmp(kind, "message") == 0) {
        printf("Message: %s\n", r->element[2]->str);
        if (strcmp(r->element[2]->str, "last message") == 0)
            redisAsyncCommand(ac, NULL, NULL, "UNSUBSCRIBE " CHANNEL);
    } else if (strcmp(kind, "unsubscribe") == 0) {
        printf("Unsubscribed\n");
        redisAsyncDisconnect(ac);
    }
}

static redisAsyncContext *connect_to(struct ev_loop *loop, int argc, char **argv) {
    redisAsyncContext *ac = argc == 2   ? redisAsyncConnectUnix(argv[1])
                            : argc == 3 ? redisAsyncConnect(argv[1], atoi(argv[2]))
                                        : redisAsyncConnect("127.0.0.1", 6379);
    if (ac == NULL || ac->err || redisLibevAttach(loop, ac) != REDIS_OK) {
        fprintf(stderr, "Cannot connect: %s\n", ac != NULL ? ac->errstr : "out of memory");
        redisAsyncFree(ac);
        exit(1);
    }
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    return ac;
}

int main(int argc, char **argv) {
    struct ev_loop *loop = ev_default_loop(0);
    redisAsyncContext *publisher = connect_to(loop, argc, argv);
    redisAsyncContext *subscriber = connect_to(loop, argc, argv);

    redisAsyncCommand(subscriber, on_message, publisher, "SUBSCRIBE " CHANNEL);

    /* Returns when no context waits for anything any more. */
    ev_run(loop, 0);
    ev_loop_destroy(loop);
    return connections == 2 ? 0 : 1;
}
