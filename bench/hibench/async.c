/* async-*: commands of an asynchronous context. */
#include "hibench.h"

#include <sys/socket.h>

static int submit_get(redisAsyncContext *context, int variant, size_t id, const Buffer *formatted,
                      uint64_t *expected) {
    if (variant == SUBMIT_PRINTF)
        return redisAsyncCommand(context, on_reply, expected, "GET key:%05d", (int)id);
    if (variant == SUBMIT_FORMATTED)
        return redisAsyncFormattedCommand(context, on_reply, expected, formatted->bytes, formatted->len);
    const char *key = formatted->bytes + formatted->len - strlen("key:00000\r\n");
    const char *argv[] = {"GET", key};
    return redisAsyncCommandArgv(context, on_reply, expected, 2, argv, (size_t[]){3, 9});
}

void run_async_gets(const Scenario *scenario, uint64_t repeats) {
    uint64_t *expected = start_get_responder(scenario, 0);
    Buffer *formatted = calloc(scenario->size, sizeof *formatted);
    for (size_t id = 0; id < scenario->size; id++) append_get(&formatted[id], id);
    Loop loop;
    loop_connect(&loop);
    measure_begin();
    for (uint64_t i = 1; i <= repeats; i++) {
        for (size_t id = 0; id < scenario->size; id++)
            CHECK(submit_get(loop.context, scenario->variant, id, &formatted[id], &expected[id]) == REDIS_OK);
        loop_until(&loop, i * scenario->size);
    }
    measure_end(repeats * scenario->size);
    loop_disconnect(&loop);
}

/* Commands are queued faster than the slow responder, behind a small socket buffer, takes them. */
enum { KEYS = 100, SEND_BUFFER = 64 * KIB };

void backlog_start(size_t value_len) {
    Script script = {.read_size = 4 * KIB};
    Step *step = add_step(&script);
    char *value = pattern(value_len);
    for (int id = 0; id < KEYS; id++) {
        append_format(&step->request, "*3\r\n$3\r\nSET\r\n$9\r\nkey:%05d\r\n", id);
        append_bulk(&step->request, value, value_len);
        append(&step->reply, "+OK\r\n", 5);
    }
    free(value);
    start_responder(&script);
}

void backlog_connect(Loop *loop) {
    loop_connect(loop);
    CHECK(setsockopt(loop->wait.fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int)) == 0);
}

void backlog_play(Loop *loop, const char *value, size_t value_len, uint64_t commands) {
    static uint64_t expected;
    expected = digest_of_text(REDIS_REPLY_STATUS, "OK", 2);
    uint64_t wanted = replies_received + commands;
    for (uint64_t i = 0; i < commands; i++)
        CHECK(redisAsyncCommand(loop->context, on_reply, &expected, "SET key:%05d %b", (int)(i % KEYS), value,
                                value_len) == REDIS_OK);
    loop_until(loop, wanted);
}

void run_async_backlog(const Scenario *scenario, uint64_t repeats) {
    uint64_t commands = (repeats + KEYS - 1) / KEYS * KEYS;
    char *value = pattern(scenario->value_len);
    backlog_start(scenario->value_len);
    Loop loop;
    backlog_connect(&loop);
    measure_begin();
    backlog_play(&loop, value, scenario->value_len, commands);
    measure_end(commands);
    loop_disconnect(&loop);
}
