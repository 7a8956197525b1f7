/* RESP, written independently of the library, and the checks of what it made of it. */
#include "hibench.h"

#include <stdarg.h>

enum { SAMPLE_STRIDE = 4096 }; /* of long strings, a digest takes a word per stride */

void append(Buffer *buffer, const void *bytes, size_t len) {
    if (buffer->len + len > buffer->capacity) {
        buffer->capacity = (buffer->len + len) * 2;
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        CHECK(buffer->bytes != NULL);
    }
    memcpy(buffer->bytes + buffer->len, bytes, len);
    buffer->len += len;
}

void append_format(Buffer *buffer, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    CHECK(len >= 0 && (size_t)len < sizeof text);
    append(buffer, text, (size_t)len);
}

void append_bulk(Buffer *buffer, const char *bytes, size_t len) {
    append_format(buffer, "$%zu\r\n", len);
    append(buffer, bytes, len);
    append(buffer, "\r\n", 2);
}

char *pattern(size_t len) {
    enum { PERIOD = 89 };
    char *bytes = allocate(len + 1);
    for (size_t i = 0; i < len && i < PERIOD; i++) bytes[i] = (char)('!' + i);
    for (size_t done = PERIOD, copy; done < len; done += copy) {
        copy = done < len - done ? done : len - done;
        memcpy(bytes + done, bytes, copy);
    }
    bytes[len] = '\0';
    return bytes;
}

void compose_bulk(Buffer *wire, size_t size) {
    char *bytes = pattern(size);
    append_bulk(wire, bytes, size);
    free(bytes);
}

void compose_line(Buffer *wire, size_t size) {
    char *bytes = pattern(size);
    append(wire, "+", 1);
    append(wire, bytes, size);
    append(wire, "\r\n", 2);
    free(bytes);
}

void compose_strings(Buffer *wire, size_t size) {
    append_format(wire, "*%zu\r\n", size);
    for (size_t i = 0; i < size; i++) append_format(wire, "$10\r\nitem:%05zu\r\n", i);
}

void compose_integers(Buffer *wire, size_t size) {
    append_format(wire, "*%zu\r\n", size);
    for (size_t i = 0; i < size; i++) append_format(wire, ":%zu\r\n", i * 7919);
}

void compose_pipeline(Buffer *wire, size_t size) {
    static const char replies[] = "+OK\r\n:1234567\r\n$16\r\n0123456789abcdef\r\n"
                                  "*2\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
    while (wire->len < size) append(wire, replies, strlen(replies));
}

void append_reply(Buffer *wire, const redisReply *reply) {
    char mark = "?$*:_+-,#%~|>("[reply->type];
    if (mark == ':') {
        append_format(wire, ":%lld\r\n", reply->integer);
    } else if (mark == '$') {
        append_bulk(wire, reply->str, reply->len);
    } else if (mark == '*' || mark == '%') {
        append_format(wire, "%c%zu\r\n", mark, mark == '*' ? reply->elements : reply->elements / 2);
        for (size_t i = 0; i < reply->elements; i++) append_reply(wire, reply->element[i]);
    } else {
        append(wire, &mark, 1);
        append(wire, reply->str, reply->len);
        append(wire, "\r\n", 2);
#ifdef REDIS_REPLY_DOUBLE
        CHECK(mark != ',' || reply->dval == strtod(reply->str, NULL));
#endif
    }
}

/* ---- digests ---- */

uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t mix_word(uint64_t hash, const char *bytes, size_t len) {
    uint64_t word = 0;
    memcpy(&word, bytes, len < sizeof word ? len : sizeof word);
    return mix(hash, word);
}

/* Of a string: its length, its first and last eight bytes, and eight in each stride. */
uint64_t digest(const redisReply *reply) {
    uint64_t hash = mix(1, (uint64_t)reply->type);
    if (reply->type == REDIS_REPLY_INTEGER) return mix(hash, (uint64_t)reply->integer);
    if (reply->elements != 0) {
        hash = mix(hash, reply->elements);
        for (size_t i = 0; i < reply->elements; i++) hash = mix(hash, digest(reply->element[i]));
        return hash;
    }
    CHECK(reply->str != NULL && reply->str[reply->len] == '\0');
#ifdef REDIS_REPLY_DOUBLE
    if (reply->type == REDIS_REPLY_DOUBLE) hash = mix(hash, (uint64_t)(reply->dval * KIB));
#endif
    hash = mix(hash, reply->len);
    for (size_t at = 0; at < reply->len; at += SAMPLE_STRIDE)
        hash = mix_word(hash, reply->str + at, reply->len - at);
    return reply->len > 8 ? mix_word(hash, reply->str + reply->len - 8, 8) : hash;
}

uint64_t digest_of_text(int type, const char *text, size_t len) {
    redisReply reply = {.type = type, .str = (char *)text, .len = len};
    return digest(&reply);
}
