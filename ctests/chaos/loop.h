/* An event loop for asynchronous contexts, on epoll, with timers. */
#ifndef CHAOS_LOOP_H
#define CHAOS_LOOP_H

#include <stdint.h>

#include <hiredis/async.h>

/* Microseconds of a clock that only goes forward. */
int64_t now_us(void);

/* REDIS_ERR when the system has no more descriptors or memory. */
int loop_open(void);
void loop_close(void);

int loop_attach(redisAsyncContext *ac);

/* Waits for events, at most `ms` milliseconds, and handles them. */
void loop_turn(int ms);

#endif
