/* What the headers themselves contain as code: macros and inline functions.
 * Compiled as C and as C++, and run without the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static int calls;

static void *count_calloc(size_t nmemb, size_t size) {
    calls++;
    return calloc(nmemb, size);
}

static char *copy(const char *s) {
    char *block = (char *)malloc(strlen(s) + 1);
    return block == NULL ? NULL : strcpy(block, s);
}

hiredisAllocFuncs hiredisAllocFns = {malloc, count_calloc, realloc, copy, free};

static void allocation(void) {
    char *p = (char *)hi_malloc(3);
    CHECK(p != NULL);
    p = (char *)hi_realloc(p, 30);
    CHECK(p != NULL);
    hi_free(p);
    p = hi_strdup("text");
    CHECK(p != NULL && strcmp(p, "text") == 0);
    hi_free(p);

    p = (char *)hi_calloc(2, 8);
    CHECK(p != NULL && p[0] == 0 && p[15] == 0 && calls == 1);
    hi_free(p);
    /* A product that does not fit never reaches the allocator. */
    CHECK(hi_calloc(SIZE_MAX / 8 + 3, 8) == NULL && calls == 1);
    CHECK(hi_calloc(8, SIZE_MAX / 8 + 3) == NULL && calls == 1);
    hi_free(hi_calloc(0, 8));
    hi_free(hi_calloc(8, 0));
    CHECK(calls == 3);
}

static void strings(void) {
    char block[sizeof(struct sdshdr64) + 8];
    sds s;

    memset(block, 0, sizeof(block));
    s = block + sizeof(struct sdshdr5);
    s[-1] = (char)(SDS_TYPE_5 | 21 << SDS_TYPE_BITS);
    CHECK(sdslen(s) == 21 && sdsalloc(s) == 21 && sdsavail(s) == 0);
    CHECK(SDS_TYPE_5_LEN((unsigned char)s[-1]) == 21);
    sdssetlen(s, 30);
    sdsinclen(s, 1);
    sdssetalloc(s, 7); /* no such field: nothing happens */
    CHECK(sdslen(s) == 31 && sdsalloc(s) == 31);

#define COUNTED(bits, high) \
    memset(block, 0, sizeof(block)); \
    s = block + sizeof(struct sdshdr##bits); \
    s[-1] = SDS_TYPE_##bits; \
    sdssetalloc(s, high); \
    sdssetlen(s, (high)-3); \
    sdsinclen(s, 1); \
    CHECK(sdslen(s) == (high)-2 && sdsalloc(s) == (high) && sdsavail(s) == 2); \
    CHECK(SDS_HDR(bits, s)->alloc == (high) && SDS_HDR(bits, s)->buf == s); \
    CHECK((s[-1] & SDS_TYPE_MASK) == SDS_TYPE_##bits)
    COUNTED(8, UINT8_MAX);
    COUNTED(16, UINT16_MAX);
    COUNTED(32, UINT32_MAX);
    COUNTED(64, UINT64_MAX);
    {
        SDS_HDR_VAR(64, s) CHECK(sh->len == UINT64_MAX - 2);
    }
}

static void privdata_destructor(void *p) {
    (void)p;
}

static void macros(void) {
    redisReply reply;
    redisReader reader;
    redisOptions options;
    char host[] = "localhost", path[] = "/socket";

    memset(&reply, 0, sizeof(reply));
    memset(&reader, 0, sizeof(reader));
    memset(&options, 0, sizeof(options));

    CHECK(!redisIsPushReply(&reply));
    reply.type = REDIS_REPLY_PUSH;
    CHECK(redisIsPushReply((void *)&reply));

    redisReaderSetPrivdata(&reader, host);
    CHECK(reader.privdata == host);
    reader.reply = &reply;
    CHECK(redisReaderGetObject(&reader) == &reply);
    CHECK(redisReaderGetError(&reader) == &reader.errstr[0]);

    if (reader.err == 0)
        REDIS_OPTIONS_SET_TCP(&options, host, 6379);
    else
        REDIS_OPTIONS_SET_UNIX(&options, path);
    CHECK(options.type == REDIS_CONN_TCP && options.endpoint.tcp.ip == host);
    CHECK(options.endpoint.tcp.port == 6379);
    REDIS_OPTIONS_SET_UNIX(&options, path);
    CHECK(options.type == REDIS_CONN_UNIX && options.endpoint.unix_socket == path);
    REDIS_OPTIONS_SET_PRIVDATA(&options, host, privdata_destructor);
    CHECK(options.privdata == host && options.free_privdata == privdata_destructor);
}

int main(void) {
    allocation();
    strings();
    macros();
    return 0;
}
