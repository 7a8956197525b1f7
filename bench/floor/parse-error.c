/* The least that a reader can do for parse-error: one error reply of at most 96 bytes, all of it there. What
 * else may come is looked for where it must be, and then ends the program: NULL for an argument, an error
 * before, other types, the program's own functions, a text that is not complete, bytes to be dropped. */
#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/alloc.h>
#include <hiredis/hiredis.h>

enum { ROOM = 250, BLOCK = 16, DROP_FROM = 1024 };

static redisReplyObjectFunctions functions;

redisReader *redisReaderCreate(void) {
    redisReader *r = calloc(1, sizeof *r);
    char *block = malloc(3 + ROOM + 1);
    if (r == NULL || block == NULL) abort();
    r->buf = block + 3;
    r->buf[-1] = 1; /* the header of short strings */
    r->ridx = -1;
    r->fn = &functions;
    return r;
}

void redisReaderFree(redisReader *r) {
    free(r->buf - 3);
    free(r);
}

static __m128i load(const char *at) { return _mm_loadu_si128((const __m128i *)(const void *)at); }

static void copy_block(char *to, const char *from) { _mm_storeu_si128((__m128i *)(void *)to, load(from)); }

int redisReaderFeed(redisReader *r, const char *bytes, size_t n) {
    if (r == NULL || bytes == NULL) return REDIS_ERR;
    size_t pos = r->pos, len = r->len;
    if (pos == len) pos = len = 0;
    if (n > 96 || len + n >= ROOM) abort();
    char *to = r->buf + len;
    size_t last = n - BLOCK;
    for (size_t at = 0; at < last; at += BLOCK) copy_block(to + at, bytes + at);
    copy_block(to + last, bytes + last);
    memset(to + n, 0, 2);
    r->buf[-3] = (char)(len + n);
    r->pos = pos;
    r->len = len + n;
    return REDIS_OK;
}

/* The first byte that is no greater than CR. */
static const char *line_end(const char *at, const char *end) {
    __m128i cr = _mm_set1_epi8('\r');
    for (; at + BLOCK <= end; at += BLOCK) {
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(load(at), cr), load(at)));
        if (found != 0) return at + __builtin_ctz((unsigned)found);
    }
    while ((unsigned char)*at > '\r') at++;
    return at;
}

int redisReaderGetReply(redisReader *r, void **reply) {
    if (r == NULL || reply == NULL || r->err != 0 || r->ridx != -1 || r->fn != &functions) abort();
    *reply = NULL;
    const char *at = r->buf + r->pos, *end = r->buf + r->len;
    if (at == end) return REDIS_OK;
    if (*at == '$' || *at == ':' || *at == '+' || *at != '-') abort();
    const char *line = line_end(++at, end);
    if (line[0] != '\r' || line[1] != '\n') abort();
    size_t len = (size_t)(line - at);
    char *text = hiredisAllocFns.mallocFn(len + 1);
    if (text == NULL) return REDIS_ERR;
    memcpy(text, at, len);
    text[len] = 0;
    redisReply *made = hiredisAllocFns.mallocFn(sizeof *made);
    if (made == NULL) return REDIS_ERR;
    *made = (redisReply){.type = REDIS_REPLY_ERROR, .len = len, .str = text};
    r->pos = (size_t)(line + 2 - r->buf);
    if (r->pos >= DROP_FROM) abort();
    *reply = made;
    return REDIS_OK;
}

void freeReplyObject(void *reply) {
    redisReply *made = reply;
    if (made == NULL) return;
    if (made->type != REDIS_REPLY_ERROR) abort();
    hiredisAllocFns.freeFn(made->str);
    hiredisAllocFns.freeFn(made);
}
