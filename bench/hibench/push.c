/* push-*: replies with RESP3 pushes between them, as with client side caching. */
#include "hibench.h"

#ifdef REDIS_REPLY_PUSH

enum { PUSH_EVERY = 4, KEY_LEN = 9 };

static uint64_t pushes_received;
static size_t pushes_per_batch;
static char (*keys)[KEY_LEN + 1]; /* of the pushes of a batch, made before measuring */

static uint64_t *start_push_responder(const Scenario *scenario) {
    pushes_per_batch = scenario->size / PUSH_EVERY;
    keys = allocate(pushes_per_batch * sizeof *keys);
    for (size_t i = 0; i < pushes_per_batch; i++)
        snprintf(keys[i], sizeof *keys, "key:%05u", (unsigned)((i + 1) * PUSH_EVERY - 1) % 100000);
    return start_get_responder(scenario, PUSH_EVERY);
}

/* Each push names the key of the reply before it. */
static void check_push(redisReply *push) {
    CHECK(push != NULL && push->type == REDIS_REPLY_PUSH && push->elements == 2);
    CHECK(push->element[0]->len == strlen("invalidate") && push->element[1]->elements == 1);
    const redisReply *key = push->element[1]->element[0];
    CHECK(key->len == KEY_LEN && memcmp(key->str, keys[pushes_received % pushes_per_batch], KEY_LEN) == 0);
    pushes_received++;
}

static void check_count(uint64_t repeats) {
    /* The last push comes after the last reply, perhaps too late to be seen. */
    uint64_t sent = repeats * pushes_per_batch;
    CHECK(pushes_received == sent || pushes_received + 1 == sent);
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
    uint64_t *expected = start_push_responder(scenario);
    redisContext *context = connect_sync();
    redisSetPushCallback(context, on_sync_push);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) pipeline(context, scenario->size, expected);
    measure_end(repeats * scenario->size);
    check_count(repeats);
    redisFree(context);
}

void run_push_async(const Scenario *scenario, uint64_t repeats) {
    uint64_t *expected = start_push_responder(scenario);
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
    check_count(repeats);
    loop_disconnect(&loop);
}

#endif
