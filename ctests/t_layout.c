/* Sizes and offsets that programs compiled long ago rely on. `make abi` proves every field
 * at compile time; here the library itself is asked through plain byte offsets. */
#include "test.h"

#if HIREDIS_MAJOR >= 1

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hiredis/async.h>

#define AT(p, offset, type) (*(type *)(void *)((char *)(p) + (offset)))

TEST(layout, structs_have_their_published_sizes, "199") {
    CHECK_UINT(sizeof(redisReply), 64);
    CHECK_UINT(sizeof(redisReadTask), 48);
    CHECK_UINT(sizeof(redisReplyObjectFunctions), 56);
    CHECK_UINT(sizeof(redisOptions), 80);
    CHECK_UINT(sizeof(redisContextFuncs), 48);
    CHECK_UINT(sizeof(redisContext), 272);
    CHECK_UINT(sizeof(redisCallback), 32);
    CHECK_UINT(sizeof(redisCallbackList), 16);
    CHECK_UINT(sizeof(redisAsyncContext), 464);
    CHECK_UINT(sizeof(hiredisAllocFuncs), 40);
    /* Grew by maxdepth in 1.5; only the library makes readers. */
    CHECK(sizeof(redisReader) == 216 || sizeof(redisReader) == 224);
    CHECK_UINT(offsetof(redisReader, privdata), 208);
}

TEST(layout, option_fields_are_in_their_places, "199") {
    CHECK_UINT(offsetof(redisOptions, type), 0);
    CHECK_UINT(offsetof(redisOptions, options), 4);
    CHECK_UINT(offsetof(redisOptions, connect_timeout), 8);
    CHECK_UINT(offsetof(redisOptions, command_timeout), 16);
    CHECK_UINT(offsetof(redisOptions, endpoint.tcp.source_addr), 24);
    CHECK_UINT(offsetof(redisOptions, endpoint.tcp.ip), 32);
    CHECK_UINT(offsetof(redisOptions, endpoint.tcp.port), 40);
    CHECK_UINT(offsetof(redisOptions, endpoint.unix_socket), 24);
    CHECK_UINT(offsetof(redisOptions, endpoint.fd), 24);
    CHECK_UINT(offsetof(redisOptions, privdata), 48);
    CHECK_UINT(offsetof(redisOptions, free_privdata), 56);
    CHECK_UINT(offsetof(redisOptions, push_cb), 64);
    CHECK_UINT(offsetof(redisOptions, async_push_cb), 72);
}

TEST(layout, the_library_fills_a_context_at_the_published_offsets, "199") {
    redisContext *c = redisConnect("127.0.0.1", live_port());
    CHECK_INT(AT(c, 8, int), 0);
    CHECK_STR((char *)c + 12, "");
    CHECK(AT(c, 140, int) > 2);
    /* Bits above the published flags are the library's own. */
    CHECK_INT(AT(c, 144, int) & 0x1fff, REDIS_BLOCK | REDIS_CONNECTED);
    CHECK(AT(c, 0, redisContextFuncs *) != NULL);
    CHECK_UINT(sdslen(AT(c, 152, sds)), 0);
    CHECK_UINT(AT(AT(c, 160, redisReader *), 160, size_t), REDIS_READER_MAX_BUF);
    CHECK_INT(AT(c, 168, int), REDIS_CONN_TCP);
    CHECK_PTR(AT(c, 176, void *), NULL);
    CHECK_PTR(AT(c, 184, void *), NULL);
    CHECK_STR(AT(c, 192, char *), "127.0.0.1");
    CHECK_PTR(AT(c, 200, char *), NULL);
    CHECK_INT(AT(c, 208, int), live_port());
    CHECK_PTR(AT(c, 216, char *), NULL);
    CHECK(AT(c, 264, void *) != NULL);
    redisFree(c);
}

typedef void destructor(void *);

static void nothing(void *p) { (void)p; }

TEST(layout, the_library_fills_an_async_context_at_the_published_offsets, "199") {
    static char data[] = "private";
    redisOptions o;
    memset(&o, 0, sizeof(o));
    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    REDIS_OPTIONS_SET_PRIVDATA(&o, data, nothing);
    redisAsyncContext *ac = redisAsyncConnectWithOptions(&o);
    CHECK_INT(ac->err, 0);
    CHECK_STR(AT(ac, 216, char *), live_unix());
    CHECK_PTR(AT(ac, 240, void *), data);
    CHECK(AT(ac, 248, destructor *) == nothing);
    CHECK_INT(AT(ac, 272, int), 0);
    CHECK_PTR(AT(ac, 280, char *), ac->c.errstr);
    for (size_t offset = 288; offset < 384; offset += 8) CHECK_PTR(AT(ac, offset, void *), NULL);
    CHECK_INT(redisAsyncCommand(ac, NULL, data, "PING"), REDIS_OK);
    redisCallback *cb = AT(ac, 384, redisCallback *);
    CHECK(cb != NULL);
    CHECK_PTR(AT(ac, 392, redisCallback *), cb);
    CHECK_PTR(AT(cb, 0, void *), NULL);
    CHECK_PTR(AT(cb, 8, void *), NULL);
    CHECK_PTR(AT(cb, 24, void *), data);
    CHECK_PTR(AT(ac, 416, void *), NULL);
    CHECK_PTR(AT(ac, 456, void *), NULL);
    redisAsyncFree(ac);
}

TEST(layout, the_library_fills_a_reply_at_the_published_offsets, "199") {
    redisReader *r = redisReaderCreate();
    void *reply;
    static const char bytes[] = "*4\r\n:77\r\n$3\r\nfoo\r\n,1.5\r\n=5\r\ntxt:x\r\n";
    CHECK_INT(redisReaderFeed(r, bytes, sizeof(bytes) - 1), REDIS_OK);
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_INT(AT(reply, 0, int), 2);
    CHECK_UINT(AT(reply, 48, size_t), 4);
    void **element = AT(reply, 56, void **);
    CHECK_INT(AT(element[0], 8, long long), 77);
    CHECK_UINT(AT(element[1], 24, size_t), 3);
    CHECK_STR(AT(element[1], 32, char *), "foo");
    CHECK(AT(element[2], 16, double) == 1.5);
    CHECK_STR((char *)element[3] + 40, "txt");
    freeReplyObject(reply);
#ifdef REDIS_READER_MAX_REPLY_DEPTH
    CHECK_INT(AT(r, 216, int), 1024);
#endif
    redisReaderFree(r);
}

#endif
