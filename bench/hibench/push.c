/* push-*: replies with RESP3 pushes between them, as with client side caching. */
#include "hibench.h"

#ifdef REDIS_REPLY_PUSH

enum { PUSH_EVERY = 4 };

static uint64_t pushes_received;

static void check_push(redisReply *push) {
    CHECK(push != NULL && push->type == REDIS_REPLY_PUSH && push->elements == 2);
    CHECK(push->element[0]->len == strlen("invalidate") && push->element[1]->elements == 1);
    pushes_received++;
}

static void on_sync_push(void *privdata, void *push) {
    (void)privdata;
    check_push(push);
    freeReplyObject(push);
}

static void on_async_push(redisAsyncContext *context, void *push) {
    (void)context; /* which frees it */
    check_push(push);
}

void run_push_sync(const Scenario *scenario, uint64_t repeats) {
    uint64_t *expected = start_get_responder(scenario, PUSH_EVERY);
    redisContext *context = connect_sync();
    redisSetPushCallback(context, on_sync_push);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) {
        for (size_t id = 0; id < scenario->size; id++)
            CHECK(redisAppendCommand(context, "GET key:%05d", (int)id) == REDIS_OK);
        for (size_t id = 0; id < scenario->size; id++) {
            void *reply;
            CHECK(redisGetReply(context, &reply) == REDIS_OK && digest(reply) == expected[id]);
            freeReplyObject(reply);
        }
    }
    measure_end(repeats * scenario->size);
    /* The last push of a batch is seen with the next batch. */
    CHECK(pushes_received + 1 >= repeats * (scenario->size / PUSH_EVERY));
    redisFree(context);
}

void run_push_async(const Scenario *scenario, uint64_t repeats) {
    uint64_t *expected = start_get_responder(scenario, PUSH_EVERY);
    Loop loop;
    loop_connect(&loop);
    redisAsyncSetPushCallback(loop.context, on_async_push);
    measure_begin();
    for (uint64_t i = 1; i <= repeats; i++) {
        for (size_t id = 0; id < scenario->size; id++)
            CHECK(redisAsyncCommand(loop.context, on_reply, &expected[id], "GET key:%05d", (int)id) ==
                  REDIS_OK);
        loop_until(&loop, i * scenario->size);
    }
    measure_end(repeats * scenario->size);
    CHECK(pushes_received + 1 >= repeats * (scenario->size / PUSH_EVERY));
    loop_disconnect(&loop);
}

#endif
