/* The blocking client: commands, replies of each kind, a pipeline.
 *
 *     cc example.c $(pkg-config --cflags --libs hiredis_rs) -o example
 *     ./example [HOST PORT | /path/to/socket]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

static redisContext *connect_to(int argc, char **argv) {
    struct timeval patience = {2, 0};
    if (argc == 2) return redisConnectUnixWithTimeout(argv[1], patience);
    if (argc == 3) return redisConnectWithTimeout(argv[1], atoi(argv[2]), patience);
    return redisConnectWithTimeout("127.0.0.1", 6379, patience);
}

/* A reply, or the end of the program: without one the connection is of no more use. */
static redisReply *must(redisContext *c, void *reply) {
    if (reply == NULL) {
        fprintf(stderr, "Connection lost: %s\n", c->errstr);
        redisFree(c);
        exit(1);
    }
    return (redisReply *)reply;
}

int main(int argc, char **argv) {
    redisContext *c = connect_to(argc, argv);
    if (c == NULL || c->err) {
        fprintf(stderr, "Cannot connect: %s\n", c != NULL ? c->errstr : "out of memory");
        redisFree(c);
        return 1;
    }

    /* Words are separated before %s is filled in, so a value may contain spaces. */
    redisReply *reply = must(c, redisCommand(c, "SET %s %s", "example:text", "hello world"));
    printf("SET: %s\n", reply->str);
    freeReplyObject(reply);

    reply = must(c, redisCommand(c, "GET example:text"));
    printf("GET: %s\n", reply->str);
    freeReplyObject(reply);

    /* %b takes bytes and their number: NUL, spaces and line ends are all the same to it. */
    const char bytes[] = {'a', '\0', '\r', '\n', 'b'};
    reply = must(c, redisCommand(c, "SET example:bytes %b", bytes, sizeof(bytes)));
    freeReplyObject(reply);
    reply = must(c, redisCommand(c, "GET example:bytes"));
    int same = reply->len == sizeof(bytes) && memcmp(reply->str, bytes, sizeof(bytes)) == 0;
    printf("GET: %zu bytes, %s\n", reply->len, same ? "the same" : "others");
    freeReplyObject(reply);

    reply = must(c, redisCommand(c, "STRLEN example:text"));
    printf("STRLEN: %lld\n", reply->integer);
    freeReplyObject(reply);

    reply = must(c, redisCommand(c, "GET example:nothing"));
    printf("GET: %s\n", reply->type == REDIS_REPLY_NIL ? "(nil)" : reply->str);
    freeReplyObject(reply);

    /* An error that the server reports is a reply like any other. */
    reply = must(c, redisCommand(c, "INCR example:text"));
    printf("INCR: %s\n", reply->type == REDIS_REPLY_ERROR ? reply->str : "not refused");
    freeReplyObject(reply);

    /* A pipeline: many commands at once, then their replies in order. */
    int i;
    redisAppendCommand(c, "DEL example:list");
    for (i = 1; i <= 5; i++) redisAppendCommand(c, "RPUSH example:list item-%d", i);
    for (i = 0; i <= 5; i++) {
        void *next = NULL;
        redisGetReply(c, &next);
        freeReplyObject(must(c, next));
    }

    reply = must(c, redisCommand(c, "LRANGE example:list 0 -1"));
    size_t j;
    for (j = 0; j < reply->elements; j++) printf("LRANGE: %zu) %s\n", j + 1, reply->element[j]->str);
    freeReplyObject(reply);

    freeReplyObject(must(c, redisCommand(c, "DEL example:text example:bytes example:list")));
    redisFree(c);
    return 0;
}
