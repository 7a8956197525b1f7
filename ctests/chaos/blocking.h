/* Blocking clients in threads that work through the proxy: pipelines, messages, timeouts, and
 * redisReconnect after every error. */
#ifndef CHAOS_BLOCKING_H
#define CHAOS_BLOCKING_H

#include "session.h"

/* As sessions_play; attach and turn are not used. */
void blocking_play(const struct play *play);

#endif
