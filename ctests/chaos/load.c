/* Load on a live redis-server for a long time.
 *
 *     load connections|subscriptions SECONDS COUNT [PLANT]
 *
 * The server is found by TEST_REDIS_UNIX and TEST_REDIS_PORT, the seed is TEST_SEED (1), the rate
 * LOAD_RATE (100000 commands per second). PLANT is an error made on purpose. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "memory.h"
#include "tally.h"
#include "values.h"

size_t pace_due(struct pace *p) {
    int64_t now = now_us();
    if (p->last == 0) p->last = now;
    p->due += p->rate * (double)(now - p->last) / 1e6;
    p->last = now;
    if (p->due > p->rate / 10) p->due = p->rate / 10;
    size_t n = (size_t)p->due;
    p->due -= (double)n;
    return n;
}

void watch_begin(struct memory_watch *w, int64_t us) {
    memset(w, 0, sizeof(*w));
    w->begun = w->last = now_us();
    w->us = us;
}

int watch_sample(struct memory_watch *w) {
    int64_t now = now_us();
    if (now - w->last < 1000000) return 0;
    w->last = now;
    if (w->samples < MOST_SAMPLES) w->resident[w->samples++] = resident_bytes();
    return 1;
}

void watch_idle(struct memory_watch *w, size_t buffers) {
    size_t blocks = memory_blocks(), bytes = memory_bytes() - buffers;
    if (now_us() - w->begun < w->us / 3) return;
    if (w->idle_samples++ == 0) {
        w->idle_blocks = blocks;
        w->idle_bytes = bytes;
    } else if (blocks > w->idle_blocks || bytes > w->idle_bytes) {
        broken("the library holds %zu blocks with %zu bytes besides buffers when idle, and held %zu with %zu",
               blocks, bytes, w->idle_blocks, w->idle_bytes);
    }
}

static size_t highest(const size_t *samples, size_t from, size_t to) {
    size_t most = 0;
    for (size_t i = from; i < to; i++)
        if (samples[i] > most) most = samples[i];
    return most;
}

void watch_end(const struct memory_watch *w) {
    size_t third = w->samples / 3;
    size_t before = highest(w->resident, third, 2 * third);
    size_t after = highest(w->resident, 2 * third, w->samples);
    printf("     resident: %.1f MiB at first, at most %.1f in the second third, %.1f in the last\n",
           (double)w->resident[0] / 1048576, (double)before / 1048576, (double)after / 1048576);
    printf("     the library when idle: %zu blocks, besides buffers %.2f MiB, %zu times\n", w->idle_blocks,
           (double)w->idle_bytes / 1048576, w->idle_samples);
    if (third == 0 || w->idle_samples < 2)
        broken("too few samples of memory: %zu, %zu when idle", w->samples, w->idle_samples);
    if (after > before + before / 100 + 262144) broken("resident memory grows");
}

/* Keys of an earlier run would be counted on. */
static int clear_server(const char *path) {
    redisContext *c = redisConnectUnix(path);
    redisReply *r = c == NULL || c->err ? NULL : redisCommand(c, "FLUSHALL");
    int cleared = r != NULL && r->type == REDIS_REPLY_STATUS;
    freeReplyObject(r);
    redisFree(c);
    return cleared;
}

int main(int argc, char **argv) {
    const char *server = getenv("TEST_REDIS_UNIX"), *port = getenv("TEST_REDIS_PORT");
    const char *seed = getenv("TEST_SEED"), *rate = getenv("LOAD_RATE");
    if (argc < 4 || server == NULL || port == NULL) {
        fprintf(stderr, "usage: load connections|subscriptions SECONDS COUNT [PLANT]\n");
        return 2;
    }
    struct load load = {.server = server, .port = atoi(port),
                        .seed = strtoull(seed != NULL ? seed : "1", NULL, 10),
                        .us = (int64_t)strtoul(argv[2], NULL, 10) * 1000000,
                        .count = strtoul(argv[3], NULL, 10),
                        .rate = rate != NULL ? strtod(rate, NULL) : 100000};
    if (argc > 4) plant = argv[4];
    if (!values_make(load.seed)) return 2;
    memory_install();
    if (!clear_server(server)) {
        fprintf(stderr, "load: no server at %s\n", server);
        return 2;
    }
    int descriptors = open_descriptors();
    if (loop_open() != REDIS_OK) return 2;
    if (strcmp(argv[1], "connections") == 0) load_connections(&load);
    else load_subscriptions(&load);
    loop_close();
    values_free();
    if (memory_blocks() != 0)
        broken("%zu blocks with %zu bytes were not freed", memory_blocks(), memory_bytes());
    if (open_descriptors() != descriptors)
        broken("%d descriptors before, %d after", descriptors, open_descriptors());
    return broken_promises() == 0 ? 0 : 1;
}
