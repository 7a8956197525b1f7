/* A program with sds functions of its own, as Redis modules and old vendored copies have them.
 * The library exports functions of the same names; it must not call these. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

static void called(const char *name) {
    printf("FAIL own_sds library_uses_its_own: it called the program's %s\n", name);
    puts("0 passed, 1 failed");
    fflush(stdout);
    _Exit(1);
}

/* What a C program calls by these names comes here. */
#define OWN(type, name, parameters) \
    type name parameters {          \
        called(#name);              \
        return 0;                   \
    }
#define OWN_VOID(name, parameters)  \
    void name parameters {          \
        called(#name);              \
    }

OWN(sds, sdsnewlen, (const void *init, size_t len))
OWN(sds, sdsnew, (const char *init))
OWN(sds, sdsempty, (void))
OWN(sds, sdsdup, (const sds s))
OWN(sds, sdscatlen, (sds s, const void *t, size_t len))
OWN(sds, sdscpylen, (sds s, const char *t, size_t len))
OWN(sds, sdsMakeRoomFor, (sds s, size_t len))
OWN(int, sdsrange, (sds s, ssize_t start, ssize_t end))
OWN(void *, sds_malloc, (size_t size))
OWN(void *, sds_realloc, (void *p, size_t size))
OWN_VOID(sdsfree, (sds s))
OWN_VOID(sdsclear, (sds s))
OWN_VOID(sdsIncrLen, (sds s, int n))
OWN_VOID(sds_free, (void *p))

static int failed;

static void check(int good, const char *what) {
    if (!good) {
        printf("FAIL own_sds %s\n", what);
        failed = 1;
    }
}

static int is(redisReply *r, int type, const char *text) {
    int good = r != NULL && r->type == type && strcmp(r->str, text) == 0;
    freeReplyObject(r);
    return good;
}

int main(int argc, char **argv) {
    static char big[100000];
    const char *ping[] = {"PING"};
    redisContext *c;
    redisReader *reader;
    redisReply *r = NULL;
    void *reply = NULL;
    char *cmd = NULL;

    if (argc != 2) return 2;
    c = redisConnectUnix(argv[1]);
    if (c == NULL || c->err != 0) {
        printf("FAIL own_sds connects: %s\n", c != NULL ? c->errstr : "no context");
        return 1;
    }
    check(is(redisCommand(c, "SET own:key %s", "value"), REDIS_REPLY_STATUS, "OK"), "a_command");
    check(is(redisCommand(c, "GET own:key"), REDIS_REPLY_STRING, "value"), "a_reply");
    memset(big, 'x', sizeof(big) - 1);
    check(is(redisCommand(c, "SET own:key %s", big), REDIS_REPLY_STATUS, "OK"), "a_big_command");
    check(is(redisCommand(c, "GET own:key"), REDIS_REPLY_STRING, big), "a_big_reply");
    for (int i = 0; i < 1000; i++) check(redisAppendCommand(c, "ECHO %d", i) == REDIS_OK, "a_pipeline");
    for (int i = 0; i < 1000; i++) check(redisGetReply(c, NULL) == REDIS_OK, "its_replies");
    check(redisReconnect(c) == REDIS_OK, "a_reconnect");
    check(is(redisCommandArgv(c, 1, ping, NULL), REDIS_REPLY_STATUS, "PONG"), "an_argument_vector");
    redisFree(c);

    check(redisFormatCommand(&cmd, "GET %s", "x") > 0, "a_formatted_command");
    redisFreeCommand(cmd);
    reader = redisReaderCreate();
    check(redisReaderFeed(reader, "$3\r\nfo", 6) == REDIS_OK, "a_reader");
    check(redisReaderFeed(reader, "o\r\n", 3) == REDIS_OK, "a_reader_fed_again");
    check(redisReaderGetReply(reader, &reply) == REDIS_OK, "a_reader_read");
    r = reply;
    check(is(r, REDIS_REPLY_STRING, "foo"), "a_reader_with_a_reply");
    redisReaderFree(reader);

    if (!failed) puts("ok   own_sds library_uses_its_own");
    printf("%d passed, %d failed\n", !failed, failed);
    return failed;
}
