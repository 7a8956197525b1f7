/* Client-side caching with RESP3: the server remembers which keys this client has read,
 * and pushes a message when another client changes one of them.
 *
 *     cc example-push.c $(pkg-config --cflags --libs hiredis_rs) -o example-push
 *     ./example-push [HOST PORT | /path/to/socket]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#define KEY "example:greeting"

/* A cache for one key; NULL when it knows nothing. */
static sds cached;

static void forget(void) {
    sdsfree(cached);
    cached = NULL;
}

/* Pushes are not replies: they come here, from within any call that reads. A function of
 * ours takes the place of the default one, which frees them unread; so this one frees. */
static void on_push(void *privdata, void *message) {
    redisReply *push = (redisReply *)message;
    size_t i;
    (void)privdata;
    if (push->elements == 2 && strcmp(push->element[0]->str, "invalidate") == 0) {
        redisReply *keys = push->element[1];
        /* No keys at all: the whole database was flushed. */
        if (keys->type != REDIS_REPLY_ARRAY) forget();
        for (i = 0; i < keys->elements; i++) {
            printf("Pushed: %s has changed\n", keys->element[i]->str);
            if (strcmp(keys->element[i]->str, KEY) == 0) forget();
        }
    }
    freeReplyObject(push);
}

static redisContext *connect_to(int argc, char **argv) {
    redisContext *c = argc == 2   ? redisConnectUnix(argv[1])
                      : argc == 3 ? redisConnect(argv[1], atoi(argv[2]))
                                  : redisConnect("127.0.0.1", 6379);
    if (c != NULL && c->err == 0) return c;
    fprintf(stderr, "Cannot connect: %s\n", c != NULL ? c->errstr : "out of memory");
    redisFree(c);
    exit(1);
}

/* Sends a command and gives its reply, or ends the program. */
static redisReply *ask(redisContext *c, const char *command) {
    redisReply *reply = (redisReply *)redisCommand(c, command);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "%s: %s\n", command, reply != NULL ? reply->str : c->errstr);
        exit(1);
    }
    return reply;
}

static void show(redisContext *c) {
    const char *source = "cache";
    /* Pushes are heard when something is read; this reads what has come meanwhile. */
    freeReplyObject(ask(c, "PING"));
    if (cached == NULL) {
        redisReply *reply = ask(c, "GET " KEY);
        cached = sdsnew(reply->str != NULL ? reply->str : "(nil)");
        if (cached == NULL) exit(1);
        freeReplyObject(reply);
        source = "server";
    }
    printf("%s, says the %s\n", cached, source);
}

int main(int argc, char **argv) {
    redisContext *c = connect_to(argc, argv);
    redisContext *other = connect_to(argc, argv);

    redisSetPushCallback(c, on_push);
    freeReplyObject(ask(c, "HELLO 3"));
    freeReplyObject(ask(c, "CLIENT TRACKING ON"));

    freeReplyObject(ask(other, "SET " KEY " hello"));
    show(c);
    show(c);
    freeReplyObject(ask(other, "SET " KEY " goodbye"));
    show(c);
    show(c);

    freeReplyObject(ask(other, "DEL " KEY));
    forget();
    redisFree(other);
    redisFree(c);
    return 0;
}
