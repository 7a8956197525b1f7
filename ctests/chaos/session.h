/* Asynchronous clients that work through the proxy: each wants a number of answers, pipelines
 * commands, subscribes, and connects again when its connection is lost. Every callback is checked. */
#ifndef CHAOS_SESSION_H
#define CHAOS_SESSION_H

#include <stdint.h>

#include <hiredis/async.h>

#include "proxy.h"

struct play {
    uint64_t seed;
    struct proxy *proxy;
    const char *server;        /* the way around the proxy, a unix socket */
    unsigned long connections; /* to make, at least */
    int limit_s;               /* without any answer for so long, it hangs */
    int (*attach)(redisAsyncContext *ac);
    void (*turn)(int ms);
};

/* Until the number of connections is reached and every session has what it wants. */
void sessions_play(const struct play *play);

#endif
