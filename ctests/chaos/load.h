/* Load for a long time: what both programs of it share. */
#ifndef CHAOS_LOAD_H
#define CHAOS_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include <hiredis/async.h>

struct load {
    const char *server; /* unix socket */
    int port;           /* of the same server */
    uint64_t seed;
    int64_t us;         /* how long */
    size_t count;       /* connections, or channels */
    double rate;        /* commands per second, at most */
};

void load_connections(const struct load *load);
void load_subscriptions(const struct load *load);

/* ---- Pace ---- */

/* How many commands may be sent now, to keep to the rate. What could not be sent in time is not made
 * up for. */
struct pace {
    double rate, due;
    int64_t last;
};

size_t pace_due(struct pace *p);

/* ---- Memory over time ----
 *
 * The rule: samples of resident memory are taken once per second. The first third of the time is for
 * warming up. In the last third no sample is more than 1 % and 256 KiB above the highest of the second.
 * What the library holds when nothing is under way must not grow at all after the warming up, in blocks
 * and in bytes. The bytes are those besides the connections' buffers, which keep the size they once
 * needed, up to 16 KiB for what is received: they count as resident memory. */
enum { MOST_SAMPLES = 100000 };

struct memory_watch {
    int64_t begun, last, us;
    size_t resident[MOST_SAMPLES], samples;
    size_t idle_blocks, idle_bytes; /* the first after warming up; 0 blocks: none yet */
    size_t idle_samples;
};

void watch_begin(struct memory_watch *w, int64_t us);

/* Once per second it returns 1, and has taken a sample. */
int watch_sample(struct memory_watch *w);

/* Nothing is under way; the buffers of all connections have so many bytes. */
void watch_idle(struct memory_watch *w, size_t buffers);

/* Says what was found; broken() if it is not flat. */
void watch_end(const struct memory_watch *w);

#endif
