/* All the ways to begin an asynchronous connection, by chance. */
#ifndef CHAOS_WAY_H
#define CHAOS_WAY_H

#include <hiredis/async.h>

#include "proxy.h"
#include "random.h"

/* What was chosen. */
struct opened {
    int refused_port;           /* nobody listens there */
    int keeps_context;          /* REDIS_OPT_NOAUTOFREE */
    int command_ms, connect_ms; /* timeouts, or 0 */
};

/* To the proxy's listener `way`, or its port that refuses. `how` is zero before. */
redisAsyncContext *way_open(const struct proxy *proxy, int way, struct rng *rng, struct opened *how);

#endif
