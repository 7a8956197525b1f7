/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Drives one asynchronous context with poll(2): no event library, no global loop.
 * For programs that have a single connection, tests, and loops of one's own.
 *
 *     static void answered(redisAsyncContext *ac, void *reply, void *privdata) {
 *         if (reply != NULL) puts(((redisReply *)reply)->str);
 *         *(int *)privdata = 1;
 *         redisAsyncDisconnect(ac);
 *     }
 *
 *     int done = 0;
 *     redisAsyncContext *ac = redisAsyncConnect("127.0.0.1", 6379);
 *     if (ac == NULL || ac->err || redisPollAttach(ac) != REDIS_OK) return 1;
 *     redisAsyncCommand(ac, answered, &done, "PING");
 *     while (!done) redisPollTick(ac, 1.0);
 *
 * The adapter owns its record, `ac->ev.data`, and nothing else: not the context,
 * not the descriptor. The library has the record released by the cleanup hook,
 * before it closes the descriptor.
 *
 * Callbacks run inside redisPollTick, and may do anything to any context, freeing
 * `ac` included. A tick must not be made on a context that is gone: let a disconnect
 * callback or `ac->dataCleanup` say so, as `done` does above. A tick from within a
 * callback of the same context does nothing. */
#ifndef HIREDIS_RS_ADAPTERS_POLL_H
#define HIREDIS_RS_ADAPTERS_POLL_H

#include "../async.h"
#include "../hiredis.h"
#include "../sockcompat.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#ifndef CLOCK_MONOTONIC
#include <sys/times.h>
#include <unistd.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a tick has done. */
#define REDIS_POLL_HANDLED_READ 1
#define REDIS_POLL_HANDLED_WRITE 2
#define REDIS_POLL_HANDLED_TIMEOUT 4

typedef struct redisPollEvents {
    redisAsyncContext *context;
    redisFD fd;
    char reading, writing; /* what the library waits for */
    char in_tick;
    char deleted;          /* cleaned up inside a tick, which then frees the record */
    double deadline;       /* of the timer, by `now`; 0.0 when none is set */
    double (*now)(void);
} redisPollEvents;

/* Seconds on a clock that nobody sets. */
static inline double redisPollNow(void) {
#ifdef CLOCK_MONOTONIC
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
#else
    /* Strict ISO C hides clock_gettime. This one is coarser, and as steady. */
    struct tms unused;
    return (double)times(&unused) / (double)sysconf(_SC_CLK_TCK);
#endif
}

/* How long poll may sleep, in milliseconds: `timeout` seconds, but not past the
 * deadline. Rounded up, so that a deadline has passed when poll returns. */
static inline int redisPollWait(const redisPollEvents *e, double timeout) {
    double wait = timeout;
    if (e->deadline != 0.0) {
        double left = e->deadline - e->now();
        if (left < 0.0) left = 0.0;
        if (wait < 0.0 || wait > left) wait = left;
    }
    if (wait < 0.0) return -1;
    if (wait > INT_MAX / 1000) return INT_MAX;
    int ms = (int)(wait * 1e3);
    return ms < wait * 1e3 ? ms + 1 : ms;
}

/* Waits for what the library wants of `ac`'s descriptor, at most `timeout` seconds
 * (0: only looks; negative: without limit), and lets the library do it: read, write,
 * and the timer if it is due; the timer ends the wait as well.
 *
 * Returns the REDIS_POLL_HANDLED_ bits of what was done, 0 for nothing (also at once
 * when nothing is wanted, or `ac` is not attached), or the negative result of poll(2)
 * with errno set. A signal counts as nothing done.
 *
 * Since it returns at once when nothing is wanted, a loop of nothing but ticks spins while
 * neither a connect callback is set nor a command queued. */
static inline int redisPollTick(redisAsyncContext *ac, double timeout) {
    redisPollEvents *e = ac != NULL ? (redisPollEvents *)ac->ev.data : NULL;
    if (e == NULL || e->in_tick) return 0;
    if (!e->reading && !e->writing) return 0;

    struct pollfd pfd;
    pfd.fd = e->fd;
    pfd.events = (short)((e->reading ? POLLIN : 0) | (e->writing ? POLLOUT : 0));
    pfd.revents = 0;
    int ready = poll(&pfd, 1, redisPollWait(e, timeout));
    if (ready < 0) {
        if (errno != EINTR) return ready;
        pfd.revents = 0;
    }

    /* Errors and hang-ups come unasked; reading or writing tells what they are. */
    int broken = pfd.revents & (POLLERR | POLLHUP | POLLNVAL);
    int writable = (pfd.events & POLLOUT) && ((pfd.revents & POLLOUT) || broken);
    int handled = 0;

    e->in_tick = 1;
    if (e->reading && ((pfd.revents & POLLIN) || broken)) {
        redisAsyncHandleRead(ac);
        handled |= REDIS_POLL_HANDLED_READ;
    }
    if (!e->deleted && writable) {
        redisAsyncHandleWrite(ac);
        handled |= REDIS_POLL_HANDLED_WRITE;
    }
    if (!e->deleted && e->deadline != 0.0 && e->deadline <= e->now()) {
        e->deadline = 0.0;
        redisAsyncHandleTimeout(ac);
        handled |= REDIS_POLL_HANDLED_TIMEOUT;
    }
    e->in_tick = 0;
    if (e->deleted) hi_free(e);
    return handled;
}

static inline void redisPollAddRead(void *data) {
    ((redisPollEvents *)data)->reading = 1;
}

static inline void redisPollDelRead(void *data) {
    ((redisPollEvents *)data)->reading = 0;
}

static inline void redisPollAddWrite(void *data) {
    ((redisPollEvents *)data)->writing = 1;
}

static inline void redisPollDelWrite(void *data) {
    ((redisPollEvents *)data)->writing = 0;
}

static inline void redisPollScheduleTimer(void *data, struct timeval tv) {
    redisPollEvents *e = (redisPollEvents *)data;
    e->deadline = e->now() + (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static inline void redisPollCleanup(void *data) {
    redisPollEvents *e = (redisPollEvents *)data;
    if (e->in_tick) {
        e->deleted = 1;
        return;
    }
    hi_free(e);
}

/* Makes redisPollTick work on `ac`. REDIS_ERR, with nothing changed, if `ac` is NULL,
 * has no descriptor (it could not begin to connect), is attached already, or memory
 * is short. */
static inline int redisPollAttach(redisAsyncContext *ac) {
    if (ac == NULL || ac->c.fd == REDIS_INVALID_FD || ac->ev.data != NULL) return REDIS_ERR;

    redisPollEvents *e = (redisPollEvents *)hi_calloc(1, sizeof(*e));
    if (e == NULL) return REDIS_ERR;
    e->context = ac;
    e->fd = ac->c.fd;
    e->now = redisPollNow;

    ac->ev.data = e;
    ac->ev.addRead = redisPollAddRead;
    ac->ev.delRead = redisPollDelRead;
    ac->ev.addWrite = redisPollAddWrite;
    ac->ev.delWrite = redisPollDelWrite;
    ac->ev.cleanup = redisPollCleanup;
    ac->ev.scheduleTimer = redisPollScheduleTimer;

    /* What was asked for before there were hooks is told to them now. */
    if (ac->onConnect != NULL || ac->onConnectNC != NULL || sdslen(ac->c.obuf) > 0) {
        const struct timeval *tv =
            (ac->c.flags & REDIS_CONNECTED) ? ac->c.command_timeout : ac->c.connect_timeout;
        if (tv != NULL && (tv->tv_sec != 0 || tv->tv_usec != 0)) redisPollScheduleTimer(e, *tv);
        redisPollAddWrite(e);
    }
    return REDIS_OK;
}

#ifdef __cplusplus
}
#endif

#endif
