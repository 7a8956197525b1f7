/* parse-*: replies fed to a reader, taken and freed. */
#include "hibench.h"

static uint64_t deadline = UINT64_MAX; /* of clock_ns(CLOCK_MONOTONIC) */

/* Feeds the wire piece by piece and takes each reply as soon as it is there, up to `count` of them,
 * which spares a last call that would find none. Returns how many there were. */
static uint64_t parse(redisReader *reader, const Buffer *wire, size_t piece, uint64_t count, uint64_t *hash,
                      Buffer *rewritten) {
    uint64_t taken = 0;
    for (size_t at = 0, len; at < wire->len; at += len) {
        redisReply *reply = NULL;
        len = piece != 0 && piece < wire->len - at ? piece : wire->len - at;
        CHECK(redisReaderFeed(reader, wire->bytes + at, len) == REDIS_OK);
        do {
            CHECK(redisReaderGetReply(reader, (void **)&reply) == REDIS_OK);
            if (reply == NULL) break;
            *hash = mix(*hash, digest(reply));
            if (rewritten != NULL) append_reply(rewritten, reply);
            freeReplyObject(reply);
            if (++taken % KIB == 0) result.truncated = clock_ns(CLOCK_MONOTONIC) > deadline;
        } while (taken < count && !result.truncated);
    }
    return taken;
}

void run_parse(const Scenario *scenario, uint64_t repeats) {
    Buffer wire = {0}, rewritten = {0};
    uint64_t expected = 0, taken = 0;
    if (scenario->wire != NULL) append(&wire, scenario->wire, strlen(scenario->wire));
    else scenario->compose(&wire, scenario->size);

    redisReader *reader = redisReaderCreate(); /* the model, parsed in pieces that suit any library */
    uint64_t count = parse(reader, &wire, 16 * KIB, UINT64_MAX, &expected, &rewritten);
    CHECK(rewritten.len == wire.len && memcmp(rewritten.bytes, wire.bytes, wire.len) == 0);
    free(rewritten.bytes);
    redisReaderFree(reader);

    reader = redisReaderCreate();
    measure_begin();
    if (scenario->seconds != 0) deadline = clock_ns(CLOCK_MONOTONIC) + scenario->seconds * SECOND_NS;
    for (uint64_t i = 0; i < repeats && !result.truncated; i++) {
        uint64_t hash = 0;
        taken += parse(reader, &wire, scenario->piece, count, &hash, NULL);
        CHECK(result.truncated || hash == expected);
    }
    measure_end(taken);
    redisReaderFree(reader);
}
