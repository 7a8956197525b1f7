/* A line that is longer than an int, and than a 32-bit length, can count. */
#include "reading.h"

#include <stdio.h>
#include <stdlib.h>

#if HIREDIS_MAJOR >= 1

/* The line while it comes, its copy in the reply, and room to grow. */
#define GIB_NEEDED 12

/* The first number in a file, after `label`, or -1. */
static long long number_in(const char *path, const char *label) {
    char line[128];
    long long n = -1;
    FILE *f = fopen(path, "r");
    if (f == NULL) return -1;
    while (n < 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, label, strlen(label)) == 0) sscanf(line + strlen(label), "%lld", &n);
    fclose(f);
    return n;
}

/* What the machine has left, and what a container may take. */
static int enough_memory(void) {
    long long kib = number_in("/proc/meminfo", "MemAvailable:");
    long long limit = number_in("/sys/fs/cgroup/memory.max", "");
    return kib >> 20 >= GIB_NEEDED && (limit < 0 || limit >> 30 >= GIB_NEEDED);
}

TEST(reader_huge, a_line_of_more_than_four_gibibytes_is_whole, "212") {
    const size_t piece = (size_t)16 << 20, pieces = 257;
    if (getenv("TEST_WRAPPER") != NULL) SKIP("a wrapper takes too long for 4 GiB");
    if (!enough_memory()) SKIP("less than 12 GiB of memory are available");

    test_may_take(180);
    char *x = malloc(piece);
    CHECK(x != NULL);
    memset(x, 'x', piece);
    redisReader *r = redisReaderCreate();
    void *none = NULL;
    FEED(r, "+");
    for (size_t i = 0; i < pieces; i++) {
        /* So that a beginning that is taken for the whole shows. */
        x[0] = (char)('a' + i % 26);
        feed(r, x, piece);
        CHECK_INT(redisReaderGetReply(r, &none), REDIS_OK);
        CHECK_PTR(none, NULL);
    }
    FEED(r, "\r\n:7\r\n");

    redisReply *reply = read_reply(r);
    CHECK(reply != NULL);
    CHECK_INT(reply->type, REDIS_REPLY_STATUS);
    CHECK_UINT(reply->len, piece * pieces);
    CHECK_INT(reply->str[reply->len], '\0');
    for (size_t i = 0; i < pieces; i++) {
        x[0] = (char)('a' + i % 26);
        if (memcmp(reply->str + i * piece, x, piece) != 0) FAIL("piece %zu is not what was fed", i);
    }
    freeReplyObject(reply);

    reply = read_reply(r);
    CHECK(reply != NULL);
    CHECK_INT(reply->type, REDIS_REPLY_INTEGER);
    CHECK_INT(reply->integer, 7);
    freeReplyObject(reply);
    redisReaderFree(r);
    free(x);
}

#endif
