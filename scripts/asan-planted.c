/* Makes the error that its argument names: scripts/asan checks that each is reported. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <hiredis/sds.h>

static volatile int sink;

static redisReply *parsed(redisReader *reader) {
    void *reply = NULL;
    if (redisReaderFeed(reader, "$5\r\nhello\r\n", 11) != REDIS_OK) exit(3);
    if (redisReaderGetReply(reader, &reply) != REDIS_OK || reply == NULL) exit(3);
    return reply;
}

int main(int argc, char **argv) {
    const char *error = argc > 1 ? argv[1] : "";
    redisContext *c = redisConnectFd(-1);
    redisReader *reader = redisReaderCreate();
    if (c == NULL || reader == NULL) return 3;
    redisReply *reply = parsed(reader);

    if (strcmp(error, "past-the-text") == 0) {
        sink = reply->str[reply->len + 1];
    } else if (strcmp(error, "past-the-text-in-rust") == 0) {
        /* The size given is one byte too large. */
        char *hex = malloc(3);
        if (hex == NULL) return 3;
        memcpy(hex, "abc", 3);
        sdsfree(sdscatrepr(sdsempty(), hex, 4));
        free(hex);
    } else if (strcmp(error, "after-free") == 0) {
        redisFree(c);
        sink = c->err;
        return 0;
    } else if (strcmp(error, "after-free-in-rust") == 0) {
        redisFree(c);
        sink = redisAppendFormattedCommand(c, "PING\r\n", 6);
        return 0;
    } else if (strcmp(error, "overflow") == 0) {
        volatile int most = INT_MAX;
        sink = most + 1;
    } else if (strcmp(error, "leak") == 0) {
        redisReader *lost = redisReaderCreate();
        sink = lost != NULL;
        lost = NULL;
    }
    freeReplyObject(reply);
    redisReaderFree(reader);
    redisFree(c);
    return 0;
}
