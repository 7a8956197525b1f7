/* The same work at several sizes: where hiredis 1.4.1 costs more per unit the more there is. */
#include "hibench.h"

#include <malloc.h>

/* ---- grow-drain: a full input buffer, fed at once, then taken reply by reply ---- */

static void run_drain(const Growth *growth, size_t size, uint64_t repeats) {
    static const char reply_text[] = "+OK\r\n";
    (void)growth;
    Buffer wire = {0};
    size_t count = size / strlen(reply_text);
    uint64_t expected = digest_of_text(REDIS_REPLY_STATUS, "OK", 2);
    for (size_t i = 0; i < count; i++) append(&wire, reply_text, strlen(reply_text));
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) {
        redisReader *reader = redisReaderCreate();
        CHECK(redisReaderFeed(reader, wire.bytes, wire.len) == REDIS_OK);
        for (size_t taken = 0; taken < count; taken++) {
            void *reply = NULL;
            CHECK(redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL);
            CHECK(digest(reply) == expected);
            freeReplyObject(reply);
        }
        redisReaderFree(reader);
    }
    measure_end(repeats * count);
}

/* ---- grow-line, grow-copying: one long string in pieces ---- */

static void parse_in_pieces(const Buffer *wire, size_t piece, uint64_t expected) {
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    for (size_t at = 0; at < wire->len; at += piece) {
        CHECK(reply == NULL);
        size_t len = piece < wire->len - at ? piece : wire->len - at;
        CHECK(redisReaderFeed(reader, wire->bytes + at, len) == REDIS_OK);
        CHECK(redisReaderGetReply(reader, &reply) == REDIS_OK);
    }
    CHECK(reply != NULL && digest(reply) == expected);
    freeReplyObject(reply);
    redisReaderFree(reader);
}

static void run_line(const Growth *growth, size_t size, uint64_t repeats) {
    (void)growth;
    Buffer wire = {0};
    compose_line(&wire, size);
    char *text = pattern(size);
    uint64_t expected = digest_of_text(REDIS_REPLY_STATUS, text, size);
    free(text);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) parse_in_pieces(&wire, KIB, expected);
    measure_end(repeats * size);
}

#if HIREDIS_MAJOR >= 1
/* As allocators do that cannot remap pages. */
static void *copying_realloc(void *old, size_t size) {
    void *memory = malloc(size);
    if (old == NULL || memory == NULL) return memory;
    size_t len = malloc_usable_size(old);
    memcpy(memory, old, len < size ? len : size);
    free(old);
    return memory;
}

static void run_copying(const Growth *growth, size_t size, uint64_t repeats) {
    (void)growth;
    hiredisAllocFuncs functions = {malloc, calloc, copying_realloc, strdup, free};
    Buffer wire = {0};
    compose_bulk(&wire, size);
    char *text = pattern(size);
    uint64_t expected = digest_of_text(REDIS_REPLY_STRING, text, size);
    free(text);
    hiredisSetAllocators(&functions);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) parse_in_pieces(&wire, 16 * KIB, expected);
    measure_end(repeats * size);
    hiredisResetAllocators();
}
#endif

/* ---- grow-backlog: partial writes of a large output buffer ---- */

static void run_backlog(const Growth *growth, size_t size, uint64_t repeats) {
    enum { LEN = 512 };
    (void)growth;
    char *value = pattern(LEN);
    backlog_start(LEN);
    Loop loop;
    backlog_connect(&loop);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) backlog_play(&loop, value, LEN, size);
    measure_end(repeats * size);
    loop_disconnect(&loop);
}

/* ---- grow-channels, grow-collisions: SUBSCRIBE, a channel at a time ---- */

enum { PAIRS = 15, NAME_LEN = 2 * PAIRS, BATCH = 1024 };

static struct {
    char (*names)[NAME_LEN + 1];
    size_t confirmed;
    bool closing;
} subscriber;

/* A word for each bit of the number. In hash * 33 + c, the hash of hiredis, "Ab" and "BA" add the same, so
 * that all names of them collide; "Ab" and "BB" do not. */
static void name_channel(char *name, size_t number, int variant) {
    const char *other = variant == CHANNELS_COLLIDING ? "BA" : "BB";
    for (size_t bit = 0; bit < PAIRS; bit++) memcpy(name + 2 * bit, number >> bit & 1 ? other : "Ab", 2);
    name[NAME_LEN] = '\0';
}

static void on_confirmation(redisAsyncContext *context, void *message, void *name) {
    (void)context;
    redisReply *reply = message;
    if (reply == NULL && subscriber.closing) return;
    CHECK(reply != NULL && reply->elements == 3 && reply->element[1]->len == NAME_LEN);
    CHECK(name == subscriber.names[subscriber.confirmed]);
    CHECK(memcmp(reply->element[1]->str, name, NAME_LEN) == 0);
    subscriber.confirmed++;
}

static void run_channels(const Growth *growth, size_t size, uint64_t repeats) {
    Script script = {.read_size = 64 * KIB};
    subscriber.names = allocate(size * sizeof *subscriber.names);
    for (size_t first = 0; first < size; first += BATCH) {
        Step *step = add_step(&script);
        for (size_t id = first; id < first + BATCH; id++) {
            name_channel(subscriber.names[id], id, growth->variant);
            append_format(&step->request, "*2\r\n$9\r\nSUBSCRIBE\r\n");
            append_bulk(&step->request, subscriber.names[id], NAME_LEN);
            append_format(&step->reply, "*3\r\n$9\r\nsubscribe\r\n");
            append_bulk(&step->reply, subscriber.names[id], NAME_LEN);
            append_format(&step->reply, ":%zu\r\n", id + 1);
        }
    }
    start_responder(&script);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) {
        Loop loop;
        loop_connect(&loop);
        subscriber.confirmed = 0;
        subscriber.closing = false;
        for (size_t first = 0; first < size; first += BATCH) {
            for (size_t id = first; id < first + BATCH; id++) {
                const char *argv[] = {"SUBSCRIBE", subscriber.names[id]};
                CHECK(redisAsyncCommandArgv(loop.context, on_confirmation, subscriber.names[id], 2, argv,
                                            NULL) == REDIS_OK);
            }
            while (subscriber.confirmed < first + BATCH) loop_turn(&loop);
        }
        subscriber.closing = true;
        loop_disconnect(&loop);
    }
    measure_end(repeats * size);
}

/* ---- the table: sizes as measured for hiredis 1.4.1 ---- */

const Growth growths[] = {
    {"grow-drain", "reply", "bytes", run_drain,
     .sizes = {16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB}},
    /* realloc copies a small block and remaps the pages of a large one. */
    {"grow-line", "byte", "bytes", run_line, .kernel = true,
     .sizes = {512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB}},
    {"grow-backlog", "command", "commands", run_backlog, .kernel = true,
     .sizes = {2000, 5000, 12500, 25000, 50000, 100000, 200000, 400000}},
    {"grow-channels", "channel", "channels", run_channels, .variant = CHANNELS_ORDINARY,
     .sizes = {1024, 2048, 4096, 8192, 16384, 32768}},
    {"grow-collisions", "channel", "channels", run_channels, .variant = CHANNELS_COLLIDING,
     .sizes = {1024, 2048, 4096, 8192, 16384, 32768}},
#if HIREDIS_MAJOR >= 1
    {"grow-copying", "byte", "bytes", run_copying, .kernel = true,
     .sizes = {32 * MIB, 64 * MIB, 128 * MIB, 256 * MIB}},
#endif
    {.name = NULL},
};
