/* The asynchronous client without any event library: poll(2) for one connection, with
 * timeouts for the connection and for each reply.
 *
 *     cc example-poll.c $(pkg-config --cflags --libs hiredis_rs) -o example-poll
 *     ./example-poll [HOST PORT | /path/to/socket]
 */
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/adapters/poll.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

static int done;   /* the context is gone */
static int status; /* of the program; 1 if there was no connection */

static void on_connect(const redisAsyncContext *ac, int result) {
    if (result == REDIS_OK) {
        printf("Connected\n");
        return;
    }
    fprintf(stderr, "Cannot connect: %s\n", ac->errstr);
    status = 1;
    done = 1;
}

static void on_disconnect(const redisAsyncContext *ac, int result) {
    if (result == REDIS_OK) printf("Disconnected\n");
    else printf("Connection lost: %s\n", ac->errstr);
    done = 1;
}

static void on_time(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    (void)ac;
    (void)privdata;
    if (r != NULL) printf("TIME: %zu numbers\n", r->elements);
}

/* Nobody pushes to this list, and the server would wait for ever. We do not. */
static void on_pop(redisAsyncContext *ac, void *reply, void *privdata) {
    (void)privdata;
    if (reply == NULL && !done) printf("BLPOP: no reply, %s\n", ac->errstr);
}

int main(int argc, char **argv) {
    struct timeval to_connect = {2, 0}, to_answer = {0, 200000};
    redisOptions options = {0};
    if (argc == 2) REDIS_OPTIONS_SET_UNIX(&options, argv[1]);
    else REDIS_OPTIONS_SET_TCP(&options, argc == 3 ? argv[1] : "127.0.0.1", argc == 3 ? atoi(argv[2]) : 6379);
    options.connect_timeout = &to_connect;
    options.command_timeout = &to_answer;

    redisAsyncContext *ac = redisAsyncConnectWithOptions(&options);
    if (ac == NULL || ac->err) {
        fprintf(stderr, "Cannot connect: %s\n", ac != NULL ? ac->errstr : "out of memory");
        redisAsyncFree(ac);
        return 1;
    }
    if (redisPollAttach(ac) != REDIS_OK) return 1;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);

    redisAsyncCommand(ac, on_time, NULL, "TIME");
    redisAsyncCommand(ac, on_pop, NULL, "BLPOP example:nothing 0");

    /* A tick handles what is ready, and waits for it at most that long: time for the
     * rest of the program between two. */
    while (!done) redisPollTick(ac, 0.1);
    return status;
}
