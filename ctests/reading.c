#include "reading.h"

#include <hiredis/sds.h>

void feed(redisReader *r, const char *bytes, size_t len) {
    CHECK_INT(redisReaderFeed(r, bytes, len), REDIS_OK);
    CHECK_UINT(sdslen(r->buf), r->len);
}

redisReply *read_reply(redisReader *r) {
    void *reply = &reply;
    size_t unread = r->len - r->pos;
    if (redisReaderGetReply(r, &reply) != REDIS_OK) FAIL("read error %d: %s", r->err, r->errstr);
    CHECK_INT(r->err, 0);
    CHECK(reply != &reply);
    /* The public fields tell what is unread, whatever was dropped from the buffer. */
    CHECK(r->pos <= r->len);
    CHECK_UINT(sdslen(r->buf), r->len);
    CHECK(r->len - r->pos <= unread);
    if (reply != NULL) CHECK(r->reply == NULL && r->ridx == -1);
    return reply;
}

redisReply *parse(const char *bytes, size_t len) {
    redisReader *r = redisReaderCreate();
    CHECK(r != NULL);
    feed(r, bytes, len);
    redisReply *reply = read_reply(r);
    if (reply == NULL) FAIL("%zu bytes are no complete reply", len);
    CHECK_UINT(r->len - r->pos, 0);
    redisReaderFree(r);
    return reply;
}

const char *parsed(const char *bytes, size_t len) {
    alloc_count_begin();
    redisReply *reply = parse(bytes, len);
    const char *text = reply_text(reply);
    freeReplyObject(reply);
    alloc_count_end();
    return text;
}

void check_error_state(redisReader *r, int err, const char *text) {
    for (int again = 0; again < 2; again++) {
        void *reply = r;
        CHECK_INT(redisReaderGetReply(r, &reply), REDIS_ERR);
        CHECK_PTR(reply, NULL);
        CHECK_INT(r->err, err);
        CHECK_STR(r->errstr, text);
        CHECK_STR(redisReaderGetError(r), text);
        CHECK_PTR(r->buf, NULL);
        CHECK_UINT(r->pos, 0);
        CHECK_UINT(r->len, 0);
        CHECK_INT(r->ridx, -1);
        CHECK_INT(redisReaderGetReply(r, NULL), REDIS_ERR);
        CHECK_INT(redisReaderFeed(r, "+OK\r\n", 5), REDIS_ERR);
        CHECK_INT(redisReaderFeed(r, NULL, 0), REDIS_ERR);
        CHECK_UINT(r->len, 0);
    }
}

const char *read_error(const char *bytes, size_t len) {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    void *reply = NULL;
    const char *text = "no error";
    feed(r, bytes, len);
    while (redisReaderGetReply(r, &reply) == REDIS_OK && reply != NULL) freeReplyObject(reply);
    if (r->err != 0) {
        text = test_printf("%s", r->errstr);
        check_error_state(r, strcmp(text, "Out of memory") == 0 ? REDIS_ERR_OOM : REDIS_ERR_PROTOCOL, text);
        CHECK_PTR(r->reply, NULL);
    }
    redisReaderFree(r);
    alloc_count_end();
    return text;
}

char *repeat(const char *unit, size_t n, const char *end) {
    size_t len = strlen(unit);
    char *bytes = test_bytes(n * len + strlen(end) + 1);
    for (size_t i = 0; i < n; i++) memcpy(bytes + i * len, unit, len);
    strcpy(bytes + n * len, end);
    return bytes;
}
