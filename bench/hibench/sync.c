/* sync-*: a blocking context. */
#include "hibench.h"

redisContext *connect_sync(void) {
    redisContext *context =
        responder.port != 0 ? redisConnect("127.0.0.1", responder.port) : redisConnectUnix(responder.path);
    CHECK(context != NULL && context->err == 0);
    return context;
}

void run_sync_roundtrip(const Scenario *scenario, uint64_t repeats) {
    start_ping_responder(false, scenario->tcp);
    redisContext *context = connect_sync();
    uint64_t expected = digest_of_text(REDIS_REPLY_STATUS, "PONG", 4);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) {
        redisReply *reply = redisCommand(context, "PING");
        CHECK(reply != NULL && digest(reply) == expected);
        freeReplyObject(reply);
    }
    measure_end(repeats);
    redisFree(context);
}

void pipeline(redisContext *context, size_t size, const uint64_t *expected) {
    for (size_t id = 0; id < size; id++)
        CHECK(redisAppendCommand(context, "GET key:%05d", (int)id) == REDIS_OK);
    for (size_t id = 0; id < size; id++) {
        void *reply;
        CHECK(redisGetReply(context, &reply) == REDIS_OK && digest(reply) == expected[id]);
        freeReplyObject(reply);
    }
}

void run_sync_pipeline(const Scenario *scenario, uint64_t repeats) {
    uint64_t *expected = start_get_responder(scenario, 0);
    redisContext *context = connect_sync();
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) pipeline(context, scenario->size, expected);
    measure_end(repeats * scenario->size);
    redisFree(context);
}
